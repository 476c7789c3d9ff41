"""The way by prices at a few thousand users: few passes, a small gap and nothing broken, on shapes of the benchmark."""

from pathlib import Path

import numpy as np
import pytest

from allocator.policy.reader import read_policy
from allocator.problem import build_problem, load_data
from allocator.solve.passes import slate_usage
from allocator.solve.settings import SolveSettings
from allocator.solve.solver import free_users, solve, value_of
from ranker.scores import open_scores
from scripts.instances import write_instance

NOBODY = (np.zeros(0, np.int64), np.zeros(0, np.int64))
SETTINGS = SolveSettings(method="prices")
MOST_PASSES = 12


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("users", [2_500, 6_000])
@pytest.mark.parametrize("shape", ["market", "grid"])
def test_few_passes_reach_a_small_gap(tmp_path: Path, shape: str, users: int, seed: int) -> None:
    instance = write_instance(tmp_path, shape, users, seed)
    scores = open_scores(instance.scores)
    segments = {name: frozenset(values) for name, values in scores.vocabulary.items()}
    problem = build_problem(scores, read_policy(instance.policy, {}, scores.catalogue, segments))
    data = load_data(problem, scores)
    solution = solve(problem, data, NOBODY, SETTINGS)
    everyone = free_users(problem, data, NOBODY)
    assert sum(step.users >= users for step in solution.steps) <= MOST_PASSES
    value = value_of(everyone, solution.slate_UK)
    assert solution.dual * (1 + 1e-12) >= value >= solution.dual * (1 - 1e-4)
    used_R = slate_usage(everyone, np.arange(users), solution.slate_UK).sum(axis=0)
    assert (used_R - everyone.limit_R <= 1e-9 * np.abs(everyone.limit_R)).all()
