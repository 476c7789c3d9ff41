"""Awkward shapes against an exact solver: ties, whole numbers, equalities, lumps, caps by branch, values far apart."""

import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from allocator.assign.preassigned import preassign
from allocator.policy.reader import policy_for
from allocator.problem import build_problem
from allocator.solve.dual import evaluate_dual, total_usage, value_of
from allocator.solve.settings import SolveSettings
from allocator.solve.solution import Solution, Status, Unsolvable
from allocator.solve.solver import free_users, solve
from allocator.users import load_data
from ranker.scores import open_scores
from tests.allocator.shapes import Instance, best, make, make_far_apart, third

SETTINGS = SolveSettings()
FEW = range(11)
"""One of each shape; all 200 with `./scripts/test -m slow tests/allocator/solve/test_ties.py`."""


def solved(folder: Path, instance: Instance, settings: SolveSettings = SETTINGS) -> tuple[float, float, Solution]:
    """(value, bound, solution), after everything that an allocation must be was checked."""
    shutil.rmtree(folder, ignore_errors=True)
    scores_path, policy_path = instance.write(folder)
    scores = open_scores(scores_path)
    policy = policy_for(policy_path, {}, scores, previous=False)
    problem = build_problem(scores, policy)
    data, preassigned = preassign(problem, load_data(problem, scores))
    solution = solve(problem, data, preassigned.fixed, settings)
    users = free_users(problem, data, preassigned.fixed)
    value, over_R = value_of(users, solution.slate_UK), total_usage(users, solution.slate_UK) - users.limit_R
    assert (over_R <= 1e-9 * np.maximum(np.abs(users.limit_R), 1.0)).all(), "every rule holds"
    assert evaluate_dual(users, solution.price_R).dual == pytest.approx(solution.dual, rel=1e-9), (
        "the prices prove the bound"
    )
    bound = min(solution.dual, solution.whole_bound)
    assert value <= bound + 1e-9 * abs(bound)
    return value, bound, solution


def check(folder: Path, instance: Instance) -> None:
    """Within 1e-4 of the optimum, no false contradiction, and a bound that is one."""
    oracle = best(instance, 20.0)
    if oracle.value is None:
        if np.isneginf(oracle.bound):
            with pytest.raises(Unsolvable):
                solved(folder, instance)
        return
    value, bound, _ = solved(folder, instance)
    assert value >= oracle.value - 1e-4 * abs(oracle.value) - 1e-9
    assert bound >= oracle.value - 1e-5 * abs(oracle.value) - 1e-9


@pytest.mark.parametrize("seed", FEW)
def test_each_shape_comes_to_the_optimum(tmp_path: Path, seed: int) -> None:
    _, instance = make(seed, largest=120)
    check(tmp_path, instance)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200))
def test_two_hundred_instances_come_to_the_optimum(tmp_path: Path, seed: int) -> None:
    check(tmp_path, make(seed)[1])


@pytest.mark.parametrize("seed", range(3))
def test_values_far_apart_come_to_the_optimum(tmp_path: Path, seed: int) -> None:
    check(tmp_path, make_far_apart(seed + 2, largest=300))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(50))
def test_fifty_instances_of_values_far_apart(tmp_path: Path, seed: int) -> None:
    check(tmp_path, make_far_apart(seed))


@pytest.mark.parametrize("seed", [38, 171])
def test_rounding_of_sums_puts_no_bound_below_the_value(tmp_path: Path, seed: int) -> None:
    """Whole values whose dual is a hair below the whole number, and a share that only no contacts at all can meet."""
    value, bound, _ = solved(tmp_path, make(seed)[1])
    assert bound - value <= 1e-5 * abs(bound)


@pytest.mark.parametrize("cells", [0, 1_000, 4_000])
def test_small_problems_come_to_the_optimum_either_way(tmp_path: Path, cells: int) -> None:
    """With few nodes the integer programme does not come to an end, and prices have the last word."""
    instance = third("0.32", users=400)
    value, bound, solution = solved(tmp_path, instance, SolveSettings(exact_cells=cells, nodes=5))
    assert value == pytest.approx(best(instance).value, rel=1e-5)
    assert solution.status is Status.OPTIMAL and bound - value <= 1e-5 * bound


@pytest.mark.parametrize("seed", [17, 142, 197])
def test_prices_have_the_last_word_where_an_exact_solver_stops_early(tmp_path: Path, seed: int) -> None:
    """A share that must be met exactly, and two worlds: after one node the exact solver alone leaves a gap, prices close it."""
    instance = make(seed, largest=400)[1]
    value, bound, _ = solved(tmp_path, instance, SolveSettings(method="exact", nodes=1))
    assert bound - value > 1e-4 * bound
    better, proven, solution = solved(tmp_path, instance, SolveSettings(exact_cells=4_000, nodes=1))
    assert solution.status is Status.OPTIMAL and better > value
    assert proven - better <= 1e-5 * proven and proven < bound


