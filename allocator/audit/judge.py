"""The judge: sees every shard once, then says what it found.

Axes: N contacts, n those of a shard.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from allocator.audit.audited_shard import Seen, Week
from allocator.audit.bound import Best
from allocator.audit.certificate_as_read import Claims, read_claims
from allocator.audit.checks import TOLERANCE, Audit, Check, equal, none_of, number, told, verdict
from allocator.audit.contact_history import read_received
from allocator.audit.each import rules_of
from allocator.audit.errors import Errors, weights_of
from allocator.audit.previous_allocation import read_earlier
from allocator.audit.recounts import Recount, recounts_of
from allocator.audit.rows import Numbering, Unreadable, read_rows
from allocator.audit.scope import Cap, Need, caps_of, needs_of
from allocator.audit.sums import Sum, Worth
from allocator.audit.users import FALLBACK, UserRules
from allocator.policy.grammar import Policy
from ranker.scores import Scores, Shard, open_scores


def audit(
    scores: Path,
    policy: Policy,
    allocation: Path,
    previous: Path | None = None,
    seen: Callable[[int], None] = lambda users: None,
) -> Audit:
    """Judges the allocation in a directory (rows and certificate.json) against the scores and the policy it claims to follow.

    previous: the earlier allocation that constraints of kind `change` and `churn` compare with. The scores are streamed; the
    rows are held in memory as compact arrays (some 30 bytes a contact, 10 of an earlier one). An allocation that cannot be read
    is a failed audit; InputError is raised for scores that cannot be, and for a history that rules count and that is faulty.
    seen: is told how many users have been judged, part after part.
    """
    opened = open_scores(scores)
    policy = policy.active(opened.catalogue.as_of)
    try:
        claims = read_claims(allocation / "certificate.json")
        opened.check_users()
        numbering = Numbering(opened)
        rows = read_rows(allocation, opened, numbering)
        before = read_earlier(previous, policy, opened, numbering)
        counted: list[Cap | Need] = [*caps_of(policy, opened.catalogue), *needs_of(policy, opened.catalogue)]
        received = read_received(opened, counted, numbering)
    except Unreadable as error:
        return Audit((Check("readable", "FAIL", str(error)),))
    rules = rules_of(policy, opened)
    week = Week(rows, policy, opened.catalogue, opened.vocabulary, rules, before, received)
    judge = _Judge(opened, claims, week)
    for shard in opened.shards():
        judge.see(shard)
        seen(len(shard))
    return Audit(tuple(judge.checks()))


@dataclass
class _Values:
    """What the rows are worth: altogether, those that fell back, and per metric. wrong: rows whose value is another."""

    week: Week
    wrong: int = 0
    value: Sum = field(default_factory=Sum)
    fallback: Sum = field(default_factory=Sum)
    totals: dict[str, Sum] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.totals = {metric.name: Sum() for metric in self.week.catalogue.metrics}
        self.errors = Errors(self.week.catalogue)

    def see(self, seen: Seen) -> None:
        worth = Worth(self.week.policy.objective, self.week.policy.risk_z, self.week.catalogue)
        value_n, absolute_n = worth.parts_of(seen.shard, seen.user_n, seen.action_n)
        self.wrong += int(np.count_nonzero(~(np.abs(seen.value_n - value_n) <= TOLERANCE * absolute_n)))
        falls_n = seen.source_n == FALLBACK
        self.fallback.add(value_n[falls_n], absolute_n[falls_n])
        self.value.add(value_n, absolute_n)
        for name, total in self.totals.items():
            total.add(seen.shard.mean[name][seen.user_n, seen.action_n].astype(np.float64))
        self.errors.see(seen, np.ones(len(seen), bool), self.totals)

    def error_checks(self, claims: Claims) -> Iterator[Check]:
        """Of the standard errors of the value and of every metric's total, where the certificate tells them."""
        worth = Worth(self.week.policy.objective, self.week.policy.risk_z, self.week.catalogue)
        one_A, metrics = np.ones(len(self.week.catalogue.actions)), claims.get("metrics", {})
        told_of = {"value_se": (claims.content, "value_se", weights_of((worth, None), 0.0))}
        for name in self.totals:
            if isinstance(metrics, dict) and isinstance(metrics.get(name), dict):
                told_of[f"metrics.{name}.se"] = (metrics[name], "se", {name: one_A})
        for name, (said, key, weights) in told_of.items():
            if key in said:
                found = self.errors.of(weights)
                slip = 0.0 if found is None else self.errors.slip(weights)
                yield equal(f"certificate {name}", said[key], math.nan if found is None else found, slip)


