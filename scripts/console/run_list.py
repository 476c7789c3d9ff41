"""The runs that can be opened: folders with scores and a finished allocation, the published one marked."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from allocator.formats import CERTIFICATE, SaidByCertificate
from ranker.catalogue import CATALOGUE_FILE, read_catalogue
from ranker.files import InputError
from scripts.formats.manifest import MANIFEST
from scripts.formats.pointer import Pointer
from scripts.formats.run_record import RUN, RunRecord
from scripts.runs.published import current


@dataclass(frozen=True)
class ListedRun:
    """One run. said: what its certificate says, None where it cannot be read."""

    name: str
    folder: Path
    published: bool
    was_published: bool
    said: SaidByCertificate | None


def list_runs(runs: Path) -> list[ListedRun]:
    """Every run with scores and an allocation, the published one first, then the latest."""
    now = published(runs)
    found = [_listed(folder, now) for folder in runs.iterdir() if _is_run(folder)] if runs.is_dir() else []
    return sorted(found, key=lambda run: (run.published, _written_at(run)), reverse=True)


def find_run(runs: Path, name: str) -> ListedRun:
    """The run of that name; InputError where there is none."""
    found = next((run for run in list_runs(runs) if run.name == name), None)
    if found is None:
        raise InputError([f"run: {name[:80]}: there is no such run in {runs}, with scores/ and a finished allocation/"])
    return found


def run_before(folder: Path, day: date | None) -> str | None:
    """The run of the week before, whose scores are another view of the same listeners; None where there is none with scores.

    It is the one that was published when the run began, or else the latest whose scores are of an earlier day. day: of the run's scores.
    """
    days = {each: _day(each) for each in folder.parent.iterdir() if each != folder and _has_scores(each)}
    began = RunRecord.from_file_if_sound(folder / RUN)
    compared = folder.parent / began.previous.split("/")[0] if began is not None and began.previous else None
    if compared in days and (day is None or days[compared] != day):
        return compared.name
    earlier = [(of, each.name) for each, of in days.items() if day is not None and of is not None and of < day]
    return max(earlier)[1] if earlier else None


def _has_scores(folder: Path) -> bool:
    hidden = folder.name.startswith(".") or folder.is_symlink()
    return not hidden and all((folder / "scores" / name).is_file() for name in (CATALOGUE_FILE, MANIFEST))


def _day(folder: Path) -> date | None:
    try:
        return read_catalogue(folder / "scores" / CATALOGUE_FILE).as_of
    except InputError:
        return None


def published(runs: Path) -> Pointer | None:
    """None where nothing is published, or where the pointer cannot be read."""
    try:
        return current(runs)
    except InputError:
        return None


def _is_run(folder: Path) -> bool:
    needed = (folder / "scores" / CATALOGUE_FILE, folder / "allocation" / CERTIFICATE)
    return not folder.name.startswith(".") and not folder.is_symlink() and all(path.is_file() for path in needed)


def _listed(folder: Path, now: Pointer | None) -> ListedRun:
    said = SaidByCertificate.from_file_if_sound(folder / "allocation" / CERTIFICATE)
    is_now, before = now is not None and now.run == folder.name, now is not None and now.previous == folder.name
    return ListedRun(folder.name, folder, is_now, before, said)


def _written_at(run: ListedRun) -> float:
    return (run.folder / "allocation" / CERTIFICATE).stat().st_mtime
