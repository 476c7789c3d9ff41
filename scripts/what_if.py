"""Compares two policies on a sample, or in full: `python -m scripts.what_if scores=DIR policy=FILE [base=FILE] [out=DIR] [set...]`."""

import contextlib

from allocator.policy.grammar import Policy
from allocator.workbench.answers import WHAT_IF, WhatIf
from allocator.workbench.robust import cost_of_rules, robustness
from allocator.workbench.session import Session
from allocator.workbench.what_if import what_if
from ranker.scores import open_scores
from scripts.cli import entry
from scripts.cli.settings import WhatIfSettings
from scripts.judging.track_record import discounted, track_record
from scripts.pages.what_if import show_what_if
from scripts.runs.questions import ask


def run(settings: WhatIfSettings) -> WhatIf:
    """The answer, written to `out` where one is named; raises Infeasible after writing `diagnosis.json` alone."""
    paths = settings.paths

    def answered(session: Session) -> WhatIf:
        new, base = session.read(paths.policy, settings.set), session.read(paths.base or paths.policy, {})
        answer = what_if(session, base, new, settings.ask.full)
        record = track_record(paths.runs)
        if record is not None:
            worth = discounted(answer.difference.value, record)
            answer = answer.model_copy(update={"track_record": record, "discounted": worth})
        return _with_robustness(session, base, new, settings, answer) if settings.ask.robust else answer

    return ask(settings, "Comparing the policies", WHAT_IF, answered)


def _with_robustness(session: Session, base: Policy, new: Policy, settings: WhatIfSettings, answer: WhatIf) -> WhatIf:
    """The answer with what other views of the scores say, those of another model included, and what each rule costs."""
    also = settings.paths.also
    with contextlib.ExitStack() as opened:
        other = None
        if also is not None:
            scores = open_scores(also)
            other = opened.enter_context(Session.open(scores, settings.ask.sample, session.previous, session.tell))
        robust = robustness(session, base, new, other)
    return answer.model_copy(update={"robust": robust, "rules": cost_of_rules(session, new)})


def main(settings: WhatIfSettings) -> None:
    show_what_if(run(settings))


if __name__ == "__main__":
    entry.main("what_if", WhatIfSettings, main)