class _Judge:
    """Counts shard after shard, and then compares with the claims."""

    def __init__(self, scores: Scores, claims: Claims, week: Week):
        self.scores, self.claims, self.week = scores, claims, week
        self.policy, self.rows = week.policy, week.rows
        self.users, self.values = UserRules(self.week), _Values(self.week)
        self.recounts: list[Recount] = recounts_of(self.week, claims)
        self.best = Best(self.week, self.recounts)
        self.matched = 0

    def see(self, shard: Shard) -> None:
        """Counts one shard's users and their rows."""
        seen = Seen(shard, self.week)
        self.matched += seen.matched
        self.users.see(seen)
        self.values.see(seen)
        for recount in self.recounts:
            recount.see(seen)
        self.best.see(seen)

    def checks(self) -> Iterator[Check]:
        """Every check, in the order of the contract."""
        yield from self.rows.checks(self.matched)
        yield from self.users.checks()
        yield none_of("row values", self.values.wrong, "rows have a value that the scores do not give")
        yield self._constraints_check()
        yield from (recount.check() for recount in self.recounts)
        yield from self._certificate_checks()

    def _constraints_check(self) -> Check:
        wanted = [recount.rule.id for recount in self.recounts]
        same = sorted(self.claims.ids) == sorted(wanted)
        wrong = [] if same else ["the certificate's constraints are not those of the policy"]
        return verdict("constraints", wrong, f"{len(wanted)} constraints, each certified once")

    def _certificate_checks(self) -> Iterator[Check]:
        claims, penalty = self.claims, sum(recount.penalty for recount in self.recounts)
        value = self.values.value.value - penalty
        slip = self.values.value.slip + sum(recount.penalty_slip for recount in self.recounts)
        yield equal("certificate users", claims.get("users"), self.scores.users, 0)
        yield equal("certificate contacts", claims.get("contacts"), len(self.rows), 0)
        yield equal("certificate value", claims.get("value"), value, slip)
        yield equal("certificate soft_penalty", claims.get("soft_penalty", 0.0), penalty, slip)
        yield self._bound_check(slip)
        yield self._gap_check(slip)
        yield from self._metric_checks()
        yield from self.values.error_checks(claims)
        yield from self._fallback_checks()
        yield from self._tier_checks()
        if "policy_digest" in claims.content:
            wrong = [] if claims.get("policy_digest") == self.policy.digest else ["it is of another policy"]
            yield verdict("certificate policy_digest", wrong, "it is of this policy")

    def _bound_check(self, slip: float) -> Check:
        """The bound is that of the multipliers, or one of whole contacts that an integer programme found, which is no higher."""
        bound = self.best.bound
        wrong = self._wrong_bound(bound, slip)
        if wrong:  # or only rounded, in net values that are small differences of large terms
            bound = self.best.bound_with(
                sum(self.best.absolute(Seen(shard, self.week)) for shard in self.scores.shards())
            )
            wrong = self._wrong_bound(bound, slip)
        found = f"{bound.value:.12g}, recomputed from the multipliers"
        if self._by_programme:
            found += f"; {told(self.claims.get('bound'))} of whole contacts, which cannot be recomputed"
        return verdict("certificate bound", wrong, found)

    @property
    def _by_programme(self) -> bool:
        return self.claims.get("bound_by", "prices") == "whole contacts"

    def _wrong_bound(self, bound: Sum, slip: float) -> list[str]:
        by_programme, claimed = self._by_programme, number(self.claims.get("bound"))
        value = number(self.claims.get("value")) or 0.0
        by_prices = number(self.claims.get("price_bound")) if by_programme else claimed
        wrong = []
        if by_prices is None or not abs(by_prices - bound.value) <= bound.slip:
            wrong.append(f"the certificate says {told(by_prices)}, its multipliers give {bound.value:.12g}")
        if by_programme and (claimed is None or claimed > bound.value + bound.slip):
            wrong.append("the bound of the integer programme is missing or above that of the multipliers")
        if claimed is not None and value > claimed + slip + bound.slip:
            wrong.append("the value is above the bound")
        return wrong

    def _gap_check(self, slip: float) -> Check:
        value, bound = number(self.claims.get("value")), number(self.claims.get("bound"))
        if value is None or bound is None:
            return Check("certificate gap", "FAIL", "there is no value or no bound to take it from")
        gap = (bound - value) / (abs(bound) or abs(value) or 1.0)
        return equal("certificate gap", self.claims.get("gap"), gap, TOLERANCE * max(1.0, abs(gap)))

    def _metric_checks(self) -> Iterator[Check]:
        metrics = self.claims.get("metrics", {})
        for name, total in self.values.totals.items():
            if isinstance(metrics, dict) and isinstance(metrics.get(name), dict):
                yield equal(f"certificate metrics.{name}", metrics[name].get("total"), total.value, total.slip)

    def _fallback_checks(self) -> Iterator[Check]:
        claimed = self.claims.get("fallback")
        if self.policy.fallback is not None:
            claimed = claimed if isinstance(claimed, dict) else {}
            for name, count in (("contacts", self.users.fallbacks), ("left_without", self.users.left_without)):
                yield equal(f"certificate fallback.{name}", claimed.get(name), count, 0)
            recounted = self.values.fallback
            yield equal("certificate fallback.value", claimed.get("value"), recounted.value, recounted.slip)

    def _tier_checks(self) -> Iterator[Check]:
        """Each floor follows from what its tier reached, which no bound is below; that the floor holds is a constraint's check."""
        earlier, claimed = self.policy.tiers[:-1], self.claims.tiers
        if len(claimed) != len(earlier):
            yield Check("tiers", "FAIL", f"the certificate has {len(claimed)} earlier tiers, not {len(earlier)}")
        for tier, each in zip(earlier, claimed, strict=False):
            floor = each.value - float(tier.part) * abs(each.value)
            yield equal(f"certificate {each.id} floor", each.floor, floor, TOLERANCE * abs(each.value))
            wrong = each.value > each.bound + TOLERANCE * abs(each.bound)
            yield verdict(f"certificate {each.id}", ["its value is above its bound"] if wrong else [], "value <= bound")
