"""Ranges of prices: inside them a unit more or less is worth the price within one per cent, by linear programmes of our own."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from allocator.certify import price_ranges as module
from allocator.certify.price_ranges import price_ranges
from allocator.constraints import CompiledConstraint
from allocator.solve.dual import DualEvaluation, Users, evaluate_dual
from allocator.solve.exact import best_fractional, eligible_pairs
from allocator.solve.prices import find_prices, measure_scale
from allocator.solve.settings import SolveSettings
from allocator.solve.solver import free_users, solve
from tests.allocator.instances import CONTACT, Case, make_case
from tests.seeds import seeds

RULES = """constraints:
  - {id: push_cap, kind: volume, where: {surface: push}, max: 15%}
  - {id: books, kind: volume, where: {product: books}, users: {market: [SE, NO]}, min: 12%}
  - {id: home_cap, kind: volume, where: {surface: home}, max: 30%}
  - {id: opt_outs, kind: average, metric: opt_out, max: 0.001}
"""
RATIOS = """constraints:
  - {id: plan_share, kind: share, where: {family: plan}, of: {surface: [home, push]}, max: 0.45}
  - {id: opt_outs, kind: average, metric: opt_out, where: {surface: push}, max: 0.0009}
  - {id: roi, kind: ratio, metric: revenue, per: {metric: subs, times: discount_eur}, min: 6.0}
"""


def budget(users: int) -> str:
    return f"  - {{id: budget, kind: total, metric: subs, times: discount_eur, max: {0.03 * users:.4f}}}\n"


def best(case: Case, position: int = 0, **bound: float) -> float:
    """The linear programme's optimum, with one bound moved."""
    measured = list(case.problem.measured)
    measured[position] = replace(measured[position], **bound)
    moved = free_users(case.problem.with_measured(measured), case.data, case.explored[:2])
    value = best_fractional(moved, eligible_pairs(moved), np.ones(len(moved.limit_R)), 60.0)
    assert value is not None
    return value


def denominator(case: Case, each: CompiledConstraint, slate_UK: np.ndarray) -> float | None:
    """Of the whole allocation, counted contact by contact."""
    if each.denominator is None:
        return None
    contacts = [(user, action) for user, slate in enumerate(slate_UK) for action in slate if action >= 0]
    contacts += list(zip(*case.explored[:2], strict=True))
    return sum(
        each.denominator.member_S[case.data.class_U[user]]
        * (
            each.denominator.const_A[action]
            + each.denominator.plane_PA[:, action] @ case.data.planes_UPA[user, :, action].astype(float)
        )
        for user, action in contacts
    )


def ranges_of(case: Case, settings: SolveSettings) -> tuple[np.ndarray, list, dict[int, tuple[float, float]]]:
    """Prices per unit of each constraint's bound, the sides they belong to, and the ranges; prices alone where all goes by prices."""
    if settings.method == "prices":
        generator = np.random.default_rng(1)
        start_R, scale = np.zeros(len(case.problem.rows)), measure_scale(case.users, generator)
        found = find_prices(case.users, start_R, scale, 1e-10, 100, generator)
        price_R, slate_UK, steps = found.best.price_R, found.best.slate_UK, found.steps
    else:
        solution = solve(case.problem, case.data, case.explored[:2], settings)
        price_R, slate_UK, steps = solution.price_R, solution.slate_UK, solution.steps
    denominators = [denominator(case, each, slate_UK) for each in case.problem.measured]
    found_ranges = price_ranges(case.users, case.explored[:2], price_R, denominators, steps, settings)
    rows, price, side = case.problem.rows, np.zeros(len(denominators)), [""] * len(denominators)
    for row in np.flatnonzero(price_R > 0):
        position = rows.constraint_R[row]
        divisor = denominators[position]
        price[position] = price_R[row] * (1.0 if divisor is None else abs(divisor))
        side[position] = "high" if rows.sign_R[row] > 0 else "low"
    return price, side, found_ranges


def check(case: Case, settings: SolveSettings, *, ends: bool) -> dict[str, tuple[float, float]]:
    price, side, found = ranges_of(case, settings)
    named, now = {}, best(case)
    for position, (low, high) in found.items():
        each = case.problem.measured[position]
        bound = getattr(each, side[position])
        assert low <= bound <= high
        unit = 1.0 if each.whole else 0.2 * (high - low)
        for other in (low, high) if ends else (bound - unit, bound + unit):
            if low <= other <= high and other != bound:
                gained = (best(case, position, **{side[position]: other}) - now) * (
                    1 if side[position] == "high" else -1
                )
                assert gained / (other - bound) == pytest.approx(price[position], rel=0.01), each.rule.id
        named[each.rule.id] = (low, high)
    return named


@pytest.mark.parametrize("seed", seeds(6, quick=1))
def test_small_problems(tmp_path: Path, seed: int) -> None:
    check(make_case(tmp_path, 150, seed, CONTACT + RULES + budget(150)), SolveSettings(nodes=50), ends=False)


@pytest.mark.slow
def test_most_small_problems_have_ranges(tmp_path: Path) -> None:
    found = [
        len(ranges_of(make_case(tmp_path / str(seed), 150, seed, CONTACT + RULES + budget(150)), SolveSettings())[2])
        for seed in range(4)
    ]
    assert sum(found) >= 4


@pytest.mark.parametrize("seed", seeds(2, quick=1))
@pytest.mark.slow
def test_larger_problems_by_the_dual(tmp_path: Path, seed: int) -> None:
    case = make_case(tmp_path, 1_500, seed, CONTACT + RULES + budget(1_500))
    assert check(case, SolveSettings(method="prices", exact_cells=0), ends=True)


@pytest.mark.slow
def test_shares_averages_and_ratios(tmp_path: Path) -> None:
    found: Sequence[str] = []
    for seed in range(2):
        explored = "experiment:\n  exploration: {share: 0.1, salt: e}\n"
        case = make_case(tmp_path / str(seed), 1_500, seed, explored + CONTACT + RATIOS)
        settings = SolveSettings(method="prices", exact_cells=0)
        found = [*found, *check(case, settings, ends=True)]
    assert len(set(found)) >= 2, "not every constraint binds, but some do"


def test_ranges_can_be_left_out(tmp_path: Path) -> None:
    case = make_case(tmp_path, 150, 1, CONTACT + RULES)
    assert ranges_of(case, SolveSettings(price_ranges=False))[2] == {}


def test_solving_again_stops_where_the_work_is_used_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case(tmp_path, 1_500, 1, CONTACT + RULES + budget(1_500))
    evaluated = []

    def counted(users: Users, price_R: np.ndarray) -> DualEvaluation:
        evaluated.append(len(users.data))
        return evaluate_dual(users, price_R)

    monkeypatch.setattr(module, "evaluate_dual", counted)
    monkeypatch.setattr(module, "PART", 0.0)
    found = []
    for least in (0, 20_000, 200_000):
        evaluated.clear()
        monkeypatch.setattr(module, "LEAST_WORK", least)
        found.append(len(ranges_of(case, SolveSettings(method="prices", exact_cells=0))[2]))
        assert sum(evaluated) <= least + len(case.data) + module.NEAR_USERS
    assert found[0] <= found[1] <= found[2]
    assert found[2] > 0
