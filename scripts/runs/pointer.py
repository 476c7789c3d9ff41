"""A pointer to the finished, audited run: flipped atomically, flipped back the same way, never to a run that fails a guardrail.

The runs stand side by side in one folder: `published.json` there names the current one, `published_history.jsonl` each that was, each
line with the digest of the one before it. Nothing else is written, so whatever goes wrong, what was published before stays as it was.
"""

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from allocator.formats import AUDIT, CERTIFICATE, PRICES
from ranker import disk
from ranker.files import OF_THE_MACHINE, InputError, sha256_of
from scripts.cli.settings import PublishOptions
from scripts.formats.gates import GATES, GatesRecord
from scripts.formats.manifest import MANIFEST, read_manifest
from scripts.formats.pointer import HISTORY, POINTER, Pointer, digest_of
from scripts.gates.gate import WeeksCompared
from scripts.gates.judged import judged, of_the_allocation, tell_untold
from scripts.gates.week_seen import WeekSeen
from scripts.runs import clock
from scripts.runs.locks import Held, lock
from scripts.runs.published import current, entries, flips_written, next_link, published_before

NEEDED = (CERTIFICATE, AUDIT, PRICES, MANIFEST)
log = logging.getLogger("offermix.publish")


class Refused(Exception):
    """A gate does not let this run be published. `reasons` has all of them; gates: what each gate found, where they were asked."""

    heading = "is not published; what was published before is untouched:"

    def __init__(self, run: str, reasons: Sequence[str], gates: GatesRecord | None = None):
        self.reasons, self.gates = tuple(reasons), gates
        lines = "\n".join(f"  - {reason}" for reason in self.reasons)
        super().__init__(f"{run} {self.heading}\n{lines}")


class LostRace(Refused):
    """Another publisher was first."""

    heading = "is not published:"


@dataclass(frozen=True)
class Flip:
    """What became of a call: the pointer as it stands now, whether it moved, and what the gates found where they were asked."""

    pointer: Pointer
    moved: bool
    gates: GatesRecord | None = None


def publish(run: Path, guardrails: PublishOptions, now: datetime | None = None) -> Flip:
    """Points to a run's allocation once every gate lets it through; the same run again changes nothing.

    run: the run's folder, with the allocation in `allocation/`; or an allocation's folder itself. The pointer stands beside the
    run, and what the gates found in it. Raises InputError where there is no such folder, Refused with every reason otherwise.
    """
    run, allocation = locate(run)
    with flipping(run.parent):
        last = current(run.parent)
        weeks = compared(run, allocation, None if last is None else week_of_pointer(run.parent, last))
        if not weeks.faults and last is not None and is_named_by(last, run, allocation):
            return again(weeks, guardrails, last)
        gates = ask_gates(weeks, guardrails)
        return flip(run, allocation, Why.of(guardrails, gates), now)


def ask_gates(weeks: WeeksCompared, guardrails: PublishOptions) -> GatesRecord:
    """What the gates found, kept in the run's folder; raises Refused with every reason where one does not let it through."""
    gates = judged(weeks, guardrails)
    tell_untold(gates)
    if weeks.now.folder != weeks.now.allocation:
        disk.replace_whole(weeks.now.folder / GATES, gates.text())
    if gates.refusals:
        raise Refused(weeks.now.name, gates.refusals, gates)
    return gates


def rollback(runs: Path, to: str, now: datetime | None = None, why: PublishOptions | None = None) -> Flip:
    """Points back to a run that was published before and still is what it was then.

    runs: the folder of all runs; to: the run's name in it; why: who does it and for what reason. The gap is not judged again: it was
    when the run was published.
    """
    if to in ("", ".", ".."):
        raise InputError(["to: is not the name of a run"])
    run, allocation = locate(runs / to)
    with flipping(run.parent):
        digests = {pointer.allocation_digest for pointer in published_before(run.parent) if pointer.run == run.name}
        weeks = WeeksCompared(WeekSeen(run.name, run, allocation), None, tuple(file_reasons(allocation)))
        reasons = [finding.sentence for finding in of_the_allocation(weeks)]
        if not digests:
            reasons.append("it was never published; use publish")
        elif not reasons and allocation_digest(allocation) not in digests:
            reasons.append("its allocation is not the one that was published then")
        if reasons:
            raise Refused(run.name, reasons)
        return flip(run, allocation, Why.back(why), now)


