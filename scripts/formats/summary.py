"""summary.json of a week's folder: what the last call of `weekly` on it came to, for schedulers, alerts and whoever is on call.

A stable format: keys are added, and keep their meaning; `format` counts what would break a reader. No user id stands in it. But for times
and seconds it is the same for the same call.
"""

from typing import Literal

from scripts.formats.document import Many, Number, StrictDocument

SUMMARY = "summary.json"
FORMAT = 1
Status = Literal["running", "done", "wrong input", "infeasible", "refused", "failed", "interrupted"]
RUNNING: Status = "running"


class PolicyOfRun(StrictDocument):
    """digest: of what it says after `changes` were made, by the certificate; file_sha256: of the file. changes: the `set.` of the call."""

    name: str
    file_sha256: str | None
    digest: str | None
    changes: Many[str]


class StageOfRun(StrictDocument):
    """A stage that ended well. skipped: its output was still current."""

    stage: str
    seconds: Number
    skipped: bool


class PromisedValue(StrictDocument):
    """What all contacts bring beyond showing nothing, as estimated; low and high bound its 90 % interval where the scores have errors."""

    value: Number
    stderr: Number | None
    low: Number | None
    high: Number | None


class LimitKept(StrictDocument):
    """A constraint of the policy: its limits, and what the allocation achieves. at_limit: `min`, `max` or None."""

    id: str
    kind: str
    unit: str | None
    min: Number | None
    max: Number | None
    achieved: Number | None
    at_limit: str | None


class GateNotPassed(StrictDocument):
    """A gate that refused, or was overridden. found, compared: this week's figure and that of the week beside it."""

    gate: str
    about: str | None
    found: Number | None
    compared: Number | None
    limit: Number | None
    overridden: bool
    sentence: str


class WarningCounted(StrictDocument):
    """A warning of the log, and how often it was given."""

    words: str
    times: int


class StoreOfRun(StrictDocument):
    """An object store on which the week is published besides. published: whether this call put the run there, or found it there."""

    address: str
    published: bool


class RunSummary(StrictDocument):
    """exit_status: None while it runs, or where the process died. stopped_at: the stage that did not end well.

    published: whether the pointer names this run; published_now: whom it names; published_before: whom it named when the call began.
    store: None where the call publishes on none.
    data_digest, policy.digest and figures: None where the call did not come so far. Paths are below the folder that holds this file.
    """

    format: int = FORMAT
    run: str
    week: str
    as_of: str | None
    status: Status
    exit_status: int | None
    started_at: str
    finished_at: str | None
    seconds: Number | None
    policy: PolicyOfRun
    code: str
    data_digest: str | None
    stages: Many[StageOfRun]
    stopped_at: str | None
    errors: Many[str]
    listeners: int | None
    contacts: int | None
    reach: int | None
    value: PromisedValue | None
    gap: Number | None
    limits: Many[LimitKept]
    gates: Many[GateNotPassed]
    warnings: Many[WarningCounted]
    published: bool
    published_now: str | None
    published_before: str | None
    store: StoreOfRun | None = None
    unpublished_because: str | None
    next: str
    report: str | None
    log: str
