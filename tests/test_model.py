"""Whatever is done to a sequence, in whatever order, it answers as a dictionary would.

Hypothesis makes up the steps. Two sequences share one database, each with unsaved changes of its
own; the dictionaries beside them say what each must answer. After every step a deep copy of each is
read completely, so that the sequence itself stays as partially loaded as the steps left it.
"""

from __future__ import annotations

import copy
import datetime
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import pendulum
import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from oracle import (
    CHECKS,
    FIELDS,
    POOLS,
    Bound,
    Content,
    Place,
    Pool,
    Session,
    Values,
    check_count,
    inside,
    nearest_of,
    rows_of,
    timestamp,
    values_of,
)
from support import ForeignDatabase, House, PlainHouse, PlainReading, Reading, at, second_of

import eosdb
from eosdb import UNBOUND_END, UNBOUND_START, UNBOUND_WINDOW

places = st.integers(0, 7)
bounds = st.one_of(places, st.sampled_from([None, UNBOUND_START, UNBOUND_END]))
values = st.tuples(
    st.none() | st.floats(allow_nan=False),
    st.none() | st.integers(),
    st.none() | st.text(max_size=3),
)
changes = st.one_of(
    st.tuples(st.just("power_w"), st.none() | st.floats(allow_nan=False)),
    st.tuples(st.just("count"), st.none() | st.integers()),
    st.tuples(st.just("note"), st.none() | st.text(max_size=3)),
)
who = st.sampled_from([0, 0, 1])


