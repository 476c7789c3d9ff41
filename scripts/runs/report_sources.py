"""What a run's folder offers to its report, and which allocation stands before it."""

from pathlib import Path

from allocator.report.collect import Sources
from allocator.report.last_week import EarlierFolders
from ranker.catalogue import CATALOGUE_FILE
from ranker.evaluate.records import EVALUATION
from ranker.files import InputError, not_a_folder
from scripts.formats.manifest import read_manifest
from scripts.formats.regret import REGRET
from scripts.formats.rehearsal import REHEARSAL
from scripts.formats.run_record import RUN, RunRecord
from scripts.runs.published import published_before


def sources_of(folder: Path, policy: Path | None = None) -> Sources:
    """What a run's folder offers to the report. policy: the file of its policy; the one that its manifest leads to by default."""
    if fault := not_a_folder(folder):
        raise InputError([f"{folder}: {fault}"])
    allocation, model, truth = folder / "allocation", folder / "model", folder / "regret" / REGRET
    rehearsal, policy = folder / "rehearsal" / REHEARSAL, policy or _policy_file(allocation)
    return Sources(
        allocation=allocation,
        scores=folder / "scores",
        model=model if (model / EVALUATION).exists() else None,
        rehearsal=rehearsal if rehearsal.exists() else None,
        truth=truth if truth.exists() else None,
        policy_name=None if policy is None else policy.stem,
        policy_file=policy,
        run=folder.resolve().name,
        previous=_previous(folder.resolve(), allocation),
    )


def _inputs(allocation: Path) -> list[Path]:
    """What the allocation was made from, where its manifest says: scores, policy, and the allocation that it was compared with."""
    held = read_manifest(allocation)
    return [allocation.parent / name for name in (held.inputs or {} if held is not None else {})]


def _policy_file(allocation: Path) -> Path | None:
    return next((path for path in _inputs(allocation) if path.suffix in (".yaml", ".yml")), None)


def _previous(folder: Path, allocation: Path) -> EarlierFolders | None:
    """The allocation before this one: the one named by `previous=`, or published when the run began, or before the run was."""
    named = _inputs(allocation)[2:]
    place = named[0].resolve() if named else published_before_run(folder)
    if place is None or place == allocation.resolve():
        return None
    run = place.parent if place.name == "allocation" else place
    catalogue = run / "scores" / CATALOGUE_FILE
    return EarlierFolders(place, run.name, catalogue if catalogue.exists() else None)


def published_before_run(folder: Path) -> Path | None:
    """As the run's own record has it; of a run without one, the last that was published and is not this one."""
    record = RunRecord.from_file_if_sound(folder / RUN)
    if record is not None and record.run == folder.name:
        return None if record.previous is None else folder.parent / record.previous
    try:
        flips = published_before(folder.parent)
    except InputError:
        return None
    mine = next((place for place, flip in enumerate(flips) if flip.run == folder.name), len(flips))
    before = [flip for flip in flips[:mine] if flip.run != folder.name]
    return folder.parent / before[-1].allocation if before else None
