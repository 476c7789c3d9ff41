"""Gates that ask the week alone: whole files, a finished and audited allocation, a small gap, contacts, and a person who approved it."""

from collections.abc import Iterator
from typing import ClassVar

from allocator.formats import AUDIT, CERTIFICATE, PASS
from scripts.cli.settings import PublishOptions
from scripts.formats.gates import GateFinding
from scripts.gates.gate import Gate, WeeksCompared

FINISHED = ("optimal", "feasible")


class OfTheWeekAlone(Gate):
    """Compares with no other week."""

    needs_last: ClassVar[bool] = False


class WholeFiles(OfTheWeekAlone):
    """The allocation is complete, and every file is what its manifest says."""

    final: ClassVar[bool] = True

    def findings(self, weeks: WeeksCompared, options: PublishOptions) -> Iterator[GateFinding]:
        yield from (self.refused(fault, weeks) for fault in weeks.faults)


class CleanAudit(OfTheWeekAlone):
    """The independent judge found nothing."""

    final: ClassVar[bool] = True

    def findings(self, weeks: WeeksCompared, options: PublishOptions) -> Iterator[GateFinding]:
        if not (weeks.now.allocation / AUDIT).is_file():
            return
        audit = weeks.now.audit
        if audit is None or not audit.checks:
            yield self.refused("audit.json has no checks", weeks)
            return
        for check in audit.checks:
            if check.status != PASS:
                sentence = f"the audit failed: {check.name}: {check.detail}"
                yield self.refused(sentence, weeks, about=str(check.name))


class Finished(OfTheWeekAlone):
    """The solver came to an end, and the certificate states how far from the best it may be."""

    final: ClassVar[bool] = True

    def findings(self, weeks: WeeksCompared, options: PublishOptions) -> Iterator[GateFinding]:
        if not (weeks.now.allocation / CERTIFICATE).is_file():
            return
        said = weeks.now.said
        if said is None:
            yield self.refused("certificate.json cannot be read", weeks)
            return
        if said.status not in FINISHED:
            yield self.refused(f"its status is {said.status}; {' or '.join(FINISHED)} is needed", weeks)
        if said.gap is None:
            yield self.refused("its certificate states no gap", weeks)


class SmallGap(OfTheWeekAlone):
    """How far the optimiser may be from the best, what fallbacks cost left out."""

    def findings(self, weeks: WeeksCompared, options: PublishOptions) -> Iterator[GateFinding]:
        said = weeks.now.said
        if said is None or said.gap is None:
            return
        limit, gap = options.max_gap, said.gap - said.fallback_part
        sentence = f"its gap {said.gap:.3g} is above the guardrail publish.max_gap={limit:g}"
        yield self.decided(gap > limit, sentence, weeks, found=gap, limit=limit)


class SomeContacts(OfTheWeekAlone):
    """An empty week helps nobody."""

    def findings(self, weeks: WeeksCompared, options: PublishOptions) -> Iterator[GateFinding]:
        said = weeks.now.said
        if said is None or said.contacts is None:
            return
        sentence = "it has 0 contacts: an empty week is not published"
        yield self.decided(said.contacts == 0, sentence, weeks, found=said.contacts, limit=1)


class Approver(OfTheWeekAlone):
    """Where that is configured, somebody else than the policy's author stands for it."""

    final: ClassVar[bool] = True

    def findings(self, weeks: WeeksCompared, options: PublishOptions) -> Iterator[GateFinding]:
        if not options.approver_required:
            return
        approver, author = approver_of(weeks, options), author_of(weeks)
        if approver is None:
            yield self.refused("nobody approved it: publish.approver=NAME says who does", weeks)
        elif author is not None and approver.casefold() == author.casefold():
            yield self.refused(f"{author} wrote its policy: another person must approve it", weeks)


def approver_of(weeks: WeeksCompared, options: PublishOptions) -> str | None:
    """As the settings name them, or else the proposal of the policy."""
    proposal = weeks.now.proposal
    return options.approver or (None if proposal is None else proposal.approver)


def author_of(weeks: WeeksCompared) -> str | None:
    return None if weeks.now.proposal is None else weeks.now.proposal.author
