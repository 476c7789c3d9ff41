"""rehearsal.json: what the week's policy promises of held-out users, next to what their logged decisions say came of it."""

from typing import Final, Literal

from scripts.formats.document import Interval, Many, Number, StrictDocument

REHEARSAL = "rehearsal.json"
KEPT: Final = "within chance"
Verdict = Literal["within chance", "less came", "more came"]
"""Whether what came differs from the promise by more than both errors explain (95 %)."""
Kind = Literal["value", "metric", "constraint"]


class RehearsedAmount(StrictDocument):
    """One promise. name: `value`, a metric's or a constraint's id. promised: by the scores, with their standard error; realised: by the
    logs, doubly robust, with its 95 % interval. Sums are scaled to the users of the week. added: realised less promised, what selection
    adds to the promise."""

    name: str
    kind: Kind
    unit: str
    promised: Number
    promised_stderr: Number
    realised: Interval
    added: Number
    verdict: Verdict


class Rehearsal(StrictDocument):
    """users, rows: held out, of whom it is told. week_users: to whom sums are scaled. left_out: parts of the policy that cannot be
    rehearsed. unavailable: why nothing is told."""

    users: int
    rows: int
    week_users: Number
    contacts: int
    left_out: Many[str]
    amounts: Many[RehearsedAmount]
    unavailable: str | None = None
