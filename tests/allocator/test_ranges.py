"""Ranges of prices: inside them a unit more or less is worth the price within one per cent, by linear programmes of our own."""

from pathlib import Path

import numpy as np
import pytest

from allocator.ranges import price_ranges
from allocator.solve.exact import best_fractional, eligible_pairs
from allocator.solve.settings import SolveSettings
from allocator.solve.solver import solve
from tests.allocator.instances import CONTACT, Case, make_case

RULES = """constraints:
  - {id: push_cap, kind: volume, where: {surface: push}, max: 15%}
  - {id: books, kind: volume, where: {product: books}, users: {market: [SE, NO]}, min: 12%}
  - {id: home_cap, kind: volume, where: {surface: home}, max: 30%}
  - {id: opt_outs, kind: average, metric: opt_out, max: 0.001}
"""


def budget(users: int) -> str:
    return f"  - {{id: budget, kind: total, metric: subs, times: discount_eur, max: {0.03 * users:.4f}}}\n"


def best(case: Case, row: int, step: float) -> float:
    """The linear programme's optimum with one limit moved."""
    users = case.users
    limit_R = users.limit_R.copy()
    limit_R[row] += step
    moved = type(users)(users.problem, users.data, users.rules, users.weight_S, limit_R)
    value = best_fractional(moved, eligible_pairs(users), np.ones(len(limit_R)), 60.0)
    assert value is not None
    return value


def ranges_of(case: Case, settings: SolveSettings) -> tuple[np.ndarray, dict[int, tuple[float, float]]]:
    solution = solve(case.problem, case.data, case.explored[:2], settings)
    return solution.price_R, price_ranges(case.users, solution.price_R, solution.steps, settings)


def check(case: Case, settings: SolveSettings, *, ends: bool) -> int:
    price_R, ranges = ranges_of(case, settings)
    rows = case.problem.rows
    now = best(case, 0, 0.0)
    for row, (low, high) in ranges.items():
        bound = rows.sign_R[row] * rows.limit_R[row]
        assert low <= bound <= high
        unit = 1.0 if rows.quantum_R[row] else 0.2 * (high - low)
        for other in (low, high) if ends else (bound - unit, bound + unit):
            if low <= other <= high and other != bound:
                step = rows.sign_R[row] * (other - bound)
                slope = (best(case, row, step) - now) / step
                assert slope == pytest.approx(price_R[row], rel=0.01), case.problem.measured[
                    rows.constraint_R[row]
                ].rule.id
    return len(ranges)


@pytest.mark.parametrize("seed", range(6))
def test_small_problems(tmp_path: Path, seed: int) -> None:
    check(make_case(tmp_path, 150, seed, CONTACT + RULES + budget(150)), SolveSettings(), ends=False)


def test_most_small_problems_have_ranges(tmp_path: Path) -> None:
    found = [
        len(ranges_of(make_case(tmp_path / str(seed), 150, seed, CONTACT + RULES + budget(150)), SolveSettings())[1])
        for seed in range(4)
    ]
    assert sum(found) >= 4


@pytest.mark.parametrize("seed", range(2))
def test_larger_problems_by_the_dual(tmp_path: Path, seed: int) -> None:
    case = make_case(tmp_path, 1_500, seed, CONTACT + RULES + budget(1_500))
    assert check(case, SolveSettings(method="prices", exact_cells=0), ends=True) >= 1


def test_ranges_can_be_left_out(tmp_path: Path) -> None:
    case = make_case(tmp_path, 150, 1, CONTACT + RULES)
    assert ranges_of(case, SolveSettings(price_ranges=False))[1] == {}
