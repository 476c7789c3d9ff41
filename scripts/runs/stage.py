"""A stage's folder: written whole or not at all, with a manifest by which a later run can tell whether it still holds.

The manifest says from what inputs, with what settings and by which version of the program the files were made, with digests.
"""

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path, PurePath
from types import MappingProxyType

from pydantic import BaseModel

from ranker.files import InputError, not_a_file, not_a_folder, read_json_object
from scripts.runs.locks import Held, lock
from scripts.runs.pointer import published_before

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = "manifest.json"
JUDGEMENTS = ("readout", "evaluate")  # of a published run, after it
BEFORE_THE_ALLOCATOR = ("make_market", "prepare", "hillstrom", "train", "score")
LEFT_OVER = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.(?:new|old)")
log = logging.getLogger("offermix.stage")
NOTHING: Mapping[str, object] = MappingProxyType({})


_resuming: ContextVar[bool] = ContextVar("resuming", default=False)


class StillCurrent(Exception):
    """Raised by `write` within `resuming` instead of making again what is there already."""


@dataclass(frozen=True)
class Seen:
    """Inputs as they were when they were looked at: a digest of each, and size, time and place on the disk of each of their files."""

    digests: Mapping[Path, str]
    state: Mapping[Path, Mapping[str, tuple[int, ...]]]

    def changed(self) -> list[Path]:
        """Which of them hold something else now. A file is read again only where its size, time or place differ."""
        moved = [path for path, state in self.state.items() if not path.exists() or _state(path) != state]
        return [path for path in moved if not path.exists() or digest(path) != self.digests[path]]


def look_at(inputs: Sequence[Path]) -> Seen:
    """The inputs as they are now; InputError names those that are missing or cannot be read."""
    faults = {path: not_a_file(path) for path in inputs if not_a_folder(path)}
    missing = "there is no such file"
    if any(faults.values()):
        told = {path: f"{missing} or folder" if fault == missing else fault for path, fault in faults.items() if fault}
        raise InputError([f"{path}: {fault}" for path, fault in told.items()])
    try:
        state = {path: _state(path) for path in inputs}  # first, so that what changes meanwhile is noticed
        return Seen({path: digest(path) for path in inputs}, state)
    except OSError as error:
        raise InputError([f"{error.filename}: cannot be read ({error.strerror})"]) from None


def _state(path: Path) -> dict[str, tuple[int, ...]]:
    files = dict(_files_in(path)) if path.is_dir() else {"": path}
    found = ((name, file.stat()) for name, file in files.items())
    return {name: (held.st_dev, held.st_ino, held.st_size, held.st_mtime_ns) for name, held in found}


@contextlib.contextmanager
def resuming() -> Iterator[None]:
    """Within it `write` raises StillCurrent where `out` is what the stage would write again: it alone knows from what and how."""
    token = _resuming.set(True)
    try:
        yield
    finally:
        _resuming.reset(token)


@contextlib.contextmanager
def write(
    out: Path,
    stage: str,
    inputs: Sequence[Path] = (),
    config: Mapping[str, object] | BaseModel = NOTHING,
    *,
    replaces: Sequence[str] = (),
    leftover: str = "",
) -> Iterator[Path]:
    """Yields an empty folder beside `out`; when the block ends well it gets a manifest and becomes `out`, else it is removed.

    inputs: files and folders that the stage reads; they are digested, and must still be the same when the block ends.
    config: what of the settings matters to the result.
    An `out` that is there already is replaced only where it holds a manifest of the same stage (or of one of `replaces`), the one
    file `leftover` of `write_alone`, or nothing at all. Raises InputError where it holds anything else, was published, or is being
    written by another run, and where an input changed meanwhile.
    """
    out = out.resolve()
    if _resuming.get():
        _skip_or_say_why(out, stage, inputs, config)
    _check_unpublished(out, stage)
    make_folder(out.parent)
    with locked(out):
        _clean(out)
        if not _holds_only(out, leftover):
            _check_replaceable(out, {stage, *replaces})
        seen = look_at(inputs)
        started = time.perf_counter()
        with _made_beside(out) as made:
            yield made
            _check_unpublished(out, stage)  # again: what was there may have been published while this ran
            if changed := seen.changed():
                raise InputError([f"{path}: changed while it was read; call this again" for path in changed])
            _write_manifest(made, stage, _named_from(out, seen), config, time.perf_counter() - started)


def write_alone(out: Path, name: str, text: str, *, replaces: Sequence[str]) -> None:
    """Makes `out` a folder that holds one file and no manifest: what is left of a stage that must not write its output.

    Replaces what `write` would replace, and an `out` that a call like this one made.
    """
    out = out.resolve()
    _check_unpublished(out, name)
    make_folder(out.parent)
    with locked(out):
        _clean(out)
        if not _holds_only(out, name):
            _check_replaceable(out, set(replaces))
        with _made_beside(out) as made:
            (made / name).write_text(text)


