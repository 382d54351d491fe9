"""The one configuration and the one database of a process, and classes that reach for them."""

# mypy: ignore-errors
# The package is put together from two folders when a test runs it.

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, ClassVar

_made: dict[str, Any] = {}


class classproperty:  # noqa: N801  # used as a decorator
    """A property of the class, seen on its instances too."""

    def __init__(self, getter: Callable[[type], Any]) -> None:
        self._getter = getter

    def __get__(self, _instance: object, owner: type) -> Any:
        return self._getter(owner)


def _the(name: str, module: str, init: bool) -> Any:
    if name not in _made:
        if not init:
            raise RuntimeError(f"there is no {name} yet")
        _made[name] = getattr(importlib.import_module(module), name)()
    return _made[name]


def get_config(init: bool = False) -> Any:
    """Return the configuration; it must have been made once with `init`."""
    return _the("ConfigEOS", "akkudoktoreos.config.config", init)


def get_database(init: bool = False) -> Any:
    """Return the database; it must have been made once with `init`."""
    return _the("Database", "akkudoktoreos.core.database", init)


def get_measurement(init: bool = False) -> Any:
    """Return the measurements."""
    return _the("Measurement", "akkudoktoreos.measurement.measurement", init)


def get_prediction(init: bool = False) -> Any:
    """Return the forecasts."""
    return _the("Forecast", "akkudoktoreos.prediction.forecast", init)


class ConfigMixin:
    """What reads the configuration."""

    @classproperty
    def config(cls) -> Any:  # noqa: N805  # a property of the class
        return get_config()


class DatabaseMixin:
    """What uses the database."""

    @classproperty
    def database(cls) -> Any:  # noqa: N805  # a property of the class
        return get_database()


class SingletonMixin:
    """A class with one object, which is initialised once."""

    _instances: ClassVar[dict[type, Any]] = {}
    _ready: ClassVar[set[type]] = set()

    def __new__(cls, *_args: Any, **_options: Any) -> Any:
        if cls not in SingletonMixin._instances:
            SingletonMixin._instances[cls] = super().__new__(cls)
        return SingletonMixin._instances[cls]

    def __init__(self, *args: Any, **options: Any) -> None:
        if type(self) not in SingletonMixin._ready:
            super().__init__(*args, **options)
            SingletonMixin._ready.add(type(self))

    @classmethod
    def reset_instance(cls) -> None:
        """Forget the object; the next call makes another one."""
        SingletonMixin._instances.pop(cls, None)
        SingletonMixin._ready.discard(cls)
