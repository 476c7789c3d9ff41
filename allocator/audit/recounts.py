"""Every constraint recounted, next to what the certificate says of it.

Axes: U users, N contacts, n those of a shard, A actions.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from allocator.audit.audited_shard import Seen, Week
from allocator.audit.certificate_as_read import Claims, priced_side
from allocator.audit.checks import TOLERANCE, Check, number, told, verdict
from allocator.audit.errors import Errors, certainty_of, gradient_as_told, length, weights_of, z_of
from allocator.audit.kinds import AUDITED, AuditedKind, as_written
from allocator.audit.sums import Changed, Numerator, Part, Reached, Sum, Worth
from allocator.policy.kinds.base import Constraint, Side
from allocator.policy.kinds.tier import TierFloor
from allocator.policy.words import Bound

CUT_OFF = Fraction(1, 10**12)
"""Of a share: what digits that were cut off, as of 1/3, may lack."""


@dataclass
class Recount:
    """A constraint, recounted so far. users: in its scope. before: contacts of the earlier allocation in its scope."""

    rule: Constraint
    parts: tuple[Numerator, Part | None]
    claim: Mapping
    errors: Errors
    numerator: Sum = field(default_factory=Sum)
    denominator: Sum = field(default_factory=Sum)
    users: int = 0
    before: int = 0

    @property
    def kind(self) -> AuditedKind | None:
        """None for the floor of an earlier tier."""
        return AUDITED.get(self.rule.kind)

    @property
    def counts(self) -> str | None:
        """What both halves count, if they do: contacts or users, which hold exactly."""
        return None if self.kind is None else self.kind.counts

    @property
    def changes(self) -> bool:
        """Whether it counts users who are given something else than before."""
        return isinstance(self.parts[0], Changed)

    @property
    def reaches(self) -> Reached | None:
        """The users that it counts, if it counts those who are given something."""
        return self.parts[0] if isinstance(self.parts[0], Reached) else None

    @property
    def achieved(self) -> float | None:
        if self.parts[1] is None:
            return self.numerator.value
        return self.numerator.value / self.denominator.value if self.denominator.value else None

    @property
    def slip(self) -> float:
        """Rounding error of `achieved`: that of the numerator, and of the quotient."""
        if self.parts[1] is None:
            return self.numerator.slip
        achieved, divisor = self.achieved, abs(self.denominator.value)
        if achieved is None:
            return 0.0
        return (self.numerator.slip + abs(achieved) * self.denominator.slip) / divisor

    @property
    def penalty(self) -> float:
        """What breaking it costs, where it is soft."""
        penalty = self.rule.strength.penalty
        return 0.0 if penalty is None else penalty * (self.violation("min") + self.violation("max"))

    @property
    def error(self) -> tuple[float, float] | None:
        """The standard error of what is achieved and its slip; with a certainty about the binding or else the nearer bound."""
        at, achieved = self.achieved, self.achieved
        sides: tuple[Side, ...] = ("min", "max")
        bounds: dict[object, float] = {side: float(bound) for side in sides if (bound := self.bound(side)) is not None}
        if achieved is None:
            return None
        if certainty_of(self.rule) is not None and bounds:
            at = bounds.get(self.claim.get("binding"), min(bounds.values(), key=lambda bound: abs(bound - achieved)))
        weights = weights_of(self.parts, at or 0.0)
        found, divisor = self.errors.of(weights), 1.0 if self.parts[1] is None else abs(self.denominator.value)
        return None if found is None else (found / divisor, self.errors.slip(weights) / divisor)

    @property
    def penalty_slip(self) -> float:
        """Rounding error of the penalty: that of the row, which is the difference of two sums."""
        penalty, bounds = self.rule.strength.penalty, [self.bound("min"), self.bound("max")]
        if penalty is None or self.counts is not None:
            return TOLERANCE * self.penalty
        return penalty * max((self._row_slip(bound) for bound in bounds if bound is not None), default=0.0)

    def see(self, seen: Seen) -> None:
        member_U = seen.members(self.rule.users)
        for part, total in zip(self.parts, (self.numerator, self.denominator), strict=True):
            if part is not None:
                part.count(seen, member_U, total)
        if self.metrics:
            self.errors.see(seen, member_U, self.metrics)
        self.users += int(member_U.sum())
        if self.kind is not None and self.kind.compares and isinstance(self.parts[0], Part):
            inside_n = member_U[seen.before_user_n] & (seen.before_action_n >= 0)
            self.before += int((self.parts[0].weight_A[seen.before_action_n[inside_n]] > 0).sum())

    @property
    def metrics(self) -> frozenset[str]:
        """That it sums."""
        terms = (part.metric_weights() for part in self.parts if isinstance(part, Part | Worth))
        return frozenset(metric for part in terms for metric, _ in part)

    def margin(self, bound: float) -> float:
        """What its certainty asks for besides its sums, at this bound."""
        z = z_of(self.rule)
        return z * (self.errors.of(weights_of(self.parts, bound)) or 0.0) if z else 0.0

    def bound(self, side: Side) -> Fraction | None:
        bound = as_written if self.kind is None else self.kind.bound
        return bound(self.rule, side, self.users, self.before)

    def violation(self, side: Side) -> float:
        """By how much the side's row is broken, in units of the numerator: 0 where it holds, exactly or to the tolerance."""
        bound = self.bound(side)
        if bound is None:
            return 0.0
        margin = self.margin(float(bound))
        over = self._over(bound) * (1 if side == "max" else -1) + Fraction(margin)
        if self.counts == "parts" and over <= CUT_OFF * abs(bound) * Fraction(self.denominator.value):
            return 0.0
        if over <= 0 or self.counts is not None:
            return max(float(over), 0.0)
        return 0.0 if over <= self._row_slip(bound) else float(over)

    def _row_slip(self, bound: Fraction) -> float:
        """Rounding error of the row."""
        slip = self.numerator.slip + abs(float(bound)) * (self.denominator.slip if self.parts[1] else TOLERANCE)
        return slip + TOLERANCE * self.margin(float(bound))

    def _over(self, bound: Fraction) -> Fraction:
        """sum num - bound * sum den, den being 1 for a volume or a total."""
        denominator = Fraction(1) if self.parts[1] is None else Fraction(self.denominator.value)
        return Fraction(self.numerator.value) - bound * denominator

    @property
    def multiplied(self) -> tuple[float, float]:
        """(signed multiplier, bound) of the constraint's row: + for its max, - for its min; (0, 0) where it has none."""
        multiplier, side = number(self.claim.get("multiplier")), priced_side(self.claim)
        if not multiplier or side is None or self.rule.strength.kind == "report_only":
            return 0.0, 0.0
        bound = number(self.claim.get(side))
        return (0.0, 0.0) if bound is None else (multiplier if side == "max" else -multiplier, bound)

    @property
    def charges(self) -> dict[str, np.ndarray]:
        """Metric -> float64[A]: what its certainty charges per unit of a contact's standard error, beside the row's own use."""
        z = z_of(self.rule)
        if not z:
            return {}
        weights = weights_of(self.parts, self.multiplied[1])
        told_of = gradient_as_told(self.claim.get("gradient"), weights, self.errors.catalogue)
        return {metric: z * told_of[metric] * weights[metric] for metric in told_of}

    @property
    def gradient_length(self) -> float:
        """Of the gradient that the certificate tells."""
        weights = weights_of(self.parts, self.multiplied[1])
        told_of = gradient_as_told(self.claim.get("gradient"), weights, self.errors.catalogue)
        return length(told_of, weights, self.errors.catalogue)

    @property
    def limit(self) -> float:
        """What its multiplier is multiplied by in the bound: 0 for a ratio, whose bound is in its use.

        The users who are not changed are what uses the row of churn: with as many users in scope as there are,
        `changed <= max` is `- kept <= max - users`.
        """
        bound = self.multiplied[1]
        if self.changes:
            return bound - self.users
        return bound if self.parts[1] is None else 0.0

    def check(self) -> Check:
        wrong = [*_violations(self), *(_false_claims(self) if self.claim else ())]
        achieved = self.achieved
        return verdict(
            f"constraint {self.rule.id}",
            wrong,
            "nothing is in scope" if achieved is None else f"achieved {achieved:,.10g}",
        )


