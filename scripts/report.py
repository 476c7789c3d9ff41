"""Writes the report of a run as one HTML page: `python -m scripts.report run=DIR`."""

import json
from pathlib import Path

from allocator.report.collect import Sources
from allocator.report.page import write_report
from scripts import command, stage
from scripts.settings import ReportSettings


def run(settings: ReportSettings) -> Path:
    """Reads allocation/, scores/ and, where it is there, model/ of the run's folder; writes report/report.html; returns its path."""
    folder = settings.paths.run
    allocation, scores, model = folder / "allocation", folder / "scores", folder / "model"
    inputs = [allocation, scores, *([model] if model.exists() else [])]
    with stage.write(folder / "report", "report", inputs) as made:
        sources = Sources(allocation, scores, model if model.exists() else None, policy_name=_policy_name(allocation))
        write_report(sources, made / "report.html")
    return folder / "report" / "report.html"


def _policy_name(allocation: Path) -> str | None:
    """The file name of the policy, from the allocation's manifest."""
    inputs = json.loads((allocation / stage.MANIFEST).read_text()).get("inputs", {})
    return next((Path(name).stem for name in inputs if name.endswith((".yaml", ".yml"))), None)


def main(settings: ReportSettings) -> None:
    print(run(settings))


if __name__ == "__main__":
    command.main("report", ReportSettings, main)
