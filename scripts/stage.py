"""A stage's folder: written whole or not at all, with a manifest by which a later run can tell whether it still holds.

The manifest says from what inputs, with what settings and by which version of the program the files were made, with digests.
"""

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

from pydantic import BaseModel

from allocator.publish import published_before
from ranker.files import InputError, not_a_file, not_a_folder, read_json_object

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = "manifest.json"
BEFORE_THE_ALLOCATOR = ("make_market", "prepare", "hillstrom", "train", "score")
log = logging.getLogger("offermix.stage")
NOTHING: Mapping[str, object] = MappingProxyType({})


_resuming: ContextVar[bool] = ContextVar("resuming", default=False)


class StillCurrent(Exception):
    """Raised by `write` within `resuming` instead of making again what is there already."""


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

    inputs: files and folders that the stage reads; they are digested. config: what of the settings matters to the result.
    An `out` that is there already is replaced only where it holds a manifest of the same stage (or of one of `replaces`), the one
    file `leftover` of `write_alone`, or nothing at all. Raises InputError where it holds anything else, was published, or is being
    written by another run.
    """
    out = Path(os.path.abspath(out))
    if _resuming.get():
        _skip_or_say_why(out, stage, inputs, config)
    _make_parent(out)
    with locked(out):
        _clean(out)
        _check_unpublished(out)
        if not _holds_only(out, leftover):
            _check_replaceable(out, {stage, *replaces})
        made_from = _input_digests(inputs, out)
        made = out.parent / f".{out.name}.{uuid.uuid4().hex[:8]}.new"
        made.mkdir()
        started = time.perf_counter()
        try:
            yield made
            _write_manifest(made, stage, made_from, config, time.perf_counter() - started)
            _swap(made, out)
        finally:
            shutil.rmtree(made, ignore_errors=True)


def write_alone(out: Path, name: str, text: str, *, replaces: Sequence[str]) -> None:
    """Makes `out` a folder that holds one file and no manifest: what is left of a stage that must not write its output.

    Replaces what `write` would replace, and an `out` that a call like this one made.
    """
    out = Path(os.path.abspath(out))
    _make_parent(out)
    with locked(out):
        _clean(out)
        _check_unpublished(out)
        if not _holds_only(out, name):
            _check_replaceable(out, set(replaces))
        made = out.parent / f".{out.name}.{uuid.uuid4().hex[:8]}.new"
        made.mkdir()
        (made / name).write_text(text)
        _swap(made, out)


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
    if not all(path.exists() for path in inputs) or manifest.get("inputs") != _input_digests(inputs, out):
        return "its input changed"
    if manifest.get("outputs") != output_digests(out):
        return "its output was changed by hand"
    return None


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
    """Relative name -> sha256 and bytes of every file, sorted; hidden files and the folder's own manifest are left out."""
    files = sorted(
        file
        for file in folder.rglob("*")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )
    return {
        file.relative_to(folder).as_posix(): {"sha256": digest(file), "bytes": file.stat().st_size}
        for file in files
        if file != folder / MANIFEST
    }


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


def _input_digests(inputs: Sequence[Path], out: Path) -> dict[str, str]:
    """Per input its digest; named relative to where `out` is, so that a run's folder can be moved."""
    faults = {path: not_a_file(path) for path in inputs if not_a_folder(path)}
    missing = "there is no such file"
    if any(faults.values()):
        told = {path: f"{missing} or folder" if fault == missing else fault for path, fault in faults.items() if fault}
        raise InputError([f"{path}: {fault}" for path, fault in told.items()])
    return {Path(os.path.relpath(path, Path(out).parent)).as_posix(): digest(path) for path in inputs}


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


def _make_parent(out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError([f"{out}: cannot be made ({error.strerror})"]) from None


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


def _check_unpublished(out: Path) -> None:
    """An allocation that a pointer names, or named before, stays: people act on it, and roll back to it."""
    for runs in (out.parent, out.parent.parent):
        if any(runs / pointer.allocation == out for pointer in published_before(runs)):
            raise InputError([f"{out}: was published and is not changed any more; name another folder"])


def _swap(made: Path, out: Path) -> None:
    """Puts `made` in the place of `out`. A crash between the two renames leaves `.old`, which `_clean` puts back."""
    old = out.parent / f".{out.name}.{uuid.uuid4().hex[:8]}.old"
    if out.exists():
        out.rename(old)
    made.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _clean(out: Path) -> None:
    """Removes what a run that died left beside `out`; nobody else is at it, since the lock is held."""
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


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Holds the lock of `out`; InputError where another run does. However a process ends, the system lets go of it."""
    path = out.parent / f".{out.name}.lock"
    descriptor = _acquire(path, out)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: Path, out: Path) -> int:
    while True:
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as error:
            raise InputError([f"{out}: cannot be written ({error.strerror})"]) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise InputError([f"{out}: another run is writing it now; wait for it, or name another folder"]) from None
        if _is_still(path, descriptor):
            return descriptor
        os.close(descriptor)  # the holder before us removed the file between our open and our lock


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
