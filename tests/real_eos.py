"""Kill the server of a real Akkudoktor-EOS on eosdb again and again, and look for what is lost.

No test of pytest's: it needs a checkout of EOS and an interpreter with what EOS depends on::

    python tests/real_eos.py --eos CHECKOUT --python CHECKOUT/.venv/bin/python --minutes 3

Measurements go in over EOS's REST API. What was acknowledged before the last completed save must be
there when the killed server has started again, and when EOS without eosdb opens the same files.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

KEYS: Final = ["load0_emr", "load1_emr", "grid0_emr", "grid1_emr", "grid2_emr"]
AUTOSAVE_S: Final = 5
SAVED_AFTER_S: Final = AUTOSAVE_S + 5 + 3
"""EOS looks every 5 seconds at what is due, counted from the last save's end: every second look
saves, and has 3 seconds for it."""
WRITERS: Final = 3
COMPLAINT: Final = re.compile(
    r"\| (?:WARNING|ERROR|CRITICAL) +\| (\S+ - .*)|^([\w.]+Error:.*)", re.MULTILINE
)
EOSDB: Final = str(Path(__file__).resolve().parents[1] / "python")

REPAIRED: Final = """
import inspect
from akkudoktoreos.core.coreabc import get_database
from akkudoktoreos.server import eos

load, register = eos.load_eos_state, eos.RetentionManager.register
async def open_and_load():
    await get_database().open()
    await load()
def register_rightly(manager, name, func, *, interval_attr, **options):
    interval = interval_attr.replace("compact_interval", "compaction_interval")
    register(manager, name, func, interval_attr=interval, **options)
if inspect.iscoroutinefunction(load):
    eos.load_eos_state = open_and_load
eos.RetentionManager.register = register_rightly
eos.main()
"""
"""A server without two defects of EOS. The synchronous one asks for a setting that does not exist,
and so runs none of its regular jobs. The asynchronous one never opens its database."""

Place = tuple[str, int]  # a key and a UTC second
say: Final = sys.stdout.write


class RefusedError(Exception):
    """The server answered with something else than 200."""


class Connection(http.client.HTTPConnection):
    """A connection to the server that stays open."""

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port, timeout=30)

    def ask(self, method: str, path: str, body: Any = None, **query: object) -> bytes:
        headers = {"content-type": "application/json"}
        self.request(method, f"/v1/{path}?{urlencode(query)}", json.dumps(body), headers)
        answer = self.getresponse()
        text = answer.read()
        if answer.status != 200:
            self.close()  # as the server may do after an error, without saying so
            raise RefusedError(f"{method} {path}: {answer.status}")
        return text

    def series(self) -> dict[Place, float]:
        """Return all measurements."""
        found: dict[Place, float] = {}
        for key in KEYS:
            series = json.loads(self.ask("GET", "measurement/series", key=key)) or {"data": {}}
            for text, value in series["data"].items():
                found[key, int(datetime.fromisoformat(text).timestamp())] = value
        return found


@dataclass
class Server:
    """A server, in a process group of its own."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def wait(self) -> Server:
        """Return when it answers."""
        end = time.monotonic() + 60
        while True:
            try:
                Connection(self.port).ask("GET", "health")
            except (OSError, http.client.HTTPException, RefusedError):
                if self.process.poll() is not None or time.monotonic() > end:
                    self.end(signal.SIGKILL)
                    raise SystemExit(f"no server:\n{self.text()[-3000:]}") from None
                time.sleep(0.1)  # nothing tells when a port is listened to
            else:
                return self

    def end(self, number: signal.Signals) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)
        self.process.wait(60)

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def show_findings(self) -> None:
        """Say what eosdb logged of the database."""
        for line in re.findall(r" - (.*(?:eosdb \d| [1-9][\d,]* records?).*)", self.text()):
            say(f"    {line}\n")


