"""An allocation's problem as it was solved: its scores under its policy, at the prices that it ended with.

Rules that compare with an earlier allocation are left out, and with them what keeping an earlier slate was worth.

Axes: U users, R rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from allocator.assign.preassigned import Preassigned, preassign
from allocator.constraints import CompiledConstraint
from allocator.formats import POLICY, Certificate
from allocator.lexicographic import floor_of
from allocator.policy.grammar import Policy
from allocator.problem import Problem, build_problem
from allocator.saved import SavedAllocation
from allocator.solve.solver import start_prices
from allocator.users import Data, load_data
from ranker.files import read_json_object
from ranker.scores import Scores


@dataclass(frozen=True)
class ReopenedProblem:
    """data: in it whoever is pinned is in that group."""

    problem: Problem
    data: Data
    preassigned: Preassigned
    price_R: np.ndarray


def policy_of(folder: Path) -> Policy:
    """The policy that an allocation was made under, as it stands in its folder."""
    return Policy.model_validate(read_json_object(folder / POLICY))


def reopen(scores: Scores, allocation: SavedAllocation, weight_U: np.ndarray | None = None) -> ReopenedProblem:
    """Reads the users of the scores again.

    Args:
        scores: those that the allocation was made from, or some of their users.
        allocation: a folder that `allocate` wrote.
        weight_U: how many users each of the scores stands for, where they are some.

    Raises:
        InputError: the folder is no allocation, or the scores cannot carry its policy.
    """
    more = () if weight_U is None else scores.planes
    problem = problem_as_priced(scores, policy_of(allocation.folder), allocation.certificate, weight_U, more)
    data, preassigned = preassign(problem, load_data(problem, scores))
    return ReopenedProblem(problem, data, preassigned, start_prices(problem, allocation.price_book.prices))


def problem_as_priced(
    scores: Scores,
    policy: Policy,
    held: Certificate,
    weight_U: np.ndarray | None = None,
    more: Sequence[tuple[str, str]] = (),
) -> Problem:
    """The problem of these users, with the floors and gradients at which the certificate's prices were found.

    weight_U: how many users each of the scores stands for, where they are some. more: planes besides those that the policy needs.
    """
    policy = policy.without_comparisons()
    problem = build_problem(scores, policy, weight_U=weight_U, more=more)
    for position, tier in enumerate(held.tiers):
        stage = problem.with_objective(policy.tiers[position].objective)
        problem = problem.with_measured([*problem.measured, floor_of(stage, position, tier.floor)])
    if all(each.margin is None for each in problem.measured):
        return problem
    return problem.with_measured([_at_its_gradient(each, held, problem) for each in problem.measured])


def _at_its_gradient(each: CompiledConstraint, held: Certificate, problem: Problem) -> CompiledConstraint:
    """A constraint with a certainty, linearised as its price was."""
    record = next((record for record in held.constraints if record.id == each.rule.id), None)
    if each.margin is None or record is None or record.gradient is None or record.binding is None:
        return each
    gradient = {}
    for metric, by_action in record.gradient.items():
        plane = problem.planes.index(("mean", metric))
        gradient[plane] = np.array([by_action.get(action, 0.0) for action in problem.catalogue.ids])
    return replace(each, margin=replace(each.margin, gradient={record.binding: gradient}))
