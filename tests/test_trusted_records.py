"""Record classes on a base of somebody else's, whose own code is known to change no value."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, PrivateAttr, field_validator

import eosdb
from eosdb import record_class

START = eosdb.to_datetime("2026-01-01T12:00:00Z", in_timezone="Europe/Berlin")


class Base(BaseModel):
    """Shows every time in Tokyo, and has a private attribute."""

    date_time: eosdb.DateTime | None = None
    _mark: str = PrivateAttr(default_factory=lambda: "made")

    @field_validator("date_time", mode="before")
    @classmethod
    def to_tokyo(cls, value: Any) -> Any:
        return None if value is None else eosdb.to_datetime(value, in_timezone="Asia/Tokyo")

    def __getitem__(self, key: str) -> Any:
        return getattr(self, key)


class Reading(Base):
    value: float | None = None


class Doubled(Base):
    value: float | None = None

    @field_validator("value")
    @classmethod
    def twice(cls, value: float | None) -> float | None:
        return None if value is None else 2 * value


class Untrue(BaseModel):
    date_time: eosdb.DateTime | None = None

    @field_validator("date_time", mode="before")
    @classmethod
    def to_the_hour(cls, value: Any) -> Any:
        return None if value is None else eosdb.to_datetime(value).start_of("hour")


class Rounded(Untrue):
    value: float | None = None


class Readings(eosdb.DatabaseRecordProtocolMixin[Any]):
    class_: type[Any] = Reading

    def record_class(self) -> type[Any]:  # type: ignore[override]
        return self.class_

    @property
    def record_keys_writable(self) -> list[str]:
        return ["value"]

    def db_namespace(self) -> str:
        return "readings"


@pytest.fixture(autouse=True)
def trusted() -> Any:
    before = list(record_class._TRUSTED)
    record_class.trust(Base)
    record_class.trust(Untrue)
    yield
    record_class._TRUSTED[:] = before
    record_class.record_class_of.cache_clear()


def test_times_are_shown_as_the_class_shows_them_be_it_natively_or_as_objects() -> None:
    with eosdb.MemoryDatabase() as database:
        sequence = Readings()
        sequence.database = database
        berlin = Reading.model_construct(date_time=START, value=1.0)
        sequence.db_insert_record(berlin)
        sequence.db_insert_record(Reading(date_time=START.add(hours=1), value=2.0))
        sequence.db_save_records()
        del berlin

        sequence = Readings()
        sequence.database = database
        assert sequence._db_enter().plain_keys == ["date_time", "value"]
        for with_objects in (False, True):
            records = list(sequence.records) if with_objects else []
            dates, values = sequence.key_to_lists("value")
            assert [date.tzinfo.name for date in dates] == ["Asia/Tokyo"] * 2  # type: ignore[union-attr]
            assert (dates, values) == ([START, START.add(hours=1)], [1.0, 2.0])
            assert str(sequence.to_dataframe().index.tz) == "Asia/Tokyo"  # type: ignore[attr-defined]
            for record in records:
                assert (record.date_time.tzinfo.name, record._mark) == ("Asia/Tokyo", "made")


@pytest.mark.parametrize("class_", [Doubled, Rounded])
def test_a_class_that_changes_values_is_validated_as_ever(class_: type[Any]) -> None:
    sequence = Readings()
    sequence.class_ = class_
    with eosdb.MemoryDatabase() as database:
        sequence.database = database
        assert sequence._db_enter().plain_keys is None
