"""The core: its linear programme by sifting is the whole one, and a dive leaves no dear user in parts."""

import numpy as np
import pytest

from allocator.policy.reader import policy_for
from allocator.problem import build_problem
from allocator.solve import core as cores
from allocator.solve.core import Core, build_core, relax
from allocator.solve.prices import find_prices, measure_scale
from allocator.solve.solver import free_users
from allocator.users import load_data
from ranker.scores import open_scores
from scripts.bench.instances import write_instance

NOBODY = (np.zeros(0, np.int64), np.zeros(0, np.int64))
SECONDS = 60.0


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Core:
    instance = write_instance(tmp_path_factory.mktemp("grid"), "grid", 2_500, 1)
    scores = open_scores(instance.scores)
    problem = build_problem(scores, policy_for(instance.policy, {}, scores))
    users = free_users(problem, load_data(problem, scores), NOBODY)
    scale = measure_scale(users, np.random.default_rng(0))
    found = find_prices(users, np.zeros(len(problem.rows)), scale, 1e-6, 30, np.random.default_rng(0))
    return build_core(users, found.best, 1_000, 20, scale)


def rows_kept(core: Core, weight_N: np.ndarray) -> bool:
    used_R = weight_N @ core.usage_NR
    return bool((used_R <= core.left_R + 1e-6 * core.unit_R).all())


def test_sifting_finds_the_optimum_of_the_whole_programme(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = relax(core, SECONDS)
    monkeypatch.setattr(cores, "SIFTED", 1)
    sifted = relax(core, SECONDS)
    assert whole.inside_N.all() and not sifted.inside_N.all()
    assert sifted.loss == pytest.approx(whole.loss, abs=1e-6)
    assert sifted.violation == whole.violation == 0.0
    assert rows_kept(core, sifted.weight_N)
    assert np.bincount(core.user_N, sifted.weight_N) == pytest.approx(np.ones(len(core.who_U)))


def test_a_dive_makes_users_whole_whose_slates_differ_by_more_than_the_target(core: Core) -> None:
    relaxed = relax(core, SECONDS)
    part_N = (relaxed.weight_N > 1e-7) & (relaxed.weight_N < 1 - 1e-7)
    target = float(np.median(cores._spread(core, part_N)[np.unique(core.user_N[part_N])]))
    assert target > 0
    weight_N = cores._dive(core, relaxed, target, SECONDS).weight_N
    part_N = (weight_N > 1e-7) & (weight_N < 1 - 1e-7)
    for user in np.unique(core.user_N[part_N]):
        priced_NR = core.usage_NR[part_N & (core.user_N == user)] * core.price_R
        assert np.ptp(priced_NR, axis=0).max() <= target
    assert rows_kept(core, weight_N)
    assert np.bincount(core.user_N, weight_N) == pytest.approx(np.ones(len(core.who_U)))
