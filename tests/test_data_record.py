"""A record is a model and a mapping of the same values."""

from __future__ import annotations

import copy
import datetime
import pickle
from collections.abc import Callable, Iterator
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import pendulum
import pytest
from pydantic import Field, PrivateAttr, ValidationError, computed_field

from eosdb.data_record import DataRecord
from eosdb.datetimes import DateTime, to_datetime
from eosdb.errors import UnknownKeyError
from eosdb.protocols import DataRecordProtocol

BERLIN = ZoneInfo("Europe/Berlin")


class Power(DataRecord):
    """A record with fields, a computed field and a private attribute."""

    power_w: float | None = Field(default=None, description="Power drawn by the house [W]")
    grid_kwh: float | None = Field(
        default=None, json_schema_extra={"description": "Reading of the grid meter [kWh]"}
    )
    count: int = 0
    _note: str = PrivateAttr(default="")

    @computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def power_kw(self) -> float | None:
        """Power drawn by the house [kW]."""
        return None if self.power_w is None else self.power_w / 1000


class Measured(DataRecord):
    """A record with keys that are configured at run time."""

    keys_now: ClassVar[list[str]] = ["load0_mr", "load1_mr"]
    power_w: float | None = None

    @classmethod
    def configured_data_keys(cls) -> list[str] | None:
        """Return the keys of the moment."""
        return cls.keys_now


class DerivedMeasured(Measured):
    """A record that inherits its configured keys."""


@pytest.fixture(autouse=True)
def _berlin() -> Iterator[None]:
    with pendulum.test_local_timezone(pendulum.timezone("Europe/Berlin")):
        yield


def make(cls: type[DataRecord], **values: Any) -> Any:
    """Create a record from what type checkers would not let pass, such as text for a time."""
    return cls(**values)


def is_record(record: DataRecordProtocol) -> DataRecordProtocol:
    """Let mypy check that records satisfy the protocol."""
    return record


# Date and time


@pytest.mark.parametrize(
    "value", ["2024-01-01T00:00:00Z", 1_704_067_200, datetime.datetime(2024, 1, 1, 1)]
)
def test_date_time_is_converted(value: Any) -> None:
    record = make(Power, date_time=value)
    assert type(record.date_time) is DateTime
    assert record.date_time.isoformat() == "2024-01-01T01:00:00+01:00"
    record.date_time = None
    record["date_time"] = value
    assert record.date_time.isoformat() == "2024-01-01T01:00:00+01:00"


def test_date_time_may_be_missing() -> None:
    assert Power().date_time is None


@pytest.mark.parametrize("value", ["yesterday", float("nan"), object(), 10**18])
def test_a_bad_date_time_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError, match="date_time"):
        make(Power, date_time=value)


# Keys


def test_keys() -> None:
    assert Power.record_keys() == ["date_time", "power_w", "grid_kwh", "count", "power_kw"]
    assert Power.record_keys_writable() == ["date_time", "power_w", "grid_kwh", "count"]
    assert Power.configured_data_keys() is None
    writable = ["date_time", "power_w", "load0_mr", "load1_mr"]
    assert Measured.record_keys() == writable
    assert Measured.record_keys_writable() == writable


@pytest.mark.parametrize(
    ("description", "key"),
    [
        ("Power drawn by the house [W]", "power_w"),
        ("reading of grid meter [kWh]", "grid_kwh"),
        ("Power drawn by the house [kW].", "power_kw"),
        ("Phase of the moon", None),
        (None, None),
    ],
)
def test_key_from_description(description: str | None, key: str | None) -> None:
    assert Power.key_from_description(description) == key


def test_keys_from_descriptions() -> None:
    descriptions = ["Reading of the meter", "Nothing like it"]
    assert Power.keys_from_descriptions(descriptions, 0.7) == ["grid_kwh", None]
    assert Power.keys_from_descriptions(descriptions, 1.0) == [None, None]


# Fields


def test_fields_by_key_and_by_attribute() -> None:
    record = make(Power, date_time="2024-01-01", power_w=310.0)
    assert record["power_w"] == record.power_w == 310.0
    record["power_w"] = 320
    assert record.power_w == 320.0
    assert type(record.power_w) is float
    record.power_w = 330.0
    assert record["power_w"] == 330.0
    assert record["power_kw"] == 0.33


def test_field_access_is_pydantics_own() -> None:
    # Plain fields lie in the instance's dictionary, which Python looks up before __getattr__.
    assert make(Power, power_w=1.0).__dict__["power_w"] == 1.0
    assert "__getattribute__" not in vars(DataRecord)


def test_mapping() -> None:
    record = make(Power, power_w=1.0, count=2)
    assert list(record) == ["date_time", "power_w", "grid_kwh", "count"]
    assert len(record) == 4
    assert dict(record) == {"date_time": None, "power_w": 1.0, "grid_kwh": None, "count": 2}
    assert "power_w" in record
    assert "voltage" not in record
    assert record.get("voltage", 230) == 230
    record.update(power_w=5.0, grid_kwh=6.0)
    assert (record.power_w, record.grid_kwh) == (5.0, 6.0)
    assert record.pop("grid_kwh") == 6.0
    assert record.grid_kwh is None


def test_deleting_sets_none() -> None:
    record = make(Power, power_w=1.0, grid_kwh=2.0)
    del record["power_w"]
    assert record.power_w is None
    del record.grid_kwh
    assert record.grid_kwh is None
    assert len(record) == 4


