"""A pytest plugin that runs the tests of Akkudoktor-EOS on eosdb.

::

    pytest -p eosdb.akkudoktoreos.pytest_plugin
"""

from __future__ import annotations

import pytest

from ..errors import EosdbError
from . import install

__all__ = ["pytest_configure", "pytest_load_initial_conftests"]


def pytest_load_initial_conftests() -> None:
    """Install eosdb: after pytest's option `pythonpath` took effect, before any conftest is loaded.

    Raises:
        pytest.UsageError: If there is no EOS, or none that eosdb knows.
    """
    try:
        install()
    except EosdbError as error:
        raise pytest.UsageError(f"eosdb: {error}") from error


def pytest_configure() -> None:
    """Install eosdb where a conftest names this plugin, for which the other hook is too late.

    Raises:
        pytest.UsageError: As there, or if the conftest has imported EOS already.
    """
    pytest_load_initial_conftests()
