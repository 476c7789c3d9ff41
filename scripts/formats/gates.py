"""gates.json beside a run's stages: what every gate asked of the week before it was published, what it found, and who overrode which."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from allocator.formats import is_none
from scripts.formats.document import Many, Number, StrictDocument

GATES = "gates.json"
Status = Literal["passed", "refused", "overridden", "not compared", "off"]
PASSED: Status = "passed"
REFUSED: Status = "refused"
OVERRIDDEN: Status = "overridden"
UNTOLD: Status = "not compared"
OFF: Status = "off"


class GateFinding(StrictDocument):
    """One thing that a gate looked at. about: the rule, metric, outcome or column, or None where the gate is about the week.

    limit: the setting; found, compared: this week's figure and the one beside it, in `unit`; week: the run that it is compared with.
    sentence: why it is refused or not compared, empty where it passed. final: no override publishes in spite of it.
    """

    gate: str
    about: str | None = None
    unit: str
    limit: Number | None = None
    found: Number | None = None
    compared: Number | None = None
    week: str | None = None
    status: Status
    sentence: str = ""
    final: bool = False


class Override(StrictDocument):
    """Who published in spite of what, and why. refusals: the sentences of the gates."""

    by: str
    reason: str
    refusals: Many[str]


class PartitionCount(StrictDocument):
    """Of one value of a segment: listeners in the scores, and those of them who get a contact."""

    listeners: int
    reached: int


class GatesRecord(StrictDocument):
    """week: the last published run, or None; partitions: by segment and value, None where scores were not beside the allocation."""

    run: str
    week: str | None
    findings: Many[GateFinding]
    approver: str | None = Field(default=None, exclude_if=is_none)
    override: Override | None = Field(default=None, exclude_if=is_none)
    partitions: Mapping[str, Mapping[str, PartitionCount]] | None = None

    def of(self, status: Status) -> tuple[GateFinding, ...]:
        return tuple(each for each in self.findings if each.status == status)

    @property
    def refusals(self) -> tuple[str, ...]:
        return tuple(each.sentence for each in self.of(REFUSED))
