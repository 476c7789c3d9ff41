"""How far a week's data is from that of the last published week: `python -m scripts.drift run=DIR`.

Reads the profiles that `prepare` and `score` kept, and writes drift.json and drift.html into the run's folder `drift/`.
"""

from ranker import disk
from ranker.files import InputError, not_a_folder
from ranker.profiles.records import PROFILE
from scripts.cli import entry
from scripts.cli.settings import DriftSettings
from scripts.formats.drift import DRIFT, DriftRecord
from scripts.gates.drifted import drifted
from scripts.gates.week_seen import WeekSeen
from scripts.pages.drift_page import show_drift, write_page
from scripts.runs import stage
from scripts.runs.report_sources import published_before_run


def run(settings: DriftSettings) -> DriftRecord:
    """Writes the drift of the run, and returns what is in drift.json."""
    folder = settings.paths.run.resolve()
    if fault := not_a_folder(folder):
        raise InputError([f"{folder}: {fault}"])
    now = WeekSeen(folder.name, folder, folder / "allocation")
    place = published_before_run(folder)
    before = place.parent if place is not None and place.name == "allocation" else place
    last = None if before is None or place is None else WeekSeen(before.name, before, place)
    folders = [each.folder for each in (now, last) if each is not None]
    inputs = [each / name / PROFILE for each in folders for name in ("logs", "scores")]
    with stage.write(folder / "drift", "drift", [path for path in inputs if path.exists()]) as made:
        found = drifted(now, last)
        disk.write_text(made / DRIFT, found.text())
        write_page(found, made / "drift.html")
    return found


def main(settings: DriftSettings) -> None:
    show_drift(run(settings))
    print(f"page: {settings.paths.run / 'drift' / 'drift.html'}")


if __name__ == "__main__":
    entry.main("drift", DriftSettings, main)
