"""Everything that is summed of contacts, by user of a sample: value, contacts, metrics, and both sums of every constraint.

A sum over a sample at its own prices T is corrected to what the binding bounds allow, and its error is that of the residuals:

    total = T + B (limit - usage)        residual of user u = f_u - B a_u        B = (dT / dprice) (dusage / dprice)^-1

with usage and limit of the rows that have a price, a_u what the user's slate uses of them, and both derivatives estimated from near ties
as for the prices (`solve.prices.curvature`). It is the estimating-equation (sandwich) variance of a sum at estimated prices (van der Vaart,
Asymptotic Statistics, 1998, th. 5.21); the objective's own B are the prices, by the envelope theorem.

Axes: U users of the sample, F sums, R rows, A actions, P planes, S user classes, B reach sets, K contacts of a slate.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from allocator.constraints import LinearForm, LinearRows
from allocator.problem import Problem
from allocator.solve.dual import DualEvaluation, Users, slate_usage
from allocator.solve.prices import Scale, curvature
from allocator.workbench.sample import Sample

VALUE, CONTACTS = ("value", ""), ("contacts", "")
Name = tuple[str, str]
"""What is summed: value, contacts, or metric, numerator, denominator with the metric or the place of the constraint."""
WIDTH = 0.05
"""Of a typical contact's value: how near users must be to another choice to count for the derivatives; wider where they are few."""


def sums_of(problem: Problem) -> dict[Name, LinearForm]:
    """Everything that is summed."""
    everyone_S, actions = np.ones(len(problem.classes), bool), len(problem.catalogue.actions)
    nothing_PA = np.zeros((len(problem.planes), actions))
    found = {
        VALUE: LinearForm(everyone_S, problem.value_A, problem.value_PA),
        CONTACTS: LinearForm(everyone_S, np.ones(actions), nothing_PA),
    }
    for position, (kind, metric) in enumerate(problem.planes):
        if kind == "mean":
            of_one_PA = nothing_PA.copy()
            of_one_PA[position] = 1.0
            found["metric", metric] = LinearForm(everyone_S, np.zeros(actions), of_one_PA)
    for place, each in enumerate(problem.measured):
        found["numerator", str(place)] = each.numerator
        if each.denominator is not None:
            found["denominator", str(place)] = each.denominator
    return found


@dataclass(frozen=True)
class UserSums:
    """total: what the sums are estimated to be over all users. residual_UF: of each user of the sample, in the order of `names`.

    slope_FR: by how much each sum grows per unit of what a row with a price allows.
    """

    names: tuple[Name, ...]
    total_F: np.ndarray
    residual_UF: np.ndarray
    slope_FR: np.ndarray

    def slope(self, name: Name) -> np.ndarray:
        """float64[R]."""
        return self.slope_FR[self.names.index(name)]

    def total(self, name: Name) -> float:
        return float(self.total_F[self.names.index(name)])

    def residual(self, name: Name) -> np.ndarray:
        """float64[U]."""
        return self.residual_UF[:, self.names.index(name)]

    def quotient(self, place: int) -> tuple[float | None, np.ndarray]:
        """What a constraint achieves and each user's residual of it: of a quotient linearised; None where nothing is in its scope."""
        top, below = ("numerator", str(place)), ("denominator", str(place))
        if below not in self.names:
            return self.total(top), self.residual(top)
        over = self.total(below)
        if abs(over) < 1e-12:
            return None, np.zeros(len(self.residual_UF))
        achieved = self.total(top) / over
        return achieved, (self.residual(top) - achieved * self.residual(below)) / over


def sums_at(
    users: Users, evaluated: DualEvaluation, slate_UK: np.ndarray, used_R: np.ndarray, scale: Scale, sample: Sample
) -> UserSums:
    """The sums over everybody's slates, those of preassigned users among them.

    users: the sample's, with what may be used in `limit_R`. evaluated: at its prices. used_R: what preassigned users use of the rows.
    """
    forms = sums_of(users.problem)
    names, rows = tuple(forms), users.problem.rows
    wide = replace(users, problem=replace(users.problem, rows=_with_sums(rows, list(forms.values()))))
    everyone_U = np.arange(len(users.data))
    each_UX = slate_usage(wide, everyone_U, slate_UK)
    use_UR, each_UF = each_UX[:, : len(rows)], each_UX[:, len(rows) :]
    base_F = np.array([form.base for form in forms.values()])
    total_F = sample.weight_U @ each_UF + base_F
    slack_R = users.limit_R + used_R - sample.weight_U @ use_UR
    slope_FR = _slopes(wide, evaluated, scale, len(rows))
    slope_FR[names.index(VALUE)] = evaluated.price_R
    priced_R = slope_FR.any(axis=0)
    residual_UF = each_UF - use_UR[:, priced_R] @ slope_FR[:, priced_R].T
    return UserSums(names, total_F + slope_FR @ slack_R, residual_UF, slope_FR)


def _with_sums(rows: LinearRows, forms: Sequence[LinearForm]) -> LinearRows:
    """The rows, and after them a row without a limit for every sum."""
    count = len(forms)
    none_R = np.zeros(count)
    return LinearRows(
        constraint_R=np.concatenate([rows.constraint_R, np.full(count, -1)]),
        sign_R=np.concatenate([rows.sign_R, np.ones(count)]),
        limit_R=np.concatenate([rows.limit_R, none_R]),
        penalty_R=np.concatenate([rows.penalty_R, none_R]),
        quantum_R=np.concatenate([rows.quantum_R, none_R]),
        member_RS=np.concatenate([rows.member_RS, np.array([form.member_S for form in forms], float)]),
        const_RA=np.concatenate([rows.const_RA, np.array([form.const_A for form in forms])]),
        plane_RPA=np.concatenate([rows.plane_RPA, np.array([form.plane_PA for form in forms])]),
        keep_R=np.concatenate([rows.keep_R, np.array([form.kept for form in forms])]),
        reach_BA=rows.reach_BA,
        reach_RB=np.concatenate([rows.reach_RB, [_reached(form, rows.reach_BA) for form in forms]]),
    )


def _reached(form: LinearForm, reach_BA: np.ndarray) -> np.ndarray:
    """float64[B]: which of the sets a sum counts the reach of."""
    if form.reach_A is None:
        return np.zeros(len(reach_BA))
    return (reach_BA == form.reach_A).all(axis=1).astype(float)


def _slopes(wide: Users, evaluated: DualEvaluation, scale: Scale, count: int) -> np.ndarray:
    """float64[F, R]: by how much each sum grows per unit of a row with a price between nothing and its penalty."""
    rows, price_R = wide.problem.rows, evaluated.price_R
    sums = len(rows) - count
    slope_FR = np.zeros((sums, count))
    active_R = np.flatnonzero((price_R > 0) & (price_R < rows.penalty_R[:count]))
    if not len(active_R):
        return slope_FR
    there = replace(evaluated, price_R=np.concatenate([price_R, np.zeros(sums)]))
    wider = Scale(scale.value, np.concatenate([scale.usage_R, np.ones(sums)]))
    curved = curvature(wide, there, WIDTH * scale.value, wider, np.random.default_rng(0))
    own = curved[np.ix_(active_R, active_R)]
    unit_R = 1.0 / np.sqrt(np.diag(own))
    cross = curved[count:][:, active_R]
    solved = np.linalg.lstsq(own * np.outer(unit_R, unit_R), (cross * unit_R).T, rcond=1e-10)[0]
    slope_FR[:, active_R] = solved.T * unit_R
    return slope_FR
