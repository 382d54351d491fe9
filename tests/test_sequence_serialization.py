"""Dumps, copies and pickles of a sequence are complete and independent of it.

Rows that were loaded and never looked at exist as bytes only, which nobody who dumps or copies a
sequence can notice. What pydantic makes of a model with an ordinary list is the measure.
"""

from __future__ import annotations

import copy
import gc
import json
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar, cast

import pydantic_core
import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator
from support import House, PlainHouse, PlainReading, Reading, at, second_of, seconds, when

import eosdb

START = 1_704_067_200
ROWS = 5


class NamedHouse(House):
    """A sequence with a field of its own."""

    name: str = "home"


class ModelHouse(BaseModel, eosdb.DatabaseRecordProtocolMixin[Reading]):
    """A model that mixes in no more than what a sequence needs."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: str = "home"
    records: list[Reading] = Field(default_factory=list, description="Records, sorted by time")

    @classmethod
    def record_class(cls) -> type[Reading]:
        return Reading

    def db_namespace(self) -> str:
        return "house"


class Twin(BaseModel):
    """The same fields with an ordinary list."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    records: list[Reading] = []
    name: str = "home"


class ModelTwin(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: str = "home"
    records: list[Reading] = Field(default_factory=list, description="Records, sorted by time")


TWINS: dict[type[Any], type[Any]] = {NamedHouse: Twin, ModelHouse: ModelTwin}


def reading(n: int) -> Reading:
    """Return a record whose values tell its number."""
    return Reading(date_time=when(START + n * 900), power_w=n + 0.5, note=None if n % 2 else str(n))


READINGS = [reading(n) for n in range(ROWS)]


@pytest.fixture
def database() -> Iterator[eosdb.MemoryDatabase]:
    with eosdb.MemoryDatabase() as opened:
        writer = House(database=opened)
        for record in READINGS:
            writer.db_insert_record(record.model_copy())
        writer.save()
        yield opened


@pytest.fixture(params=[NamedHouse, ModelHouse])
def loaded(request: pytest.FixtureRequest, database: eosdb.MemoryDatabase) -> Any:
    """A sequence with loaded rows of which none was ever an object."""
    sequence = request.param()
    sequence.database = database
    assert sequence.db_load_records() == ROWS
    return sequence


def twin_of(sequence: Any, records: list[Reading] = READINGS) -> Any:
    """Return the ordinary model with the same content, likewise appended to its default list."""
    twin = TWINS[type(sequence)]()
    twin.records = copy.copy(twin.records)
    twin.__pydantic_fields_set__.clear()
    twin.records.extend(records)
    return twin


# Dumps

OPTIONS: list[dict[str, Any]] = [
    {},
    {"mode": "json"},
    {"round_trip": True},
    {"serialize_as_any": True},
    {"warnings": "error"},
    {"exclude_none": True},
    {"exclude_unset": True},
    {"exclude_defaults": True},
    {"by_alias": True},
    {"include": {"records"}},
    {"include": {"name"}},
    {"include": {"records": {0: {"power_w"}, 2: True}}},
    {"include": {"records": {"__all__": {"date_time"}}}},
    {"exclude": {"records"}},
    {"exclude": {"records": {0, 3}}},
    {"exclude": {"records": {-1}}},
    {"exclude": {"records": {"__all__": {"note", "configured_data"}, 1: True}}},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_dumps_are_those_of_an_ordinary_model(loaded: Any, options: dict[str, Any]) -> None:
    expected = twin_of(loaded).model_dump(**options)
    assert loaded.model_dump(**options) == expected
    assert loaded.model_dump(**options) == expected


@pytest.mark.parametrize("options", [o for o in OPTIONS if "mode" not in o], ids=str)
def test_json_is_that_of_an_ordinary_model(loaded: Any, options: dict[str, Any]) -> None:
    expected = twin_of(loaded).model_dump_json(**options)
    assert loaded.model_dump_json(**options) == expected


def test_a_dump_follows_every_change(loaded: Any) -> None:
    loaded.db_delete_records(at(START), at(START + 900))
    loaded.db_insert_record(Reading(date_time=when(START + 450), power_w=7.0))
    record = loaded.db_get_record(at(START + 900))
    record.power_w = 8.0
    powers = [row["power_w"] for row in loaded.model_dump()["records"]]
    assert powers == [7.0, 8.0, 2.5, 3.5, 4.5]


def test_an_empty_sequence_dumps_an_empty_list() -> None:
    assert NamedHouse().model_dump() == {"records": [], "name": "home"}
    assert json.loads(ModelHouse().model_dump_json()) == {"records": [], "name": "home"}


class Home(BaseModel):
    """A model of models."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    main: House
    all: list[House]
    by_name: dict[str, House]
    anything: Any


def test_nested_dumps_are_complete(database: eosdb.MemoryDatabase) -> None:
    sequence = House(database=database)
    sequence.load()
    home = Home(main=sequence, all=[sequence], by_name={"x": sequence}, anything=(sequence,))
    assert home.main is sequence
    inner = {"records": [record.model_dump() for record in READINGS]}
    expected = {"main": inner, "all": [inner], "by_name": {"x": inner}, "anything": (inner,)}
    assert home.model_dump() == expected
    text = {"records": [record.model_dump(mode="json") for record in READINGS]}
    expected_text = {"main": text, "all": [text], "by_name": {"x": text}, "anything": [text]}
    assert home.model_dump(mode="json") == expected_text
    assert json.loads(home.model_dump_json()) == expected_text
    part = home.model_dump(include={"main": {"records": {0: {"power_w"}}}})
    assert part == {"main": {"records": [{"power_w": 0.5}]}}


def test_other_serializers_see_the_same(loaded: Any) -> None:
    expected = twin_of(loaded)
    adapter: TypeAdapter[Any] = TypeAdapter(type(loaded))
    assert adapter.dump_python(loaded) == expected.model_dump()
    assert adapter.dump_json(loaded) == expected.model_dump_json().encode()
    assert pydantic_core.to_json(loaded) == expected.model_dump_json().encode()
    assert pydantic_core.to_jsonable_python(loaded) == expected.model_dump(mode="json")


@pytest.mark.parametrize("mode", ["validation", "serialization"])
@pytest.mark.parametrize("cls", TWINS)
def test_the_json_schema_is_that_of_an_ordinary_model(cls: type[Any], mode: Any) -> None:
    schema = cls.model_json_schema(mode=mode)
    expected = TWINS[cls].model_json_schema(mode=mode)
    assert schema["properties"] == expected["properties"]
    assert schema["$defs"] == expected["$defs"]
    assert schema.get("required") == expected.get("required")


# Round trips


def test_a_dump_makes_an_equal_sequence(loaded: Any) -> None:
    for twin in (
        type(loaded).model_validate(loaded.model_dump()),
        type(loaded).model_validate_json(loaded.model_dump_json()),
    ):
        assert twin == loaded
        assert twin.records == READINGS
        assert twin.database is None


def test_to_dict_and_from_dict(database: eosdb.MemoryDatabase) -> None:
    sequence = NamedHouse(database=database, name="shed")
    sequence.load()
    data = sequence.to_dict()
    assert data == {"records": [r.model_dump() for r in READINGS], "name": "shed"}
    twin = NamedHouse.from_dict(data)
    assert (twin.name, twin.records) == ("shed", READINGS)
    assert twin.to_dict() == data
    with pytest.raises(eosdb.DuplicateRecordError):
        NamedHouse.from_dict({"records": [data["records"][0]] * 2})
    with pytest.raises(TypeError, match="from_dict"):
        NamedHouse.from_dict(cast("Any", [data]))


# Copies


def pickled(sequence: Any, protocol: int) -> Any:
    """Return what comes back from a pickle."""
    return pickle.loads(pickle.dumps(sequence, protocol))


SHALLOW: dict[str, Callable[[Any], Any]] = {
    "model_copy": lambda sequence: sequence.model_copy(),
    "copy.copy": copy.copy,
}
DEEP: dict[str, Callable[[Any], Any]] = {
    "model_copy(deep)": lambda sequence: sequence.model_copy(deep=True),
    "copy.deepcopy": copy.deepcopy,
    "in a list": lambda sequence: copy.deepcopy([sequence, sequence])[1],
}
PICKLED: dict[str, Callable[[Any], Any]] = {
    f"pickle protocol {protocol}": partial(pickled, protocol=protocol)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
}
WAYS = SHALLOW | DEEP | PICKLED


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_is_complete(loaded: Any, way: str) -> None:
    copied = WAYS[way](loaded)
    assert type(copied) is type(loaded)
    assert len(copied.records) == ROWS
    assert copied.records == READINGS
    assert copied == loaded
    assert copied.model_dump() == loaded.model_dump()
    assert list(copied.db_iterate_records()) == READINGS


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("first", ["the copy", "the original"])
def test_a_copy_is_independent(loaded: Any, way: str, first: str) -> None:
    copied = WAYS[way](loaded)
    changed, other = (copied, loaded) if first == "the copy" else (loaded, copied)
    changed.db_insert_record(Reading(date_time=when(START + 1), power_w=9.0))
    changed.db_delete_records(at(START + 900), at(START + 1800))
    del changed.records[-1]
    assert seconds(changed.records) == [START, START + 1, START + 1800, START + 2700]
    assert other.records == READINGS
    assert other.db_count_records() == ROWS
    assert other._db_new_timestamps == set()
    assert other._db_deleted_timestamps == set()
    if other.database is not None:
        assert other.db_save_records() == 0


@pytest.mark.parametrize("way", SHALLOW)
def test_a_shallow_copy_shares_the_record_objects(loaded: Any, way: str) -> None:
    mine = loaded.db_get_record(at(START))
    assert SHALLOW[way](loaded).db_get_record(at(START)) is mine


@pytest.mark.parametrize("way", DEEP | PICKLED)
def test_a_deep_copy_has_record_objects_of_its_own(loaded: Any, way: str) -> None:
    mine = loaded.db_get_record(at(START))
    theirs = WAYS[way](loaded).db_get_record(at(START))
    assert theirs == mine
    assert theirs is not mine
    theirs.power_w = -1.0
    assert mine.power_w == 0.5


@pytest.mark.parametrize("way", WAYS)
def test_what_is_unsaved_stays_unsaved_in_a_copy(loaded: Any, way: str) -> None:
    database = loaded.database
    loaded.db_insert_record(Reading(date_time=when(START + 1), power_w=9.0))
    loaded.db_delete_records(at(START), at(START + 1))
    record = loaded.db_get_record(at(START + 900))
    record.power_w = 8.0
    loaded.db_mark_dirty_record(record)
    copied = WAYS[way](loaded)
    assert copied.database is (None if way in PICKLED else database)
    copied.database = database
    assert copied.db_save_records() == 3
    stored = [(second_of(r.date_time), r.power_w) for r in House(database=database)]
    expected = [(START + 1, 9.0), (START + 900, 8.0)]
    assert stored == expected + [(START + 900 * n, n + 0.5) for n in range(2, ROWS)]


@pytest.mark.parametrize("way", DEEP | PICKLED)
def test_a_sequence_inside_a_model_is_copied_with_it(
    database: eosdb.MemoryDatabase, way: str
) -> None:
    sequence = House(database=database)
    sequence.load()
    home = Home(main=sequence, all=[sequence], by_name={}, anything=None)
    copied = WAYS[way](home)
    assert copied.main is copied.all[0]
    assert copied.main is not sequence
    assert copied.main.records == READINGS
    copied.main.db_delete_records()
    assert sequence.db_count_records() == ROWS


def test_a_copy_with_other_values(loaded: Any) -> None:
    copied = loaded.model_copy(update={"name": "shed"})
    assert (copied.name, loaded.name) == ("shed", "home")
    assert copied.records == loaded.records == READINGS
    fewer = loaded.model_copy(update={"records": [reading(7)]})
    assert seconds(fewer.records) == [START + 7 * 900]
    assert loaded.records == READINGS


def test_an_empty_clone_shares_the_database_only(loaded: Any) -> None:
    list(loaded.db_iterate_records())
    clone = loaded._db_clone_empty()
    assert clone.database is loaded.database
    assert len(clone.records) == 0
    assert clone.db_count_records() == ROWS
    assert len(loaded.records) == ROWS


@pytest.mark.parametrize("way", SHALLOW | DEEP)
def test_plain_sequences_are_copied_too(database: eosdb.MemoryDatabase, way: str) -> None:
    if way.startswith("model_copy"):
        pytest.skip("a way of models")
    sequence = PlainHouse(database)
    assert sequence.db_load_records() == ROWS
    copied = WAYS[way](sequence)
    assert len(copied.records) == ROWS
    assert copied.records == sequence.records
    copied.db_delete_records()
    copied.db_insert_record(PlainReading(date_time=when(START + 1)))
    assert seconds(sequence.records) == seconds(READINGS)
    assert sequence.db_save_records() == 0


# What looks at the attributes


def test_the_dictionary_of_a_sequence_is_complete(loaded: Any) -> None:
    shown = vars(loaded)["records"]
    assert list(shown) == READINGS
    assert len(shown) == ROWS


def test_a_model_is_an_iterable_of_its_fields(database: eosdb.MemoryDatabase) -> None:
    sequence = ModelHouse()
    sequence.database = database
    sequence.db_load_records()
    fields = dict(sequence)
    assert fields["name"] == "home"
    assert fields["records"] == READINGS


def test_equality_is_that_of_the_fields(loaded: Any) -> None:
    other = type(loaded)(records=[record.model_copy() for record in READINGS])
    assert loaded == other
    other.name = "shed"
    assert loaded != other
    other.name = "home"
    other.records[0].power_w = -1.0
    assert loaded != other
    assert loaded != type(loaded)()


def test_the_representation_is_readable(loaded: Any) -> None:
    assert type(loaded).__name__ in repr(loaded)
    assert "power_w" in repr(loaded.records[0])


# Records that are given


@pytest.mark.parametrize("cls", TWINS)
def test_records_that_a_sequence_is_made_with(cls: type[Any]) -> None:
    given = [reading(n) for n in (3, 0, 2)]
    sequence = cls(records=given)
    assert seconds(sequence.records) == [START, START + 1800, START + 2700]
    assert sequence.records[0] is given[1]
    assert sequence.db_count_records() == 3
    assert sequence.db_get_record(at(START)) is given[1]
    with eosdb.MemoryDatabase() as database:
        sequence.database = database
        assert sequence.db_save_records() == 3
        assert House(database=database).db_count_records() == 3


@pytest.mark.parametrize("cls", TWINS)
def test_records_of_the_same_second_are_not_dropped_in_silence(cls: type[Any]) -> None:
    twice = [reading(1), reading(1)]
    with pytest.raises(ValueError, match="Duplicate"):
        cls(records=twice).db_count_records()  # a model of one's own is looked at when used
    with pytest.raises(ValueError, match="Duplicate"):
        assign(cls(), twice)


@pytest.mark.parametrize("cls", TWINS)
def test_records_are_validated(cls: type[Any]) -> None:
    sequence = cls(records=[{"date_time": "2024-01-01T00:00:00Z", "power_w": "5"}])
    assert sequence.records == [Reading(date_time=when(START), power_w=5.0)]
    with pytest.raises(ValidationError, match="power_w"):
        cls(records=[{"date_time": "2024-01-01T00:00:00Z", "power_w": "much"}])


def test_assigned_records_are_the_content(loaded: Any) -> None:
    database = loaded.database
    loaded.database = None
    loaded.records = [reading(8), reading(6)]
    assert seconds(loaded.records) == [START + 6 * 900, START + 8 * 900]
    assert loaded.db_count_records() == 2
    loaded.records.append(reading(7))
    assert [r.power_w for r in loaded.records] == [6.5, 7.5, 8.5]
    loaded.records = []
    assert loaded.db_count_records() == 0
    loaded.database = database
    assert loaded.db_count_records() == ROWS


def test_assigned_records_replace_stored_ones_at_the_next_save(loaded: Any) -> None:
    loaded.records = [Reading(date_time=when(START), power_w=-1.0), reading(9)]
    assert loaded.db_count_records() == ROWS + 1
    assert loaded.db_save_records() == 2
    stored = list(House(database=loaded.database).db_iterate_records())
    assert [r.power_w for r in stored] == [-1.0, 1.5, 2.5, 3.5, 4.5, 9.5]


def test_what_is_no_list_of_records_is_refused(loaded: Any) -> None:
    for wrong in (7, None):
        with pytest.raises(TypeError, match="records"):
            assign(loaded, wrong)
    with pytest.raises(TypeError, match="datetime"):
        assign(loaded, [Reading()])
    assign(loaded, [])
    assert loaded.db_count_records() == ROWS


def assign(sequence: Any, records: Any) -> None:
    """Assign and use `records`: a model leaves what is assigned unchecked until it is used."""
    sequence.records = records
    sequence.db_count_records()


# The list itself


def test_the_list_behaves_as_a_list(loaded: Any) -> None:
    records = loaded.records
    assert records == READINGS
    assert READINGS == records  # noqa: SIM300  either side may ask
    assert records != READINGS[1:]
    assert records[1] == READINGS[1]
    assert records[-1] == READINGS[-1]
    assert records[1:3] == READINGS[1:3]
    assert records[::-1] == READINGS[::-1]
    assert list(reversed(records)) == READINGS[::-1]
    assert READINGS[2] in records
    assert reading(99) not in records
    assert records.index(READINGS[2]) == 2
    assert records.count(READINGS[2]) == 1
    assert records + READINGS[:1] == [*READINGS, READINGS[0]]
    assert READINGS[:1] + records == [READINGS[0], *READINGS]
    assert max(records, key=lambda r: r.power_w) == READINGS[-1]
    assert bool(records)
    with pytest.raises(IndexError):
        _ = records[ROWS]
    with pytest.raises(IndexError):
        _ = records[-ROWS - 1]
    assert records[0] is records[0]
    popped = records.pop()
    assert popped == READINGS[-1]
    assert len(records) == ROWS - 1
    assert loaded.db_count_records() == ROWS - 1


def test_the_list_is_pickled_and_copied_as_a_list_of_its_own(loaded: Any) -> None:
    for copied in (
        copy.copy(loaded.records),
        copy.deepcopy(loaded.records),
        pickle.loads(pickle.dumps(loaded.records)),
        loaded.records.copy(),
    ):
        assert copied == READINGS
        copied.clear()
        assert len(loaded.records) == ROWS


# Nothing is built that nobody asks for


class Counted(Reading):
    """A record of its own class, so that its objects can be counted."""


class CountedHouse(House):
    records: list[Counted] = Field(default_factory=list)  # type: ignore[assignment]


class Validated(Reading):
    """A record that is validated when it is made, and counts that."""

    made: ClassVar[int] = 0

    @field_validator("power_w")
    @classmethod
    def _count(cls, value: float | None) -> float | None:
        cls.made += 1
        return value


class ValidatedHouse(House):
    records: list[Validated] = Field(default_factory=list)  # type: ignore[assignment]


def objects() -> int:
    """Return how many counted records exist."""
    gc.collect()
    return sum(type(thing) is Counted for thing in gc.get_objects())


def test_loading_builds_no_objects(database: eosdb.MemoryDatabase) -> None:
    sequence = CountedHouse(database=database)
    validated = ValidatedHouse(database=database)
    Validated.made = 0
    for each in (sequence, validated):
        assert each.db_load_records() == ROWS
        assert len(each.records) == len(each) == ROWS
        assert each.db_timestamp_range() == (at(START), at(START + 3600))
        assert each.db_previous_timestamp(at(START + 900)) == at(START)
        assert each._db_sorted_timestamps[1] == at(START + 900)
        assert at(START) in each._db_record_index
        assert each.db_delete_records(at(START + 3600)) == 1
        assert each.model_dump(exclude={"records"}) == {}
        assert each.db_get_stats()["memory_records"] == ROWS - 1
        assert copy.copy(each).db_count_records() == ROWS - 1
        assert copy.deepcopy(each).db_count_records() == ROWS - 1
        assert "4" in repr(each)
    assert objects() == 0
    assert Validated.made == 0


def test_only_what_is_asked_for_is_built(database: eosdb.MemoryDatabase) -> None:
    sequence = CountedHouse(database=database)
    validated = ValidatedHouse(database=database)
    Validated.made = 0
    for each in (sequence, validated):
        first = each.db_get_record(at(START))
        assert each.records[0] is first
        for _ in zip(range(2), each.db_iterate_records(), strict=False):
            pass
    assert objects() == Validated.made == 2


def test_a_dump_builds_each_row_once(database: eosdb.MemoryDatabase) -> None:
    sequence = ValidatedHouse(database=database)
    sequence.load()
    Validated.made = 0
    sequence.model_dump()
    sequence.model_dump_json()
    assert list(sequence) == list(sequence.records)
    assert Validated.made == ROWS
