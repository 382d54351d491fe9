"""Whatever tasks do, one after another, side by side or cancelled: nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import pytest
from aio_support import (
    GATED,
    HOUR,
    KINDS,
    START,
    TIER,
    TIMEOUT,
    Gate,
    House,
    Threads,
    content,
    filled,
    gated,
    inner,
    opened,
    reading,
    run,
    watched_threads,
)
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from oracle import (
    FIELDS,
    POOLS,
    Bound,
    Content,
    Place,
    Pool,
    Session,
    Values,
    inside,
    nearest_of,
    rows_of,
    timestamp,
    values_of,
)
from support import Reading, at, second_of, when

import eosdb
from eosdb import UNBOUND_END, UNBOUND_START
from eosdb._core import read_metadata

# ---- the model --------------------------------------------------------------------------------

places = st.integers(0, 7)
bounds = st.one_of(places, st.sampled_from([None, UNBOUND_START, UNBOUND_END]))
values = st.tuples(
    st.none() | st.floats(allow_nan=False),
    st.none() | st.integers(),
    st.none() | st.text(max_size=3),
)


class SequenceMachine(RuleBasedStateMachine):
    """A sequence, and the dictionary that says what it must answer; one loop for all steps."""

    kind: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.stack = contextlib.AsyncExitStack()

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()
        self.directory.cleanup()

    def run(self, awaitable: Any) -> Any:
        return self.runner.run(asyncio.wait_for(awaitable, TIMEOUT))

    @initialize(
        window=st.sampled_from([None, 0, 1, 48]),
        level=st.sampled_from([0, 9]),
        pool=st.sampled_from(POOLS),
        rows=st.dictionaries(places, values),
    )
    def begin(self, window: int | None, level: int, pool: Pool, rows: dict[Place, Values]) -> None:
        self.pool = pool
        options = eosdb.DatabaseSettings(initial_load_window_h=window, compression_level=level)
        database = opened(self.kind, Path(self.directory.name), options)
        self.database = self.run(self.stack.enter_async_context(database))
        self.session = Session(House(database=self.database), {})
        for place, row in rows.items():
            if second_of(pool[place]) not in self.session.content:
                self.insert(place=place, row=row)
        self.save()
        self.reload()

    @property
    def sequence(self) -> Any:
        return self.session.sequence

    def bound(self, drawn: Bound) -> Bound:
        return self.pool[drawn] if isinstance(drawn, int) else drawn

    # Changes

    @rule(place=places, row=values)
    def insert(self, place: Place, row: Values) -> None:
        second = second_of(self.pool[place])
        date_time = eosdb.to_datetime(self.pool[place], in_timezone=self.pool[place].tzinfo)
        record = Reading(date_time=date_time, **dict(zip(FIELDS, row, strict=True)))
        if second in self.session.content:
            with pytest.raises(eosdb.errors.DuplicateRecordError):
                self.run(self.sequence.db_insert_record(record))
        else:
            self.run(self.sequence.db_insert_record(record))
            self.session.put(second, row)

    @rule(place=places, name=st.sampled_from(FIELDS), row=values)
    def update_value(self, place: Place, name: str, row: Values) -> None:
        second, field = second_of(self.pool[place]), FIELDS.index(name)
        self.run(self.sequence.update_value(self.pool[place], name, row[field]))
        new = list(self.session.content.get(second, (None, None, None)))
        new[field] = row[field]
        self.session.put(second, tuple(new))

    @rule(start=bounds, end=bounds)
    def delete(self, start: Bound, end: Bound) -> None:
        start, end = self.bound(start), self.bound(end)
        doomed = [second for second in self.session.content if inside(second, start, end)]
        deleted = self.run(self.sequence.db_delete_records(timestamp(start), timestamp(end)))
        assert deleted == len(doomed)
        for second in doomed:
            self.session.delete(second)

    @rule()
    def save(self) -> None:
        pending = len(self.session.puts) + len(self.session.deletes)
        assert self.run(self.sequence.db_save_records()) == pending
        self.session.stored = {**self.session.stored, **self.session.puts}
        for second in self.session.deletes:
            self.session.stored.pop(second, None)
        self.session.puts.clear()
        self.session.deletes.clear()

    @rule()
    def reload(self) -> None:
        self.session = Session(House(database=self.database), self.session.stored)

    # Lookups

    @rule(place=places)
    def get(self, place: Place) -> None:
        second = second_of(self.pool[place])
        record = self.run(self.sequence.db_get_record(at(second)))
        expected = self.session.content.get(second)
        assert (None if record is None else values_of(record)) == expected
        assert record is None or second_of(record.date_time) == second

    @rule(place=places, reach=st.none() | st.sampled_from([0, 1, 3600, 86_400]))
    def nearest(self, place: Place, reach: int | None) -> None:
        second = second_of(self.pool[place])
        window = None if reach is None else eosdb.to_duration(2 * reach)
        record = self.run(self.sequence.get_nearest_by_datetime(self.pool[place], window))
        expected = nearest_of(self.session.content, second, reach)
        assert (None if record is None else second_of(record.date_time)) == expected
        assert record is None or values_of(record) == self.session.content[expected or 0]

    @rule(start=bounds, end=bounds)
    def iterate(self, start: Bound, end: Bound) -> None:
        start, end = self.bound(start), self.bound(end)

        async def collected() -> list[Any]:
            records = self.sequence.db_iterate_records(timestamp(start), timestamp(end))
            return [record async for record in records]

        content = self.session.content
        expected = [row for row in content.items() if inside(row[0], start, end)]
        assert rows_of(self.run(collected())) == expected

    @rule(place=places)
    def neighbours(self, place: Place) -> None:
        second = second_of(self.pool[place])
        before = [known for known in self.session.content if known < second]
        behind = [known for known in self.session.content if known > second]
        previous = self.run(self.sequence.db_previous_timestamp(at(second)))
        assert previous == (at(before[-1]) if before else None)
        following = self.run(self.sequence.db_next_timestamp(at(second)))
        assert following == (at(behind[0]) if behind else None)

    @rule()
    def count_and_range(self) -> None:
        known = [at(second) for second in self.session.content]
        assert self.run(self.sequence.db_count_records()) == len(known)
        ends = self.run(self.sequence.db_timestamp_range())
        assert ends == ((known[0], known[-1]) if known else (None, None))

    @invariant()
    def what_is_loaded_is_true(self) -> None:
        # Outside of the loop, where nothing can be awaited.
        shown = rows_of(self.sequence.records)
        content: Content = self.session.content
        assert shown == [(second, content[second]) for second in content if second in dict(shown)]
        assert self.session.puts.keys() <= dict(shown).keys()
        assert len(self.sequence) == len(shown)


PROFILE = settings(
    max_examples=30,
    stateful_step_count=25,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("kind", [*KINDS, "blocking"])
def test_a_sequence_answers_as_a_dictionary(kind: str) -> None:
    machine = type("Machine", (SequenceMachine,), {"kind": kind})
    run_state_machine_as_test(machine, settings=PROFILE)


# ---- side by side -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_gathered_updates_all_arrive(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(kind, tmp_path) as database:
            sequence = await filled(database, 10)
            await asyncio.gather(
                *(
                    sequence.update_value(when(START + n * HOUR), power_w=n + 0.5)
                    for n in range(99)
                ),
                *(sequence.update_value(when(START + n * HOUR), count=n) for n in range(99)),
                *(
                    sequence.update_value(when(START + 500 * HOUR), "note", str(n))
                    for n in range(9)
                ),
                *(sequence.save() for _ in range(5)),
            )
            await sequence.save()
            for reader in (sequence, House(database=database)):
                records = [record async for record in reader]
                assert [(r.power_w, r.count) for r in records[:-1]] == [
                    (n + 0.5, n) for n in range(99)
                ]
                assert records[-1].note in map(str, range(9))

    run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_of_gathered_insertions_of_one_instant_one_wins(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(kind, tmp_path) as database:
            sequence = House(database=database)
            outcomes = await asyncio.gather(
                *(sequence.db_insert_record(reading(0, count=n)) for n in range(20)),
                return_exceptions=True,
            )
            assert outcomes.count(None) == 1
            refused = [outcome for outcome in outcomes if outcome is not None]
            assert {type(outcome) for outcome in refused} == {eosdb.errors.DuplicateRecordError}
            assert await sequence.db_save_records() == 1

    run(main())


@pytest.mark.parametrize("kind", GATED)
def test_any_number_of_calls_may_wait_at_the_same_time(kind: str) -> None:
    async def main() -> None:
        database = gated(kind)
        sequences = [await filled(database, 2), *(House(database=database) for _ in range(99))]
        gate = database.gate("get_metadata", calls=100)
        counts = [asyncio.create_task(sequence.db_count_records()) for sequence in sequences]
        await gate.until_reached()
        gate.open()
        assert await asyncio.gather(*counts) == [2] * 100
        gate = database.gate("iterate_records", calls=200)
        dates = [when(START + second) for second in range(1, 201)]
        updates = [asyncio.create_task(sequences[0].update_value(d, power_w=1.0)) for d in dates]
        await gate.until_reached()
        gate.open()
        await asyncio.gather(*updates)
        assert await sequences[0].db_count_records() == 202

    run(main())


@pytest.mark.parametrize("kind", GATED)
def test_nobody_goes_ahead_of_the_first_reading_of_the_metadata(kind: str) -> None:
    async def main() -> None:
        database = gated(kind)
        writer = await filled(database, 24)
        await writer.db_compact([TIER])
        before = read_metadata(inner(database).metadata["house"])
        await writer.db_insert_record(reading(30))
        await writer.save()
        sequence, gate = House(database=database), database.gate("get_metadata")
        first = asyncio.create_task(sequence.db_count_records())
        await gate.until_reached()
        database.gates.clear()
        second = asyncio.create_task(sequence.db_compact([TIER]))
        # It may wait for the first one, or go on; then it must not do so without the metadata.
        await asyncio.wait([second], timeout=0.5)
        gate.open()
        await asyncio.gather(first, second)
        after = read_metadata(inner(database).metadata["house"])
        assert after.keys() == before.keys()
        assert after["created"] == before["created"]

    run(main())


# ---- cancelled --------------------------------------------------------------------------------

CANCELLED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "save": ("save_records", lambda s: s.save()),
    "save's deletions": ("delete_records", lambda s: s.save()),
    "load": ("iterate_records", lambda s: s.load()),
    "first use": ("get_metadata", lambda s: s.load()),
    "update": ("iterate_records", lambda s: s.update_value(when(START + 99), power_w=99.0)),
    "delete": ("iterate_records", lambda s: s.db_delete_records(at(START + 99), at(START + 100))),
    "array": ("iterate_records", lambda s: s.key_to_array("power_w")),
}


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Threads]:
    with watched_threads(monkeypatch) as pool:
        yield pool


@pytest.mark.parametrize("kind", GATED)
@pytest.mark.parametrize("work", CANCELLED)
def test_what_is_cancelled_is_done_or_not_done(kind: str, work: str, threads: Threads) -> None:
    method, call = CANCELLED[work]

    async def main() -> None:
        database = gated(kind)
        sequence = await filled(database, 5)
        expected = [(hour, float(hour)) for hour in range(5)]
        if work.startswith("save"):
            await sequence.update_value(when(START + 5 * HOUR), power_w=5.0)
            await sequence.db_delete_records(at(START), at(START + 1))
            expected = [(hour, float(hour)) for hour in range(1, 6)]
        gate = database.gate(method)
        task = asyncio.create_task(call(sequence))
        await gate.until_reached()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # Another change comes while the thread is still at work.
        late = asyncio.create_task(sequence.update_value(when(START + 6 * HOUR), power_w=6.0))
        await asyncio.sleep(0)
        gate.open()
        await late
        await threads.done()
        database.free()
        expected.append((6, 6.0))
        found = await content(sequence)
        # The second 99 lies in hour 0.
        assert found == expected or (work, found) == ("update", sorted([*expected, (0, 99.0)]))
        assert await sequence.save()
        assert not await sequence.save()
        assert await content(House(database=database)) == found
        assert len(inner(database).rows["house"]) == len(found)

    run(main())


@pytest.mark.parametrize("kind", GATED)
@pytest.mark.parametrize("method", ["set_metadata", "save_records", "delete_records"])
def test_a_cancelled_compaction_is_done_or_not_done(
    kind: str, method: str, threads: Threads
) -> None:
    async def main() -> None:
        database = gated(kind)
        sequence = await filled(database, 24)
        gate = database.gate(method)
        task = asyncio.create_task(sequence.db_compact([TIER]))
        await gate.until_reached()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.open()
        await threads.done()
        database.free()
        done = [(hour, hour + 0.5) for hour in range(0, 22, 2)] + [(22, 22.0), (23, 23.0)]
        not_done = [(hour, float(hour)) for hour in range(24)]
        found = await content(sequence)
        assert found in (done, not_done)
        assert await content(House(database=database)) == found
        await sequence.update_value(when(START + 30 * HOUR), power_w=30.0)
        assert await sequence.save()
        assert await content(House(database=database)) == [*found, (30, 30.0)]

    run(main())


@pytest.mark.parametrize("kind", KINDS[:4])
def test_a_cancelled_compaction_ends_at_its_next_step(
    kind: str, tmp_path: Path, threads: Threads
) -> None:
    rows = 10_000  # more than are looked at in one step

    async def main() -> None:
        async with opened(kind, tmp_path) as database:
            sequence, gate = await filled(database, rows), Gate()
            steps = []

            def progress(done: int, total: int) -> None:
                steps.append((done, total))
                gate.wait()

            task = asyncio.create_task(sequence.db_compact([TIER], progress=progress))
            await gate.until_reached()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            gate.open()
            await threads.done()
            assert len(steps) == 1
            assert await House(database=database).db_count_records() == rows
            assert await sequence.db_compact([TIER]) > 0

    run(main())