def test_deleting_a_field_that_must_have_a_value() -> None:
    record = make(Power, count=3)
    with pytest.raises(ValidationError):
        del record["count"]
    assert record.count == 3


def test_clear_ends_with_every_value_none() -> None:
    record = make(Measured, date_time="2024-01-01", power_w=1.0, load0_mr=2.0)
    record.clear()
    assert list(record.values()) == [None, None, None, None]


def test_unknown_keys() -> None:
    record: Any = Power()
    accesses: list[Callable[[], Any]] = [
        lambda: record["voltage"],
        lambda: record.__setitem__("voltage", 1),
        lambda: record.__delitem__("voltage"),
        lambda: record.__setitem__("power_kw", 1),
    ]
    for access in accesses:
        with pytest.raises(UnknownKeyError, match=r"^Power has no key '\w+': expected one of \['"):
            access()
    with pytest.raises(AttributeError, match="voltage"):
        _ = record.voltage
    with pytest.raises(AttributeError, match="voltage"):
        record.voltage = 1
    with pytest.raises(AttributeError, match="voltage"):
        del record.voltage
    assert not hasattr(record, "voltage")


def test_a_value_that_does_not_fit_is_refused() -> None:
    record = make(Power, power_w=1.0)
    with pytest.raises(ValidationError, match="power_w"):
        record["power_w"] = "much"
    assert record.power_w == 1.0


def test_private_attributes() -> None:
    record = Power()
    record._note = "checked"
    assert record._note == "checked"
    assert "_note" not in record


# Configured keys


@pytest.mark.parametrize("cls", [Measured, DerivedMeasured])
def test_configured_keys_by_key_and_by_attribute(cls: type[Measured]) -> None:
    record = make(cls, load0_mr=1.0)
    assert record["load0_mr"] == record.load0_mr == 1.0
    assert record["load1_mr"] is record.load1_mr is None
    assert record.configured_data == {"load0_mr": 1.0}
    record["load1_mr"] = 2.0
    record.load0_mr = 3.0
    assert record.configured_data == {"load0_mr": 3.0, "load1_mr": 2.0}
    del record["load0_mr"]
    del record.load1_mr
    assert record.configured_data == {}
    del record["load0_mr"]
    assert dict(record) == dict.fromkeys(["date_time", "power_w", "load0_mr", "load1_mr"])


def test_both_ways_of_giving_configured_values() -> None:
    data = {"load0_mr": 1.0, "configured_data": {"load1_mr": 2.0}}
    record = Measured.model_validate(data)
    assert record.configured_data == {"load0_mr": 1.0, "load1_mr": 2.0}
    assert data == {"load0_mr": 1.0, "configured_data": {"load1_mr": 2.0}}


def test_a_key_that_is_no_longer_configured_keeps_its_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = make(Measured, load0_mr=1.0)
    monkeypatch.setattr(Measured, "keys_now", ["load1_mr"])
    assert record["load0_mr"] == record.load0_mr == 1.0
    assert "load0_mr" not in list(record)
    with pytest.raises(UnknownKeyError):
        record["load0_mr"] = 2.0
    del record["load0_mr"]
    with pytest.raises(UnknownKeyError):
        _ = record["load0_mr"]


def test_dir_shows_the_keys_and_not_their_container() -> None:
    names = dir(Measured())
    assert {"power_w", "load0_mr", "load1_mr"} <= set(names)
    assert "configured_data" not in names


# Equality, representation, copies


def test_equality() -> None:
    record = make(Measured, date_time="2024-01-01", power_w=1.0, load0_mr=2.0)
    same = make(Measured, date_time="2024-01-01", power_w=1.0, load0_mr=2.0)
    assert record == same
    same["load0_mr"] = 3.0
    assert record != same
    assert record != make(Measured, date_time="2024-01-02", power_w=1.0, load0_mr=2.0)
    assert record != dict(record)


def test_repr_shows_configured_values_like_fields() -> None:
    assert repr(make(Measured, power_w=1.0, load0_mr=2.0)) == (
        "Measured(date_time=None, power_w=1.0, load0_mr=2.0)"
    )


def test_dump_is_what_is_stored() -> None:
    at = to_datetime("2024-01-01")
    record = make(Measured, date_time=at, power_w=1.0, load0_mr=2.0)
    dump = record.model_dump()
    assert list(dump) == ["date_time", "configured_data", "power_w"]
    assert dump == {"date_time": at, "configured_data": {"load0_mr": 2.0}, "power_w": 1.0}
    assert Measured.model_validate(dump) == record
    assert Measured.model_validate_json(record.model_dump_json()) == record


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("way", ["pickle", "copy", "deepcopy", "model_copy", "json"])
def test_copies_keep_the_instant_in_the_autumn_night(fold: int, way: str) -> None:
    at = datetime.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=fold)
    record = make(Measured, date_time=at, load0_mr=2.0)
    ways: dict[str, Callable[[], Any]] = {
        "pickle": lambda: pickle.loads(pickle.dumps(record)),
        "copy": lambda: copy.copy(record),
        "deepcopy": lambda: copy.deepcopy(record),
        "model_copy": lambda: record.model_copy(deep=True),
        "json": lambda: Measured.model_validate_json(record.model_dump_json()),
    }
    twin = ways[way]()
    assert twin.date_time.timestamp() == at.timestamp()
    assert twin.date_time.timezone_name == "Europe/Berlin"
    assert type(twin.date_time) is DateTime
    assert twin.load0_mr == 2.0


def test_protocol() -> None:
    assert is_record(Power()).model_dump()["count"] == 0
