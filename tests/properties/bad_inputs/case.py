"""What a bad input is: how a good one is spoilt, the command that meets it, and what the message must say."""

import copy
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from ranker.files import InputError
from scripts.cli import at_once, entry, keys
from scripts.cli import settings as kinds
from scripts.cli.statuses import WRONG_INPUT, guarded

Spoil = Callable[[Path], object]
LISTENER = "listener-"
"""What every user's id begins with, and nothing else."""


@dataclass(frozen=True)
class Bad:
    """call: a command and its words, called in the folder of the good input; told: parts of the message, all of which must stand in it."""

    area: str
    name: str
    spoil: Spoil
    call: tuple[str, ...]
    told: tuple[str, ...]
    status: int = WRONG_INPUT


def nothing(folder: Path) -> None:
    """The input is good; the words of the call are not."""


def column(file: str, name: str, made: Callable[[pa.ChunkedArray], object]) -> Spoil:
    """Puts another column in the place of one: of values, or an array of Arrow's."""

    def spoil(folder: Path) -> None:
        table = pq.read_table(folder / file)
        values = made(table.column(name))
        array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
        pq.write_table(table.set_column(table.schema.get_field_index(name), name, array), folder / file)

    return spoil


def first(*values: object) -> Callable[[pa.ChunkedArray], pa.Array]:
    """The column with other values in its first rows."""
    return lambda held: pa.array([*values, *held.to_pylist()[len(values) :]], held.type)


def rows(file: str, made: Callable[[pa.Table], pa.Table]) -> Spoil:
    """Puts another table in the place of one."""
    return lambda folder: pq.write_table(made(pq.read_table(folder / file)), folder / file)


def without(file: str, name: str) -> Spoil:
    return rows(file, lambda table: table.drop_columns(name))


def content(file: str, made: bytes | str) -> Spoil:
    return lambda folder: (folder / file).write_bytes(made.encode() if isinstance(made, str) else made)


def edited(file: str, old: str, new: str) -> Spoil:
    """A text file with one passage put otherwise."""

    def spoil(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text, f"{file} has no {old!r}"
        (folder / file).write_text(text.replace(old, new, 1))

    return spoil


def in_place_of(file: str, made: Callable[[Path], object]) -> Spoil:
    """Something else, or nothing, where a file stood."""

    def spoil(folder: Path) -> None:
        (folder / file).unlink()
        made(folder / file)

    return spoil


def gone(path: Path) -> None:
    """Nothing is put in its place."""


def held(folder: Path) -> Mapping[str, bytes]:
    """Every file below a folder with what it holds."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
        if not path.is_fifo() and path.name != "gates.json"  # which says what refused
    }


def called(words: Sequence[str], base: DictConfig) -> tuple[int, str]:
    """(exit status, everything printed) of a command, as its entry makes it of the same words; base: what Hydra composes of none."""
    command, *rest = words
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        status = guarded(command, lambda: _run(command, rest, base))
    return status, printed.getvalue()


def _run(command: str, words: Sequence[str], base: DictConfig) -> int:
    module = import_module(f"scripts.{command}" + (".__main__" if command == "console" else ""))
    if command in keys.AT_ONCE:
        needed = {"check_policy": ["policy"], "diff_policy": ["base", "policy"], "policy_schema": ["out"]}[command]
        return int(module.run(at_once.given(command, words, needed)) or 0)
    entry.forbid_environment()
    call = keys.translate(command, words, entry.CONF)
    if call.problems:
        raise InputError(call.problems)
    kind = getattr(kinds, "".join(part.title() for part in command.split("_")) + "Settings")
    overrides = OverridesParser.create().parse_overrides(list(call.hydra))
    with _overridden(base, {override.key_or_group: override.value() for override in overrides}):
        settings = entry.validated(kind, base)
    getattr(module, "main", module.run)(settings)
    return 0


@contextmanager
def _overridden(base: DictConfig, values: Mapping[str, object]) -> Iterator[None]:
    """Within it the keys have these values; a copy of all the configuration takes longer than most commands that find it wrong."""
    kept = {key.split(".")[0]: copy.deepcopy(base.get(key.split(".")[0])) for key in values}
    for key, value in values.items():
        OmegaConf.update(base, key, value, force_add=True)
    try:
        yield
    finally:
        for key, value in kept.items():
            base[key] = value
