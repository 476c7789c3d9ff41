"""Digests of what a stage is made from: its files, its settings, and the program; and whether inputs changed meanwhile."""

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path, PurePath

from pydantic import BaseModel

from ranker.files import InputError, not_a_file, not_a_folder, sha256_of
from scripts.cli.shipped import own
from scripts.formats.manifest import MANIFEST, read_manifest

ROOT = Path(__file__).resolve().parents[2]
BEFORE_THE_ALLOCATOR = ("make_market", "prepare", "hillstrom", "train", "score")


@dataclass(frozen=True)
class InputsSeen:
    """Inputs as they were when they were looked at: a digest of each, and size, time and place on the disk of each of their files."""

    digests: Mapping[Path, str]
    state: Mapping[Path, Mapping[str, tuple[int, ...]]]

    def changed(self) -> list[Path]:
        """Which of them hold something else now. A file is read again only where its size, time or place differ."""
        moved = [path for path, state in self.state.items() if not path.exists() or _state(path) != state]
        return [path for path in moved if not path.exists() or digest(path) != self.digests[path]]


def look_at(inputs: Sequence[Path]) -> InputsSeen:
    """The inputs as they are now; InputError names those that are missing or cannot be read."""
    faults = {path: not_a_file(path) for path in inputs if not_a_folder(path)}
    missing = "there is no such file"
    if any(faults.values()):
        told = {path: f"{missing} or folder" if fault == missing else fault for path, fault in faults.items() if fault}
        raise InputError([f"{path}: {fault}" for path, fault in told.items()])
    try:
        state = {path: _state(path) for path in inputs}  # first, so that what changes meanwhile is noticed
        return InputsSeen({path: digest(path) for path in inputs}, state)
    except OSError as error:
        raise InputError([f"{error.filename}: cannot be read ({error.strerror})"]) from None


def _state(path: Path) -> dict[str, tuple[int, ...]]:
    files = dict(_files_in(path)) if path.is_dir() else {"": path}
    found = ((name, file.stat()) for name, file in files.items())
    return {name: (held.st_dev, held.st_ino, held.st_size, held.st_mtime_ns) for name, held in found}


def digest(path: Path) -> str:
    """sha256 of a file, or of a folder: of the relative names and digests of what is in it, its manifest left out."""
    if path.is_dir():
        return _of_folder((name, str(entry["sha256"])) for name, entry in output_digests(path).items())
    return sha256_of(path)


def told_digest(path: Path) -> str:
    """The digest of a file or folder; of one with a manifest as that tells it, without reading what may be gigabytes."""
    manifest = read_manifest(path) if path.is_dir() else None
    told = {} if manifest is None or manifest.outputs is None else manifest.outputs
    if not told or any(each.sha256 is None for each in told.values()):
        return digest(path)
    return _of_folder((name, str(each.sha256)) for name, each in told.items())


def _of_folder(entries: Iterable[tuple[str, str]]) -> str:
    """From the name and digest of every file."""
    return hashlib.sha256("".join(f"{name} {sha256}\n" for name, sha256 in entries).encode()).hexdigest()


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
        with os.scandir(place) as listed:  # closed where an entry cannot be looked at too
            entries = list(listed)
        for entry in entries:
            hidden = entry.name.startswith(".")
            if entry.is_dir() and not hidden:
                walk(place / entry.name, f"{name}{entry.name}/", above | {(held.st_dev, held.st_ino)})
            elif entry.is_file() and (not hidden or entry.name.endswith(".parquet")):
                found.append((f"{name}{entry.name}", place / entry.name))

    walk(folder, "", frozenset())
    return sorted(found, key=lambda pair: PurePath(pair[0]))


def config_digest(config: Mapping[str, object] | BaseModel) -> str:
    """sha256 of the settings, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(plain(config), sort_keys=True).encode()).hexdigest()


def plain(value: object) -> object:
    """Settings as JSON: models, mappings, sequences, paths and scalars."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(entry) for entry in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def own_configuration_digests() -> dict[str, str] | None:
    """Name -> sha256 of the files of the company's own configuration; None where there is none."""
    folder = own()
    return None if folder is None else {name: digest(file) for name, file in _files_in(folder)}


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
    lines = (f"{file.relative_to(ROOT).as_posix()} {_digest_of_source(file)}\n" for file in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _digest_of_source(file: Path) -> str:
    """The same in a checkout and where the wheel is installed, whose modules name each other below the package."""
    return hashlib.sha256(re.sub(rb"\boffermix\.(?=(ranker|allocator|scripts)\b)", b"", file.read_bytes())).hexdigest()


@cache
def code_version() -> str:
    """The commit where there is one, otherwise the package's version; with the start of the sources' digest."""
    return f"{_commit() or package_version()}+{sources_digest()[:12]}"


def _commit() -> str | None:
    if not (ROOT / ".git").exists():  # installed, perhaps below a checkout of something else
        return None
    command = ["git", "-C", str(ROOT), "describe", "--always", "--tags"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def package_version() -> str:
    """Of the release that is installed."""
    try:
        return metadata.version("offermix")
    except metadata.PackageNotFoundError:
        return "unversioned"
