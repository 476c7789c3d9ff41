"""Qini against its definition, computed the long way."""

from itertools import pairwise

import numpy as np
import pytest

from ranker.evaluate.qini import qini


def long_way(score, contacted, outcome, propensity) -> float:
    """The definition, block by block, with plain loops over the rows."""
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
    area = 0.0
    for (a, u), (b, v) in pairwise(points):
        area += (b - a) * ((u - a * end) + (v - b * end)) / 2
    return area


@pytest.mark.parametrize("seed", range(5))
def test_it_is_its_definition_with_ties_and_weights(seed) -> None:
    generator = np.random.default_rng(seed)
    score, contacted = generator.integers(0, 6, 40).astype(float), generator.random(40) < 0.6
    outcome, propensity = generator.random(40), generator.uniform(0.1, 0.9, 40)
    found = qini(score, contacted, outcome, propensity, np.arange(40))
    assert found.value == pytest.approx(long_way(score, contacted, outcome, propensity), abs=1e-12)


def test_a_constant_score_has_none_whatever_the_order() -> None:
    generator = np.random.default_rng(1)
    outcome = np.sort(generator.random(100))
    found = qini(np.ones(100), np.arange(100) < 50, outcome, np.full(100, 0.5), np.arange(100))
    assert found.value == pytest.approx(0.0, abs=1e-12)


def test_ranking_by_the_effect_beats_the_reverse_and_a_monotone_change_alters_nothing() -> None:
    generator = np.random.default_rng(2)
    effect, contacted = generator.normal(size=5_000), generator.random(5_000) < 0.5
    outcome = generator.normal(size=5_000) + contacted * effect
    args = (contacted, outcome, np.full(5_000, 0.5), np.arange(5_000))
    good, bad = qini(effect, *args), qini(-effect, *args)
    assert good.value > 5 * good.stderr > 0
    assert bad.value < -5 * bad.stderr
    assert qini(np.exp(effect), *args).value == pytest.approx(good.value)


def test_the_standard_error_is_that_of_repeated_draws() -> None:
    generator = np.random.default_rng(3)
    values, stderrs = [], []
    for _ in range(150):
        score, contacted = generator.normal(size=600), generator.random(600) < 0.5
        outcome = (generator.random(600) < 0.2 + 0.1 * contacted).astype(float)
        found = qini(score, contacted, outcome, np.full(600, 0.5), np.arange(600))
        values.append(found.value)
        stderrs.append(found.stderr)
    assert np.std(values) == pytest.approx(np.mean(stderrs), rel=0.2)


def test_one_arm_alone_has_no_qini() -> None:
    assert qini(np.arange(3.0), np.ones(3, bool), np.ones(3), np.ones(3), np.arange(3)) is None
