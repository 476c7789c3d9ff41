"""Which value of a field reaches a goal: `python -m scripts.seek scores=DIR policy=FILE want="ID.achieved=40000" by=ID.FIELD [out=DIR]`."""

from allocator.workbench.answers import SEEK, Seek
from allocator.workbench.goals import goal_of, seek_goal
from allocator.workbench.session import Session
from scripts.cli import entry
from scripts.cli.settings import SeekSettings
from scripts.pages.seek import show_seek
from scripts.runs.questions import ask


def run(settings: SeekSettings) -> Seek:
    """The answer, written to `out` where one is named; raises Infeasible after writing `diagnosis.json` alone."""
    goal = goal_of(settings.ask.want, settings.ask.by)

    def answered(session: Session) -> Seek:
        return seek_goal(session, settings.paths.policy, settings.set, goal, settings.ask.full)

    return ask(settings, "Seeking", SEEK, answered)


def main(settings: SeekSettings) -> None:
    show_seek(run(settings))


if __name__ == "__main__":
    entry.main("seek", SeekSettings, main)
