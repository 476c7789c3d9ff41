"""What a notebook hands over, as the files and folders that commands read: a path as it is, frames and mappings written down."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import pyarrow as pa

from ranker import disk
from ranker.catalogue import CATALOGUE_FILE
from ranker.files import InputError, json_text
from ranker.log_schema import SCHEMA_FILE
from scripts.cli.keys import did_you_mean
from scripts.cli.shipped import CONF, policy_file
from scripts.library.results import VerbResult
from scripts.runs.digests import plain

Frame: TypeAlias = pd.DataFrame | pa.Table
Place = Path | str
Parts = Mapping[str, Any]
"""Name -> frame, or the content of a JSON file, or the path of one."""

PART = "part-00000.parquet"
JSON = {"schema": SCHEMA_FILE, "catalogue": CATALOGUE_FILE}
TABLES = ("users", "exposures", "outcomes")


@dataclass(frozen=True)
class HandedOver:
    """A folder for what is handed over as frames; it is gone when the verb ends."""

    folder: Path

    def tables(self, value: "Parts | Place | VerbResult") -> Path:
        """`users`, `exposures` and `outcomes` as frames, `schema` and `catalogue`."""
        return self._folder("tables", value, {name: name for name in TABLES}, ("schema", "catalogue"))

    def logs(self, value: "Parts | Place | VerbResult", name: str = "logs") -> Path:
        """`decisions` as a frame, `schema`, and `catalogue` where there is one."""
        return self._folder(name, value, {"decisions": ""}, ("schema", "catalogue"))

    def scores(self, value: "Parts | Place | VerbResult") -> Path:
        """`users` as a frame, a row per user, and `catalogue`."""
        return self._folder("scores", value, {"users": ""}, ("catalogue",))

    def frame(self, name: str, value: "Frame | Place | VerbResult") -> Path:
        """One table."""
        if not isinstance(value, pd.DataFrame | pa.Table):
            return _place(name, value)
        self._write(self.folder / name, name, value)
        return self.folder / name

    def policy(self, value: "Parts | Place", name: str = "policy") -> Path:
        """A file, a policy known by its name, or the content of one; JSON is YAML, and its lines serve as places."""
        if not isinstance(value, Mapping):
            return Path(policy_file(CONF, str(_place(name, value))))
        return self.file(f"{name}.yaml", value)

    def file(self, name: str, value: "Parts | Place") -> Path:
        """A JSON file."""
        if not isinstance(value, Mapping):
            return _place(name, value)
        content = {str(key): plain(entry) for key, entry in value.items()}
        disk.write_text(self.folder / name, json_text(content, finite=False))
        return self.folder / name

    def _folder(self, name: str, value: object, frames: Mapping[str, str], documents: tuple[str, ...]) -> Path:
        if not isinstance(value, Mapping):
            return _place(name, value)
        known = [*frames, *documents]
        if unknown := [
            f"{name}: there is no part '{key}'{did_you_mean(str(key), known)}" for key in value if key not in known
        ]:
            raise InputError(unknown)
        folder = self.folder / name
        disk.make_folder(folder)
        for part in value:
            if part in frames:
                self._write(folder / frames[part], f"{name}: {part}", value[part])
            elif isinstance(value[part], Mapping):
                self.file(f"{name}/{JSON[part]}", value[part])
            else:
                disk.copy(_place(f"{name}: {part}", value[part]), folder / JSON[part])
        return folder

    def _write(self, folder: Path, name: str, frame: object) -> None:
        if isinstance(frame, str | Path):  # one of the tables may be a folder of files already
            disk.link_tree(_place(name, frame), folder)
            return
        disk.make_folder(folder, there=True)
        disk.write_table(folder / PART, _table(name, frame))


@contextlib.contextmanager
def handed_over() -> Iterator[HandedOver]:
    """Within it frames may be handed over; what is wrong with them is told by their names, without the folder."""
    with tempfile.TemporaryDirectory(prefix="offermix-") as folder:
        try:
            yield HandedOver(Path(folder))
        except InputError as error:
            told = (problem.replace(f"{folder}/", "").replace(f"/{PART}", "") for problem in error.problems)
            raise InputError(list(told)) from None


def _place(name: str, value: object) -> Path:
    if isinstance(value, VerbResult):
        return value.folder
    if not isinstance(value, str | Path):
        raise InputError([f"{name}: is {type(value).__name__}; a path or a frame is needed"])
    if isinstance(value, str) and not value:
        raise InputError([f"{name}: names no path"])
    return Path(value)


def _table(name: str, frame: object) -> pa.Table:
    if isinstance(frame, pa.Table):
        return frame
    if not isinstance(frame, pd.DataFrame):
        raise InputError([f"{name}: is {type(frame).__name__}; a path or a frame is needed"])
    columns = list(frame.columns)
    if wrong := [
        f"{name}: column {column!r}: is not called by a text" for column in columns if type(column) is not str
    ]:
        raise InputError(wrong)
    twice = sorted({column for column in columns if columns.count(column) > 1})
    problems = [f"{name}: column {column}: stands there twice" for column in twice]
    for column in (column for column in columns if column not in twice):
        try:
            pa.Array.from_pandas(frame[column])
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            problems.append(f"{name}: column {column}: holds values of several types")
    if problems:
        raise InputError(sorted(problems))
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
