"""Standing in for modules of Akkudoktor-EOS, and adding to others, as they are imported."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["Finder"]

Change = Callable[[ModuleType], None]


class Finder(importlib.abc.MetaPathFinder):
    """Finds the modules that we fill, and those that we change once they have run."""

    def __init__(self, filled: Mapping[str, Change], changed: Mapping[str, Change]) -> None:
        """Describe the modules.

        Args:
            filled: What fills a new module, by the module's name.
            changed: What changes a module after its own code has run, by the module's name.
        """
        self._filled = filled
        self._changed = changed

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return how to import one of the modules; `None` for any other."""
        fill = self._filled.get(fullname)
        if fill is not None:
            return ModuleSpec(fullname, _Filling(fill), origin="eosdb")
        change = self._changed.get(fullname)
        if change is None:
            return None
        spec = _found(self, fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Changing(spec.loader, change)
        return spec


def _found(
    finder: Finder, fullname: str, path: Sequence[str] | None, target: ModuleType | None
) -> ModuleSpec | None:
    """Return the spec that the other finders have for a module."""
    for other in sys.meta_path:
        if other is finder or not hasattr(other, "find_spec"):
            continue
        spec = other.find_spec(fullname, path, target)
        if spec is not None:
            return spec
    return None


class _Filling(importlib.abc.Loader):
    def __init__(self, fill: Change) -> None:
        self._fill = fill

    def exec_module(self, module: ModuleType) -> None:
        self._fill(module)


class _Changing(importlib.abc.Loader):
    """A loader that changes the module another one has made."""

    def __init__(self, loader: importlib.abc.Loader, change: Change) -> None:
        self._loader = loader
        self._change = change

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._change(module)

    def __getattr__(self, name: str) -> object:
        # Sources, file names and the like, for tracebacks and for `inspect`.
        return getattr(self._loader, name)
