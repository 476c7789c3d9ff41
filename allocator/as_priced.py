"""Users under the rules and at the prices of an allocation: the problem in which its prices explain every decision.

Axes: U users, A actions, R rows, P planes.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from allocator.constraints import CompiledConstraint
from allocator.formats import POLICY, Certificate
from allocator.lexicographic import floor_of
from allocator.policy.grammar import Policy
from allocator.problem import Problem, build_problem
from ranker.files import read_json_object
from ranker.scores import Scores


def policy_of(folder: Path) -> Policy:
    """The policy that an allocation was made under, as it stands in its folder."""
    return Policy.model_validate(read_json_object(folder / POLICY))


def problem_as_priced(
    scores: Scores, policy: Policy, held: Certificate, more: Sequence[tuple[str, str]] = ()
) -> Problem:
    """The problem of these users alone, with the floors and gradients at which the certificate's prices were found.

    Rules that compare with an earlier allocation are left out: what these users had before is not known. Bounds are not those of
    everybody, and prices are all that is asked of them. more: planes besides those that the policy needs.
    """
    policy = policy.without_comparisons()
    problem = build_problem(scores, policy, weight_U=np.ones(scores.users), more=more)
    for position, tier in enumerate(held.tiers):
        stage = problem.with_objective(policy.tiers[position].objective)
        problem = problem.with_measured([*problem.measured, floor_of(stage, position, tier.floor)])
    if not any(each.margin is not None for each in problem.measured):
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
