"""Writes the report of a run as one HTML page: `python -m scripts.report run=DIR`."""

from pathlib import Path

from allocator.report.page import write_report
from scripts.cli import entry
from scripts.cli.settings import ReportSettings
from scripts.runs import stage
from scripts.runs.report_sources import sources_of


def run(settings: ReportSettings) -> Path:
    """Reads allocation/ and scores/ of the run's folder, and model/, rehearsal/ and regret/ where they are there; beside them the policy's
    file and the allocation before this one. Returns the page's path."""
    sources = sources_of(settings.paths.run, settings.paths.policy)
    read = (sources.allocation, sources.scores, sources.model, sources.rehearsal, sources.truth)
    policy = [path for path in (sources.policy_file,) if path is not None and path.is_file()]
    made_from = [*(path for path in read if path is not None), *policy]
    config = {} if sources.previous is None else {"previous": sources.previous.name}
    with stage.write(settings.paths.run / "report", "report", made_from, config) as made:
        write_report(sources, made / "report.html")
    return settings.paths.run / "report" / "report.html"


def main(settings: ReportSettings) -> None:
    print(run(settings))


if __name__ == "__main__":
    entry.main("report", ReportSettings, main)
