"""Constraints compiled to sums over contacts, and their enforced sides as the linear rows that solvers see.

A constraint is a linear form, or for ratios two: num and den. Its rows are sum num - bound * sum den, den being 1 for volumes and totals.
With a certainty, z standard errors of that sum are added to the row, linearised at a gradient (`Margin`).

Reach counts users with at least one contact in a set of actions, which is no sum over contacts: a row credits or charges a slate once,
however many contacts of the set it has. Where nobody can have two of them it is a sum, and compiled as one.

Axes: U users, A actions, P planes, R rows, S user classes, B reach sets, E entries of
the rows by action.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from allocator.errors_of_sums import ErrorModel
from allocator.policy.kinds.base import ChangedUsers, Constraint, ContactSum, ReachedUsers, Side
from allocator.policy.words import Scalar, Strength
from allocator.scopes import chosen
from allocator.tally import Tally
from allocator.user_classes import UserClasses
from ranker.catalogue import Catalogue


@dataclass(frozen=True)
class LinearForm:
    """A sum over contacts: for users of the classes in `member_S`, const_A[a] + sum_p plane_PA[p,a] X[u,p,a].

    To it come `base`, for each of these users who keeps the earlier slate `kept`, and for each who gets at least one contact of the
    actions `reach_A` one.
    """

    member_S: np.ndarray
    const_A: np.ndarray
    plane_PA: np.ndarray
    base: float = 0.0
    kept: float = 0.0
    reach_A: np.ndarray | None = None

    @property
    def actions_A(self) -> np.ndarray:
        """bool[A]: those whose contacts it is about."""
        summed_A = (self.const_A != 0) | (self.plane_PA != 0).any(axis=0)
        return summed_A if self.reach_A is None else summed_A | self.reach_A

    def total(self, counted: Tally) -> float:
        """The sum over these contacts."""
        member = self.member_S
        contacts = (counted.count_SA[member] * self.const_A).sum() + (counted.sum_SPA[member] * self.plane_PA).sum()
        found = float(contacts + self.base + self.kept * counted.kept_S[member].sum())
        return found if self.reach_A is None else found + float(counted.reached(self.reach_A)[member].sum())

    def minus(self, factor: float, other: "LinearForm | None") -> "LinearForm":
        if other is None:
            return self
        return LinearForm(self.member_S, self.const_A - factor * other.const_A, self.plane_PA - factor * other.plane_PA)


@dataclass(frozen=True)
class Margin:
    """z standard errors of a sum of model estimates, which keep it within its bounds with a probability (`errors_of_sums`).

    A row with a gradient never asks for too much, since the standard error is at least `gradient . loads`: what the row bounds is bounded
    for the standard error too (an outer approximation of a second-order cone).

    stderr_of: plane of a metric's mean -> plane of its standard error. errors: how errors go together, by plane of the mean.
    gradient: side -> plane of the mean -> float64[A]; where none is known yet, that of equal loads. tightened: side -> by how much its
    limit is drawn in, in units of the row.
    """

    z: float
    stderr_of: Mapping[int, int]
    errors: ErrorModel[int]
    gradient: Mapping[Side, Mapping[int, np.ndarray]] = field(default_factory=dict)
    tightened: Mapping[Side, float] = field(default_factory=dict)

    def charge(self, row: LinearForm, side: Side) -> np.ndarray:
        """float64[P, A]: what a row costs besides its means, per unit of the planes."""
        charged_PA = np.zeros_like(row.plane_PA)
        for plane, gradient_A in (self.gradient.get(side) or self.level(row)).items():
            charged_PA[self.stderr_of[plane]] += self.z * gradient_A * row.plane_PA[plane]
        return charged_PA

    def level(self, row: LinearForm) -> dict[int, np.ndarray]:
        """The gradient at loads that are the same for all actions that the row sums."""
        return self.errors.gradient_at({plane: np.sign(row.plane_PA[plane]) for plane in self.stderr_of})

    def loads(self, row: LinearForm, sum_SPA: np.ndarray) -> dict[int, np.ndarray]:
        """Plane of the mean -> float64[A]: loads of contacts that are summarised per class as plane sums [S, P, A]."""
        inside_SPA = sum_SPA[row.member_S]
        return {
            plane: row.plane_PA[plane] * inside_SPA[:, stderr].sum(axis=0) for plane, stderr in self.stderr_of.items()
        }


@dataclass(frozen=True)
class CompiledConstraint:
    """A constraint of the policy with its sums compiled: `numerator`, over `denominator` where the kind is a ratio.

    low and high are in the constraint's own unit: counts and sums, or for ratios the ratio. margin: of a certainty.
    """

    rule: Constraint
    numerator: LinearForm
    denominator: LinearForm | None
    low: float | None
    high: float | None
    margin: Margin | None = None

    @property
    def enforced(self) -> bool:
        return self.rule.strength.kind != "report_only"

    @property
    def whole(self) -> bool:
        """Whether it counts contacts or users, so that bounds are whole numbers."""
        return self.rule.counts is not None

    @property
    def penalty(self) -> float:
        """What a unit of violation costs: infinite for a hard constraint."""
        penalty = self.rule.strength.penalty
        return np.inf if penalty is None else penalty

    def bound(self, side: Side) -> float:
        """Of a side that it has."""
        bound = self.low if side == "min" else self.high
        if bound is None:
            raise ValueError(f"{self.rule.id} has no {side}")
        return bound

    @property
    def sides(self) -> tuple[Side, ...]:
        """Those that have a bound."""
        bounds: tuple[tuple[Side, float | None], ...] = (("max", self.high), ("min", self.low))
        return tuple(side for side, bound in bounds if bound is not None)

    def row(self, side: Side) -> LinearForm:
        """sum num - bound * sum den, of which its margin is left out."""
        return self.numerator.minus(self.bound(side), self.denominator)

    def beyond(self, side: Side, counted: Tally) -> tuple[float, float]:
        """By how much a side's row is broken, its margin included (negative: room), and the size of what was added up."""
        numerator, denominator = self.sums(counted)
        limit = self.bound(side) * (1.0 if denominator is None else denominator)
        error = 0.0
        if self.margin is not None:
            loads = self.margin.loads(self.row(side), counted.sum_SPA)
            error = self.margin.z * self.margin.errors.stderr_of(loads)
        over = numerator - limit if side == "max" else limit - numerator
        return over + error, abs(numerator) + abs(limit) + error

    def with_bound(self, side: Side, bound: float) -> "CompiledConstraint":
        return replace(self, low=bound) if side == "min" else replace(self, high=bound)

    def sums(self, counted: Tally) -> tuple[float, float | None]:
        """Numerator and denominator over these contacts."""
        numerator, over = self.numerator.total(counted), self.denominator
        return numerator, None if over is None else over.total(counted)

    def softened(self, penalty: float) -> "CompiledConstraint":
        """The same sums under a constraint that may be broken at this price."""
        return replace(self, rule=self.rule.model_copy(update={"strength": Strength("soft", penalty)}))


