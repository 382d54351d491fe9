"""Which Akkudoktor-EOS is at hand, found out from its source, without importing it."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import aio, mixin
from ..errors import MissingDependencyError, UnknownEosError

__all__ = ["DATABASEABC", "Flavour", "find"]

DATABASEABC = "akkudoktoreos.core.databaseabc"
"""The module of EOS that eosdb stands in for."""

_MIXIN = "DatabaseRecordProtocolMixin"

_ADVICE = "eosdb does not know that version. Update eosdb, or run EOS without it"


@dataclass(frozen=True)
class Flavour:
    """An Akkudoktor-EOS.

    Attributes:
        path: The folder of the package `akkudoktoreos`.
        is_asynchronous: Whether the methods of its database layer are coroutines.
    """

    path: Path
    is_asynchronous: bool

    @property
    def mixin(self) -> type[Any]:
        """Our class of the same flavour."""
        if self.is_asynchronous:
            return aio.DatabaseRecordProtocolMixin
        return mixin.DatabaseRecordProtocolMixin


def find() -> Flavour:
    """Return the Akkudoktor-EOS that `import akkudoktoreos` would find.

    Raises:
        MissingDependencyError: If there is none.
        UnknownEosError: If its database layer offers what ours does not.
    """
    spec = importlib.util.find_spec("akkudoktoreos")  # of a package, which imports nothing
    locations = list(spec.submodule_search_locations or []) if spec is not None else []
    if not locations:
        raise MissingDependencyError(
            "there is no package akkudoktoreos: install Akkudoktor-EOS in this environment, or add "
            "its folder 'src' to PYTHONPATH"
        )
    path = Path(locations[0])
    source = path / "core" / "databaseabc.py"
    if not source.is_file():
        raise UnknownEosError(
            f"Akkudoktor-EOS at '{path}' has no database layer (core/databaseabc.py): it is older "
            "or newer than any that eosdb knows. Run it without eosdb"
        )
    return _checked(path, ast.parse(source.read_text(encoding="utf-8"), str(source)))


def _checked(path: Path, source: ast.Module) -> Flavour:
    """Return the flavour of an EOS whose database layer has this source."""
    classes = {node.name: node for node in source.body if isinstance(node, ast.ClassDef)}
    if _MIXIN not in classes:
        raise UnknownEosError(f"Akkudoktor-EOS at '{path}' has no class {_MIXIN}: {_ADVICE}")
    methods = {
        node.name: node
        for node in classes[_MIXIN].body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("db_")
    }
    save = methods.get("db_save_records")
    flavour = Flavour(path, isinstance(save, ast.AsyncFunctionDef))
    for name, method in methods.items():
        ours = getattr(flavour.mixin, name, None)
        if ours is None:
            raise UnknownEosError(f"Akkudoktor-EOS at '{path}' has {_MIXIN}.{name}: {_ADVICE}")
        if isinstance(method, ast.AsyncFunctionDef) != _is_asynchronous(ours):
            raise UnknownEosError(
                f"{_MIXIN}.{name} of Akkudoktor-EOS at '{path}' is asynchronous where ours is not, "
                f"or the other way round: {_ADVICE}"
            )
        unknown = _parameters(method) - _parameters_of(ours)
        if unknown:
            raise UnknownEosError(
                f"{_MIXIN}.{name} of Akkudoktor-EOS at '{path}' takes {sorted(unknown)}: {_ADVICE}"
            )
    return flavour


def _is_asynchronous(method: Any) -> bool:
    return inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)


def _parameters(method: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    arguments = method.args
    return {
        argument.arg for argument in arguments.posonlyargs + arguments.args + arguments.kwonlyargs
    }


def _parameters_of(method: Any) -> set[str]:
    function: Any = method.fget if isinstance(method, property) else method
    return set(inspect.signature(function).parameters)