@contextlib.contextmanager
def first_made(folder: Path) -> Iterator[Path]:
    """Yields an empty folder beside one that is not there yet and becomes it when the block ends well; the caller holds its lock."""
    with _made_beside(folder) as made:
        yield made


def sweep(folder: Path) -> None:
    """Removes what processes that died left in `folder` for any name; what a living one is at, it holds the lock of."""
    for name in sorted(_names_with_leftovers(folder)):
        with contextlib.suppress(InputError), locked(folder / name):
            _clean(folder / name)


def _holds_only(out: Path, name: str) -> bool:
    return out.is_dir() and [entry.name for entry in out.iterdir()] == [name]


def _skip_or_say_why(out: Path, stage: str, inputs: Sequence[Path], config: Mapping[str, object] | BaseModel) -> None:
    reason = stale_because(out, stage, inputs, config)
    if reason is None:
        raise StillCurrent(out)
    if out.exists():
        log.info("%s: runs again, because %s", stage, reason)


def is_current(out: Path, stage: str, inputs: Sequence[Path], config: Mapping[str, object] | BaseModel) -> bool:
    """Whether `out` is what the stage would write again."""
    return stale_because(out, stage, inputs, config) is None


def stale_because(
    out: Path, stage: str, inputs: Sequence[Path], config: Mapping[str, object] | BaseModel
) -> str | None:
    """Why the stage must run (again), in words that fit after "because", or None where `out` still holds."""
    manifest = read_manifest(out)
    if manifest is None or manifest.get("stage") != stage:
        return "it has not run yet"
    if manifest.get("config_digest") != config_digest(config):
        return "its settings changed"
    if manifest.get("sources_digest") != sources_digest(stage):
        return "the program changed"
    if not _are(inputs, manifest.get("inputs")):
        return "its input changed"
    if manifest.get("outputs") != output_digests(out):
        return "its output was changed by hand"
    return None


def _are(inputs: Sequence[Path], made_from: object) -> bool:
    """Whether the inputs hold what a manifest says, in its order; what they are called and where they lie is not asked."""
    if not isinstance(made_from, Mapping) or not all(path.exists() for path in inputs):
        return False
    return [digest(path) for path in dict.fromkeys(inputs)] == list(made_from.values())


def read_manifest(out: Path) -> dict | None:
    """The manifest of a stage's folder, or None where there is no readable one."""
    try:
        return read_json_object(out / MANIFEST)
    except InputError:
        return None


def digest(path: Path) -> str:
    """sha256 of a file, or of a folder: of the relative names and digests of what is in it, its manifest left out."""
    if path.is_dir():
        lines = (f"{name} {entry['sha256']}\n" for name, entry in output_digests(path).items())
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def output_digests(folder: Path) -> dict[str, dict[str, object]]:
    """Relative name -> sha256 and bytes of every file that a reader can take, sorted; the folder's own manifest is left out."""
    return {
        name: {"sha256": digest(file), "bytes": file.stat().st_size}
        for name, file in _files_in(folder)
        if name != MANIFEST
    }


def _files_in(folder: Path) -> list[tuple[str, Path]]:
    """(name below the folder, file) of all that is read there, sorted: through links too, and hidden Parquet files, as readers glob.

    Other hidden files and hidden folders are nobody's input.
    """
    found: list[tuple[str, Path]] = []

    def walk(place: Path, name: str, above: frozenset[tuple[int, int]]) -> None:
        held = place.stat()
        if (held.st_dev, held.st_ino) in above:
            return  # a link to a folder that it lies in
        for entry in os.scandir(place):
            hidden = entry.name.startswith(".")
            if entry.is_dir() and not hidden:
                walk(place / entry.name, f"{name}{entry.name}/", above | {(held.st_dev, held.st_ino)})
            elif entry.is_file() and (not hidden or entry.name.endswith(".parquet")):
                found.append((f"{name}{entry.name}", place / entry.name))

    walk(folder, "", frozenset())
    return sorted(found, key=lambda pair: PurePath(pair[0]))