@dataclass
class Eos:
    """An EOS, with a folder of its own."""

    checkout: Path
    python: Path
    folder: Path
    provider: str
    servers: list[Server] = field(default_factory=list)
    is_repaired: bool = False

    def configure(self) -> None:
        (self.folder / "data").mkdir(parents=True)
        (self.folder / "repaired.py").write_text(REPAIRED, encoding="utf-8")
        config = {
            "general": {"data_folder_path": str(self.folder / "data")},
            "database": {
                "provider": self.provider,
                "compression_level": 9,
                "autosave_interval_sec": AUTOSAVE_S,
                "compaction_interval_sec": 10**9,  # far off: it changes values
            },
            "measurement": {"load_emr_keys": KEYS[:2], "grid_import_emr_keys": KEYS[2:]},
        }
        (self.folder / "EOS.config.json").write_text(json.dumps(config), encoding="utf-8")

    def start(self, *, with_eosdb: bool = True) -> Server:
        # EOS writes it when there is nothing to save, and reads it if the database gives nothing.
        (self.folder / "data" / "measurement.json").unlink(missing_ok=True)
        port = free_port()
        options = f"--host 127.0.0.1 --port {port} --log_level INFO --startup_eosdash False"
        paths = [str(self.checkout / "src"), *([EOSDB] if with_eosdb else [])]
        env = {**os.environ, "EOS_DIR": str(self.folder), "PYTHONPATH": os.pathsep.join(paths)}
        runner = ["-m", "eosdb.akkudoktoreos"] if with_eosdb else []
        is_repaired = self.is_repaired or not with_eosdb
        server = ["repaired.py"] if is_repaired else ["-m", "akkudoktoreos.server.eos"]
        command = [str(self.python), *runner, *server, *options.split()]
        log = self.folder / f"log.{len(self.servers)}"
        with log.open("wb") as out:
            process = subprocess.Popen(  # noqa: S603  the interpreter that we were given
                command, cwd=self.folder, env=env, stdout=out, stderr=out, start_new_session=True
            )
        self.servers.append(Server(process, port, log))
        return self.servers[-1].wait()