def coupons(users: int = 1_400) -> Instance:
    """70 small coupons at 100 yen and 70 large ones at 500 are asked for, and 50,000 yen are there; all customers are alike."""
    ones = np.ones((users, 1))
    instance = Instance(ones * [0.0, 0.1, 0.3], ones * [0.0, 100.0, 500.0], np.full(users, "g"), np.zeros(3, int))
    instance.total(None, 50_000.0)
    instance.volume([1], 0.05 * users, None)
    instance.volume([2], 0.05 * users, None)
    return instance


def test_coupons_for_customers_who_are_all_alike(tmp_path: Path) -> None:
    value, bound, solution = solved(tmp_path, coupons())
    assert value == pytest.approx(36.0, rel=1e-6) and bound == pytest.approx(value, rel=1e-9)
    assert (solution.slate_UK >= 0).sum() == 220, "letters are worth nothing, and nobody asked for them"


@pytest.mark.parametrize("seed", [0, 3, 5, 8])
def test_the_order_of_users_changes_no_value(tmp_path: Path, seed: int) -> None:
    _, instance = make(seed, largest=600)
    order = np.random.default_rng(seed).permutation(len(instance.value_UA))
    mixed = replace(
        instance,
        value_UA=instance.value_UA[order],
        cost_UA=instance.cost_UA[order],
        segment_U=instance.segment_U[order],
    )
    once, again = solved(tmp_path / "once", instance)[0], solved(tmp_path / "again", mixed)[0]
    assert again == pytest.approx(once, rel=1e-9)


def test_a_share_is_met_exactly_in_whole_counts(tmp_path: Path) -> None:
    instance = third("0.32")
    value, bound, solution = solved(tmp_path, instance)
    first, every = (solution.slate_UK == 0).sum(), (solution.slate_UK >= 0).sum()
    assert every % 25 == 0 and first * 25 == every * 8 and every > 0
    assert value == pytest.approx(best(instance).value, rel=1e-6)
    assert bound == pytest.approx(value, rel=1e-5), (
        "the bound is that of whole counts, not the looser one of the linear programme"
    )


def test_where_no_counts_meet_a_share_nothing_is_the_best(tmp_path: Path) -> None:
    value, bound, _ = solved(tmp_path, third("0.33333"))
    assert value == bound == 0.0


def test_a_cap_in_every_branch_ends_at_a_proven_optimum(tmp_path: Path) -> None:
    """An assignment problem: its linear programme has whole solutions, so there is no gap to excuse."""
    generator = np.random.default_rng(1)
    users, names = 1_000, np.array([f"b{k:03d}" for k in generator.integers(200, size=1_000)])
    instance = Instance(generator.gamma(1, 1, (users, 4)), np.ones((users, 4)), names, np.array([0, 0, 1, 1]), 1)
    for name in np.unique(names):
        instance.volume([0, 1], None, 1, str(name))
    instance.volume([2, 3], None, users // 5)
    value, bound, _ = solved(tmp_path, instance)
    assert bound - value <= 1e-6 * bound and value == pytest.approx(best(instance).value, rel=1e-6)


def test_many_users_who_tie_are_told_apart(tmp_path: Path) -> None:
    """Whole values: at the best prices thousands are indifferent, far more than a core holds."""
    generator = np.random.default_rng(0)
    users = 20_000
    values, costs = generator.integers(0, 4, (users, 6)), generator.integers(0, 6, (users, 6))
    instance = Instance(values.astype(float), costs.astype(float), np.full(users, "g"), np.array([0, 0, 1, 1, 2, 2]), 2)
    for action in (0, 2, 4):
        instance.volume([action], users // 5, None)
    instance.volume([1], None, users // 10)
    instance.total(None, 2.0 * users)
    value, bound, _ = solved(tmp_path, instance)
    assert bound - value <= 2e-5 * bound


@pytest.mark.parametrize(
    "share", [Fraction(1, 3), Fraction(2, 7), pytest.param(Fraction(98, 157), marks=pytest.mark.slow)]
)
def test_a_share_whose_digits_are_cut_off_is_the_fraction_they_come_from(tmp_path: Path, share: Fraction) -> None:
    """A policy can only say 0.3333333333333333, which no counts meet to the last digit."""
    instance = third("0.5")
    instance.rules[0] = replace(
        instance.rules[0], low=share, high=share, text=instance.rules[0].text.replace("50%", repr(float(share)))
    )
    value, bound, solution = solved(tmp_path, instance)
    first, every = (solution.slate_UK == 0).sum(), (solution.slate_UK >= 0).sum()
    assert Fraction(int(first), int(every)) == share
    assert value >= best(instance, 5.0).value * (1 - 1e-5) and bound == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("value", [-2.0, 0.0])
@pytest.mark.parametrize(
    "low, high", [("0.3147894736842105", "0.3167894736842105"), ("0.5078883495145632", "0.6207524271844661")]
)
def test_contacts_that_are_worth_nothing_fill_no_share(tmp_path: Path, value: float, low: str, high: str) -> None:
    """A share holds where nothing is given, also where its bounds are no simple fractions."""
    users = 31
    instance = Instance(np.full((users, 4), value), np.ones((users, 4)), np.full(users, "g"), np.array([0, 0, 1, 1]))
    instance.share([0, 2], Fraction(low), Fraction(high))
    worth, bound, solution = solved(tmp_path, instance)
    assert worth == bound == 0.0 and not (solution.slate_UK >= 0).any()
