"""Scores and policy as arrays: what a contact is worth, what it uses of each constraint, what one user may get.

maximise sum_u sum_a value[u,a] x[u,a]  subject to  rows  g_r(x) <= h_r  and  x[u,:] in X_u.

value and every g_r are linear in a few planes of the data, with coefficients that depend on the user's class alone:

    value[u,a] = sum_p V[p,a] X[u,p,a]        g_r[u,a] = member[r, class(u)] * (G0[r,a] + sum_p G[r,p,a] X[u,p,a])

so a reduced value at prices lambda is one fused multiply-add over the planes, whatever the number of constraints.

Two kinds are no sums over contacts: churn counts the users who keep the slate that they had before (`kept`), and reach those with at
least one contact of a set (`reach_A`). Their rows credit or charge whole slates.

Axes: U users, A actions, P planes, R rows, S user classes, N contacts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from allocator.constraints import CompiledConstraint, LinearRows, attribute_of, compiled, each_row, rows_of
from allocator.contact_rules import ContactRules, allowed_by_class, contact_rules_of
from allocator.policy.grammar import Policy
from allocator.policy.words import Term
from allocator.previous_contacts import (
    contacts_before,
    read_previous,
)
from allocator.user_classes import UserClasses, class_sizes, user_classes_of
from ranker.catalogue import Catalogue
from ranker.files import InputError
from ranker.scores import Scores


@dataclass(frozen=True)
class Problem:
    """Everything the solvers need, and nothing they have to look up again.

    What a contact is worth is value_A[a] + sum_p value_PA[p,a] X[u,p,a]: of attributes of the action alone, and of metrics.
    """

    catalogue: Catalogue
    policy: Policy
    planes: tuple[tuple[str, str], ...]
    value_A: np.ndarray
    value_PA: np.ndarray
    measured: tuple[CompiledConstraint, ...]
    rows: LinearRows
    contact: ContactRules
    classes: UserClasses
    allowed_SA: np.ndarray
    class_sizes_S: np.ndarray
    users: int
    previous: Path | None

    @property
    def compares_slates(self) -> bool:
        """Whether a constraint counts the users whose slate is not what it was before."""
        return any(measured.rule.compares == "slates" for measured in self.measured)

    @property
    def hard(self) -> list[int]:
        """Constraints that must hold, by position."""
        rows = self.rows
        return sorted({int(c) for c, p in zip(rows.constraint_R, rows.penalty_R, strict=True) if not np.isfinite(p)})

    def net_tables(self, price_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The coefficients of the net value at these prices, const_SA and plane_SPA, per user class."""
        return self.rows.tables(self.value_A, self.value_PA, price_R)

    def worth(self, action_N: np.ndarray, plane_NP: np.ndarray) -> np.ndarray:
        """float64[N]: what contacts with these actions and planes add to the objective."""
        return (plane_NP * self.value_PA[:, action_N].T).sum(axis=1) + self.value_A[action_N]

    def worth_of_all(self, planes_UPA: np.ndarray) -> np.ndarray:
        """[U, A]: what each contact would add to the objective."""
        return np.einsum("upa,pa->ua", planes_UPA, self.value_PA) + self.value_A

    def worth_of_sums(self, count_SA: np.ndarray, sum_SPA: np.ndarray) -> float:
        """What contacts summarised per class and action are worth."""
        return float((sum_SPA * self.value_PA).sum() + (count_SA * self.value_A).sum())

    def worthless(self) -> "Problem":
        """The same rules where no contact is worth anything."""
        return replace(self, value_A=np.zeros_like(self.value_A), value_PA=np.zeros_like(self.value_PA))

    def with_objective(self, terms: Sequence[Term]) -> "Problem":
        """The same problem with another value of contacts."""
        value_A, value_PA = _value(terms, self.policy.risk_z, self.catalogue, self.planes)
        return replace(self, value_A=value_A, value_PA=value_PA)

    def with_measured(self, measured: Sequence[CompiledConstraint]) -> "Problem":
        """The same users under other constraints or bounds."""
        rows = rows_of(measured, len(self.planes), len(self.catalogue.actions), len(self.classes))
        return replace(self, measured=tuple(measured), rows=rows)


