"""Files go both ways: eosdb reads what Akkudoktor-EOS wrote, which reads what eosdb wrote."""

from __future__ import annotations

import json
import math
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pendulum
import pytest
from hypothesis import given, settings as hypothesis_settings, strategies as st
from pydantic import Field
from upstream_format import (
    METADATA_KEY,
    pack,
    put,
    read_metadata,
    read_records,
    read_values,
    unpack,
)

import eosdb
from eosdb import DatabaseSettings, DatabaseTimestamp, LMDBDatabase, MemoryDatabase, to_datetime

GOLDEN: Final = Path(__file__).parent / "golden" / "upstream"
VERSIONS: Final = ("S", "H")
NAMESPACES: Final = ("Measurement", "WeatherImport", "Devices")


class DeviceRecord(eosdb.DataRecord):
    power_w: float | None = None
    mode: str | None = None
    active: bool | None = None
    cycles: int | None = None
    tags: list[str] = Field(default_factory=list)


class Devices(eosdb.DataSequence):
    records: list[DeviceRecord] = Field(default_factory=list)

    def db_namespace(self) -> str:
        return "Devices"


class WeatherRecord(eosdb.DataRecord):
    weather_total_clouds: float | None = None
    weather_low_clouds: float | None = None
    weather_medium_clouds: float | None = None
    weather_high_clouds: float | None = None
    weather_visibility: float | None = None
    weather_fog: float | None = None
    weather_precip_type: str | None = None
    weather_precip_prob: float | None = None
    weather_precip_amt: float | None = None
    weather_preciptable_water: float | None = None
    weather_wind_speed: float | None = None
    weather_wind_direction: float | None = None
    weather_frost_chance: str | None = None
    weather_temp_air: float | None = None
    weather_feels_like: float | None = None
    weather_dew_point: float | None = None
    weather_relative_humidity: float | None = None
    weather_pressure: float | None = None
    weather_ozone: float | None = None
    weather_ghi: float | None = None
    weather_dni: float | None = None
    weather_dhi: float | None = None


class Weather(eosdb.DataSequence):
    records: list[WeatherRecord] = Field(default_factory=list)

    def db_namespace(self) -> str:
        return "WeatherImport"


class MeasurementRecord(eosdb.DataRecord):
    @classmethod
    def configured_data_keys(cls) -> list[str]:
        return ["grid_import_emr", "load0_emr", "load1_emr"]


class Measurement(eosdb.DataSequence):
    records: list[MeasurementRecord] = Field(default_factory=list)

    def db_namespace(self) -> str:
        return "Measurement"


SEQUENCES: Final[dict[str, Any]] = {
    "Devices": Devices,
    "WeatherImport": Weather,
    "Measurement": Measurement,
}


def key_of(record: Any) -> DatabaseTimestamp:
    return DatabaseTimestamp.from_datetime(record.date_time)


def devices_in(database: LMDBDatabase) -> Any:
    return SEQUENCES["Devices"](database=database)


def measurement_in(database: LMDBDatabase) -> Any:
    return SEQUENCES["Measurement"](database=database)


