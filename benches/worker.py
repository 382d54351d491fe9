"""One implementation, in a process of its own, timed operation by operation.

`bench.py` starts one worker for each implementation and hands the operations to them in turn, so
that what is compared runs side by side on the same machine, while no implementation pays for the
objects of another. Once a worker is ready it says so; then it reads the name of an operation a
line from standard input and answers each with one line of JSON. Besides the implementation it
measures it needs only pendulum, so that it also runs in the environment of a checkout of
Akkudoktor-EOS.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

import pendulum
from copies import replace_directory
from pendulum.tz.local_timezone import get_local_timezone
from subject import (
    COUNTS,
    DAY_SECONDS,
    FIRST_SECOND,
    KEYS,
    LOOKUPS,
    READ_KEY,
    SEED,
    STEP_SECONDS,
    Row,
    Subject,
    digest,
    synthetic_rows,
)

HOUR = pendulum.duration(hours=1)
QUARTER = pendulum.duration(minutes=15)
NEAREST_OFFSET_SECONDS = 20
REPEAT_WITHIN_SECONDS = 1.0
REPEAT_AT_MOST = 7

Answer = dict[str, Any]


def private_bytes() -> int:
    """Return this process's memory in bytes, without the pages that belong to files.

    The map of the database file counts as resident too, and is not what a loaded row costs.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    resident, shared = Path("/proc/self/statm").read_text().split()[1:3]
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


def local_moment(second: int) -> pendulum.DateTime:
    """Return a UTC second as a time in the local zone, as applications hold it."""
    return pendulum.from_timestamp(second).in_timezone(get_local_timezone())


def digest_of_records(records: Iterable[Any]) -> str:
    """Return the fingerprint of the rows that records stand for."""
    return digest(
        Row(int(record.date_time.timestamp()), tuple(record[key] for key in KEYS))
        for record in records
    )


def description_of_frame(frame: Any) -> list[Any]:
    """Return what a data frame holds: columns, name and zone of the index, and a fingerprint."""
    seconds = frame.index.as_unit("s").asi8.tolist()
    if KEYS[0] in frame.columns:
        values: Iterable[Any] = zip(*(frame[key].tolist() for key in KEYS), strict=True)
    else:
        values = (tuple(data[key] for key in KEYS) for data in frame["configured_data"])
    content = digest(Row(*row) for row in zip(seconds, values, strict=True))
    return [list(frame.columns), frame.index.name, str(frame.index.tz), content]


def plain(result: Any) -> Any:
    """Return a result as what JSON can take: arrays and series as lists."""
    if isinstance(result, dict):
        return {key: plain(value) for key, value in result.items()}
    return result.tolist() if hasattr(result, "tolist") else result