def recounts_of(week: Week, claims: Claims) -> list[Recount]:
    """The policy's constraints, then the floors of the earlier tiers, as the certificate tells them."""
    policy, catalogue = week.policy, week.catalogue
    ruled = [(rule, AUDITED[rule.kind].parts(rule, catalogue)) for rule in week.constraints]
    for tier, told_tier in zip(policy.tiers[:-1], claims.tiers, strict=False):
        floor = TierFloor(id=told_tier.id, min=Bound(told_tier.floor))
        ruled.append((floor, (Worth(tier.objective, policy.risk_z, catalogue), None)))
    return [Recount(rule, parts, claims.constraints.get(rule.id, {}), Errors(catalogue)) for rule, parts in ruled]


def _violations(recount: Recount) -> Iterator[str]:
    if recount.rule.strength.kind != "hard":
        return
    sides: tuple[tuple[Side, str], ...] = (("min", "below"), ("max", "above"))
    for side, word in sides:
        bound, achieved = recount.bound(side), recount.achieved
        if bound is not None and recount.violation(side) > 0:
            shown = f"{recount.numerator.value:.12g} over nothing" if achieved is None else f"{achieved:.12g}"
            margin = recount.margin(float(bound))
            beside = f", with a margin of {margin:.12g} for its certainty" if margin else ""
            yield f"{shown} is {word} the {side}imum {float(bound):.12g}{beside}"


