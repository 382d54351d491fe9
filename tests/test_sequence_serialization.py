"""Dumps of a sequence are complete, and a sequence is made from them.

Rows that were loaded and never looked at exist as bytes only, which nobody who dumps a sequence
can notice. What pydantic makes of a model with an ordinary list is the measure.
"""

from __future__ import annotations

import copy
import json
from typing import Any, cast

import pydantic_core
import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from support import (
    READINGS,
    ROWS,
    START,
    Home,
    House,
    ModelHouse,
    NamedHouse,
    Reading,
    at,
    reading,
    seconds,
    when,
)

import eosdb


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
    # No set of two: its order, and with it the test's name, differs from process to process.
    {"exclude": {"records": {"__all__": {"note": True, "configured_data": True}, 1: True}}},
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


# Attributes


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
