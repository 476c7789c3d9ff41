"""What one thing costs in another: `python -m scripts.frontier scores=DIR policy=FILE x=METRIC_OR_ID y=METRIC_OR_ID [out=DIR]`."""

from allocator.workbench.answers import FRONTIER, Frontier
from allocator.workbench.frontier import frontier
from allocator.workbench.session import Session
from ranker.files import InputError
from scripts.cli import entry
from scripts.cli.settings import FrontierSettings
from scripts.pages.frontier import show_frontier
from scripts.runs.questions import ask


def run(settings: FrontierSettings) -> Frontier:
    """The answer, written to `out` where one is named; raises Infeasible after writing `diagnosis.json` alone."""
    wanted = settings.ask
    if missing := [key for key in ("x", "y") if getattr(wanted, key) is None]:
        raise InputError([f"{key}: is missing; give {key}=..." for key in missing])

    def answered(session: Session) -> Frontier:
        base = session.read(settings.paths.policy, settings.set)
        return frontier(session, base, str(wanted.x), str(wanted.y), wanted.points, wanted.full)

    return ask(settings, "Tracing the trade-off", FRONTIER, answered)


def main(settings: FrontierSettings) -> None:
    show_frontier(run(settings))


if __name__ == "__main__":
    entry.main("frontier", FrontierSettings, main)
