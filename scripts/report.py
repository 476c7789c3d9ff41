"""Writes the report of a run as one HTML page: `python -m scripts.report run=DIR`."""

from pathlib import Path

from allocator.report.collect import Sources
from allocator.report.page import write_report
from ranker.evaluate.records import EVALUATION
from scripts.cli import entry
from scripts.cli.settings import ReportSettings
from scripts.formats.manifest import MANIFEST, read_manifest
from scripts.formats.regret import REGRET
from scripts.formats.rehearsal import REHEARSAL
from scripts.runs import stage


def run(settings: ReportSettings) -> Path:
    """Reads allocation/ and scores/ of the run's folder, and model/, rehearsal/ and regret/ where they are there; returns the page's
    path."""
    sources = sources_of(settings.paths.run)
    read = (sources.allocation, sources.scores, sources.model, sources.rehearsal, sources.truth)
    with stage.write(settings.paths.run / "report", "report", [path for path in read if path is not None]) as made:
        write_report(sources, made / "report.html")
    return settings.paths.run / "report" / "report.html"


def sources_of(folder: Path) -> Sources:
    """What a run's folder offers to the report."""
    allocation, model, truth = folder / "allocation", folder / "model", folder / "regret" / REGRET
    rehearsal = folder / "rehearsal" / REHEARSAL
    return Sources(
        allocation=allocation,
        scores=folder / "scores",
        model=model if (model / EVALUATION).exists() else None,
        rehearsal=rehearsal if rehearsal.exists() else None,
        truth=truth if truth.exists() else None,
        policy_name=_policy_name(allocation / MANIFEST),
    )


def _policy_name(manifest: Path) -> str | None:
    """The policy file's name without its ending, from the allocation's manifest."""
    held = read_manifest(manifest.parent)
    inputs = held.inputs or {} if held is not None else {}
    return next((Path(name).stem for name in inputs if name.endswith((".yaml", ".yml"))), None)


def main(settings: ReportSettings) -> None:
    print(run(settings))


if __name__ == "__main__":
    entry.main("report", ReportSettings, main)