def _false_claims(recount: Recount) -> Iterator[str]:
    """What the certificate says about a constraint and the recount does not."""
    yield from _false_bounds(recount)
    achieved, claim = recount.achieved, recount.claim
    for name, part in (("numerator", recount.numerator), ("denominator", recount.denominator)):
        claimed = number(claim.get(name))
        if claimed is not None and recount.parts[name == "denominator"] and abs(claimed - part.value) > part.slip:
            yield f"the {name} is {part.value:.12g}, the certificate says {claimed:.12g}"
    claimed = number(claim.get("achieved"))
    same = claim.get("achieved") is None
    if achieved is not None:
        same = claimed is not None and abs(claimed - achieved) <= recount.slip
    if not same:
        yield f"achieved is {told(achieved)}, the certificate says {told(claim.get('achieved'))}"
    yield from _false_error(recount)
    yield from _false_slack(recount)
    yield from _false_multiplier(recount)


def _false_bounds(recount: Recount) -> Iterator[str]:
    """A certified bound is the policy's; for a volume a fractional one may be told as the count that it comes to."""
    sides: tuple[tuple[Side, Callable[[Fraction], int]], ...] = (("min", math.ceil), ("max", math.floor))
    for side, whole in sides:
        bound, claimed = recount.bound(side), number(recount.claim.get(side))
        if bound is None or claimed is None:
            if (bound is None) != (recount.claim.get(side) is None):
                policy = None if bound is None else float(bound)
                yield f"the policy's {side}imum is {told(policy)}, the certificate says {told(recount.claim.get(side))}"
            continue
        same = abs(claimed - float(bound)) <= 1e-12 * abs(float(bound))
        if not same and not (recount.counts == "wholes" and claimed == whole(bound)):
            yield f"the policy's {side}imum is {float(bound):.12g}, the certificate says {claimed:.12g}"


def _false_error(recount: Recount) -> Iterator[str]:
    """The standard error of what is achieved, and the certainty that it is told for."""
    claimed, wanted = recount.claim.get("certainty"), certainty_of(recount.rule)
    if claimed != wanted:
        yield f"the policy's certainty is {told(wanted)}, the certificate says {told(claimed)}"
    if "se" not in recount.claim:
        if wanted is not None and recount.achieved is not None:
            yield "the certificate lacks the standard error that its certainty needs"
        return
    error, stderr = recount.error, number(recount.claim["se"])
    if error is None or stderr is None or abs(stderr - error[0]) > error[1]:
        found = None if error is None else error[0]
        yield f"the standard error is {told(found)}, the certificate says {told(recount.claim['se'])}"


def _false_slack(recount: Recount) -> Iterator[str]:
    """slack is the distance from the binding bound, or from the nearer one, negative where it is broken."""
    achieved, claim = recount.achieved, recount.claim
    claimed, binding = claim.get("slack"), claim.get("binding")
    given = {side: number(claim.get(side)) for side in ("min", "max")}
    sides = {side: at for side, at in given.items() if at is not None}
    room = {}
    if achieved is not None:
        room = {side: (achieved - at if side == "min" else at - achieved) for side, at in sides.items()}
    if binding is not None and binding not in sides:
        yield f"the {binding} that is said to bind is not there"
    if not room:
        if claimed is not None:
            yield f"the certificate says slack {claimed} where there is none to speak of"
        return
    wanted = min(room.values()) if binding is None else room.get(binding, min(room.values()))
    slip = recount.slip + TOLERANCE * max(abs(at) for at in sides.values())
    error = recount.error
    if error is not None:
        wanted -= z_of(recount.rule) * error[0]
        slip += z_of(recount.rule) * error[1]
    slack = number(claimed)
    if slack is None or abs(slack - wanted) > slip:
        yield f"slack is {wanted:.12g}, the certificate says {told(claimed)}"


def _false_multiplier(recount: Recount) -> Iterator[str]:
    """multiplier and price are at least 0, belong to a bound, and at a soft constraint cost no more than breaking it."""
    claim, strength = recount.claim, recount.rule.strength
    for name in ("multiplier", "price"):
        claimed = number(claim.get(name))
        if claimed is None or claimed < 0:
            yield f"{name} is {told(claim.get(name))}; a number of at least 0 is needed"
    multiplier = number(claim.get("multiplier")) or 0.0
    if multiplier > 0 and strength.kind == "report_only":
        yield "it is not enforced but has a multiplier"
    if multiplier > 0 and certainty_of(recount.rule) is not None and not recount.gradient_length <= 1 + TOLERANCE:
        yield f"its gradient has the length {recount.gradient_length:.12g}, which is at most 1"
    if multiplier > 0 and priced_side(claim) is None:
        yield "its multiplier does not say which bound it belongs to"
    if strength.penalty is not None and multiplier > strength.penalty * (1 + TOLERANCE):
        yield f"its multiplier {multiplier:.12g} is above the penalty {strength.penalty:.12g}"