def locate(run: Path) -> tuple[Path, Path]:
    """(the run's folder, its allocation): `allocation/` in it, or the folder itself where it holds a certificate."""
    run = Path(os.path.abspath(run))
    if not run.is_dir():
        raise InputError([f"{run}: there is no such run"])
    if run == run.parent:
        raise InputError([f"{run}: is not the folder of a run"])
    if run.is_symlink():
        raise InputError([f"{run}: is a link; name the run's own folder"])
    inside = run / "allocation"
    if inside.is_dir() or not (run / CERTIFICATE).exists():
        return run, inside
    return (run.parent, run) if run.name == "allocation" else (run, run)


def file_reasons(allocation: Path) -> Iterator[str]:
    """The allocation is complete, and every file is what its manifest says."""
    if allocation.is_symlink() or not allocation.is_dir():
        yield "there is no allocation: the run did not finish"
        return
    missing = [name for name in NEEDED if not (allocation / name).is_file()]
    if missing:
        yield f"{', '.join(missing)} is missing: the run did not finish"
    if not any(allocation.glob("*.parquet")):
        yield "there are no *.parquet files: the run did not finish"
    links = [path.name for path in sorted(allocation.rglob("*")) if path.is_symlink()]
    if links:
        yield f"{', '.join(links)}: links are not followed out of a run"
    elif (allocation / MANIFEST).is_file():
        yield from _manifest_reasons(allocation)


def _manifest_reasons(allocation: Path) -> Iterator[str]:
    manifest = read_manifest(allocation)
    listed = None if manifest is None else manifest.outputs
    if listed is None:
        yield "manifest.json does not list the allocation's files"
        return
    found = digests_of_files(allocation)
    for name in sorted(found.keys() | listed.keys()):
        if name not in found:
            yield f"{name} is in the manifest but not there"
        elif name not in listed:
            yield f"{name} is not in the manifest"
        elif listed[name].sha256 != found[name]:
            yield f"{name} was changed after it was written: its digest is not the manifest's"


