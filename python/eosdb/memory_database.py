"""The database that lives in memory only."""

from __future__ import annotations

from typing import Any

from ._core import Store
from .native_database import NativeDatabase

__all__ = ["MemoryDatabase"]


class MemoryDatabase(NativeDatabase):
    """A database in memory, for tests and for trying things out: closing it forgets everything.

    Example:
        >>> with MemoryDatabase() as db:
        ...     db.save_records([(b"20260101T000000Z", b"value")], "house")
        1
    """

    def provider_id(self) -> str:
        """Return `"Memory"`."""
        return "Memory"

    def _open_store(self) -> Store:
        return Store.memory()

    def get_backend_stats(self, namespace: str | None = None) -> dict[str, Any]:
        """Return figures about a namespace; empty if the database is closed."""
        if not self.is_open:
            return {}
        namespace = self._namespace(namespace)
        entries = self._store.stats(namespace)["entries"]
        return {"backend": "memory", "entries": entries, "namespace": namespace}
