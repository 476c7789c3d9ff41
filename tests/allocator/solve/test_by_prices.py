"""The way by prices at a few thousand users: few passes, a small gap and nothing broken, on shapes of the benchmark."""

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from allocator.policy.reader import policy_for
from allocator.problem import Problem, build_problem
from allocator.solve import by_prices, mathprog
from allocator.solve.dual import slate_usage, total_usage, value_of
from allocator.solve.settings import SolveSettings
from allocator.solve.solution import Status, Unsolvable
from allocator.solve.solver import free_users, solve
from allocator.users import Data, load_data
from ranker.scores import open_scores
from scripts.bench.instances import Instance, write_instance
from tests.seeds import seeds

NOBODY = (np.zeros(0, np.int64), np.zeros(0, np.int64))
SETTINGS = SolveSettings(method="prices")
MOST_EVALUATIONS = 12


def _read(instance: Instance) -> tuple[Problem, Data]:
    scores = open_scores(instance.scores)
    problem = build_problem(scores, policy_for(instance.policy, {}, scores))
    return problem, load_data(problem, scores)


@pytest.mark.parametrize("seed", seeds(2, quick=1, first=1))
@pytest.mark.parametrize("users", [pytest.param(2_500, marks=pytest.mark.slow), 6_000])
@pytest.mark.parametrize("shape", ["market", "grid"])
def test_few_passes_reach_a_small_gap(tmp_path: Path, shape: str, users: int, seed: int) -> None:
    instance = write_instance(tmp_path, shape, users, seed)
    problem, data = _read(instance)
    solution = solve(problem, data, NOBODY, SETTINGS)
    everyone = free_users(problem, data, NOBODY)
    assert sum(step.users >= users for step in solution.steps) <= MOST_EVALUATIONS
    value = value_of(everyone, solution.slate_UK)
    assert solution.dual * (1 + 1e-12) >= value >= solution.dual * (1 - 1e-4)
    used_R = slate_usage(everyone, np.arange(users), solution.slate_UK).sum(axis=0)
    assert (used_R - everyone.limit_R <= 1e-9 * np.abs(everyone.limit_R)).all()


def test_a_solver_that_gives_up_is_no_contradiction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_prices, "relax", lambda *_: None)
    monkeypatch.setattr(by_prices, "round_whole", lambda *_: (None, mathprog.SolveOutcome.UNKNOWN))
    problem, data = _read(write_instance(tmp_path, "knapsack", 3_000, 1))
    solution = solve(problem, data, NOBODY, SETTINGS)
    everyone = free_users(problem, data, NOBODY)
    value = value_of(everyone, solution.slate_UK)
    assert solution.status is Status.FEASIBLE
    assert 0.9 * solution.dual < value < solution.dual
    assert (total_usage(everyone, solution.slate_UK) <= everyone.limit_R).all()


def test_where_nothing_plain_will_do_the_contradiction_is_not_called_proven(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(by_prices, "relax", lambda *_: None)
    monkeypatch.setattr(by_prices, "round_whole", lambda *_: (None, mathprog.SolveOutcome.UNKNOWN))
    problem, data = _read(write_instance(tmp_path, "grid", 2_500, 1))
    with pytest.raises(Unsolvable) as caught:
        solve(problem, data, NOBODY, SETTINGS)
    assert not caught.value.proven


def test_a_linear_solver_that_gives_up_is_asked_in_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """minimise -x - 2 y with x + y <= 1: one unit of y, at a price of 2."""
    programme = mathprog.Programme(
        np.array([-1.0, -2.0]),
        np.zeros(2),
        np.ones(2),
        sparse.csr_matrix([[1.0, 1.0]]),
        np.array([-np.inf]),
        np.ones(1),
    )
    solve_once, asked = mathprog._solve, []

    def gives_up_at_first(name: str, programme: mathprog.Programme, seconds: float, way: str) -> mathprog.Answer:
        asked.append(way)
        return mathprog._NOTHING if len(asked) == 1 else solve_once(name, programme, seconds, way)

    monkeypatch.setattr(mathprog, "_solve", gives_up_at_first)
    answer = mathprog.solve_linear(programme, 10.0)
    assert len(asked) == 2 == len(set(asked))
    assert (
        answer.cost == pytest.approx(-2)
        and answer.x_V == pytest.approx([0, 1])
        and answer.dual_M == pytest.approx([-2])
    )
