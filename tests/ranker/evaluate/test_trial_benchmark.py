"""Learners side by side on a held-out half: against values counted by hand and against a population whose effects are known."""

import numpy as np
import pytest

from ranker.evaluate import trial_benchmark
from ranker.evaluate.off_policy import Decisions
from ranker.evaluate.qini import qini
from ranker.evaluate.trial_benchmark import Half


def half(rows: int, seed: int) -> tuple[Half, np.ndarray]:
    """A trial of two actions and none, a third each, and the true effect of each on every row."""
    generator = np.random.default_rng(seed)
    taste_R = generator.normal(size=rows)
    effect_RA = np.column_stack([0.1 + 0.1 * taste_R, 0.05 - 0.1 * taste_R])
    arm_R = generator.integers(0, 3, rows)
    expected_RB = np.column_stack([0.3 + effect_RA, np.full(rows, 0.3)])
    outcome_R = expected_RB[np.arange(rows), arm_R] + generator.normal(0, 0.1, rows)
    decisions = Decisions(arm_R, np.full(rows, 1 / 3), np.arange(rows), np.ones((rows, 3), bool))
    return Half(("one", "two"), decisions, outcome_R, expected_RB), effect_RA


def test_each_action_has_the_qini_of_its_rows_and_of_those_without() -> None:
    found, effect_RA = half(600, 0)
    other_RA = np.random.default_rng(1).normal(size=effect_RA.shape)
    figures = trial_benchmark.qinis(found, effect_RA, other_RA)
    rows = np.flatnonzero(found.decisions.arm_R != 0)
    parts = found.decisions.arm_R[rows] == 1, found.outcome_R[rows], np.full(len(rows), 1 / 3), rows
    assert list(figures) == ["one", "two"]
    mine = qini(effect_RA[rows, 1], *parts)
    assert figures["two"].own.value == pytest.approx(mine.value)
    assert figures["two"].own.stderr == pytest.approx(mine.stderr)
    theirs = qini(other_RA[rows, 1], *parts).value
    assert figures["two"].ours_minus_this.value == pytest.approx(theirs - mine.value)


def test_the_value_of_a_policy_is_what_its_choices_truly_bring() -> None:
    found, effect_RA = half(20_000, 2)
    fixed_RA = np.broadcast_to([1.0, 0.0], effect_RA.shape)
    best = 0.3 + np.maximum(effect_RA.max(1), 0).mean()
    figure = trial_benchmark.value(found, effect_RA, fixed_RA)
    assert abs(figure.own.value - best) < 4 * figure.own.stderr < 0.01
    gain = effect_RA[:, 0].mean() - np.maximum(effect_RA.max(1), 0).mean()
    assert abs(figure.ours_minus_this.value - gain) < 4 * figure.ours_minus_this.stderr < 0.01
    assert trial_benchmark.over_fixed(found, effect_RA, 0).value == pytest.approx(-figure.ours_minus_this.value)
    assert trial_benchmark.over_fixed(found, fixed_RA, 0).value == pytest.approx(0, abs=1e-12)


def test_a_campaign_is_counted_by_hand() -> None:
    bought_R = np.array([1.0, 0, 1, 1, 0, 0, 1, 0])
    arm_R = np.array([0, 0, 0, 1, 1, 1, 0, 1])
    score_R = np.array([0.02, 0.02, 0.02, 0.02, 0.02, 0.0, 0.0, 0.0])
    decisions = Decisions(arm_R, np.full(8, 0.5), np.arange(8), np.ones((8, 2), bool))
    found = Half(("send",), decisions, bought_R, np.zeros((8, 2)))
    campaign = trial_benchmark.sent(found, score_R, np.ones(8), revenue=10.0, cost=0.15)
    assert campaign.net.own.value == pytest.approx(10 * 2 - 0.15 * 3 - 10 * 1)
    assert campaign.rate.value == pytest.approx(2 / 3 - 1 / 2)
    assert campaign.share == 5 / 8
    to_all = 10 * 3 - 0.15 * 4 - 10 * 1
    assert campaign.net.ours_minus_this.value == pytest.approx(to_all - campaign.net.own.value)
    nobody = trial_benchmark.sent(found, np.zeros(8), np.ones(8), revenue=10.0, cost=0.15)
    assert (nobody.net.own.value, nobody.rate) == (0.0, None)


def test_the_error_of_a_campaigns_revenue_is_what_repeated_trials_show() -> None:
    values, stderrs = [], []
    for seed in range(200):
        generator = np.random.default_rng(seed)
        arm_R, bought_R = generator.integers(0, 2, 400), (generator.random(400) < 0.2).astype(float)
        decisions = Decisions(arm_R, np.full(400, 0.5), np.arange(400), np.ones((400, 2), bool))
        found = Half(("send",), decisions, bought_R, np.zeros((400, 2)))
        campaign = trial_benchmark.sent(found, np.arange(400) / 400 - 0.5, np.zeros(400), revenue=10.0, cost=0.15)
        values.append(campaign.net.own.value)
        stderrs.append(campaign.net.own.stderr)
    assert np.mean(stderrs) == pytest.approx(np.std(values), rel=0.15)
