"""What the console keeps beside the runs: draft.json, scenarios.json and proposal.json."""

from typing import Literal

from scripts.formats.document import Many, Number, StrictDocument

DRAFT, SCENARIOS, PROPOSAL = "draft.json", "scenarios.json", "proposal.json"


class DraftState(StrictDocument):
    """The text of a policy at one time. what: how it came to be, in words."""

    policy_text: str
    by: str
    at: str
    what: str


class DraftRecord(StrictDocument):
    """A draft with its past. version: grows with every save, undo and redo; position: of the state that is shown."""

    version: int
    position: int
    states: Many[DraftState]


class ScenarioFigure(StrictDocument):
    """One total of a scenario. difference: against the run's policy, with its standard error."""

    name: str
    unit: str
    amount: Number
    difference: Number
    difference_se: Number


class ScenarioRecord(StrictDocument):
    """A policy under a name. figures: what it came to on the sample, value first. binding: rules at their limits, by their names."""

    name: str
    owner: str
    note: str
    at: str
    policy_text: str
    headline: str
    figures: Many[ScenarioFigure]
    binding: Many[str]


class ScenariosRecord(StrictDocument):
    """The scenarios of one run."""

    scenarios: Many[ScenarioRecord]


class ProposalRecord(StrictDocument):
    """A policy file that was put forward. sha256: of the file as it was proposed. approver and what follows: None until then."""

    name: str
    file: str
    sha256: str
    run: str
    reason: str
    author: str
    at: str
    state: Literal["proposed", "approved", "published"] = "proposed"
    approver: str | None = None
    approved_at: str | None = None
    published_run: str | None = None
    published_at: str | None = None
