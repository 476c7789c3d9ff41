"""The folder of a run, runs/WEEK/: its name, what it begins with, and whether it may still be written.

A folder that was once published never changes: a run that would change it gets a folder of its own, WEEK-2, which starts from links to
the stages that may still hold.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from ranker import disk
from ranker.catalogue import CATALOGUE_FILE
from ranker.files import InputError
from scripts.cli.settings import Settings, WeeklySettings
from scripts.formats.manifest import MANIFEST
from scripts.formats.run_record import RUN, RunRecord
from scripts.runs import clock, digests, stage
from scripts.runs.policy_check import wrong_without_data
from scripts.runs.published import current, published_before
from scripts.runs.week import knows_truth

STAGES = ("market", "logs", "model", "champion", "scores", "allocation", "rehearsal", "regret", "report")


def check_inputs(settings: WeeklySettings) -> None:
    """Everything that can be known to be wrong is said before a folder is made and an hour is spent; one InputError lists all of it."""
    problems = [f"{path}: there is no such file or folder" for path in inputs_of(settings) if not path.exists()]
    problems += wrong_without_data(settings)
    if problems:
        raise InputError(list(dict.fromkeys(problems)))


def inputs_of(settings: WeeklySettings) -> list[Path]:
    """What a week is made from that lies outside its folder."""
    tables = settings.weekly.tables
    parts = () if tables is None else ("tables", "users", CATALOGUE_FILE)
    return [settings.weekly.policy, *(tables / part for part in parts)]


def check_unchanged(given: digests.InputsSeen) -> None:
    """A week whose stages read different inputs is no week; what has run is made again by the next call where it must be."""
    if changed := given.changed():
        raise InputError(
            [f"{path}: changed while the week ran, which began with another; call it again" for path in changed]
        )


def choose_name(settings: WeeklySettings, given: digests.InputsSeen) -> str:
    """The run's folder: as named, or the week; with a number where the folder of that name was published as something else."""
    published = _published(settings.paths.runs)
    asked = settings.weekly.run
    if asked is not None and (settings.paths.runs / asked).is_symlink():
        raise InputError([f"run={asked}: {settings.paths.runs / asked} is a link; name the run's own folder"])
    name, number = asked or week_of(settings), 1
    while name in published and not _same(settings, given, settings.paths.runs / name):
        if asked is not None:
            raise InputError(
                [
                    f"run={asked}: {settings.paths.runs / asked} was published and is not changed any more; choose another name"
                ]
            )
        number += 1
        name = f"{week_of(settings)}-{number}"
    return name


def week_of(settings: WeeklySettings) -> str:
    """2026-W48: the week of the market's snapshot, or of today for tables from outside."""
    snapshot = getattr(settings.data, "snapshot", None) if settings.weekly.tables is None else None
    day = clock.today() if snapshot is None else date.fromisoformat(str(snapshot))
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02d}"


def _published(runs: Path) -> frozenset[str]:
    """The names of all runs that were ever published."""
    return frozenset(pointer.run for pointer in published_before(runs))


def _same(settings: WeeklySettings, given: digests.InputsSeen, folder: Path) -> bool:
    """Whether this run would make what stands in the folder, from the same input, settings and program."""
    try:
        return RunRecord.from_file(folder / RUN).identity == _identity(settings, given)
    except (OSError, ValueError):
        return False


def _identity(settings: WeeklySettings, given: digests.InputsSeen) -> str:
    policy, *tables = given.digests.values()
    return digests.config_digest(
        {
            "settings": {
                name: getattr(settings, name)
                for name in Settings.model_fields
                if name not in ("paths", "weekly", "tracking", "publish", "faults", "bench")
            },
            "policy": policy,
            "tables": tables,
            "program": digests.sources_digest(),
        }
    )


def prepare_folder(folder: Path, settings: WeeklySettings, given: digests.InputsSeen) -> None:
    """The run's folder; a new one begins with hard links to the stages of the latest run, each of which may still hold.

    It appears with all of them or not at all: half a stage would be taken for somebody else's files.
    """
    runs = settings.paths.runs
    if folder.exists():
        stage.sweep(folder)
    else:
        with stage.first_made(folder) as made:
            if (latest := _latest(runs)) is not None:
                link_stages(latest, made)
    if folder.name not in _published(runs):
        if not knows_truth(settings):
            disk.remove(folder / "regret")  # linked from a week that knew it
        pointer = current(runs)
        previous = None if pointer is None else pointer.allocation
        run = RunRecord(run=folder.name, identity=_identity(settings, given), previous=previous)
        disk.replace_whole(folder / RUN, run.text())


def _latest(runs: Path) -> Path | None:
    """The run that was begun last."""
    begun = [path for path in runs.glob(f"*/{RUN}") if not path.parent.name.startswith(".")]
    return max(begun, key=lambda path: path.stat().st_mtime).parent if begun else None


def link_stages(latest: Path, folder: Path, names: Sequence[str] = STAGES) -> None:
    """Stages are replaced whole and never changed in place, so both folders may share their files."""
    for name in names:
        if (latest / name / MANIFEST).exists():
            disk.link_tree(latest / name, folder / name)
