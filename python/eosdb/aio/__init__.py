"""eosdb for asynchronous programs: the same classes, whose methods are awaited.

What reads, writes or computes is done in threads, so that the event loop goes on meanwhile::

    import asyncio
    from eosdb import aio

    class House(aio.DataSequence):
        records: list[Power] = []

        def db_namespace(self) -> str:
            return "house"

    async def main():
        async with aio.LMDBDatabase("house.db") as db:
            house = House(database=db)
            await house.update_value(eosdb.to_datetime("2026-01-01T00:00:00+01:00"), power_w=310.0)
            await house.save()

    asyncio.run(main())
"""

from __future__ import annotations

from .damage import repair, verify
from .data_sequence import DataSequence
from .databases import LMDBDatabase, MemoryDatabase, SQLiteDatabase
from .mixin import DatabaseRecordMixin, DatabaseRecordProtocolMixin

__all__ = [
    "DataSequence",
    "DatabaseRecordMixin",
    "DatabaseRecordProtocolMixin",
    "LMDBDatabase",
    "MemoryDatabase",
    "SQLiteDatabase",
    "repair",
    "verify",
]
