"""Which value of a field reaches a goal: `python -m scripts.seek scores=DIR policy=FILE want="ID.achieved=40000" by=ID.FIELD [out=DIR]`."""

from allocator.workbench.answers import SEEK, Least, Seek
from allocator.workbench.goals import goal_of, seek_goal
from allocator.workbench.least import least
from scripts.cli import entry
from scripts.cli.settings import SeekSettings
from scripts.pages.seek import show_least, show_seek
from scripts.runs.questions import ask


def run(settings: SeekSettings) -> Seek | Least:
    """The answer, written to `out` where one is named; raises Infeasible after writing `diagnosis.json` alone."""
    wanted, policy, changes = settings.ask, settings.paths.policy, settings.set
    if wanted.least is not None:
        what, part = wanted.least, wanted.give_up
        return ask(settings, "Seeking", SEEK, lambda session: least(session, session.read(policy, changes), what, part))
    goal = goal_of(wanted.want, wanted.by)
    return ask(settings, "Seeking", SEEK, lambda session: seek_goal(session, policy, changes, goal, wanted.full))


def main(settings: SeekSettings) -> None:
    answer = run(settings)
    if isinstance(answer, Least):
        show_least(answer)
    else:
        show_seek(answer)


if __name__ == "__main__":
    entry.main("seek", SeekSettings, main)
