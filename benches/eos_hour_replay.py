"""The replay of `eos_hour.py`, in an interpreter of Akkudoktor-EOS."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import inspect
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from eos_hour import METERS, PACKAGE, PUT_SECONDS, PUTS, PUTS_A_RUN, STORED


class Replay:
    """The replay in one process.

    Attributes:
        took: Seconds of each call, by operation.
        read: What was read, in order.
    """

    def __init__(self, stored_until: int) -> None:
        """Prepare to replay.

        Args:
            stored_until: The instant of the last stored record, in UTC seconds.
        """
        self.stored_until = stored_until
        self.took: dict[str, list[float]] = {}
        self.read: list[Any] = []

    async def timed(self, name: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what a call returns, or what its coroutine does, and note how long it took."""
        started = time.perf_counter()
        result = await _awaited(call(*args, **kwargs))
        self.took.setdefault(name, []).append(time.perf_counter() - started)
        return result

    async def run(self) -> None:
        """Replay the hour."""
        core = importlib.import_module("akkudoktoreos.core.coreabc")
        times = importlib.import_module("akkudoktoreos.utils.datetimeutil")
        config = core.get_config(init=True)
        config.database.provider = "LMDB"
        config.measurement.load_emr_keys = [METERS[0]]
        config.measurement.grid_import_emr_keys = [METERS[1]]
        database = core.get_database()
        await _awaited(database.open())
        measurement = core.get_measurement(init=True)
        await self.timed("load at start", measurement.load)
        for number in range(1, PUTS + 1):
            second = self.stored_until + number * PUT_SECONDS
            instant = times.to_datetime(second, in_timezone="UTC")
            values = dict.fromkeys(METERS, 1000.0 + number / 100)
            await self.timed("take in a measurement", measurement.update_value, instant, values)
            await self.timed("save", measurement.save)
            if number % PUTS_A_RUN == 0:
                await self.optimise(measurement, times.to_duration, instant.add(hours=1))
        count = await self.timed("count", measurement.db_count_records)
        if count != STORED + PUTS:
            sys.exit(f"there are {count} records instead of {STORED + PUTS}")
        await self.timed("compact", measurement.db_compact)
        await self.timed("vacuum", measurement.db_vacuum)
        await _awaited(database.close())

    async def optimise(self, measurement: Any, to_duration: Callable[[str], Any], end: Any) -> None:
        """Read what an optimisation run reads."""
        for days, interval in ((2, "1 hour"), (2, "15 minutes"), (14, "1 hour")):
            window = {"start_datetime": end.subtract(days=days), "end_datetime": end}
            for key in METERS:
                array = await self.timed(
                    f"key_to_array, {days} days by {interval}",
                    measurement.key_to_array,
                    key,
                    interval=to_duration(interval),
                    **window,
                )
                self.read.append([round(float(value), 6) for value in array])
        total = await self.timed(
            "load_total_kwh, 7 days",
            measurement.load_total_kwh,
            start_datetime=end.subtract(days=7),
            end_datetime=end,
            interval=to_duration("1 hour"),
        )
        self.read.append([round(float(value), 6) for value in total])


async def _awaited(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


def main(stored_until: int, *, with_eosdb: bool) -> None:
    """Replay, and print the seconds and digests of what was read, as JSON."""
    if with_eosdb:
        sys.path.insert(0, str(PACKAGE))
        importlib.import_module("eosdb.akkudoktoreos").install()
    importlib.import_module("loguru").logger.remove()
    replay = Replay(stored_until)
    asyncio.run(replay.run())
    digests = [hashlib.sha256(json.dumps(read).encode()).hexdigest() for read in replay.read]
    print(json.dumps({"took": replay.took, "read": digests}))


if __name__ == "__main__":
    main(int(sys.argv[1]), with_eosdb=sys.argv[2] == "with")