class SequenceMachine(RuleBasedStateMachine):
    """Two sequences on one database; subclasses say of which kinds."""

    plain: ClassVar[bool]
    backend: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.stored: Content = {}
        self.sessions: list[Session] = []
        self.database: Any = None
        self.steps = 0

    def teardown(self) -> None:
        if self.backend != "foreign" and self.database is not None:
            self.database.close()
        self.directory.cleanup()

    # Set-up

    @initialize(
        window=st.sampled_from([None, 0, 1, 48]),
        level=st.sampled_from([0, 9]),
        pool=st.sampled_from(POOLS),
        rows=st.dictionaries(places, values),
    )
    def begin(
        self,
        window: int | None,
        level: int,
        pool: Pool,
        rows: dict[Place, Values],
    ) -> None:
        self.pool = pool
        self.settings = eosdb.DatabaseSettings(
            initial_load_window_h=window, compression_level=level, keep_duration_h=None
        )
        if self.backend == "memory":
            self.database = eosdb.MemoryDatabase(settings=self.settings)
        elif self.backend == "lmdb":
            self.database = eosdb.LMDBDatabase(
                f"{self.directory.name}/db", settings=self.settings, durability="none"
            )
        elif self.backend == "sqlite":
            self.database = eosdb.SQLiteDatabase(
                f"{self.directory.name}/db", settings=self.settings, durability="none"
            )
        else:
            self.database = ForeignDatabase(self.settings)
        if self.backend != "foreign":
            self.database.open()
        writer = self.make_sequence()
        for place, row in rows.items():
            if second_of(pool[place]) not in self.stored:
                writer.db_insert_record(self.make_record(pool[place], row))
                self.stored[second_of(pool[place])] = row
        assert writer.db_save_records() == len(self.stored)
        # What others write to a foreign database cannot be noticed: then there is one session only.
        count = 1 if self.backend == "foreign" else 2
        self.sessions = [Session(self.make_sequence(), self.stored) for _ in range(count)]

    def make_sequence(self) -> Any:
        if self.plain:
            return PlainHouse(self.database, self.settings.initial_load_window_h)
        return House(database=self.database)

    def make_record(self, instant: datetime.datetime, row: Values) -> Any:
        named = dict(zip(FIELDS, row, strict=True))
        date_time = eosdb.to_datetime(instant, in_timezone=instant.tzinfo)
        return (PlainReading if self.plain else Reading)(date_time=date_time, **named)

    def session(self, number: int) -> Session:
        return self.sessions[number % len(self.sessions)]

    def bound(self, drawn: Bound) -> Bound:
        return self.pool[drawn] if isinstance(drawn, int) else drawn

    # Changes

    @rule(number=who, place=places, row=values, dirty=st.sampled_from([True, True, False]))
    def insert(self, number: int, place: Place, row: Values, dirty: bool) -> None:
        session, second = self.session(number), second_of(self.pool[place])
        record = self.make_record(self.pool[place], row)
        if second in session.content:
            with pytest.raises(ValueError, match="Duplicate timestamp"):
                session.sequence.db_insert_record(record, mark_dirty=dirty)
        else:
            session.sequence.db_insert_record(record, mark_dirty=dirty)
            session.put(second, row, dirty=dirty)

    @rule(number=who, place=places, change=changes)
    def update_value(self, number: int, place: Place, change: tuple[str, Any]) -> None:
        session, instant, (name, value) = self.session(number), self.pool[place], change
        second = second_of(instant)
        old = session.content.get(second, (None, None, None))
        new = tuple(value if known == name else was for known, was in zip(FIELDS, old, strict=True))
        if not self.plain:
            session.sequence.update_value(instant, name, value)
        elif second in session.content:
            record = session.sequence.db_get_record(at(second))
            setattr(record, name, value)
            session.sequence.db_mark_dirty_record(record)
        else:
            session.sequence.db_insert_record(self.make_record(instant, new))
        session.put(second, new)

    @rule(number=who, start=bounds, end=bounds, power=st.floats(allow_nan=False))
    def change_while_iterating(self, number: int, start: Bound, end: Bound, power: float) -> None:
        session, start, end = self.session(number), self.bound(start), self.bound(end)
        for record in session.sequence.db_iterate_records(timestamp(start), timestamp(end)):
            record.power_w = power
            session.sequence.db_mark_dirty_record(record)
        for second, row in session.content.items():
            if inside(second, start, end):
                session.put(second, (power, *row[1:]))

    @rule(number=who, position=st.integers(min_value=0), note=st.text(max_size=3))
    def change_by_position(self, number: int, position: int, note: str) -> None:
        session = self.session(number)
        session.sequence.db_count_records()
        if records := session.sequence.records:
            record = records[position % len(records)]
            second = second_of(record.date_time)
            assert values_of(record) == session.content[second]
            record.note = note
            session.sequence.db_mark_dirty_record(record)
            session.put(second, (*session.content[second][:2], note))

    @rule(number=who, position=st.integers(min_value=0))
    def delete_by_position(self, number: int, position: int) -> None:
        session = self.session(number)
        session.sequence.db_count_records()
        if records := session.sequence.records:
            second = second_of(records[position % len(records)].date_time)
            del records[position % len(records)]
            session.delete(second)

    @rule(number=who, start=bounds, end=bounds)
    def delete(self, number: int, start: Bound, end: Bound) -> None:
        session, start, end = self.session(number), self.bound(start), self.bound(end)
        doomed = [second for second in session.content if inside(second, start, end)]
        deleted = session.sequence.db_delete_records(timestamp(start), timestamp(end))
        assert deleted == len(doomed)
        for second in doomed:
            session.delete(second)

    @rule(number=who, place=places, change=changes, delete=st.booleans())
    def let_the_other_save(
        self, number: int, place: Place, change: tuple[str, Any], delete: bool
    ) -> None:
        other, second = number + 1, second_of(self.pool[place])
        if delete:
            session = self.session(other)
            deleted = session.sequence.db_delete_records(at(second), at(second + 1))
            assert deleted == (second in session.content)
            session.delete(second)
        else:
            self.update_value(number=other, place=place, change=change)
        self.save(number=other)

    # Objects that somebody holds

    @rule(number=who, place=places)
    def hold(self, number: int, place: Place) -> None:
        session, second = self.session(number), second_of(self.pool[place])
        record = session.sequence.db_get_record(at(second))
        assert (record is None) == (second not in session.content)
        if record is not None:
            session.held[second] = record

    @rule(number=who, count=st.integers())
    def change_what_is_held(self, number: int, count: int) -> None:
        session = self.session(number)
        for second, record in session.held.items():
            assert session.sequence.db_get_record(at(second)) is record
            record.count = count
            session.sequence.db_mark_dirty_record(record)
            row = session.content[second]
            session.put(second, (row[0], count, row[2]))

    @rule(number=who)
    def let_go(self, number: int) -> None:
        self.session(number).let_go()

    # Lookups

    @rule(number=who, place=places)
    def get(self, number: int, place: Place) -> None:
        session, second = self.session(number), second_of(self.pool[place])
        record = session.sequence.db_get_record(at(second))
        expected = session.content.get(second)
        assert (None if record is None else values_of(record)) == expected
        assert record is None or second_of(record.date_time) == second

    @rule(
        number=who,
        place=places,
        other=places | st.none(),
        more=st.sampled_from([-1.0, -0.1, 0.0, 0.0, 0.5, 2.0]),
    )
    def nearest(self, number: int, place: Place, other: Place | None, more: float) -> None:
        session, instant = self.session(number), self.pool[place]
        second = second_of(instant)
        window: datetime.timedelta | None = None
        if other is not None:
            # Just as wide that the other one is accepted, or a bit less, or more.
            distance = abs(second_of(self.pool[other]) - second)
            window = datetime.timedelta(seconds=max(0.0, 2 * distance + more))
        reach = None if window is None else window.total_seconds() / 2
        expected = nearest_of(session.content, second, reach)
        if self.plain:
            record = session.sequence.db_get_record(
                at(second),
                time_window=UNBOUND_WINDOW if window is None else eosdb.to_duration(window),
            )
        else:
            record = session.sequence.get_nearest_by_datetime(instant, window)
        assert (None if record is None else second_of(record.date_time)) == expected
        assert expected is None or values_of(record) == session.content[expected]

    @rule(number=who, start=bounds, end=bounds)
    def iterate(self, number: int, start: Bound, end: Bound) -> None:
        session, start, end = self.session(number), self.bound(start), self.bound(end)
        found = rows_of(session.sequence.db_iterate_records(timestamp(start), timestamp(end)))
        expected = [row for row in session.content.items() if inside(row[0], start, end)]
        assert found == expected

    @rule(number=who, bound=places | st.sampled_from([UNBOUND_START, UNBOUND_END]))
    def neighbours(self, number: int, bound: Bound) -> None:
        session, bound = self.session(number), self.bound(bound)
        before = [at(second) for second in session.content if inside(second, None, bound)]
        not_before = [at(second) for second in session.content if inside(second, bound, None)]
        behind = [second for second in not_before if second != timestamp(bound)]
        previous = session.sequence.db_previous_timestamp(timestamp(bound))
        assert previous == (before[-1] if before else None)
        assert session.sequence.db_next_timestamp(timestamp(bound)) == (
            behind[0] if behind else None
        )

    @rule(number=who)
    def count_and_range(self, number: int) -> None:
        session = self.session(number)
        check_count(session.sequence, session.content, self.pool)

    @rule(number=who)
    def show_loaded_records(self, number: int) -> None:
        session = self.session(number)
        session.sequence.db_count_records()
        shown = rows_of(session.sequence.records)
        content = session.content
        assert shown == [(second, content[second]) for second in content if second in dict(shown)]
        assert session.puts.keys() | session.unmarked.keys() <= dict(shown).keys()
        assert len(session.sequence.records) == len(shown)
        assert session.sequence.records == list(session.sequence.records)
        if not self.plain:
            dumped = session.sequence.model_dump()["records"]
            assert [tuple(row[name] for name in FIELDS) for row in dumped] == [r[1] for r in shown]
            assert [second_of(row["date_time"]) for row in dumped] == [r[0] for r in shown]

    @rule(number=who, start=bounds, end=bounds)
    def load(self, number: int, start: Bound, end: Bound) -> None:
        session, start, end = self.session(number), self.bound(start), self.bound(end)
        session.sequence.db_count_records()
        before = len(session.sequence.records)
        loaded = session.sequence.db_load_records(timestamp(start), timestamp(end))
        assert len(session.sequence.records) == before + loaded
        shown = {second for second, _ in rows_of(session.sequence.records)}
        assert shown <= session.content.keys()
        assert all(second in shown for second in session.content if inside(second, start, end))

    # Storage

    def saved(self, session: Session) -> None:
        for other in self.sessions:
            if other is not session:
                for second in session.deletes:
                    other.let_go_of(second)
                for second in session.puts.keys() & other.held.keys() & self.stored.keys():
                    other.frozen.setdefault(second, self.stored[second])
        self.stored.update(session.puts)
        for second in session.deletes:
            self.stored.pop(second, None)
        session.puts.clear()
        session.deletes.clear()

    @rule(number=who)
    def save(self, number: int) -> None:
        session = self.session(number)
        pending = len(session.puts) + len(session.deletes)
        assert session.sequence.db_save_records() == pending
        self.saved(session)
        assert session.sequence.db_save_records() == 0
        assert rows_of(self.make_sequence().db_iterate_records()) == sorted(self.stored.items())

    @rule(number=who, bound=bounds)
    def vacuum_by_timestamp(self, number: int, bound: Bound) -> None:
        session, bound = self.session(number), self.bound(bound)
        # Without an argument, and without a retention that is set, nothing is done at all.
        doomed = [s for s in session.content if bound is not None and inside(s, None, bound)]
        self.vacuum(session, doomed, did=bound is not None, keep_timestamp=timestamp(bound))

    @rule(number=who, hours=st.sampled_from([0, 1, 2, 24, 25, 49, 720]))
    def vacuum_by_hours(self, number: int, hours: int) -> None:
        session = self.session(number)
        tomorrow = second_of(datetime.datetime.now(datetime.UTC)) + 86_400
        plausible = [second for second in session.content if second <= tomorrow]
        newest = max(plausible, default=min(session.content, default=0))
        first_kept = newest - (hours - 1) * 3600
        doomed = [second for second in session.content if hours == 0 or second < first_kept]
        self.vacuum(session, doomed, did=bool(session.content), keep_hours=hours)

    def vacuum(self, session: Session, doomed: list[int], *, did: bool, **policy: Any) -> None:
        assert session.sequence.db_vacuum(**policy) == len(doomed)
        for second in doomed:
            session.delete(second)
        if did:
            self.saved(session)

    @rule(number=who)
    def begin_anew(self, number: int) -> None:
        session = self.session(number)
        session.sequence = self.make_sequence()
        session.let_go()
        for unsaved in (session.puts, session.unmarked, session.deletes):
            unsaved.clear()

    @precondition(lambda self: self.backend == "lmdb")
    @rule()
    def close_and_open_again(self) -> None:
        for session in self.sessions:
            session.let_go()
        self.database.close()
        self.database.open()

    # What holds at all times

    @invariant()
    def a_copy_answers_from_the_logical_content(self) -> None:
        self.steps += 1
        # Whichever comes first meets what the step has left; the others meet what that loaded.
        first = self.steps % len(CHECKS)
        for session in self.sessions:
            copied = copy.deepcopy(session.sequence)
            for check in CHECKS[first:] + CHECKS[:first]:
                check(copied, session.content_of_a_copy, self.pool)