class Worker:
    """The operations on one implementation; each returns seconds and what to compare."""

    def __init__(self, subject: Subject, rows: int) -> None:
        """Make a worker.

        Args:
            subject: The implementation.
            rows: How many rows there are.
        """
        self.subject = subject
        self.rows = rows
        self.sequence: Any = None
        self.records: list[Any] = []

    def _best(self, action: Callable[[], Any], before: Callable[[], None] | None = None) -> Answer:
        """Time `action` a few times where it is short; `before` is not timed."""
        times: list[float] = []
        while True:
            if before is not None:
                before()
            gc.collect()
            start = time.perf_counter()
            result = action()
            times.append(time.perf_counter() - start)
            if len(times) == REPEAT_AT_MOST or sum(times) >= REPEAT_WITHIN_SECONDS:
                return {"seconds": min(times), "result": result, "times": len(times)}

    def _connect(self) -> None:
        if self.sequence is not None:
            self._disconnect()
        self.sequence = self.subject.connect()

    def _disconnect(self) -> None:
        self.sequence = None
        gc.collect()
        self.subject.disconnect()

    def _best_again(self, action: Callable[[], Any]) -> Answer:
        """Time what is done again: the first time, which may decode rows, does not count."""
        action()
        return self._best(action)

    def _load_rows(self) -> None:
        """Load everything, but no row as an object where the implementation can help it."""
        self._connect()
        self.sequence.load()
        self.subject.assume_loaded(self.sequence)

    def _hourly(self) -> Any:
        return self.sequence.key_to_array(READ_KEY, interval=HOUR)

    def _together(self) -> dict[str, Any]:
        arrays: dict[str, Any] = self.sequence.keys_to_arrays(KEYS, interval=HOUR)
        return arrays

    def _apart(self) -> dict[str, Any]:
        return {key: self.sequence.key_to_array(key, interval=HOUR) for key in KEYS}

    def _content(self) -> str:
        return digest_of_records(self.sequence.db_iterate_records())

    def _moments(self, offset: int) -> list[Any]:
        source = random.Random(SEED)
        return [
            local_moment(FIRST_SECOND + source.randrange(self.rows) * STEP_SECONDS + offset)
            for _ in range(LOOKUPS)
        ]

    def _lookups(self, find: Callable[[Any], Any], offset: int) -> Answer:
        moments = self._moments(offset)
        answer = self._best(lambda: [find(moment) for moment in moments])
        answer["result"] = digest_of_records(answer["result"])
        return answer

    def prepare(self) -> Answer:
        """Open an empty database and build the records to insert; nothing is timed."""
        self._connect()
        self.records = [
            self.subject.record_class(
                date_time=local_moment(row.second),
                **dict(zip(KEYS, row.values, strict=True)),
            )
            for row in synthetic_rows(self.rows)
        ]
        return {"result": len(self.records)}

    def insert(self) -> Answer:
        """Insert the records one at a time."""

        def before() -> None:
            self.sequence = self.subject.renew()

        def action() -> None:
            insert = self.sequence.db_insert_record
            for record in self.records:
                insert(record)

        return self._best(action, before)

    def save(self) -> Answer:
        """Save what was inserted, once, and close."""
        start = time.perf_counter()
        saved = self.sequence.db_save_records()
        seconds = time.perf_counter() - start
        self._disconnect()
        return {"seconds": seconds, "result": saved}

    def count(self) -> Answer:
        """Count the records of a database nothing of which is loaded, a few times in a row."""
        self._connect()
        answer = self._best(lambda: [self.sequence.db_count_records() for _ in range(COUNTS)])
        answer["seconds"] /= COUNTS
        return answer

    def load(self) -> Answer:
        """Open the database and load everything."""
        self._disconnect()

        def before() -> None:
            if self.sequence is not None:
                self._disconnect()

        def action() -> int:
            self.sequence = self.subject.connect()
            self.sequence.load()
            return len(self.sequence.records)

        return self._best(action, before)

    def load_objects(self) -> Answer:
        """Open the database, load everything and take each record as an object."""

        def action() -> int:
            self.sequence = self.subject.connect()
            self.sequence.load()
            return sum(record.date_time is not None for record in self.sequence.records)

        return self._best(action, self._disconnect)

    def iterate(self) -> Answer:
        """Walk over all records, which exist as objects by now."""
        self.subject.assume_loaded(self.sequence)
        records = list(self.sequence.db_iterate_records())
        answer = self._best(lambda: sum(1 for _ in self.sequence.db_iterate_records()))
        answer["result"] = [len(records), answer["result"], self._content()]
        return answer

    def exact(self) -> Answer:
        """Look records up at their own times."""
        return self._lookups(self.sequence.get_by_datetime, 0)

    def nearest(self) -> Answer:
        """Look up the nearest record to times between two."""
        return self._lookups(self.sequence.get_nearest_by_datetime, NEAREST_OFFSET_SECONDS)

    def nearest_within(self) -> Answer:
        """Look up the nearest record to times between two, in a window of two steps."""
        window = pendulum.duration(seconds=2 * STEP_SECONDS)
        return self._lookups(
            lambda moment: self.sequence.get_nearest_by_datetime(moment, window),
            NEAREST_OFFSET_SECONDS,
        )

    def read_first(self) -> Answer:
        """Open the database and read one key of all records, in a process that did nothing yet."""
        start = time.perf_counter()
        self.sequence = self.subject.connect()
        array = self._hourly()
        return {"seconds": time.perf_counter() - start, "result": array}

    def read_again(self) -> Answer:
        """Read one key of all records, all of which are loaded, once more."""
        self._load_rows()
        return self._best_again(self._hourly)

    def read_day(self) -> Answer:
        """Read the last day of one key at 15 minutes, with everything loaded."""
        end = FIRST_SECOND + self.rows * STEP_SECONDS
        first, last = local_moment(end - DAY_SECONDS), local_moment(end)
        return self._best(
            lambda: self.sequence.key_to_array(
                READ_KEY, start_datetime=first, end_datetime=last, interval=QUARTER
            )
        )

    def frame(self) -> Answer:
        """Return everything as a data frame, once more: the first time may import pandas."""
        answer = self._best_again(self.sequence.to_dataframe)
        answer["result"] = description_of_frame(answer["result"])
        return answer

    def read_live(self) -> Answer:
        """Read one key of all records, each of which exists as an object."""
        self.records = list(self.sequence.db_iterate_records())
        return self._best(self._hourly)

    def read_opened(self) -> Answer:
        """Open the database and read one key of all records, in a process that works already."""

        def action() -> Any:
            self._connect()
            return self._hourly()

        return self._best(action, self._connect)

    def _count(self) -> int:
        count: int = self.sequence.db_count_records()
        return count

    def append(self) -> Answer:
        """Open a copy of the database, add a record behind the last one and save."""
        moment = local_moment(FIRST_SECOND + self.rows * STEP_SECONDS)
        values = dict.fromkeys(KEYS, 1.0)

        def action(sequence: Any) -> None:
            sequence.db_insert_record(self.subject.record_class(date_time=moment, **values))
            sequence.db_save_records()

        return self._on_copies(action, self._count)

    def keys_opened(self) -> Answer:
        """Read four keys in one call, with nothing loaded."""
        return self._best(self._together, self._connect)

    def keys_opened_apart(self) -> Answer:
        """Read four keys in four calls, with nothing loaded."""
        return self._best(self._apart, self._connect)

    def keys_again(self) -> Answer:
        """Read four keys in one call, with everything loaded."""
        self._load_rows()
        return self._best_again(self._together)

    def keys_again_apart(self) -> Answer:
        """Read four keys in four calls, with everything loaded."""
        self._load_rows()
        return self._best_again(self._apart)

    def pandas(self) -> Answer:
        """Let pandas work out the hourly mean of a series that is there already."""
        pandas = importlib.import_module("pandas")
        at = KEYS.index(READ_KEY)
        rows = list(synthetic_rows(self.rows))
        index = pandas.to_datetime([row.second for row in rows], unit="s", utc=True)
        series = pandas.Series([row.values[at] for row in rows], index=index)
        return self._best(lambda: series.resample("1h").mean())

    def _on_copies(self, action: Callable[[Any], object], seen: Callable[[], Any]) -> Answer:
        """Open a fresh copy of the database and change it, as often as there is time for.

        That a copy is made, and closed, is not timed; opening it is.

        Args:
            action: Changes the records of a sequence.
            seen: What to compare, found in the opened database afterwards.

        Returns:
            The median of the times; the database is again as it was.
        """
        if self.sequence is not None:
            self._disconnect()
        path = self.subject.path
        times: list[float] = []
        result: Any = None
        with tempfile.TemporaryDirectory(dir=path.parent) as directory:
            kept = Path(directory) / path.name
            replace_directory(path, kept)
            while len(times) < REPEAT_AT_MOST and sum(times) < REPEAT_WITHIN_SECONDS:
                replace_directory(kept, path)
                gc.collect()
                start = time.perf_counter()
                self.sequence = self.subject.connect()
                action(self.sequence)
                times.append(time.perf_counter() - start)
                self._connect()
                result = seen()
                self._disconnect()
            replace_directory(kept, path)
        return {"seconds": median(times), "result": result, "times": len(times)}

    def _rows(self) -> list[list[float]]:
        self.sequence.load()
        self.subject.assume_loaded(self.sequence)
        return [
            [int(record.date_time.timestamp()), *(record[key] for key in KEYS)]
            for record in self.sequence.db_iterate_records()
        ]

    def compact(self) -> Answer:
        """Open a copy of the database and compact it by the default tiers."""
        return self._on_copies(lambda sequence: sequence.db_compact(), self._rows)

    def vacuum(self) -> Answer:
        """Open a copy of the database and vacuum the older half."""
        middle = self.subject.timestamp(local_moment(self._middle()))

        def seen() -> list[Any]:
            self.sequence.load()
            self.subject.assume_loaded(self.sequence)
            return [len(self.sequence.records), self._content()]

        return self._on_copies(lambda sequence: sequence.db_vacuum(keep_timestamp=middle), seen)

    def _middle(self) -> int:
        return FIRST_SECOND + self.rows // 2 * STEP_SECONDS

    def delete(self) -> Answer:
        """Open the database, delete the older half and save."""
        self._connect()
        middle = local_moment(self._middle())
        start = time.perf_counter()
        deleted = self.sequence.delete_by_datetime(None, middle)
        self.sequence.db_save_records()
        seconds = time.perf_counter() - start
        self._connect()
        result = [deleted, self.sequence.db_count_records()]
        self._disconnect()
        return {"seconds": seconds, "result": result}

    def memory(self) -> Answer:
        """Load everything in a process that has loaded nothing yet; report bytes a row."""
        self._connect()
        self.sequence.db_count_records()
        before = private_bytes()
        self.sequence.load()
        after = private_bytes()
        result = len(self.sequence.records)
        self._disconnect()
        return {"bytes": (after - before) / self.rows, "result": result}

    def content(self) -> Answer:
        """Read a database whole, whoever wrote it."""
        self._connect()
        self.sequence.load()
        self.subject.assume_loaded(self.sequence)
        result = self._content()
        self._disconnect()
        return {"result": result}


def main() -> None:
    """Answer the operations named on standard input until it ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subject", choices=("eosdb", "reference", "upstream"))
    parser.add_argument("root", type=Path)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--level", type=int, required=True)
    parser.add_argument("--configured", action="store_true")
    options = parser.parse_args()

    # Answers go to the original standard output; what a library prints must not mix with them.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    options.root.mkdir(parents=True, exist_ok=True)
    module = importlib.import_module(f"subject_{options.subject}")
    worker = Worker(module.subject(options.root, options.level, options.configured), options.rows)
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        answer = getattr(worker, line.strip())()
        print(json.dumps(plain(answer)), file=answers, flush=True)


if __name__ == "__main__":
    main()
