"""What must be true of every allocation, on random problems of all constraint kinds, solved whole and by prices."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from allocator.solve.dual import Users, evaluate_dual, slate_usage, value_of
from allocator.solve.exact import solve_exact
from allocator.solve.prices import find_prices, measure_scale
from allocator.solve.settings import SolveSettings
from allocator.solve.solution import Solution, Unsolvable
from allocator.solve.solver import solve
from allocator.users import Data, load_data
from tests.allocator.instances import Case, make_case, random_rules
from tests.seeds import seeds

USERS = 120
PRICES = SolveSettings(method="prices", gap=1e-4, nodes=200, core_users=60, sample_users=100)
EXACT = SolveSettings(method="exact", nodes=20_000)
SEEDS = seeds(8, quick=3)


def solved(case: Case, settings: SolveSettings) -> Solution:
    return solve(case.problem, case.data, case.explored[:2], settings)


def violations(users: Users, slate_UK: np.ndarray) -> np.ndarray:
    used_R = slate_usage(users, np.arange(len(users.data)), slate_UK).sum(axis=0)
    hard_R = ~np.isfinite(users.problem.rows.penalty_R)
    return np.maximum(used_R - users.limit_R, 0.0)[hard_R]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("settings", [PRICES, EXACT], ids=["prices", "exact"])
def test_feasible_and_below_the_bound(tmp_path: Path, seed: int, settings: SolveSettings) -> None:
    case = make_case(tmp_path, USERS, seed, random_rules(seed, USERS))
    try:
        solution = solved(case, settings)
    except Unsolvable:
        pytest.fail("these rules can hold together")
    assert violations(case.users, solution.slate_UK).max(initial=0.0) <= 1e-9
    value = value_of(case.users, solution.slate_UK)
    assert value <= solution.dual + 1e-9 * abs(solution.dual)
    assert evaluate_dual(case.users, solution.price_R).dual == pytest.approx(solution.dual, rel=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_prices_come_within_a_hair_of_the_oracle(tmp_path: Path, seed: int) -> None:
    case = make_case(tmp_path, USERS, seed, random_rules(seed, USERS))
    oracle = value_of(case.users, solved(case, EXACT).slate_UK)
    by_prices = solved(case, PRICES)
    value = value_of(case.users, by_prices.slate_UK)
    assert value <= oracle + 2e-6 * abs(oracle) + 1e-9
    assert value >= oracle - 2e-3 * abs(oracle)
    assert by_prices.dual >= oracle - 1e-9 * abs(oracle)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_bound_is_the_linear_programmes(tmp_path: Path, seed: int) -> None:
    """Without overlapping caps the relaxation over pairs has the dual's value: strong duality, two ways to one number."""
    rules = random_rules(seed, USERS).split("contact:")[0] + "contact:\n  - {id: total, max: 2}\n"
    tail = random_rules(seed, USERS).partition("constraints:")
    case = make_case(tmp_path, USERS, seed, rules + (tail[1] + tail[2]))
    scale = measure_scale(case.users, np.random.default_rng(0))
    price_R = solve_exact(case.users, EXACT, scale.usage_R).price_R
    at_the_relaxation = evaluate_dual(case.users, price_R)
    found = find_prices(case.users, np.zeros(len(price_R)), scale, 1e-10, 150, np.random.default_rng(0))
    assert found.best.dual >= at_the_relaxation.dual - 1e-9 * abs(at_the_relaxation.dual)
    assert found.best.dual == pytest.approx(at_the_relaxation.dual, rel=3e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_loosening_a_bound_never_lowers_the_optimum(tmp_path: Path, seed: int) -> None:
    users = USERS // 2  # each rule asks for an optimum of its own
    case = make_case(tmp_path, users, seed, random_rules(seed, users))
    if not case.problem.measured:
        return
    before = value_of(case.users, solved(case, EXACT).slate_UK)
    for position, measured in enumerate(case.problem.measured):
        looser = replace(
            measured,
            low=None if measured.low is None else 0.8 * measured.low,
            high=None if measured.high is None else 1.2 * measured.high,
        )
        every = list(case.problem.measured)
        every[position] = looser
        eased = replace(case, problem=case.problem.with_measured(every))
        assert value_of(eased.users, solved(eased, EXACT).slate_UK) >= before - 1e-6 * abs(before)


@pytest.mark.parametrize("seed", SEEDS)
def test_permuting_the_users_changes_no_bound(tmp_path: Path, seed: int) -> None:
    case = make_case(tmp_path, USERS, seed, random_rules(seed, USERS))
    order = np.random.default_rng(seed).permutation(USERS)
    price_R = np.random.default_rng(seed).random(len(case.problem.rows)) * 0.1
    price_R = np.minimum(price_R, case.problem.rows.penalty_R)
    straight = evaluate_dual(case.users, price_R)
    mixed = evaluate_dual(replace(case.users, data=case.data.take(order)), price_R)
    assert mixed.dual == pytest.approx(straight.dual, rel=1e-12)
    np.testing.assert_array_equal(mixed.slate_UK, straight.slate_UK[order])


@pytest.mark.parametrize("seed", SEEDS)
def test_scaling_the_values_scales_the_bound(tmp_path: Path, seed: int) -> None:
    case = make_case(tmp_path, USERS, seed, random_rules(seed, USERS))
    price_R = np.random.default_rng(seed).random(len(case.problem.rows)) * 0.1
    doubled = replace(case.problem, value_PA=2.0 * case.problem.value_PA)
    once, twice = evaluate_dual(case.users, price_R), evaluate_dual(replace(case.users, problem=doubled), 2.0 * price_R)
    assert twice.dual == pytest.approx(2.0 * once.dual, rel=1e-12)
    np.testing.assert_array_equal(once.slate_UK, twice.slate_UK)


@pytest.mark.parametrize("seed", range(3))
def test_the_same_rows_for_any_number_of_threads(tmp_path: Path, seed: int) -> None:
    users = 9_000  # more than one block
    case = make_case(tmp_path, users, seed, random_rules(seed, users))
    one = solved(case, PRICES.model_copy(update={"threads": 1, "gap": 1e-3}))
    two = solved(case, PRICES.model_copy(update={"threads": 2, "gap": 1e-3}))
    np.testing.assert_array_equal(one.slate_UK, two.slate_UK)
    np.testing.assert_array_equal(one.price_R, two.price_R)


def test_users_without_any_eligible_action_get_nothing(tmp_path: Path) -> None:
    case = make_case(tmp_path, 50, 1, random_rules(1, 50))
    data: Data = replace(case.data, eligible_UA=np.zeros_like(case.data.eligible_UA))
    bare = replace(case, data=data, problem=case.problem.with_measured([]))
    assert (solved(bare, PRICES).slate_UK == -1).all()


def test_the_same_rows_for_any_shard_size_and_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = 20_000
    case = make_case(tmp_path, users, 2, random_rules(2, users))
    settings = PRICES.model_copy(update={"gap": 1e-3})
    whole = solved(case, settings)
    monkeypatch.setattr("allocator.users.SHARD", 8_192)
    mapped = load_data(case.problem, case.scores, memory_gib=1e-6, folder=tmp_path)
    assert isinstance(mapped.planes_UPA, np.memmap)
    assert not list(tmp_path.glob("tmp*")), "the file has no name"
    for data in (case.data, mapped):
        cut = solved(replace(case, data=data), settings)
        np.testing.assert_array_equal(cut.slate_UK, whole.slate_UK)
        np.testing.assert_array_equal(cut.price_R, whole.price_R)
