"""What benchmarks have in common: files of figures that only grow, so that what several calls measured adds up, and tables of them.

A figure is one JSON line, which says when, where and by which version of the program it was measured. Of several lines of one figure
the last counts. A line that an interruption cut off is no line.
"""

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from textwrap import fill
from typing import Protocol

from ranker.files import InputError

PACKAGES = ("ortools", "scipy", "numpy", "numba")
GIB = 2.0**30
WIDTH = 120  # characters of a line of text in a document
ROOT = Path(__file__).resolve().parents[2]


class Measured(Protocol):
    """A frozen record of figures; `key` is what it is of, alike in whatever replaces it."""

    @property
    def key(self) -> tuple[object, ...]: ...


@dataclass(frozen=True)
class KeptRecord:
    """A figure and its circumstances. fresh: whether this program on this machine would measure the same thing."""

    figure: Measured
    day: str
    machine: str
    program: str
    fresh: bool


@dataclass(frozen=True)
class Results:
    """The figures in one file. program: which version of the code a figure depends on."""

    path: Path
    kinds: Sequence[type]
    program: Callable[[Measured], str]
    machine: str

    def add(self, figure: Measured) -> None:
        line = {"kind": type(figure).__name__, "day": f"{datetime.now(UTC):%Y-%m-%d}", "machine": self.machine}
        line |= {"program": self.program(figure), "figure": asdict(figure)}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def newest(self) -> list[KeptRecord]:
        """One for each thing measured, in the order of first measurement. Raises InputError where the file holds something else."""
        found: dict[tuple[object, ...], KeptRecord] = {}
        lines = self.path.read_text().splitlines(keepends=True) if self.path.exists() else []
        for number, line in enumerate(lines, 1):
            if line.endswith("\n"):
                kept = self._read(line, f"{self.path}:{number}")
                found[kind_and_key(kept.figure)] = kept
        return list(found.values())

    def _read(self, line: str, place: str) -> KeptRecord:
        kinds = {kind.__name__: kind for kind in self.kinds}
        try:
            held = json.loads(line)
            figure = kinds[held["kind"]](**held["figure"])
            fresh = (held["machine"], held["program"]) == (self.machine, self.program(figure))
            return KeptRecord(figure, held["day"], held["machine"], held["program"], fresh)
        except (ValueError, KeyError, TypeError):
            raise InputError([f"{place}: is not a figure of this benchmark; take the line or the file away"]) from None


@dataclass(frozen=True)
class MeasuredTable:
    """Cells are text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    @property
    def markdown(self) -> str:
        lines = (self.columns, ["---"] * len(self.columns), *self.rows)
        return f"**{self.title}**\n\n" + "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


@dataclass(frozen=True)
class Block:
    """What a benchmark shows: where it was measured, tables, and the legend of their columns, a sentence or two per item."""

    opening: str
    tables: Sequence[MeasuredTable]
    legend: Sequence[str]

    @property
    def markdown(self) -> str:
        legend = "\n".join(_wrapped(f"- {item}", "  ") for item in self.legend)
        return "\n\n".join([_wrapped(self.opening), *(table.markdown for table in self.tables), legend])


def _wrapped(text: str, indent: str = "") -> str:
    return fill(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def kind_and_key(figure: Measured) -> tuple[object, ...]:
    return type(figure).__name__, *figure.key


@cache
def sources_digest(places: Sequence[str]) -> str:
    """Of the Python files in these folders and of these files, from the root of the program."""
    files = sorted(file for place in places for file in _python_files(ROOT / place))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _python_files(place: Path) -> Iterable[Path]:
    return place.rglob("*.py") if place.is_dir() else [place]


def machine(packages: Sequence[str] = PACKAGES) -> str:
    """Cores, memory, GPU and versions of what is measured, in words."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    gpu = "no GPU" if shutil.which("nvidia-smi") is None else "a GPU"
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {gpu}; Python {platform.python_version()}, {versions}"


def circumstances(kept: Sequence[KeptRecord]) -> tuple[str, Mapping[str, str]]:
    """A sentence with every machine and day, and per machine the mark of its rows; the first one's have none."""
    machines = list(dict.fromkeys(each.machine for each in kept))
    marks = {name: "" if number == 1 else f" ({number})" for number, name in enumerate(machines, 1)}
    told = []
    for name in machines:
        days = sorted({each.day for each in kept if each.machine == name})
        told.append(f"{marks[name].strip()} {name}, {days[0]}{f' to {days[-1]}' if len(days) > 1 else ''}".strip())
    return "; ".join(told), marks
