"""What the audit takes each kind of constraint for, straight from the contract's definitions and apart from how it was compiled."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from allocator.audit.scope import actions_in, times_of
from allocator.audit.sums import Changed, Numerator, Part, Reached
from allocator.policy.kinds.base import Constraint, Side
from ranker.catalogue import Catalogue

Parts = tuple[Numerator, Part | None]


def as_written(rule: Constraint, side: Side, users: int, before: int) -> Fraction | None:
    """The policy's own bound, a percentage taken of the users in scope."""
    bound = rule.min if side == "min" else rule.max
    return None if bound is None else bound.exact(users)


@dataclass(frozen=True)
class AuditedKind:
    """parts: numerator and denominator of a rule of this kind, which `Any` stands for.

    bound: of a side, by users in scope and contacts of the earlier allocation in scope. counts: what is counted holds exactly:
    `wholes`, whose bounds are whole numbers, or `parts` of each other, whose bounds may be fractions that were cut off.
    compares: whether it needs the earlier allocation.
    """

    parts: Callable[[Any, Catalogue], Parts]
    bound: Callable[[Any, Side, int, int], Fraction | None] = as_written
    counts: Literal["wholes", "parts"] | None = None
    compares: bool = False


def _contacts(rule: Any, catalogue: Catalogue) -> Parts:
    return Part(actions_in(rule.where, catalogue).astype(float), None), None


def _changed(rule: Any, catalogue: Catalogue) -> Parts:
    return Changed(), None


def _reached(rule: Any, catalogue: Catalogue) -> Parts:
    return Reached(actions_in(rule.where, catalogue)), None


def _sum(rule: Any, catalogue: Catalogue) -> Part:
    return Part(actions_in(rule.where, catalogue) * times_of(rule.times, catalogue), rule.metric)


def _total(rule: Any, catalogue: Catalogue) -> Parts:
    return _sum(rule, catalogue), None


def _share(rule: Any, catalogue: Catalogue) -> Parts:
    where_A, of_A = actions_in(rule.where, catalogue), actions_in(rule.of, catalogue)
    return Part((where_A & of_A).astype(float), None), Part(of_A.astype(float), None)


def _average(rule: Any, catalogue: Catalogue) -> Parts:
    return _sum(rule, catalogue), Part(actions_in(rule.where, catalogue).astype(float), None)


def _ratio(rule: Any, catalogue: Catalogue) -> Parts:
    where_A = actions_in(rule.where, catalogue)
    return _sum(rule, catalogue), Part(where_A * times_of(rule.per.times, catalogue), rule.per.metric)


def _around(rule: Any, side: Side, users: int, before: int) -> Fraction:
    part = Fraction(repr(rule.max.amount))
    if side == "max":
        return Fraction(math.floor(before * (1 + part)))
    return Fraction(max(0, math.ceil(before * (1 - part))))


def _most_changed(rule: Any, side: Side, users: int, before: int) -> Fraction | None:
    return Fraction(math.floor(users * Fraction(repr(rule.max.amount)))) if side == "max" else None


AUDITED: dict[str, AuditedKind] = {
    "volume": AuditedKind(_contacts, counts="wholes"),
    "reach": AuditedKind(_reached, counts="wholes"),
    "change": AuditedKind(_contacts, _around, counts="wholes", compares=True),
    "churn": AuditedKind(_changed, _most_changed, counts="wholes", compares=True),
    "total": AuditedKind(_total),
    "share": AuditedKind(_share, counts="parts"),
    "average": AuditedKind(_average),
    "ratio": AuditedKind(_ratio),
}
"""By the word that names a kind in the policy. The floor of an earlier tier is none of them: its sum is the tier's objective."""