def build_problem(
    scores: Scores,
    policy: Policy,
    previous: Path | None = None,
    *,
    weight_U: np.ndarray | None = None,
    more: Sequence[tuple[str, str]] = (),
) -> Problem:
    """Compiles the policy, already read against this catalogue, over the users of the scores.

    previous: the earlier allocation that constraints of kind `change` and `churn` compare with. weight_U: how many users each of the
    scores stands for where they are a sample; bounds are those of all whom they stand for. more: planes besides those that the policy
    needs. Raises InputError where the scores cannot carry it (too many user classes, missing standard errors).
    """
    catalogue = scores.catalogue
    needed = _planes(policy, scores)
    planes = tuple(plane for plane in scores.planes if plane in {*needed, *more}) if more else needed
    classes = user_classes_of(policy, scores.vocabulary)
    sizes = class_sizes(scores, classes, weight_U)
    before_SA = None
    if any(rule.compares == "contacts" for rule in policy.constraints):
        before_SA = contacts_before(read_previous(scores, previous), scores, classes.of, len(classes), weight_U)
    contact = contact_rules_of(policy, catalogue, classes)
    measured = tuple(
        compiled(rule, member_S, catalogue, planes, sizes, before_SA, contact.at_most_one)
        for rule, member_S in each_row(policy.constraints, catalogue, classes, sizes)
    )
    value_A, value_PA = _value(policy.objective, policy.risk_z, catalogue, planes)
    return Problem(
        catalogue=catalogue,
        policy=policy,
        planes=planes,
        value_A=value_A,
        value_PA=value_PA,
        measured=measured,
        rows=rows_of(measured, len(planes), len(catalogue.actions), len(classes)),
        contact=contact,
        classes=classes,
        allowed_SA=allowed_by_class(policy, catalogue, classes),
        class_sizes_S=sizes,
        users=scores.users if weight_U is None else round(float(weight_U.sum())),
        previous=previous,
    )


def _planes(policy: Policy, scores: Scores) -> tuple[tuple[str, str], ...]:
    """(mean | stderr, metric) of every plane that the policy needs, in catalogue order."""
    objective = {term.metric for term in policy.terms if term.metric is not None}
    used = objective.union(*(rule.metrics for rule in policy.constraints))
    names = [metric.name for metric in scores.catalogue.metrics]
    planes = [("mean", name) for name in names if name in used]
    certain = [rule for rule in policy.constraints if rule.z is not None]
    needing = {name: f"the certainty of {rule.id}" for rule in certain for name in rule.metrics}
    if policy.risk_z > 0:
        needing |= dict.fromkeys(sorted(objective), "the policy's risk.z")
    lacking = sorted(needing.keys() - scores.stderr_metrics)
    if lacking:
        raise InputError(
            [f"{scores.path}: column stderr_{name}: is missing, and {needing[name]} needs it" for name in lacking]
        )
    return (*planes, *(("stderr", name) for name in names if name in needing))


def _value(
    terms: Sequence[Term], risk_z: float, catalogue: Catalogue, planes: Sequence[tuple[str, str]]
) -> tuple[np.ndarray, np.ndarray]:
    """value_A, value_PA: each term adds weight * times to its metric's mean and -z |weight * times| to its stderr; without a metric
    to the action itself."""
    value_A, value_PA = np.zeros(len(catalogue.actions)), np.zeros((len(planes), len(catalogue.actions)))
    for term in terms:
        weight_A = term.weight * attribute_of(term.times, catalogue)
        if term.metric is None:
            value_A += weight_A
            continue
        value_PA[planes.index(("mean", term.metric))] += weight_A
        if risk_z > 0:
            value_PA[planes.index(("stderr", term.metric))] -= risk_z * np.abs(weight_A)
    return value_A, value_PA


def one_sided(problem: Problem, price_R: np.ndarray) -> np.ndarray:
    """Prices of which at most one side of each constraint is positive, as a certificate states them.

    For volumes and totals the smaller side is taken off both, which lowers the bound, and so it is where a ratio's bounds are one;
    for other ratios the smaller is dropped.
    """
    rows, price_R = problem.rows, price_R.copy()
    for position in np.unique(rows.constraint_R):
        sides = np.flatnonzero(rows.constraint_R == position)
        if len(sides) == 2 and (price_R[sides] > 0).all():
            measured = problem.measured[position]
            opposite = measured.denominator is None or measured.low == measured.high
            common = price_R[sides].min() if opposite else 0.0
            smaller = sides[np.argmin(price_R[sides])]
            price_R[sides] -= common
            price_R[smaller] = 0.0
    return price_R