def free_port() -> int:
    """Return a port, another one each time: EOS waits for one that has half-closed connections."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


@dataclass
class Ledger:
    """What was sent, and what of it must be there."""

    kinds: list[str] = field(default_factory=list)
    sent: dict[Place, float] = field(default_factory=dict)
    acknowledged: dict[Place, float] = field(default_factory=dict)  # since the start, and when
    saves: list[float] = field(default_factory=list)  # when those began that were answered
    kept: set[Place] = field(default_factory=set)  # was there after a start: must stay
    times: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    seconds: count[int] = field(default_factory=lambda: count(int(time.time()) - 10**6))

    def put(self, connection: Connection, kind: str, rows: dict[Place, float]) -> bool:
        """Send measurements; return whether they were acknowledged."""
        body, query = request(kind, rows)
        with self.lock:
            self.sent |= rows
        begun = time.monotonic()
        try:
            connection.ask("PUT", f"measurement/{kind}", body, **query)
        except RefusedError as error:
            self.refused[str(error)] += 1
            return False
        with self.lock:
            self.times.append(time.monotonic() - begun)
            self.acknowledged |= dict.fromkeys(rows, time.monotonic())
        return True


def iso(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()


def request(kind: str, rows: dict[Place, float]) -> tuple[Any, dict[str, Any]]:
    """Return the body and the query that send rows, one for each pair of a key and a second."""
    keys = list(dict.fromkeys(key for key, _ in rows))
    seconds = list(dict.fromkeys(second for _, second in rows))
    first, start = keys[0], iso(seconds[0])
    if kind == "value":
        return None, {"datetime": start, "key": first, "value": rows[first, seconds[0]]}
    if kind == "series":
        return {"data": {iso(s): rows[first, s] for s in seconds}}, {"key": first}
    if kind == "dataframe":
        return {"data": {iso(s): {key: rows[key, s] for key in keys} for s in seconds}}, {}
    data = {key: [rows[key, s] for s in seconds] for key in keys}
    return {"start_datetime": start, "interval": "1 second", **data}, {}


def write(port: int, ledger: Ledger, chance: random.Random, stop: threading.Event) -> None:
    """Send measurements until told to stop."""
    connection = Connection(port)
    while not stop.is_set():
        kind = chance.choice(ledger.kinds)
        with ledger.lock:
            seconds = [next(ledger.seconds) for _ in range(1 if kind == "value" else 3)]
        keys = chance.sample(KEYS, 2)
        # A second request with another key merges into the records that the first one made.
        for part in [keys] if kind in {"dataframe", "data"} else [keys[:1], keys[1:]]:
            rows = {(key, s): round(chance.uniform(0, 1e4), 3) for key in part for s in seconds}
            ledger.put(connection, kind, rows)


def save(port: int, ledger: Ledger, chance: random.Random, stop: threading.Event) -> None:
    """Have the server save from time to time, if it can."""
    connection = Connection(port)
    while not stop.wait(chance.uniform(0.5, 4)):
        begun = time.monotonic()
        connection.ask("POST", "admin/database/save")
        ledger.saves.append(begun)


@dataclass
class Trial:
    """The rounds of one EOS, and their figures."""

    eos: Eos
    chance: random.Random
    ledger: Ledger = field(default_factory=Ledger)
    totals: Counter[str] = field(default_factory=Counter)
    complaints: Counter[str] = field(default_factory=Counter)

    def end(self, server: Server, number: signal.Signals) -> None:
        server.end(number)
        for line in COMPLAINT.findall(server.text()):
            self.complaints[re.sub(r"\d+", "…", "".join(line))[:150]] += 1

    def probe(self) -> None:
        """Find out what this EOS can do: not all that a version offers works."""
        server = self.eos.start()
        connection = Connection(server.port)
        for kind in ("value", "series", "dataframe", "data"):
            if self.ledger.put(connection, kind, {(KEYS[0], next(self.ledger.seconds)): 1.0}):
                self.ledger.kinds.append(kind)
        threading.Event().wait(SAVED_AFTER_S)
        server.end(signal.SIGKILL)
        server = self.eos.start()
        if not Connection(server.port).series():
            say("as it is, EOS saves nothing to its database by itself: run repaired\n")
            self.eos.is_repaired = True
            self.ledger.acknowledged.clear()
        server.end(signal.SIGKILL)

    def write(self, server: Server, number: signal.Signals, seconds: float) -> float:
        """Write for some seconds and end the server; return the time up to which all is saved."""
        stop, died = threading.Event(), []

        def run(job: Any, chance: random.Random) -> None:
            try:
                job(server.port, self.ledger, chance, stop)
            except RefusedError as error:
                self.ledger.refused[str(error)] += 1
            except (OSError, http.client.HTTPException) as error:
                died.append(error)

        jobs = [write] * WRITERS + [save]
        seeded = [(job, random.Random(self.chance.random())) for job in jobs]
        threads = [threading.Thread(target=run, args=each) for each in seeded]
        for thread in threads:
            thread.start()
        stop.wait(seconds)
        if died:
            raise SystemExit(f"the server gave up: {died}\n{server.text()[-3000:]}")
        is_killed, end = number == signal.SIGKILL, time.monotonic()
        if is_killed:
            server.end(number)  # in the middle of requests
        stop.set()
        for thread in threads:
            thread.join()
        self.end(server, number)
        return max([end - SAVED_AFTER_S, *self.ledger.saves]) if is_killed else time.monotonic()

    def check(self, title: str, server: Server, until: float) -> None:
        """Compare what a server has with what it must have."""
        ledger, connection = self.ledger, Connection(server.port)
        found = connection.series()
        connection.close()
        saved = {place for place, time_ in ledger.acknowledged.items() if time_ <= until}
        later = ledger.acknowledged.keys() - saved
        lost = sorted((ledger.kept | saved) - found.keys())
        wrong = sorted(place for place in found if ledger.sent.get(place) != found[place])
        figures = Counter(
            acknowledged=len(ledger.acknowledged),
            saved=len(saved),
            found=len(saved & found.keys()),
            found_of_later=len(later & found.keys()),
            lost=len(lost) + len(wrong),
        )
        say(f"{title}: {dict(figures)}, now {len(found)}\n")
        for place in (lost + wrong)[:5]:
            say(f"    {place}: sent {ledger.sent.get(place)}, found {found.get(place)}\n")
        self.totals.update(figures, rounds=1)
        ledger.kept = set(found)
        ledger.acknowledged.clear()
        ledger.saves.clear()

    def run(self, minutes: float) -> None:
        """Kill and start again for some minutes, then hand the files over to EOS and back."""
        server = self.eos.start()
        end = time.monotonic() + minutes * 60
        while time.monotonic() < end:
            until = self.write(server, signal.SIGKILL, self.chance.uniform(2, 28))
            server = self.eos.start()
            self.check("killed", server, until)
        for title, with_eosdb in (("stopped", True), ("without eosdb", False), ("again", True)):
            until = self.write(server, signal.SIGTERM, 3)
            server = self.eos.start(with_eosdb=with_eosdb)
            server.show_findings()
            self.check(title, server, until)
        self.end(server, signal.SIGTERM)

    def report(self) -> None:
        times = sorted(1000 * time_ for time_ in self.ledger.times)
        median, p95 = (times[int(len(times) * share)] for share in (0.5, 0.95))
        say(f"in all: {dict(self.totals)}\n{len(times)} PUTs of {', '.join(self.ledger.kinds)}, ")
        say(f"{WRITERS} at a time: median {median:.1f} ms, p95 {p95:.1f} ms\n")
        for what, number in [*self.ledger.refused.items(), *self.complaints.most_common(20)]:
            say(f"{number} times: {what}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--eos", type=Path, required=True, help="a checkout of EOS")
    parser.add_argument("--python", type=Path, required=True, help="an interpreter that runs it")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--provider", choices=["LMDB", "SQLite"], default="LMDB")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="real_eos_"))
    # An environment is found by the place of its interpreter, which is a link: not resolved.
    eos = Eos(options.eos.resolve(), options.python.absolute(), folder, options.provider)
    eos.configure()
    trial = Trial(eos, random.Random(options.seed))
    try:
        trial.probe()
        trial.run(options.minutes)
    finally:
        for server in eos.servers:
            server.end(signal.SIGKILL)
    trial.report()
    if trial.totals["lost"]:
        say(f"the files are left in {folder}\n")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
