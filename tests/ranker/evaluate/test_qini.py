"""Qini against its definition, computed the long way."""

from itertools import pairwise

import numpy as np
import pytest

from ranker.evaluate.qini import ours_minus_this, qini


def long_way(score, contacted, outcome, propensity) -> tuple[float, float]:
    """Qini and AUUC by their definition, block by block, with plain loops over the rows."""
    weight = 1 / propensity
    weight = np.where(contacted, weight / weight[contacted].sum(), weight / weight[~contacted].sum())
    points = [(0.0, 0.0)]
    for threshold in sorted(set(score), reverse=True):
        n_t = n_c = y_t = y_c = 0.0
        for i in range(len(score)):
            if score[i] >= threshold and contacted[i]:
                n_t, y_t = n_t + weight[i], y_t + weight[i] * outcome[i]
            elif score[i] >= threshold:
                n_c, y_c = n_c + weight[i], y_c + weight[i] * outcome[i]
        points.append(((n_t + n_c) / 2, y_t - (y_c * n_t / n_c if n_c else 0.0)))
    end = points[-1][1]
    area = whole = 0.0
    for (a, u), (b, v) in pairwise(points):
        area += (b - a) * ((u - a * end) + (v - b * end)) / 2
        whole += (b - a) * (u + v) / 2
    return area, whole


@pytest.mark.parametrize("seed", range(5))
def test_it_is_its_definition_with_ties_and_weights(seed) -> None:
    generator = np.random.default_rng(seed)
    score, contacted = generator.integers(0, 6, 40).astype(float), generator.random(40) < 0.6
    outcome, propensity = generator.random(40), generator.uniform(0.1, 0.9, 40)
    found = qini(score, contacted, outcome, propensity, np.arange(40))
    expected, area = long_way(score, contacted, outcome, propensity)
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.auuc == pytest.approx(area, abs=1e-12)
    assert found.auuc == pytest.approx(found.value + found.average / 2, abs=1e-12)


def test_a_constant_score_has_none_whatever_the_order() -> None:
    generator = np.random.default_rng(1)
    outcome = np.sort(generator.random(100))
    found = qini(np.ones(100), np.arange(100) < 50, outcome, np.full(100, 0.5), np.arange(100))
    assert found.value == pytest.approx(0.0, abs=1e-12)
    assert found.auuc == pytest.approx((outcome[:50].mean() - outcome[50:].mean()) / 2)


def test_ranking_by_the_effect_beats_the_reverse_and_a_monotone_change_alters_nothing() -> None:
    generator = np.random.default_rng(2)
    effect, contacted = generator.normal(size=5_000), generator.random(5_000) < 0.5
    outcome = generator.normal(size=5_000) + contacted * effect
    args = (contacted, outcome, np.full(5_000, 0.5), np.arange(5_000))
    good, bad = qini(effect, *args), qini(-effect, *args)
    assert good.value > 5 * good.stderr > 0
    assert bad.value < -5 * bad.stderr
    assert qini(np.exp(effect), *args).value == pytest.approx(good.value)


@pytest.mark.parametrize("kind", ["binary", "count", "amount", "real"])
def test_standard_errors_are_those_of_repeated_draws_whatever_the_outcome(kind) -> None:
    generator = np.random.default_rng(3)
    found = []
    for _ in range(200):
        score, contacted = generator.normal(size=600), generator.random(600) < 0.5
        mean = 0.2 + 0.1 * contacted
        outcome = {
            "binary": lambda mean=mean: (generator.random(600) < mean).astype(float),
            "count": lambda mean=mean: generator.poisson(10 * mean).astype(float),
            "amount": lambda mean=mean: (generator.random(600) < mean) * generator.lognormal(1.0, 0.5, 600),
            "real": lambda mean=mean: generator.normal(mean, 2.0),
        }[kind]()
        found.append(qini(score, contacted, outcome, np.full(600, 0.5), np.arange(600)))
    assert np.std([one.value for one in found]) == pytest.approx(np.mean([one.stderr for one in found]), rel=0.15)
    assert np.std([one.auuc for one in found]) == pytest.approx(np.mean([one.auuc_stderr for one in found]), rel=0.15)


def test_one_arm_alone_has_no_qini() -> None:
    assert qini(np.arange(3.0), np.ones(3, bool), np.ones(3), np.ones(3), np.arange(3)) is None


def test_a_difference_is_that_of_both_and_its_error_is_what_resampled_users_show() -> None:
    generator = np.random.default_rng(3)
    rows = 4_000
    effect, contacted = generator.normal(size=rows), generator.random(rows) < 0.4
    outcome = generator.normal(size=rows) + contacted * (0.2 + 0.3 * effect)
    good, worse = effect, effect + generator.normal(size=rows)
    parts = [contacted, outcome, np.where(contacted, 0.4, 0.6), np.arange(rows)]
    found = ours_minus_this(good, worse, *parts)
    assert found.value == pytest.approx(qini(good, *parts).value - qini(worse, *parts).value, abs=1e-12)
    drawn = []
    for _ in range(300):
        rows_R = generator.integers(0, rows, rows)
        here = [part[rows_R] for part in parts]
        drawn.append(qini(good[rows_R], *here).value - qini(worse[rows_R], *here).value)
    assert found.stderr == pytest.approx(np.std(drawn), rel=0.25)
    assert found.stderr < np.hypot(qini(good, *parts).stderr, qini(worse, *parts).stderr)


def test_a_score_is_not_ahead_of_itself() -> None:
    generator = np.random.default_rng(4)
    score = generator.integers(0, 9, 200)
    found = ours_minus_this(
        score, 2.0 * score, np.arange(200) < 80, generator.random(200), np.full(200, 0.5), np.arange(200)
    )
    assert (found.value, found.stderr) == (pytest.approx(0, abs=1e-15), pytest.approx(0, abs=1e-15))
