"""A stage's folder: written whole or not at all, with a manifest by which a later run can tell whether it still holds.

The manifest says from what inputs, with what settings and by which version of the program the files were made, with digests.
"""

import contextlib
import logging
import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from pydantic import BaseModel

from allocator.formats import CERTIFICATE
from ranker import disk
from ranker.files import OF_THE_MACHINE, InputError
from scripts.formats.manifest import MANIFEST, Manifest, Output, read_manifest
from scripts.runs.digests import (
    InputsSeen,
    code_version,
    config_digest,
    digest,
    look_at,
    output_digests,
    own_configuration_digests,
    plain,
    sources_digest,
)
from scripts.runs.locks import Held, lock
from scripts.runs.published import published_before

JUDGEMENTS = ("readout", "evaluate")  # of a published run, after it
LEFT_OVER = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.(?:new|old)")
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


def write_alone(
    out: Path, name: str, text: str, *, replaces: Sequence[str] = (), instead_of: str | None = None
) -> None:
    """Makes `out` a folder that holds one file and no manifest: an answer, or what is left of a stage that must not write its output.

    Replaces what `write` would replace, and an `out` that a call like this one made; instead_of: the file of one that ended otherwise.
    """
    out = out.resolve()
    _check_unpublished(out, name)
    make_folder(out.parent)
    with locked(out):
        _clean(out)
        if not any(_holds_only(out, only) for only in (name, instead_of) if only is not None):
            _check_replaceable(out, set(replaces))
        with _made_beside(out) as made:
            disk.write_text(made / name, text)


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
    if manifest is None or manifest.stage != stage:
        return "it has not run yet"
    if manifest.config_digest != config_digest(config):
        return "its settings changed"
    if manifest.sources_digest != sources_digest(stage):
        return "the program changed"
    if not _are(inputs, manifest.inputs):
        return "its input changed"
    if manifest.outputs != _outputs(out):
        return "its output was changed by hand"
    return None


def _are(inputs: Sequence[Path], made_from: Mapping[str, str] | None) -> bool:
    """Whether the inputs hold what a manifest says, in its order; what they are called and where they lie is not asked."""
    if made_from is None or not all(path.exists() for path in inputs):
        return False
    return [digest(path) for path in dict.fromkeys(inputs)] == list(made_from.values())


def _named_from(out: Path, seen: InputsSeen) -> dict[str, str]:
    """Per input its digest; named relative to where `out` is, so that a run's folder can be moved."""
    return {Path(os.path.relpath(path, out.parent)).as_posix(): held for path, held in seen.digests.items()}


def _write_manifest(
    made: Path,
    stage: str,
    made_from: Mapping[str, str],
    config: Mapping[str, object] | BaseModel,
    seconds: float,
) -> None:
    manifest = Manifest(
        stage=stage,
        code_version=code_version(),
        sources_digest=sources_digest(stage),
        config_digest=config_digest(config),
        config=plain(config),
        configuration=own_configuration_digests(),
        inputs=made_from,
        outputs=_outputs(made),
        seconds=round(seconds, 3),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    disk.write_text(made / MANIFEST, manifest.text())


def _outputs(folder: Path) -> dict[str, Output]:
    return {name: Output(**found) for name, found in output_digests(folder).items()}


def make_folder(folder: Path) -> None:
    """Makes it and those above; InputError where it cannot be made."""
    try:
        disk.make_folder(folder, parents=True, there=True)
    except OSError as error:
        if error.errno in OF_THE_MACHINE:
            raise
        raise InputError([f"{folder}: cannot be made ({error.strerror})"]) from None


def _check_replaceable(out: Path, stages: set[str]) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError([f"{out}: is a file; a folder to write is needed"])
    manifest = read_manifest(out)
    if manifest is not None and manifest.stage in stages:
        return
    if any(out.iterdir()):
        made_by = f"is the output of '{manifest.stage}'" if manifest else "holds files that no run of this wrote"
        raise InputError([f"{out}: {made_by}, so it is not replaced; name another folder or remove it"])


def _check_unpublished(out: Path, stage: str) -> None:
    """A run that a pointer names, or named before, stays: people act on it, and roll back to it. Judgements may be added beside."""
    for runs in out.parents:
        for run in _published_runs(runs, near=runs in (out.parent, out.parent.parent)):
            judges = stage in JUDGEMENTS and out.parent == run and not (run / CERTIFICATE).exists()
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
        disk.make_folder(made)
        yield made
        disk.sync_tree(made)
        if out.exists():
            disk.rename(out, made.with_suffix(".old"))
        disk.rename(made, out)
        try:
            disk.sync_folder(out.parent)
        except OSError:
            disk.rename(out, made)  # a sync that failed may say later that all is well: what it was of is made again
            raise
    finally:
        _clean(out)


def _clean(out: Path) -> None:
    """Removes what a run that died left beside `out`; nobody else is at it, since the lock is held.

    An `.old` whose `out` is missing is put back: the run died between the two renames.
    """
    for old in _left_over(out, "old"):
        if out.exists():
            disk.remove(old)
        else:
            disk.rename(old, out)
    for new in _left_over(out, "new"):
        disk.remove(new)


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
            if error.errno in OF_THE_MACHINE:
                raise
            raise InputError([f"{out}: cannot be written ({error.strerror})"]) from None
        yield
