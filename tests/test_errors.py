"""Every error is an EosdbError and also what Akkudoktor-EOS raises in its place."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest

from eosdb import errors

BUILT_IN = {
    "ArgumentTypeError": TypeError,
    "ConflictError": RuntimeError,
    "ConservationError": RuntimeError,
    "DamagedDatabaseError": RuntimeError,
    "DamagedRecordError": ValueError,
    "DatabaseClosedError": RuntimeError,
    "DiskFullError": RuntimeError,
    "DuplicateRecordError": ValueError,
    "ForeignProcessError": RuntimeError,
    "ForkedError": RuntimeError,
    "IntervalError": ZeroDivisionError,
    "InvalidArgumentError": ValueError,
    "InvalidKeyError": ValueError,
    "InvalidNamespaceError": ValueError,
    "LoadPhaseError": RuntimeError,
    "MissingDependencyError": ImportError,
    "NaiveDatetimeError": ValueError,
    "ReadOnlyError": RuntimeError,
    "StorageError": RuntimeError,
    "TimestampRangeError": ValueError,
    "UnknownEosError": RuntimeError,
    "UnknownKeyError": KeyError,
}


def test_table_is_complete() -> None:
    assert {*BUILT_IN, "EosdbError"} == set(errors.__all__)


@pytest.mark.parametrize(("name", "built_in"), BUILT_IN.items())
def test_kinds(name: str, built_in: type[Exception]) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, errors.EosdbError)
    assert issubclass(kind, built_in)
    assert kind.__doc__


@pytest.mark.parametrize(
    "kind",
    [
        errors.DiskFullError,
        errors.ReadOnlyError,
        errors.ForkedError,
        errors.ForeignProcessError,
    ],
)
def test_storage_errors_share_a_base(kind: type[Exception]) -> None:
    assert issubclass(kind, errors.StorageError)


def test_an_interval_is_refused_as_pandas_does_for_any_reason() -> None:
    assert issubclass(errors.IntervalError, ValueError)
    assert issubclass(errors.IntervalError, OverflowError)


def test_unknown_key_reads_without_extra_quotes() -> None:
    assert str(errors.UnknownKeyError("no key 'x'")) == "no key 'x'"
    assert str(errors.UnknownKeyError()) == ""


@pytest.mark.parametrize("through", [lambda error: error, lambda e: pickle.loads(pickle.dumps(e))])
def test_damaged_record_names_the_place_and_the_cause(
    through: Callable[[Exception], errors.DamagedRecordError],
) -> None:
    error = through(
        errors.DamagedRecordError(
            "the value is damaged", namespace="house", key="20240101T000000Z", cause="cut short"
        )
    )
    assert str(error) == "the value is damaged"
    assert (error.namespace, error.key, error.cause) == ("house", "20240101T000000Z", "cut short")
