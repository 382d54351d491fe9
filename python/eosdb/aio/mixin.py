"""The mixin that makes a sequence of records lazily loaded and persistent, asynchronously."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any, Final

from ..datetimes import Duration
from ..mixin import DatabaseRecordProtocolMixin as Synchronous
from ..protocols import T_Record
from ..reports import CompactionReport
from ..sequence_base import SequenceBase
from ..timestamps import (
    DatabaseTimestamp,
    DatabaseTimestampType,
    DatabaseTimeWindowType,
)
from . import threads
from .at_hand import at_hand, do_at_hand
from .blocking import BlockingDatabase, asynchronous, in_thread_of, run

__all__ = ["DatabaseRecordMixin", "DatabaseRecordProtocolMixin"]

_AT_A_TIME: Final = 1000
"""How many records are made in a thread before they are handed out."""


class DatabaseRecordProtocolMixin(SequenceBase[T_Record]):
    """Records of one namespace, as :class:`eosdb.DatabaseRecordProtocolMixin` has them.

    What reads or writes is to be awaited. It is done in a thread, so that the event loop goes on;
    what is in memory already is answered at once. If a task is cancelled meanwhile, what it asked
    for is done as a whole or not at all. The database may be one of :mod:`eosdb.aio`, a
    synchronous one, or any object with the methods of `DatabaseABC`, be they coroutines or not.

    Attributes:
        records: The loaded records, sorted by time; built as objects when they are asked for.
        database: The database, or `None`: then the records live in memory only.
    """

    # ---- state -----------------------------------------------------------------------------

    _db_may_wait = False

    @property
    def _db_backend(self) -> Any:
        database = self.database
        blocking = getattr(database, "blocking", None)
        return BlockingDatabase(database) if blocking is None else blocking

    @property
    def _resamples_itself(self) -> bool:
        function = getattr(self.key_to_array, "__func__", None)
        return function is not DatabaseRecordProtocolMixin.key_to_array

    @property
    def _db_must_open(self) -> bool:
        """Whether the database is to be opened before it is used, by :meth:`_db_open`."""
        return False

    async def _db_open(self) -> None:
        """Open the database."""

    # ---- lookups ---------------------------------------------------------------------------

    async def db_get_record(  # noqa: D102  # the synchronous method's docstring
        self,
        target_timestamp: DatabaseTimestamp | datetime,
        *,
        time_window: timedelta | DatabaseTimeWindowType = None,
    ) -> T_Record | None:
        return await do_at_hand(
            Synchronous.db_get_record, self, target_timestamp, time_window=time_window
        )

    db_get_record.__doc__ = Synchronous.db_get_record.__doc__

    db_previous_timestamp = asynchronous(Synchronous.db_previous_timestamp)
    db_next_timestamp = asynchronous(Synchronous.db_next_timestamp)
    db_timestamp_range = asynchronous(Synchronous.db_timestamp_range)
    db_count_records = asynchronous(Synchronous.db_count_records)

    async def db_iterate_records(
        self,
        start_timestamp: DatabaseTimestampType | None = None,
        end_timestamp: DatabaseTimestampType | None = None,
    ) -> AsyncIterator[T_Record]:
        """Iterate over the records of `[start_timestamp, end_timestamp)`, sorted by time.

        They are made some at a time; damaged values are reported to the log and skipped.
        """
        records = await run(Synchronous.db_iterate_records, self, start_timestamp, end_timestamp)
        while some := await in_thread_of(self, list, itertools.islice(records, _AT_A_TIME)):
            for record in some:
                yield record

    # ---- changes ---------------------------------------------------------------------------

    async def db_insert_record(self, record: T_Record, *, mark_dirty: bool = True) -> None:  # noqa: D102  # as above
        await do_at_hand(Synchronous.db_insert_record, self, record, mark_dirty=mark_dirty)

    db_insert_record.__doc__ = Synchronous.db_insert_record.__doc__

    async def db_mark_dirty_record(self, record: T_Record) -> None:  # noqa: D102  # as above
        await do_at_hand(Synchronous.db_mark_dirty_record, self, record)

    db_mark_dirty_record.__doc__ = Synchronous.db_mark_dirty_record.__doc__

    db_delete_records = asynchronous(Synchronous.db_delete_records)

    # ---- loading, saving, statistics -------------------------------------------------------

    db_load_records = asynchronous(Synchronous.db_load_records)
    db_save_records = at_hand(Synchronous.db_save_records)
    db_autosave = at_hand(Synchronous.db_autosave)
    db_get_stats = asynchronous(Synchronous.db_get_stats)
    _db_ensure_initialized = asynchronous(Synchronous._db_ensure_initialized)
    _db_init_metadata = asynchronous(Synchronous._db_init_metadata)
    _db_load_metadata = asynchronous(Synchronous._db_load_metadata)
    _db_save_metadata = asynchronous(Synchronous._db_save_metadata)
    _db_ensure_loaded = asynchronous(Synchronous._db_ensure_loaded)
    _db_load_initial_window = asynchronous(Synchronous._db_load_initial_window)
    _db_load_full = asynchronous(Synchronous._db_load_full)

    # ---- retention -------------------------------------------------------------------------

    db_vacuum = asynchronous(Synchronous.db_vacuum)
    _db_set_compact_state = asynchronous(Synchronous._db_set_compact_state)
    _db_compact_tier = asynchronous(Synchronous._db_compact_tier)

    async def db_compact(  # noqa: D102  # the synchronous method's docstring
        self,
        compact_tiers: list[tuple[Duration, Duration]] | None = None,
        *,
        dry_run: bool = False,
        progress: Callable[[int, int], object] | None = None,
    ) -> CompactionReport:
        def told(done: int, total: int) -> None:
            if threads.is_stopped():
                raise InterruptedError("the task was cancelled")
            if progress is not None:
                progress(done, total)

        return await run(
            Synchronous.db_compact, self, compact_tiers, dry_run=dry_run, progress=told
        )

    db_compact.__doc__ = Synchronous.db_compact.__doc__

    # ---- values ----------------------------------------------------------------------------

    key_to_array = asynchronous(Synchronous.key_to_array)
    keys_to_arrays = asynchronous(Synchronous.keys_to_arrays)
    key_to_energy = asynchronous(Synchronous.key_to_energy)
    key_to_lists = asynchronous(Synchronous.key_to_lists)
    key_to_dict = asynchronous(Synchronous.key_to_dict)
    key_to_value = asynchronous(Synchronous.key_to_value)
    key_to_series = asynchronous(Synchronous.key_to_series)
    to_dataframe = asynchronous(Synchronous.to_dataframe)
    to_arrow = asynchronous(Synchronous.to_arrow)


DatabaseRecordMixin = DatabaseRecordProtocolMixin