def allocation_digest(allocation: Path) -> str:
    """sha256 over the names and digests of the allocation's files, its manifest (which has times in it) left out."""
    lines = (f"{name} {digest}\n" for name, digest in digests_of_files(allocation).items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def digests_of_files(allocation: Path) -> dict[str, str]:
    """Relative name -> sha256 of every file but the manifest and what no reader of rows takes: hidden files that are not Parquet."""
    found = {}
    for file in sorted(allocation.rglob("*")):
        parts = file.relative_to(allocation).parts
        read = file.suffix == ".parquet" or not any(part.startswith(".") for part in parts)
        if read and file.is_file() and parts != (MANIFEST,):
            found["/".join(parts)] = sha256_of(file)
    return found


def compared(run: Path, allocation: Path, last: WeekSeen | None) -> WeeksCompared:
    """The run beside the last published week; beside itself it is compared with nothing."""
    faults = tuple(file_reasons(allocation))
    beside = None if last is None or last.allocation == allocation else last
    return WeeksCompared(WeekSeen(run.name, run, allocation), beside, faults)


def week_of_pointer(runs: Path, pointer: Pointer) -> WeekSeen:
    """The run that a pointer names, as gates see it."""
    published = runs / pointer.allocation
    return WeekSeen(pointer.run, published.parent if published.name == "allocation" else published, published)


def is_named_by(pointer: Pointer, run: Path, allocation: Path) -> bool:
    """Whether the pointer names this run as it is."""
    return (pointer.run, pointer.allocation_digest) == (run.name, allocation_digest(allocation))


def again(weeks: WeeksCompared, guardrails: PublishOptions, pointer: Pointer) -> Flip:
    """A run that is published stays so while its allocation is sound; its gates were asked when it was published, and somebody may have
    answered for its gap then."""
    gap_judged_by = guardrails if pointer.override is None else None
    if reasons := [finding.sentence for finding in of_the_allocation(weeks, gap_judged_by)]:
        raise Refused(weeks.now.name, reasons)
    return Flip(pointer, moved=False, gates=GatesRecord.from_file_if_sound(weeks.now.folder / GATES))


@dataclass(frozen=True)
class Why:
    """Why a pointer is flipped: what a pointer says of it, and what the gates found where they were asked."""

    action: str
    by: str | None = None
    reason: str | None = None
    gates: GatesRecord | None = None

    @classmethod
    def of(cls, options: PublishOptions, gates: GatesRecord | None) -> "Why":
        return cls("publish", options.by, options.reason, gates)

    @classmethod
    def back(cls, options: PublishOptions | None) -> "Why":
        return cls("rollback") if options is None else cls("rollback", options.by, options.reason)

    def told(self, now: datetime | None) -> dict[str, Any]:
        """The fields of the pointer that tell of it."""
        return {
            "at": (clock.now() if now is None else now).isoformat(timespec="seconds"),
            "action": self.action,
            "approver": None if self.gates is None else self.gates.approver,
            "override": None if self.gates is None else self.gates.override,
            "by": self.by,
            "reason": self.reason,
        }


def flip(run: Path, allocation: Path, why: Why, now: datetime | None = None) -> Flip:
    """Writes the pointer, and its line; within `flipping`."""
    runs, digest = run.parent, allocation_digest(allocation)
    before = current(runs)
    if before is not None and (before.run, before.allocation_digest) == (run.name, digest):
        return Flip(before, moved=False)
    number, link = next_link(entries(runs))
    pointer = Pointer(
        run=run.name,
        previous=None if before is None else before.run,
        allocation=allocation.relative_to(runs).as_posix(),
        allocation_digest=digest,
        number=number,
        before=link,
        **why.told(now),
    )
    _make_lasting(runs, allocation)
    disk.replace_whole(runs / POINTER, pointer.text())
    log.info("Entry %d of %s has the digest %s", number, runs / HISTORY, digest_of(pointer.line()))
    try:
        _append(runs, pointer)
    except OSError as error:
        log.warning("%s: lacks this flip (%s); the next call writes it", runs / HISTORY, error.strerror)
    return Flip(pointer, moved=True, gates=why.gates)


def _make_lasting(runs: Path, allocation: Path) -> None:
    """What the pointer will name is on the disk before the pointer is.

    A sync that failed may say later that all is well, though what it was of is lost: an allocation that nobody was shown yet is removed
    then, so that the next call makes it again.
    """
    try:
        _sync_up_to(runs, allocation)
    except OSError:
        if all(runs / pointer.allocation != allocation for pointer in published_before(runs)):
            disk.remove(allocation)
        raise


def _sync_up_to(runs: Path, allocation: Path) -> None:
    disk.sync_tree(allocation)
    for folder in allocation.parents:
        disk.sync_folder(folder)
        if folder == runs:
            return


def _append(runs: Path, pointer: Pointer) -> None:
    path = runs / HISTORY
    cut_off = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
    disk.append(path, ("\n" if cut_off else "") + pointer.line() + "\n")


@contextlib.contextmanager
def flipping(runs: Path) -> Iterator[None]:
    """One flip at a time; what a flip that died left undone is done first. InputError where the files cannot be read or written."""
    try:
        with lock(runs / f".{POINTER}.lock"):
            for left in runs.glob(f".{POINTER}.*.new"):
                disk.remove(left)
            if (now := current(runs)) is not None and now not in flips_written(runs):
                disk.replace_whole(runs / POINTER, now.text())  # its name may not have lasted: its sync may have failed
                _append(runs, now)  # whoever flipped to it died before that was written down
            yield
    except Held:
        raise InputError([f"{runs / POINTER}: another publish or rollback is at it now"]) from None
    except OSError as error:
        if error.errno in OF_THE_MACHINE:
            raise
        raise InputError([f"{error.filename or runs}: cannot be read or written ({error.strerror})"]) from None