def expected(version: str) -> dict[str, Any]:
    text = (GOLDEN / version / "expected.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def copy_of(version: str, folder: Path) -> Path:
    path = folder / version
    path.mkdir()
    shutil.copy(GOLDEN / version / "data.mdb", path)
    return path


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal and of one type; NaN equals NaN, and -0.0 not 0.0."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and type(left) is type(right):
        return left.hex() == right.hex()
    return type(left) is type(right) and bool(left == right)


def dumped(record: Any) -> dict[str, Any]:
    """The record's fields but its time, with NumPy's floats as plain ones."""
    fields: dict[str, Any] = record.model_dump()
    del fields["date_time"]
    configured = fields["configured_data"].items()
    fields["configured_data"] = {key: float(value) for key, value in configured}
    return fields


@pytest.fixture
def local_zone() -> Iterator[Callable[[Any], None]]:
    """Sets the zone that records are given; the machine's afterwards."""
    yield pendulum.set_local_timezone
    pendulum.set_local_timezone()


# ---- what upstream wrote ------------------------------------------------------------------------


@pytest.mark.parametrize("namespace", NAMESPACES)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_record_of_upstream_is_read_as_it_was_written(
    version: str, namespace: str, tmp_path: Path
) -> None:
    rows = expected(version)["namespaces"][namespace]["records"]
    with LMDBDatabase(copy_of(version, tmp_path)) as database:
        sequence = SEQUENCES[namespace](database=database)
        records = list(sequence)
        assert len(records) == len(sequence) == len(rows)
        for record, row in zip(records, rows, strict=True):
            assert key_of(record) == row["key"]
            assert record.date_time.microsecond == row["microsecond"]
            assert same(dumped(record), row["fields"]), row["key"]
            numpy = [k for k, v in record.configured_data.items() if type(v) is np.float64]
            assert sorted(numpy) == row.get("numpy.float64", [])
        assert sequence.db_damaged_records() == []


@pytest.mark.parametrize("namespace", NAMESPACES)
@pytest.mark.parametrize("version", VERSIONS)
def test_records_keep_the_zone_that_upstream_stored(
    version: str, namespace: str, tmp_path: Path, local_zone: Callable[[Any], None]
) -> None:
    local_zone(pendulum.timezone("Asia/Kathmandu"))
    rows = expected(version)["namespaces"][namespace]["records"]
    with LMDBDatabase(copy_of(version, tmp_path)) as database:
        records = SEQUENCES[namespace](database=database)
        zones = [record.date_time.timezone_name for record in records]
        assert zones == [row["zone"] for row in rows]


@pytest.mark.parametrize("version", VERSIONS)
def test_namespaces_of_upstream_are_listed(version: str, tmp_path: Path) -> None:
    with LMDBDatabase(copy_of(version, tmp_path)) as database:
        assert database.namespaces() == sorted(NAMESPACES)
        assert database.count_records() == 0
        assert list(database.iterate_records()) == []
        assert database.get_key_range("Devices") == (b"20251026T000000Z", b"20260103T120000Z")


@pytest.mark.parametrize("namespace", NAMESPACES)
@pytest.mark.parametrize("version", VERSIONS)
def test_lookups_in_a_file_of_upstream(version: str, namespace: str, tmp_path: Path) -> None:
    rows = expected(version)["namespaces"][namespace]["records"]
    keys = [DatabaseTimestamp(row["key"]) for row in rows]
    with LMDBDatabase(copy_of(version, tmp_path)) as database:
        # Each question is asked of a sequence that has loaded nothing yet.
        def fresh() -> Any:
            return SEQUENCES[namespace](database=database)

        assert fresh().db_timestamp_range() == (keys[0], keys[-1])
        for position, (key, row) in enumerate(zip(keys, rows, strict=True)):
            record = fresh().db_get_record(key)
            assert same(dumped(record), row["fields"])
            missing = key.to_datetime().add(seconds=2)
            assert fresh().get_by_datetime(missing) is None
            found = fresh().get_nearest_by_datetime(missing, eosdb.to_duration("4 seconds"))
            assert key_of(found) in (key, DatabaseTimestamp.from_datetime(missing.add(seconds=-1)))
            before = keys[position - 1] if position else None
            after = keys[position + 1] if position + 1 < len(keys) else None
            assert fresh().db_previous_timestamp(key) == before
            assert fresh().db_next_timestamp(key) == after
        for start in range(0, len(keys), 4):
            for end in range(start, len(keys), 5):
                found = fresh().db_iterate_records(keys[start], keys[end])
                times = [key_of(r) for r in found]
                assert times == keys[start:end]


@pytest.mark.parametrize("version", VERSIONS)
def test_only_a_namespaces_own_metadata_are_trusted(version: str, tmp_path: Path) -> None:
    content = expected(version)
    with LMDBDatabase(copy_of(version, tmp_path)) as database:
        for namespace, class_ in SEQUENCES.items():
            own = content["namespaces"][namespace]["metadata"]
            assert (database.get_metadata(namespace) is None) is (own is None)
            sequence = class_(database=database)
            assert len(sequence) > 0
            cutoff = sequence._db_get_compact_state(eosdb.to_duration("15 minutes"))
            assert cutoff == (own or {}).get("last_compact_cutoff_900")
            if own is not None:
                assert sequence._db_metadata == own


@pytest.mark.parametrize("version", VERSIONS)
def test_going_on_with_a_file_of_upstream_leaves_the_rest_as_it_was(
    version: str, tmp_path: Path
) -> None:
    path = copy_of(version, tmp_path)
    before = {namespace: read_values(path, namespace) for namespace in NAMESPACES}
    shared = read_metadata(path, None)
    with LMDBDatabase(path) as database:
        devices = devices_in(database)
        devices.update_value(to_datetime("2025-10-26T01:00:00Z"), mode="changed by eosdb")
        devices.delete_by_datetime(None, to_datetime("2025-10-26T00:30:00Z"))
        devices.insert_by_datetime(
            DeviceRecord(date_time=to_datetime("2027-01-01T00:00:00Z"), power_w=1.0)
        )
        assert devices.save()
    after = read_values(path, "Devices")
    metadata = METADATA_KEY.decode()
    changed = {"20251026T010000Z", "20251026T000000Z", "20270101T000000Z", metadata}
    assert before["Devices"].keys() - after.keys() == {"20251026T000000Z"}
    for key in after.keys() - changed:
        assert after[key] == before["Devices"][key]
    for namespace in ("Measurement", "WeatherImport"):
        assert read_values(path, namespace) == before[namespace]
    assert read_metadata(path, None) == shared
    records = read_records(path, "Devices")
    assert records["20251026T010000Z"]["mode"] == "changed by eosdb"
    assert records["20251026T010000Z"]["cycles"] == 2
    assert records["20270101T000000Z"]["power_w"] == 1.0
    own = read_metadata(path, "Devices")
    assert own is not None
    assert own["version"] == 1


def test_the_second_pass_of_a_repeated_hour_survives_a_change(tmp_path: Path) -> None:
    """The pickle forgets `fold`; the key does not, and saving again must not move the record."""
    path = copy_of("S", tmp_path)
    second_pass = to_datetime("2025-10-26T01:30:15.123456Z")
    with LMDBDatabase(path) as database:
        devices = devices_in(database)
        record = devices.get_by_datetime(second_pass)
        # Not compared with `==`, which is never true between zones inside a repeated hour.
        assert record.date_time.timestamp() == second_pass.timestamp()
        devices.update_value(second_pass, power_w=-1.0)
        devices.save()
        assert len(devices) == 10
    assert read_records(path, "Devices")["20251026T013015Z"]["power_w"] == -1.0
    assert len(read_records(path, "Devices")) == 10


# ---- what eosdb writes --------------------------------------------------------------------------


def instant(second: int) -> eosdb.DateTime:
    return to_datetime(1_767_225_600 + second)


def device(second: int, **fields: Any) -> DeviceRecord:
    return DeviceRecord(date_time=instant(second), **fields)


@pytest.mark.parametrize("level", [9, 1, 0])
def test_upstream_reads_every_record_that_eosdb_wrote(
    level: int, tmp_path: Path, local_zone: Callable[[Any], None]
) -> None:
    written: dict[str, dict[str, Any]] = {name: {} for name in ("Devices", "Measurement")}
    settings = DatabaseSettings(compression_level=level)
    with LMDBDatabase(tmp_path, settings=settings) as database:
        devices = devices_in(database)
        measurement = measurement_in(database)
        zones = [pendulum.timezone("Europe/Berlin"), pendulum.UTC, pendulum.FixedTimezone(19_800)]
        for hour in range(48):
            local_zone(zones[hour % 3])
            now = to_datetime("2025-10-25T12:00:00.25Z").add(hours=hour)
            record = DeviceRecord(
                date_time=now,
                power_w=hour / 7,
                mode=[None, "", "an", "zwölf €"][hour % 4],
                active=[None, True, False][hour % 3],
                cycles=(-2) ** hour,
                tags=["a"] * (hour % 3),
            )
            devices.insert_by_datetime(record)
            measurement.update_value(now, load0_emr=hour * 0.1, grid_import_emr=np.float64(hour))
        for sequence in (devices, measurement):
            sequence.save()
            rows = written[sequence.db_namespace()]
            for record in sequence:
                rows[key_of(record)] = record.model_dump()
    for namespace, rows in written.items():
        values = read_values(tmp_path, namespace)
        del values[METADATA_KEY.decode()]
        assert values.keys() == rows.keys()
        for key, value in values.items():
            assert value.startswith(b"\x1f\x8b") is (level > 0)
            stored = pickle.loads(unpack(value))
            assert list(stored) == list(rows[key])
            assert stored["date_time"].timezone_name == rows[key]["date_time"].timezone_name
            assert stored["date_time"].naive() == rows[key]["date_time"].naive()
            assert stored == rows[key]


def test_upstream_reads_the_metadata_that_eosdb_wrote(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path) as database:
        devices, measurement = devices_in(database), measurement_in(database)
        devices.insert_by_datetime(device(0))
        assert devices.save()
        measurement.update_value(instant(0), load0_emr=1.0)
        assert measurement.save()
        cutoff = DatabaseTimestamp("20260101T000000Z")
        measurement._db_set_compact_state(eosdb.to_duration("15 minutes"), cutoff)
    devices, measurement = (read_metadata(tmp_path, name) for name in ("Devices", "Measurement"))
    assert devices is not None
    assert measurement is not None
    assert devices.keys() == {"version", "created", "provider_id", "compression", "backend"}
    assert measurement["last_compact_cutoff_900"] == "20260101T000000Z"
    assert (devices["version"], devices["compression"]) == (1, True)
    assert to_datetime(devices["created"]) <= to_datetime()
    # Nothing in the unnamed database but the namespaces themselves.
    assert read_values(tmp_path, None).keys() == {"Devices", "Measurement"}


def test_upstream_reads_what_changes_and_deletions_leave(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path) as database:
        devices = devices_in(database)
        for second in range(100):
            devices.insert_by_datetime(device(second, power_w=float(second), mode="old"))
        devices.save()
        devices.delete_by_datetime(instant(10), instant(90))
        devices.update_value(instant(95), mode="new")
        devices.insert_by_datetime(device(50, mode="back"))
        devices.save()
        left = {key: record.model_dump() for key, record in devices._db_record_index.items()}
    assert len(left) == 21
    assert read_records(tmp_path, "Devices") == left


def test_upstream_reads_what_compaction_leaves(tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path) as database:
        measurement = measurement_in(database)
        start = to_datetime("2026-01-01T00:00:00Z")
        for step in range(200):
            values = {"load0_emr": 5.0 + step, "grid_import_emr": 7.5}
            measurement.update_value(start.add(minutes=5 * step), values)
        measurement.save()
        tiers = [(eosdb.to_duration("2 hours"), eosdb.to_duration("15 minutes"))]
        assert measurement.db_compact(tiers) > 0
        left = {key_of(record): record.model_dump() for record in measurement}
        metadata = measurement._db_metadata
    assert 60 < len(left) < 120
    assert read_records(tmp_path, "Measurement") == left
    assert read_metadata(tmp_path, "Measurement") == metadata
    assert metadata is not None
    assert metadata["last_compact_cutoff_900"] == "20260101T143000Z"


def test_both_write_in_turns(tmp_path: Path) -> None:
    """eosdb, then py-lmdb with upstream's flags (WRITEMAP, 10 GiB), then eosdb, and so on."""
    content: dict[str, dict[str, Any]] = {}
    for turn in range(4):
        with LMDBDatabase(tmp_path) as database:
            devices = devices_in(database)
            read = {key_of(record): record.model_dump() for record in devices}
            assert read == content
            for second in range(turn * 100, turn * 100 + 50):
                record = device(second, power_w=turn / 3, mode="eosdb")
                devices.insert_by_datetime(record)
                content[key_of(record)] = record.model_dump()
            devices.update_value(instant(0), cycles=turn)
            content["20260101T000000Z"]["cycles"] = turn
            devices.save()
        assert read_records(tmp_path, "Devices") == content
        values: dict[bytes, bytes | None] = {}
        for second in range(turn * 100 + 50, turn * 100 + 100):
            fields = device(second, power_w=turn / 3, mode="upstream").model_dump()
            key = DatabaseTimestamp.from_datetime(fields["date_time"])
            content[key] = fields
            values[key.encode()] = pack(fields, level=9 * (second % 2))
        put(tmp_path, "Devices", values)
        gone = key_of(device(turn * 100 + 7))
        put(tmp_path, "Devices", {gone.encode(): None})
        del content[gone]


def test_a_file_that_eosdb_compacted_is_read_by_upstream(tmp_path: Path) -> None:
    path = copy_of("H", tmp_path)
    before = {namespace: read_values(path, namespace) for namespace in NAMESPACES}
    with LMDBDatabase(path) as database:
        database.copy_to(tmp_path / "copy")
        database.compact()
    for folder in (path, tmp_path / "copy"):
        assert {name: read_values(folder, name) for name in NAMESPACES} == before


@pytest.mark.parametrize("namespace", ["a", "Wärme/Küche 1", "x" * 511, "__metadata"])
def test_namespaces_have_the_same_names_for_both(namespace: str, tmp_path: Path) -> None:
    with LMDBDatabase(tmp_path) as database:
        database.save_records([(b"20260101T000000Z", b"1")], namespace)
    assert read_values(tmp_path, namespace) == {"20260101T000000Z": b"1"}
    put(tmp_path, namespace, {b"20260101T000001Z": b"2"})
    with LMDBDatabase(tmp_path) as database:
        assert database.namespaces() == [namespace]
        assert database.count_records(namespace=namespace) == 2


# ---- byte for byte ------------------------------------------------------------------------------

_SHARED = "one text object in two fields"

TYPICAL: Final[list[eosdb.DataRecord]] = [
    WeatherRecord(weather_temp_air=21.5, weather_precip_type="rain"),
    WeatherRecord(weather_precip_type=_SHARED, weather_frost_chance=_SHARED),
    WeatherRecord(weather_temp_air=math.nan, weather_ghi=math.inf, weather_dni=-0.0),
    DeviceRecord(power_w=1.0, mode="zwölf €", active=True, cycles=-1, tags=["a", "b", "a"]),
    DeviceRecord(mode="x" * 300, cycles=2**40, tags=["tag"] * 1001),
    DeviceRecord(mode="", active=False, cycles=2**62),
    MeasurementRecord(configured_data={"load0_emr": 1.5, "load1_emr": None, "other": 7}),
    MeasurementRecord(configured_data={"load0_emr": np.float64(1.5), "pv": np.float64(2.5)}),
    MeasurementRecord(configured_data={"text": _SHARED, "again": _SHARED, "yes": True}),
    MeasurementRecord(configured_data={str(number): number / 3 for number in range(1001)}),
]


def stored_pickle(record: eosdb.DataRecord, level: int = 9) -> bytes:
    """The pickle that saving the record stores."""
    class_ = next(c for c in SEQUENCES.values() if c.record_class() is type(record))
    with MemoryDatabase(settings=DatabaseSettings(compression_level=level)) as database:
        sequence = class_(database=database)
        sequence.db_insert_record(record)
        assert sequence.db_save_records() == 1
        ((_, value),) = database.iterate_records(namespace=sequence.db_namespace())
        return unpack(value)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC", "+05:30"])
@pytest.mark.parametrize("number", range(len(TYPICAL)))
def test_the_stored_pickle_is_pythons_byte_for_byte(
    number: int, zone: str, local_zone: Callable[[Any], None]
) -> None:
    local_zone(pendulum.FixedTimezone(19_800) if zone[0] == "+" else pendulum.timezone(zone))
    record = TYPICAL[number].model_copy(deep=True)
    record.date_time = to_datetime("2025-10-26T01:30:15.123456Z")
    assert stored_pickle(record) == pickle.dumps(record.model_dump(), protocol=5)


FIELDS: Final = st.fixed_dictionaries(
    {},
    optional={
        "power_w": st.floats() | st.none(),
        "mode": st.text(max_size=300) | st.none(),
        "active": st.booleans() | st.none(),
        "cycles": st.integers(-(2**80), 2**80) | st.none(),
        "tags": st.lists(st.text(max_size=8), max_size=4),
        "configured_data": st.dictionaries(
            st.text(max_size=8), st.floats() | st.integers() | st.text() | st.none(), max_size=4
        ),
    },
)


@hypothesis_settings(derandomize=True, max_examples=100, deadline=None)
@given(fields=FIELDS, second=st.integers(-62_135_510_400, 253_402_214_400))
def test_random_records_are_stored_byte_for_byte(fields: dict[str, Any], second: int) -> None:
    record = DeviceRecord(date_time=to_datetime(second, in_timezone="UTC"), **fields)
    assert stored_pickle(record, level=0) == pickle.dumps(record.model_dump(), protocol=5)
