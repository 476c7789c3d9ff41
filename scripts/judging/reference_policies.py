"""The policies that a learned one is compared with: what each believes about contacts, and what it would give to whom.

All but the logging policy obey the same rules with the same solver; they differ in what they believe. Axes: U users, P planes,
A actions, N contacts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from allocator.chance_constraints import Refuted, solve_with_margins
from allocator.constraints import LinearForm
from allocator.problem import Problem
from allocator.solve.settings import SolveSettings
from allocator.solve.solver import solve
from allocator.users import FREE, Data

LEARNED, ORACLE, ALL_KNOWING = "learned", "oracle", "all-knowing"
AVERAGE, FIXED, RANDOM, LOGGING = "average effect", "best fixed action", "random", "logging policy"
VALUE = ("mean", "value of its own")
TIE = 1e-2
"""Those who look alike draw straws that cost at most this share of the largest value; exact ties cost the solver minutes."""


@dataclass(frozen=True)
class ReferencePolicy:
    """A policy by what it believes: the problem and the data that it gives to the solver."""

    name: str
    about: str
    problem: Problem
    data: Data


@dataclass(frozen=True)
class Chosen:
    """Contacts of the free users: user and action positions, and the chance of each (1 but for the logging policy)."""

    user_N: np.ndarray
    action_N: np.ndarray
    chance_N: np.ndarray


def references(problem: Problem, data: Data, truth: Mapping[str, np.ndarray], seed: int) -> Iterator[ReferencePolicy]:
    """Every policy that is allocated, the learned one first. truth: `given_observed` and `given_all`, planes [U, P, A]."""
    yield ReferencePolicy(LEARNED, "the model's scores", problem, data)
    observed, everything = (
        replace(data, planes_UPA=truth[name].astype(np.float32)) for name in ("given_observed", "given_all")
    )
    yield ReferencePolicy(ORACLE, "the truth, given what is observable", problem, observed)
    yield ReferencePolicy(ALL_KNOWING, "the truth, hidden traits included", problem, everything)
    yield from uninformed(problem, data, seed)


def uninformed(
    problem: Problem, data: Data, seed: int, averages: Mapping[str, np.ndarray] = MappingProxyType({})
) -> Iterator[ReferencePolicy]:
    """The policies that know no user: average effects, the best fixed action, chance. averages: further ones by name, a value per
    action [A]."""
    flat = replace(data, planes_UPA=averaged(data))
    value_UA, drawn_UA = worth(problem, flat), np.random.default_rng(seed).random(data.eligible_UA.shape)
    largest = float(np.abs(value_UA).max(initial=0.0)) or 1.0
    straws_UA = TIE * largest * (drawn_UA - 1)
    about = "the model's scores, averaged over users"
    yield ReferencePolicy(AVERAGE, about, *valued(problem, flat, value_UA + straws_UA))
    for name, value_A in averages.items():
        yield ReferencePolicy(name, "averages of its own", *valued(problem, flat, value_A + straws_UA))
    fixed = best_fixed(problem, flat)
    only_A = np.arange(len(problem.catalogue.actions)) == fixed
    about = f"{problem.catalogue.ids[fixed]} for as many as the rules allow; anything else where a rule demands it"
    yield ReferencePolicy(FIXED, about, *valued(problem, flat, value_UA * only_A + straws_UA))
    yield ReferencePolicy(RANDOM, "nothing; a random number per contact", *valued(problem, data, largest * drawn_UA))


def averaged(data: Data) -> np.ndarray:
    """float32[U, P, A]: for every user the mean over the free users to whom an action may be given."""
    counts_UA = data.eligible_UA & (data.group_U == FREE)[:, None]
    sum_PA = np.einsum("upa,ua->pa", data.planes_UPA, counts_UA, dtype=np.float64)
    mean_PA = (sum_PA / np.maximum(counts_UA.sum(axis=0), 1)).astype(np.float32)
    return np.broadcast_to(mean_PA, data.planes_UPA.shape).copy()


def worth(problem: Problem, data: Data) -> np.ndarray:
    """float64[U, A]: what a contact adds to the objective."""
    return problem.worth_of_all(data.planes_UPA)


def best_fixed(problem: Problem, averages: Data) -> int:
    """The action that is worth most to all who may get it, as far as the limits leave room for it alone.

    Shares of other actions are left to the solver: they say nothing about an action alone.
    """
    rows, may_UA = problem.rows, averages.eligible_UA & (averages.group_U == FREE)[:, None]
    count_SA = np.stack([may_UA[averages.class_U == s].sum(axis=0) for s in range(len(problem.classes))])
    unit_RA = rows.const_RA + np.einsum("rpa,pa->ra", rows.plane_RPA, averages.planes_UPA[0])
    used_RA = unit_RA * (rows.member_RS @ count_SA)
    limits_R = np.array([not problem.measured[position].rule.is_part for position in rows.constraint_R], bool)
    limits_R &= rows.limit_R >= 0
    left_RA = rows.limit_R[:, None] / np.where(used_RA > 0, used_RA, np.inf)
    left_A = np.where((used_RA > 0) & limits_R[:, None], left_RA, 1.0).min(axis=0, initial=1.0)
    return int(np.argmax((worth(problem, averages) * may_UA).sum(axis=0) * left_A))


def valued(problem: Problem, data: Data, value_UA: np.ndarray) -> tuple[Problem, Data]:
    """The same rules about the same metrics, and a value of its own: one more plane, which is the whole objective."""
    value_PA = np.zeros((len(problem.planes) + 1, value_UA.shape[1]))
    value_PA[-1] = 1.0
    measured = [
        replace(each, numerator=_wider(each.numerator), denominator=each.denominator and _wider(each.denominator))
        for each in problem.measured
    ]
    bare = replace(problem.worthless(), planes=(*problem.planes, VALUE), value_PA=value_PA)
    own = bare.with_measured(measured)
    planes_UPA = np.concatenate([data.planes_UPA, value_UA[:, None, :].astype(np.float32)], axis=1)
    return own, replace(data, planes_UPA=planes_UPA)


def _wider(linear: LinearForm) -> LinearForm:
    return replace(linear, plane_PA=np.vstack([linear.plane_PA, np.zeros(linear.plane_PA.shape[1])]))


def choose(reference: ReferencePolicy, fixed: tuple[np.ndarray, np.ndarray], settings: SolveSettings) -> Chosen | None:
    """What the reference gives to the free users; None where it believes that no allocation keeps the rules.

    fixed: user and action of the contacts of exploration, the same for every policy.
    """
    data = reference.data
    try:
        _, found = solve_with_margins(
            reference.problem, data, fixed, None, lambda stage, start: solve(stage, data, fixed, settings, start)
        )
    except Refuted:
        return None
    slate_UK = found.slate_UK
    user_N, k_N = np.nonzero(slate_UK >= 0)
    return Chosen(user_N, slate_UK[user_N, k_N].astype(np.int64), np.ones(len(user_N)))


def as_logged(data: Data, chance_UA: np.ndarray) -> Chosen:
    """The logging policy's contacts with the free users, each with its chance."""
    user_N, action_N = np.nonzero((chance_UA > 0) & (data.group_U == FREE)[:, None])
    return Chosen(user_N, action_N, chance_UA[user_N, action_N])


def unsolved(names: Sequence[str]) -> list[dict[str, str]]:
    return [{"policy": name, "reason": "no allocation keeps the rules by what it believes"} for name in names]
