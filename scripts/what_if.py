"""Compares two policies on a sample, or in full: `python -m scripts.what_if scores=DIR policy=FILE [base=FILE] [out=DIR] [set...]`."""

import logging

from allocator.formats import DIAGNOSIS
from allocator.infeasible.diagnosis import Infeasible
from allocator.workbench.answers import WHAT_IF, WhatIf
from allocator.workbench.session import Session
from allocator.workbench.what_if import what_if
from ranker.scores import open_scores
from scripts.cli import entry
from scripts.cli.settings import WhatIfSettings
from scripts.pages.what_if import show_what_if
from scripts.runs import stage

log = logging.getLogger("offermix")


def run(settings: WhatIfSettings) -> WhatIf:
    """The answer, written to `out` where one is named; raises Infeasible after writing `diagnosis.json` alone."""
    paths, doing = settings.paths, ["opening the scores"]
    try:
        with (
            entry.watched(lambda: f"Comparing the policies: {doing[-1]}"),
            Session.open(open_scores(paths.scores), settings.ask.sample, paths.previous, doing.append) as session,
        ):
            new = session.read(paths.policy, settings.set)
            base = session.read(paths.base or paths.policy, {})
            answer = what_if(session, base, new, settings.ask.full)
    except Infeasible as error:
        if paths.out is not None:
            stage.write_alone(paths.out, DIAGNOSIS, error.diagnosis.text(), instead_of=WHAT_IF)
        raise
    if paths.out is not None:
        stage.write_alone(paths.out, WHAT_IF, answer.text(), instead_of=DIAGNOSIS)
    return answer


def main(settings: WhatIfSettings) -> None:
    show_what_if(run(settings))


if __name__ == "__main__":
    entry.main("what_if", WhatIfSettings, main)
