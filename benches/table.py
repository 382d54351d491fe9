"""The lines of the benchmark's tables, their bars, and how they are printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contenders import Case, Contender
from subject import LOOKUPS

EngineAnswers = dict[str, dict[str, Any]]

BARS_FROM_ROWS = 100_000
Answers = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Operation:
    """A line of the table.

    Attributes:
        name: What the worker calls it.
        label: What the reader calls it.
        unit: `record` or `lookup` for a mean time each, `total` for the whole, `bytes` a row.
        bar: What eosdb has to reach: a ratio, or for bytes a number not to exceed; by gzip level
            where it depends on it; None where there is none.
    """

    name: str
    label: str
    unit: str
    bar: float | dict[int, float] | None

    def bar_at(self, level: int) -> float | None:
        """Return the bar that holds at a gzip level, None where there is none."""
        return self.bar.get(level) if isinstance(self.bar, dict) else self.bar


@dataclass(frozen=True)
class Comparison:
    """A line that holds eosdb against something else than a contender.

    Attributes:
        label: What is compared.
        ours: The operation of eosdb.
        name: What the worker calls the other side.
        other: What the reader calls the other side.
        bar: The ratio to reach, None where there is none.
    """

    label: str
    ours: str
    name: str
    other: str
    bar: float | None


WRITING = (
    Operation("insert", "insert, one record at a time", "record", 20),
    Operation("save", "save (eosdb syncs, the other does not)", "record", {9: 3, 0: 4}),
)
FINDING = (
    Operation("count", "count, nothing loaded", "total", 1_000),
    Operation("load", "open, load everything", "total", 100),
    Operation("load_objects", "the same, every record an object", "record", 15),
    Operation("iterate", "iterate over built objects", "record", 50),
    Operation("exact", "look up, exact", "lookup", 25),
    Operation("nearest", "look up, nearest", "lookup", 25),
    Operation("nearest_within", "look up, nearest in a window", "lookup", 25),
)
START = Operation("start", "start a process, import", "total", None)
READ_FIRST = Operation("read_first", "just started: open, hourly mean of all", "total", 120)
READING = (
    Operation("read_again", "hourly mean of all, rows loaded", "total", 1_000),
    Operation("read_day", "last day at 15 minutes, rows loaded", "total", 5_000),
    Operation("frame", "to_dataframe, rows loaded", "total", 40),
    Operation("read_live", "hourly mean of all, records built", "total", 300),
)
COMPACTING = Operation("compact", "open, compact to the default tiers", "total", 120)
VACUUMING = Operation("vacuum", "open, vacuum the older half", "total", 100)
DELETING = Operation("delete", "open, delete the older half, save", "total", 100)
MEMORY = Operation("memory", "memory per loaded row", "bytes", 100)
DISK = Operation("disk", "disk per row", "bytes", {9: 320})
# What a column store does as well.
COLUMNAR = (
    Operation("read_opened", "open, hourly mean of all", "total", None),
    Operation("append", "open, one more record on disk", "total", None),
)
TABLE = (
    *(*WRITING, *FINDING, START, READ_FIRST, *READING),
    *(COMPACTING, VACUUMING, DELETING, MEMORY, DISK),
)

FLOOR_NAME = "floor"
COMPARISONS = (
    Comparison("hourly mean of all, rows loaded", "read_again", "pandas", "pandas' resample", 1),
    Comparison("just started: open, hourly mean", "read_first", FLOOR_NAME, "floor", None),
    Comparison("four keys, opened", "keys_opened", "keys_opened_apart", "four calls", None),
    Comparison("four keys, rows loaded", "keys_again", "keys_again_apart", "four calls", None),
)


def figure(operation: Operation, answer: dict[str, Any], rows: int) -> float:
    """Return what a line compares: seconds each, seconds in all, or bytes a row."""
    if operation.unit == "bytes":
        return float(answer["bytes"])
    divisor = {"record": rows, "lookup": LOOKUPS, "total": 1}[operation.unit]
    return float(answer["seconds"]) / divisor


def in_words(unit: str, value: float) -> str:
    """Return a figure with its unit."""
    if unit == "bytes":
        return f"{value:,.0f} B"
    for factor, name in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1:
            return f"{value * factor:.3g} {name}"
    return f"{value * 1e9:.0f} ns"


def verdict(
    bar: float | None, ours: float, ratio: float, *, in_bytes: bool, binding: bool
) -> tuple[str, str]:
    """Return a bar in words, and whether it is met; open where it does not bind."""
    if bar is None:
        return "", ""
    text = f"≤ {bar:,.0f} B" if in_bytes else f"≥ {bar:,.0f}"
    if not binding:
        return text, ""
    return text, "met" if (ours <= bar if in_bytes else ratio >= bar) else "missed"


def shown(ratio: float) -> str:
    """Return a ratio as text."""
    if ratio < 10:
        return f"{ratio:.2f}"
    return f"{ratio:,.1f}" if ratio < 100 else f"{ratio:,.0f}"


@dataclass(frozen=True)
class Table:
    """A table to be shown.

    Attributes:
        title: What it is about.
        heads: The heads of its columns; the first column holds text.
        rows: The cells, as text.
        note: What has to be said below it.
    """

    title: str
    heads: list[str]
    rows: list[list[str]]
    note: str = ""

    def as_text(self) -> str:
        """Return it for a terminal."""
        lines = [self.heads, *self.rows]
        widths = [max(len(line[at]) for line in lines) for at in range(len(self.heads))]
        shown = [
            "  ".join(
                cell.ljust(width) if at == 0 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, *shown, *([f"({self.note})"] if self.note else [])])

    def as_markdown(self) -> str:
        """Return it for the documentation."""
        lines = [self.heads, ["---", *["---:"] * (len(self.heads) - 1)], *self.rows]
        shown = ["| " + " | ".join(line) + " |" for line in lines]
        return "\n".join([f"**{self.title}**", "", *shown, *(["", self.note] if self.note else [])])


def tables(
    case: Case, contenders: list[Contender], answers: Answers, engines: EngineAnswers
) -> list[Table]:
    """Return what was measured with one case as tables.

    Args:
        case: What it was measured with.
        contenders: The implementations; ratios are against the real Akkudoktor-EOS where that ran.
        answers: The answers by operation and implementation.
        engines: The answers of column stores, by engine and operation.
    """
    return [
        _operations(case, contenders, answers),
        _comparisons(case, answers),
        *([_column_stores(answers, engines)] if engines else []),
    ]


def _operations(case: Case, contenders: list[Contender], answers: Answers) -> Table:
    names = [contender.name for contender in contenders]
    rival = "upstream" if "upstream" in names else "reference"
    binding = case.rows >= BARS_FROM_ROWS
    rows = []
    for operation in TABLE:
        values = {
            name: figure(operation, answers[operation.name][name], case.rows) for name in names
        }
        ours = values["eosdb"]
        ratio = values[rival] / ours
        bar, met = verdict(
            operation.bar_at(case.level),
            ours,
            ratio,
            in_bytes=operation.unit == "bytes",
            binding=binding,
        )
        figures = [in_words(operation.unit, values[name]) for name in names]
        rows.append([operation.label, shown(ratio), bar, met, *figures])
    note = "" if binding else f"The bars hold for {BARS_FROM_ROWS:,} rows."
    return Table(str(case), ["operation", "ratio", "bar", "", *names], rows, note)


def _comparisons(case: Case, answers: Answers) -> Table:
    rows = []
    for line in COMPARISONS:
        ours, other = (answers[name]["eosdb"]["seconds"] for name in (line.ours, line.name))
        bar, met = verdict(
            line.bar, ours, other / ours, in_bytes=False, binding=case.rows >= BARS_FROM_ROWS
        )
        figures = [in_words("total", other), in_words("total", ours)]
        rows.append([line.label, line.other, shown(other / ours), bar, met, *figures])
    heads = ["operation", "against", "ratio", "bar", "", "other", "eosdb"]
    return Table("eosdb against others", heads, rows)


def _column_stores(answers: Answers, engines: EngineAnswers) -> Table:
    ours = {line.name: answers[line.name]["eosdb"] for line in (*COLUMNAR, DISK)}
    rows = [
        [
            name,
            *(in_words("total", found[line.name]["seconds"]) for line in COLUMNAR),
            in_words("bytes", found[DISK.name]["bytes"]),
        ]
        for name, found in (("eosdb", ours), *engines.items())
    ]
    heads = ["engine", *(line.label for line in COLUMNAR), DISK.label]
    return Table(
        "The same rows in column stores", heads, rows, "Parquet: one more row is a new file."
    )
