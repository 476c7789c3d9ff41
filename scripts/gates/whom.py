"""Gates about listeners: how many get other contacts than last week, which values of a segment are empty, and rules that ran out."""

from collections.abc import Iterator

from allocator.policy.grammar import EligibilityRule, Policy
from allocator.policy.kinds.base import Constraint
from allocator.policy.words import RULES, Rule
from scripts.cli.settings import PublishOptions
from scripts.formats.gates import GateFinding
from scripts.gates.gate import Gate, WeeksCompared
from scripts.gates.listeners import churn


class ChurnGate(Gate):
    """The part of last week's listeners who now get other contacts, or none."""

    def findings(self, weeks: WeeksCompared, options: PublishOptions) -> Iterator[GateFinding]:
        if weeks.last is None:
            return
        last = weeks.last
        contacts = 0 if last.said is None else last.said.contacts or 0
        before, others = churn(last.allocation, weeks.now.allocation, contacts)
        if not before:
            yield self.untold("it had no contacts", weeks)
            return
        share, limit = others / before, options.max_churn or 0.0
        sentence = (
            f"churn: {100 * share:.1f} % of the listeners of {last.name} get other contacts or none; "
            f"the guardrail publish.max_churn={limit:g} lets through {100 * limit:g} %"
        )
        yield self.decided(share > limit, sentence, weeks, found=share, limit=limit)


class EmptyPartitions(Gate):
    """Values of a segment that had listeners, or listeners with contacts, and have none now."""

    def findings(self, weeks: WeeksCompared, options: PublishOptions) -> Iterator[GateFinding]:
        now, last = weeks.now.counted, None if weeks.last is None else weeks.last.partitions
        if now is None or last is None:
            yield self.untold("there are no scores beside an allocation", weeks)
            return
        empty = []
        for segment, values in last.items():
            for value, before in values.items() if segment in now else ():
                here = now[segment].get(value)
                for words, had, has in (
                    ("listeners", before.listeners, 0 if here is None else here.listeners),
                    ("listeners with contacts", before.reached, 0 if here is None else here.reached),
                ):
                    if had >= options.floor and not has:
                        empty.append((f"{segment} {value}", words, had))
                        break
        limit = options.max_empty or 0
        for about, words, had in empty if len(empty) > limit else ():
            sentence = (
                f"{about}: has no {words} any more after {had:,} in {weeks.last_name}; "
                f"the guardrail publish.max_empty={limit} lets {limit} values of segments run empty"
            )
            yield self.refused(sentence, weeks, about=about, found=0, compared=had, limit=limit)


class ExpiredRules(Gate):
    """Rules that protect somebody, in the policy still, that held last week and ran out since.

    A minimum that ran out frees the week and harms nobody.
    """

    def findings(self, weeks: WeeksCompared, options: PublishOptions) -> Iterator[GateFinding]:
        now, last = weeks.now, weeks.last
        if now.policy is None or now.day is None or last is None or last.day is None:
            yield self.untold("a policy or a day of scores is not told", weeks)
            return
        expired = [
            rule
            for rule in _protecting(now.policy)
            if rule.valid_to is not None and rule.holds_on(last.day) and rule.valid_to < now.day
        ]
        limit = options.max_expired or 0
        for rule in expired if len(expired) > limit else ():
            sentence = (
                f"{rule.name}: held in {last.name} and ran out on {rule.valid_to}; take it out of the policy or "
                f"extend it; the guardrail publish.max_expired={limit} lets {limit} such rules run out"
            )
            yield self.refused(sentence, weeks, about=rule.id, limit=limit)


def _protecting(policy: Policy) -> Iterator[Rule]:
    """Rules that keep contacts from somebody: for one listener, and enforced upper bounds."""
    for section in RULES:
        for rule in getattr(policy, section):
            at_most = getattr(rule, "max", None) is not None
            enforced = not isinstance(rule, Constraint) or rule.strength.kind != "report_only"
            if isinstance(rule, EligibilityRule) or (at_most and enforced):
                yield rule
