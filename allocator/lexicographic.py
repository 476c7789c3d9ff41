"""Several objectives in order: each is maximised in its turn, and what it reached, less what it may give up, binds those after it.

An earlier tier's value is linear in the contacts like any total, so its floor is one more row with a price of its own.

Axes: N contacts.
"""

from collections.abc import Callable

import numpy as np

from allocator.assign.preassigned import Preassigned
from allocator.certify.certificate import objective_terms
from allocator.certify.contacts import contact_values, contacts_in
from allocator.constraints import CompiledConstraint, LinearForm
from allocator.formats import TierTotal
from allocator.policy.kinds.tier import TierFloor, tier_id
from allocator.policy.words import Bound
from allocator.problem import Problem
from allocator.solve.dual import value_of
from allocator.solve.solution import Solution
from allocator.solve.solver import free_users
from allocator.users import Data


def solve_earlier_tiers(
    problem: Problem, data: Data, preassigned: Preassigned, solve: Callable[[Problem], Solution]
) -> tuple[Problem, tuple[TierTotal, ...]]:
    """The last tier's problem with the floors of those before it, and what each of them reached; as it was without tiers.

    A record has the tier's `objective`, `give_up`, `value` (of the best allocation found), `bound` (no allocation that keeps the
    hard constraints and earlier floors, and breaks soft ones no more than this one, is worth more) and `floor`.
    """
    records = []
    for position, tier in enumerate(problem.policy.tiers[:-1]):
        stage = problem.with_objective(tier.objective)
        solution = solve(stage)
        fixed, chosen = _worth(stage, data, *preassigned.fixed), _worth(stage, data, *contacts_in(solution.slate_UK))
        value = fixed + chosen
        broken = chosen - value_of(free_users(stage, data, preassigned.fixed), solution.slate_UK)
        floor = tier.floor(value)
        records.append(
            TierTotal(
                id=tier_id(position),
                objective=objective_terms(tier.objective),
                give_up=tier.part,
                value=value,
                bound=solution.dual + fixed + broken,
                floor=floor,
            )
        )
        problem = problem.with_measured([*problem.measured, floor_of(stage, position, floor)])
    return problem, tuple(records)


def floor_of(stage: Problem, position: int, floor: float) -> CompiledConstraint:
    """What an earlier tier asks of those after it, as a constraint."""
    everyone_S = np.ones(len(stage.classes), bool)
    worth = LinearForm(everyone_S, stage.value_A, stage.value_PA)
    return CompiledConstraint(TierFloor(id=tier_id(position), min=Bound(floor)), worth, None, floor, None)


def _worth(stage: Problem, data: Data, user_N: np.ndarray, action_N: np.ndarray) -> float:
    return float(contact_values(stage, data, user_N, action_N).sum())