def config_digest(config: Mapping[str, object] | BaseModel) -> str:
    """sha256 of the settings, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(_plain(config), sort_keys=True).encode()).hexdigest()


@cache
def sources_digest(stage: str = "") -> str:
    """sha256 over the source files that a stage can depend on: up to the scores those of ranker/, otherwise all."""
    packages = ("ranker",) if stage in BEFORE_THE_ALLOCATOR else ("ranker", "allocator", "scripts")
    files = {
        file
        for package in packages
        for file in (ROOT / package).rglob("*")
        if file.suffix in (".py", ".j2", ".css", ".js")
    }
    files |= {file for file in [ROOT / "scripts" / f"{stage}.py"] if file.exists()}
    lines = (f"{file.relative_to(ROOT).as_posix()} {digest(file)}\n" for file in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@cache
def code_version() -> str:
    """The commit where there is one, otherwise the package's version; with the start of the sources' digest."""
    return f"{_commit() or _package_version()}+{sources_digest()[:12]}"


def _commit() -> str | None:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--tags"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def _package_version() -> str:
    try:
        return metadata.version("offermix")
    except metadata.PackageNotFoundError:
        return "unversioned"


def _plain(value: object) -> object:
    """Settings as JSON: models, mappings, sequences, paths and scalars."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(entry) for entry in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _named_from(out: Path, seen: Seen) -> dict[str, str]:
    """Per input its digest; named relative to where `out` is, so that a run's folder can be moved."""
    return {Path(os.path.relpath(path, out.parent)).as_posix(): held for path, held in seen.digests.items()}


def _write_manifest(
    made: Path,
    stage: str,
    made_from: Mapping[str, str],
    config: Mapping[str, object] | BaseModel,
    seconds: float,
) -> None:
    manifest = {
        "stage": stage,
        "code_version": code_version(),
        "sources_digest": sources_digest(stage),
        "config_digest": config_digest(config),
        "config": _plain(config),
        "inputs": made_from,
        "outputs": output_digests(made),
        "seconds": round(seconds, 3),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with (made / MANIFEST).open("w") as file:
        json.dump(manifest, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def make_folder(folder: Path) -> None:
    """Makes it and those above; InputError where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError([f"{folder}: cannot be made ({error.strerror})"]) from None


def _check_replaceable(out: Path, stages: set[str]) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError([f"{out}: is a file; a folder to write is needed"])
    manifest = read_manifest(out)
    if manifest is not None and manifest.get("stage") in stages:
        return
    if any(out.iterdir()):
        made_by = f"is the output of '{manifest.get('stage')}'" if manifest else "holds files that no run of this wrote"
        raise InputError([f"{out}: {made_by}, so it is not replaced; name another folder or remove it"])


def _check_unpublished(out: Path, stage: str) -> None:
    """A run that a pointer names, or named before, stays: people act on it, and roll back to it. Judgements may be added beside."""
    for runs in out.parents:
        for run in _published_runs(runs, near=runs in (out.parent, out.parent.parent)):
            judges = stage in JUDGEMENTS and out.parent == run and not (run / "certificate.json").exists()
            if out.is_relative_to(run) and not judges:
                what = "was published" if out == run else f"is in {run}, which was published"
                raise InputError([f"{out}: {what} and is not changed any more; name another folder"])


def _published_runs(runs: Path, *, near: bool) -> set[Path]:
    """The folders of all runs that were published from here; a pointer far above may be another program's."""
    try:
        published = published_before(runs)
    except InputError:
        if near:
            raise
        return set()
    found = {runs / folder for pointer in published for folder in (pointer.run, pointer.allocation)}
    return {folder.resolve() for folder in found} - {runs}


@contextlib.contextmanager
def _made_beside(out: Path) -> Iterator[Path]:
    """Yields an empty folder that becomes `out` when the block ends well; however it ends, nothing else is left beside `out`."""
    made = out.parent / f".{out.name}.{uuid.uuid4().hex[:8]}.new"
    try:
        made.mkdir()
        yield made
        if out.exists():
            out.rename(made.with_suffix(".old"))
        made.rename(out)
    finally:
        _clean(out)


def _clean(out: Path) -> None:
    """Removes what a run that died left beside `out`; nobody else is at it, since the lock is held.

    An `.old` whose `out` is missing is put back: the run died between the two renames.
    """
    for old in _left_over(out, "old"):
        if out.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(out)
    for new in _left_over(out, "new"):
        shutil.rmtree(new, ignore_errors=True)


def _left_over(out: Path, ending: str) -> list[Path]:
    start, end = f".{out.name}.", f".{ending}"
    return sorted(
        path
        for path in out.parent.iterdir()
        if path.name.startswith(start) and path.name.endswith(end) and len(path.name) == len(start) + 8 + len(end)
    )


def _names_with_leftovers(folder: Path) -> set[str]:
    """The names that a dead process may have left something of: a folder half made or half replaced, or a lock."""
    names = {entry.name for entry in folder.iterdir()}
    found = (LEFT_OVER.fullmatch(name) for name in names)
    half_made = {match["name"] for match in found if match}
    return half_made | {name for name in names if f".{name}.lock" in names}


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Holds the lock of `out`; InputError where another run does. However a process ends, the system lets go of it."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(lock(out.parent / f".{out.name}.lock"))
        except Held:
            raise InputError([f"{out}: another run is writing it now; wait for it, or name another folder"]) from None
        except OSError as error:
            raise InputError([f"{out}: cannot be written ({error.strerror})"]) from None
        yield