@pytest.fixture(autouse=True)
def _berlin() -> Any:
    with pendulum.test_local_timezone(pendulum.timezone("Europe/Berlin")):
        yield


PROFILE = settings(
    max_examples=30,
    stateful_step_count=30,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
KINDS = [
    pytest.param(plain, backend, id=f"{'plain' if plain else 'model'}-{backend}")
    for plain in (False, True)
    for backend in ("memory", "lmdb", "foreign")
]
KINDS.append(pytest.param(False, "sqlite", id="model-sqlite"))


def machine(plain: bool, backend: str) -> type[SequenceMachine]:
    return type("Machine", (SequenceMachine,), {"plain": plain, "backend": backend})


@pytest.mark.parametrize(("plain", "backend"), KINDS)
def test_a_sequence_answers_as_a_dictionary(plain: bool, backend: str) -> None:
    # On SQLite they take several times as long.
    examples = 10 if backend == "sqlite" else PROFILE.max_examples
    profile = settings(PROFILE, max_examples=examples)
    run_state_machine_as_test(machine(plain, backend), settings=profile)


@pytest.mark.soak
@pytest.mark.parametrize(("plain", "backend"), KINDS)
def test_a_sequence_answers_as_a_dictionary_for_long(plain: bool, backend: str) -> None:
    run_state_machine_as_test(
        machine(plain, backend),
        settings=settings(PROFILE, max_examples=400, stateful_step_count=80, derandomize=False),
    )