@dataclass(frozen=True)
class LinearRows:
    """The enforced sides as rows g_r(x) <= limit_R[r]; row r belongs to constraint[r], its `max` (+1) or `min` (-1) side.

    quantum_R: the usage of a row that counts contacts is a multiple of it, so it can hold exactly; 0 for sums of real numbers.
    keep_R: what a user who keeps the earlier slate uses of the row. reach_BA: every set of actions whose reach a constraint counts;
    reach_RB: what a user with at least one contact of the set uses of the row.
    """

    constraint_R: np.ndarray
    sign_R: np.ndarray
    limit_R: np.ndarray
    penalty_R: np.ndarray
    quantum_R: np.ndarray
    member_RS: np.ndarray
    const_RA: np.ndarray
    plane_RPA: np.ndarray
    keep_R: np.ndarray
    reach_BA: np.ndarray
    reach_RB: np.ndarray

    def __len__(self) -> int:
        return len(self.limit_R)

    def side(self, row: int) -> Side:
        return "max" if self.sign_R[row] > 0 else "min"

    def bonus(self, price_R: np.ndarray) -> np.ndarray:
        """float64[S] >= 0: what it is worth at these prices that a user keeps the earlier slate."""
        return -(self.member_RS.T * price_R) @ self.keep_R

    def reward(self, price_R: np.ndarray) -> np.ndarray:
        """float64[S, B]: what it is worth at these prices, or where negative costs, that a user is reached by each set."""
        return -(self.member_RS.T * price_R) @ self.reach_RB

    @property
    def counts_reach_R(self) -> np.ndarray:
        """bool[R]: which rows count users by reach."""
        return np.asarray((self.reach_RB != 0).any(axis=1))

    @property
    def actions_RA(self) -> np.ndarray:
        """bool[R, A]: the actions whose contacts each row is about."""
        touched_RA = (self.const_RA != 0) | (self.plane_RPA != 0).any(axis=1)
        return touched_RA | ((self.reach_RB != 0).astype(np.float32) @ self.reach_BA > 0)

    def tables(self, value_A: np.ndarray, value_PA: np.ndarray, price_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The reduced value's coefficients at these prices: const_SA and plane_SPA, by user class."""
        weight_SR = self.member_RS.T * price_R
        plane_SPA = value_PA - np.tensordot(weight_SR, self.plane_RPA, axes=1)
        return value_A - weight_SR @ self.const_RA, plane_SPA

    def usage(self, counted: Tally) -> np.ndarray:
        """[R]: g_r of these contacts."""
        by_class = counted.count_SA @ self.const_RA.T
        by_class = by_class + np.tensordot(counted.sum_SPA, self.plane_RPA, axes=([1, 2], [1, 2]))
        used_R = (by_class * self.member_RS.T).sum(axis=0) + self.keep_R * (self.member_RS @ counted.kept_S)
        return used_R + self.users_usage(counted.reached_SB)

    def users_usage(self, reached_SB: np.ndarray) -> np.ndarray:
        """[R]: what so many users who are reached use."""
        return (self.reach_RB * (self.member_RS @ reached_SB)).sum(axis=1)

    @cached_property
    def by_action(self) -> "RowsByAction":
        """The same, action by action: most rows are about few actions."""
        touched_RA = (self.const_RA != 0) | (self.plane_RPA != 0).any(axis=1)
        action_E, row_E = np.nonzero(touched_RA.T)
        start_A = np.searchsorted(action_E, np.arange(touched_RA.shape[1] + 1))
        return RowsByAction(start_A, row_E, self.const_RA[row_E, action_E], self.plane_RPA[row_E, :, action_E])


class RowsByAction(NamedTuple):
    """What a contact of an action uses of each row that it touches: entries start_A[a] to start_A[a + 1], rows ascending."""

    start_A: np.ndarray
    row_E: np.ndarray
    const_E: np.ndarray
    plane_EP: np.ndarray


def each_row(
    rules: Sequence[Constraint], catalogue: Catalogue, classes: UserClasses, sizes_S: np.ndarray
) -> Iterator[tuple[Constraint, np.ndarray]]:
    """Every constraint, one with `each` once per value, with the classes of users that it is about.

    Of a segment the values that users in its `users` have; otherwise those of the attribute that actions in its scope have.
    """
    for rule in rules:
        member_S = classes.members(rule.users)
        if rule.each is None:
            yield rule, member_S
        elif rule.each in classes.segments:
            value_S = np.array([record[rule.each] for record in classes.records], dtype=object)
            for value in sorted(set(value_S[member_S & (sizes_S > 0)])):
                yield rule.of_segment(value), member_S & (value_S == value)
        else:
            values = [action.get(rule.each) for action in catalogue.actions if rule.counted(action)]
            for value in dict.fromkeys(value for value in values if isinstance(value, Scalar)):
                yield rule.of_attribute(value), member_S


def compiled(
    rule: Constraint,
    member_S: np.ndarray,
    catalogue: Catalogue,
    planes: Sequence[tuple[str, str]],
    sizes_S: np.ndarray,
    before_SA: np.ndarray | None,
    at_most_one: Callable[[np.ndarray, np.ndarray], bool],
) -> CompiledConstraint:
    """before_SA: contacts of the previous allocation, where the constraint compares with them.

    at_most_one: whether no user of these classes (bool[S]) can get two of these actions (bool[A]).
    """
    scope_users, before = int(sizes_S[member_S].sum()), 0
    if rule.compares == "contacts" and before_SA is not None:
        scope_A = np.array([rule.counted(action) for action in catalogue.actions], bool)
        before = int(before_SA[np.ix_(member_S, scope_A)].sum())

    nothing_A, nothing_PA = np.zeros(len(catalogue.actions)), np.zeros((len(planes), len(catalogue.actions)))

    def form(summed: ContactSum | ChangedUsers | ReachedUsers) -> LinearForm:
        if isinstance(summed, ChangedUsers):
            return LinearForm(member_S, nothing_A, nothing_PA, base=float(scope_users), kept=-1.0)
        if isinstance(summed, ReachedUsers):
            reach_A = chosen(summed.where, catalogue)
            if not at_most_one(member_S & (sizes_S > 0), reach_A):
                return LinearForm(member_S, nothing_A, nothing_PA, reach_A=reach_A)
            summed = ContactSum((summed.where,))
        return _form(summed, member_S, catalogue, planes)

    low, high = (None if side is None else float(side) for side in rule.limits(scope_users, before))
    denominator = None if rule.denominator is None else form(rule.denominator)
    return CompiledConstraint(rule, form(rule.numerator), denominator, low, high, _margin(rule, planes, catalogue))


def _margin(rule: Constraint, planes: Sequence[tuple[str, str]], catalogue: Catalogue) -> Margin | None:
    if rule.z is None or rule.strength.kind == "report_only":
        return None
    place = {metric: planes.index(("mean", metric)) for metric in sorted(rule.metrics)}
    correlation = catalogue.error_correlation
    return Margin(
        rule.z,
        {plane: planes.index(("stderr", metric)) for metric, plane in place.items()},
        ErrorModel({plane: correlation[metric] for metric, plane in place.items()}, catalogue.error_group_A),
    )


def _form(
    summed: ContactSum, member_S: np.ndarray, catalogue: Catalogue, planes: Sequence[tuple[str, str]]
) -> LinearForm:
    scope_A = np.logical_and.reduce([chosen(words, catalogue) for words in summed.where])
    const_A, plane_PA = np.zeros(len(scope_A)), np.zeros((len(planes), len(scope_A)))
    summed_A = scope_A * attribute_of(summed.times, catalogue)
    if summed.metric is None:
        return LinearForm(member_S, summed_A, plane_PA)
    plane_PA[planes.index(("mean", summed.metric))] = summed_A
    return LinearForm(member_S, const_A, plane_PA)


def rows_of(measured: Sequence[CompiledConstraint], planes: int, actions: int, classes: int) -> LinearRows:
    sides = [(position, side, each) for position, each in enumerate(measured) if each.enforced for side in each.sides]
    linears = [each.row(side) for _, side, each in sides]
    sign_R = np.array([1.0 if side == "max" else -1.0 for _, side, _ in sides])
    count = len(sides)
    plane_RPA = np.array([linear.plane_PA for linear in linears]).reshape(count, planes, actions)
    plane_RPA = plane_RPA * sign_R[:, None, None]
    limit_R = np.array(
        [
            sign * (each.bound(side) - each.numerator.base) if each.denominator is None else 0.0
            for sign, (_, side, each) in zip(sign_R, sides, strict=True)
        ]
    ).reshape(count)
    for row, (_, side, each) in enumerate(sides):
        if each.margin is not None:
            plane_RPA[row] += each.margin.charge(linears[row], side)
            limit_R[row] -= each.margin.tightened.get(side, 0.0)
    reach_BA = _reach_sets(measured, actions)
    return LinearRows(
        constraint_R=np.array([position for position, *_ in sides], np.int64),
        sign_R=sign_R,
        limit_R=limit_R,
        penalty_R=np.array([each.penalty for *_, each in sides]).reshape(count),
        quantum_R=np.array([each.rule.quantum(each.bound(side)) for _, side, each in sides]).reshape(count),
        member_RS=np.array([linear.member_S for linear in linears], float).reshape(count, classes),
        const_RA=np.array([linear.const_A for linear in linears]).reshape(count, actions) * sign_R[:, None],
        plane_RPA=plane_RPA,
        keep_R=np.array([linear.kept for linear in linears]).reshape(count) * sign_R,
        reach_BA=reach_BA,
        reach_RB=np.array(
            [
                linear.reach_A is not None and (linear.reach_A == reach_A).all()
                for linear in linears
                for reach_A in reach_BA
            ],
            float,
        ).reshape(count, len(reach_BA))
        * sign_R[:, None],
    )


def _reach_sets(measured: Sequence[CompiledConstraint], actions: int) -> np.ndarray:
    """bool[B, A]: every set of actions whose reach a constraint counts, those that are only reported included."""
    found = [each.numerator.reach_A for each in measured]
    sets = {reach_A.tobytes(): reach_A for reach_A in found if reach_A is not None}
    return np.array(list(sets.values()), bool).reshape(len(sets), actions)


def attribute_of(attribute: str | None, catalogue: Catalogue) -> np.ndarray:
    return np.ones(len(catalogue.actions)) if attribute is None else catalogue.numbers(attribute)
