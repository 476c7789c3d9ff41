"""Rehearses the week's policy on users who did not train the model: what it promises of them, and what their logs say came of it.

`python -m scripts.rehearse model=DIR logs=DIR [scores=DIR] policy=FILE out=DIR`

scores: the week's, to whose users sums are scaled; without them, a week of the logs.
"""

from ranker import disk
from scripts.cli import entry
from scripts.cli.settings import RehearseSettings
from scripts.formats.rehearsal import REHEARSAL, Rehearsal
from scripts.judging.promises import rehearse
from scripts.pages.printed import show_rehearsal
from scripts.runs import stage


def run(settings: RehearseSettings) -> Rehearsal:
    """Writes rehearsal.json into `out` and returns what is in it."""
    paths = settings.paths
    config = {name: getattr(settings, name) for name in ("seed", "evaluate", "solve", "set")}
    inputs = [path for path in (paths.model, paths.logs, paths.scores, paths.policy) if path is not None]
    with stage.write(paths.out, "rehearse", inputs, config) as made:
        found = rehearse(settings)
        disk.write_text(made / REHEARSAL, found.text())
    return found


def main(settings: RehearseSettings) -> None:
    show_rehearsal(run(settings))


if __name__ == "__main__":
    entry.main("rehearse", RehearseSettings, main)
