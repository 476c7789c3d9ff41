"""Compares two policies on a sample, or in full: `python -m scripts.what_if scores=DIR policy=FILE [base=FILE] [out=DIR] [set...]`."""

from allocator.workbench.answers import WHAT_IF, WhatIf
from allocator.workbench.session import Session
from allocator.workbench.what_if import what_if
from scripts.cli import entry
from scripts.cli.settings import WhatIfSettings
from scripts.pages.what_if import show_what_if
from scripts.runs.questions import ask


def run(settings: WhatIfSettings) -> WhatIf:
    """The answer, written to `out` where one is named; raises Infeasible after writing `diagnosis.json` alone."""
    paths = settings.paths

    def answered(session: Session) -> WhatIf:
        new = session.read(paths.policy, settings.set)
        return what_if(session, session.read(paths.base or paths.policy, {}), new, settings.ask.full)

    return ask(settings, "Comparing the policies", WHAT_IF, answered)


def main(settings: WhatIfSettings) -> None:
    show_what_if(run(settings))


if __name__ == "__main__":
    entry.main("what_if", WhatIfSettings, main)
