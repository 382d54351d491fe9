"""The program that is run on eosdb, by the runner and by the processes that it spawns."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import CodeType
from typing import Any

__all__ = ["execute"]


def execute(program: str, namespace: dict[str, Any], *, is_module: bool) -> None:
    """Run a program as `python` does.

    Args:
        program: The name of a module or package, or the path of a Python file.
        namespace: The names of the main module, `__name__` among them; it gets the program's.
        is_module: Whether `program` is the name of a module.

    Raises:
        ImportError: If there is no such module.
        OSError: If there is no such file.
    """
    package = ""
    if is_module:
        code, file, package = _module(program)
    else:
        file = str(Path(program).absolute())
        code = compile(Path(program).read_bytes(), file, "exec")
    namespace.update(__file__=file, __package__=package)
    exec(code, namespace)  # noqa: S102  # this is what it is for


def _module(name: str) -> tuple[CodeType, str, str]:
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.submodule_search_locations is not None:
        name = f"{name}.__main__"
        spec = importlib.util.find_spec(name)
    loader: Any = None if spec is None else spec.loader
    if spec is None or not hasattr(loader, "get_code"):
        raise ImportError(f"no module named {name!r} to run", name=name)
    return loader.get_code(spec.name), str(spec.origin), spec.parent or ""
