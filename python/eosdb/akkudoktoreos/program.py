"""The program that is run on eosdb, by the runner and by the processes that it spawns."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType
from typing import Any

from ..errors import InvalidArgumentError

__all__ = ["Program", "execute", "find"]


@dataclass(frozen=True)
class Program:
    """A program that was found.

    Attributes:
        code: What is executed.
        file: The path of its source.
        package: The package that it belongs to; empty for a file.
    """

    code: CodeType
    file: str
    package: str


def find(name: str, *, is_module: bool) -> Program:
    """Return a program, compiled.

    Args:
        name: The name of a module or package, or the path of a Python file.
        is_module: Whether it is the name of a module.

    Raises:
        InvalidArgumentError: If there is no such module or file.
    """
    if is_module:
        return _module(name)
    try:
        source = Path(name).read_bytes()
    except OSError as error:
        is_path = name.endswith(".py") or "/" in name
        hint = "" if is_path else ": a module has -m in front of its name"
        raise InvalidArgumentError(f"'{name}': {error.strerror}{hint}") from error
    file = str(Path(name).absolute())
    # The program has no `from __future__` of ours.
    return Program(compile(source, file, "exec", dont_inherit=True), file, "")


def _module(name: str) -> Program:
    full_name = name
    if name.startswith("."):
        raise InvalidArgumentError(f"'{name}': a module to run is named in full")
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            full_name = f"{name}.__main__"
            spec = importlib.util.find_spec(full_name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise  # its package is there, and misses something else
        spec = None
    loader: Any = None if spec is None else spec.loader
    if spec is None or not hasattr(loader, "get_code"):
        raise InvalidArgumentError(f"there is no module '{full_name}' to run")
    return Program(loader.get_code(spec.name), str(spec.origin), spec.parent or "")


class _MainSpec(ModuleSpec):
    """By its name, processes that are spawned find their main module; the package is the program's.

    Python warns of relative imports in a module whose `__package__` is another than its spec says.
    """

    def __init__(self, package: str) -> None:
        super().__init__("eosdb.akkudoktoreos.spawned", None)
        self._package = package

    @property
    def parent(self) -> str:
        return self._package


def execute(program: Program, namespace: dict[str, Any]) -> None:
    """Run a program as `python` does.

    Args:
        program: The program.
        namespace: The names of the main module, `__name__` among them; it gets the program's.
    """
    namespace.update(
        __file__=program.file, __package__=program.package, __spec__=_MainSpec(program.package)
    )
    exec(program.code, namespace)  # noqa: S102  # this is what it is for
