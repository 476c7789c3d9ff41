"""The readout's statistics: against one regression written out, against known truths over many draws, against closed forms."""

import numpy as np
import pytest
from scipy import stats

from ranker.evaluate import lift as lifts
from ranker.evaluate.lift import Condition, JudgedMetric, Lift, SampleRatio, decide, lift, sample_ratio
from ranker.evaluate.off_policy import Estimate


def draw(generator: np.random.Generator, users: int, share: float = 0.1, effect: float = 0.3):
    """Outcome, group, covariates; the effect depends on the first covariate, the second tells nothing."""
    covariate_UX = generator.normal(size=(users, 2))
    treated_U = generator.random(users) >= share
    outcome_U = 1.0 + 2.0 * covariate_UX[:, 0] + treated_U * (effect + 0.5 * covariate_UX[:, 0])
    return outcome_U + generator.normal(size=users), treated_U, covariate_UX


def test_it_is_the_interacted_regression_written_out() -> None:
    """y on 1, T, x - mean, T (x - mean), all users at once; the sandwich with residuals over (1 - leverage), and the drawing of users."""
    outcome_U, treated_U, covariate_UX = draw(np.random.default_rng(0), 500, 0.4)
    found = lift(outcome_U, treated_U, covariate_UX)
    centred_UX = covariate_UX - covariate_UX.mean(0)
    design = np.column_stack([np.ones(500), treated_U, centred_UX, treated_U[:, None] * centred_UX])
    inverse = np.linalg.inv(design.T @ design)
    coefficient = inverse @ design.T @ outcome_U
    leverage = np.array([row @ inverse @ row for row in design])
    residual = outcome_U - design @ coefficient
    meat = sum(np.outer(row, row) * e**2 / (1 - h) for row, e, h in zip(design, residual, leverage, strict=True))
    variance = (inverse @ meat @ inverse)[1, 1]
    drawn = sum((centred_UX[u] @ coefficient[4:]) ** 2 for u in range(500)) / 500**2
    assert found.covariates == 2
    assert found.adjusted.value == pytest.approx(coefficient[1])
    assert found.adjusted.stderr == pytest.approx((variance + drawn) ** 0.5)
    plain = stats.ttest_ind(outcome_U[treated_U], outcome_U[~treated_U], equal_var=False)
    assert found.plain.value == pytest.approx(outcome_U[treated_U].mean() - outcome_U[~treated_U].mean())
    assert found.plain.value / found.plain.stderr == pytest.approx(plain.statistic)


def test_intervals_cover_the_true_lift_and_are_narrower_for_what_was_known() -> None:
    covered, relative, narrower = 0, 0, []
    for seed in range(300):
        found = lift(*draw(np.random.default_rng(seed), 1_000))
        covered += found.adjusted.low <= 0.3 <= found.adjusted.high
        relative += found.relative.low <= 0.3 <= found.relative.high
        narrower.append(found.adjusted.stderr / found.plain.stderr)
    assert 276 <= covered <= 295
    assert 276 <= relative <= 297
    assert np.mean(narrower) < 0.6  # 4 of 5 parts of the variance were known before


def test_a_group_in_which_hardly_anything_happens_is_not_certain() -> None:
    """Of 200 held-out users about one opts out, often none; a false alarm must stay rare even so."""
    alarms, silent = 0, 0
    for seed in range(300):
        generator = np.random.default_rng(seed)
        treated_U = np.arange(4_000) >= 200
        outcome_U = (generator.random(4_000) < 0.005).astype(float)
        found = lift(outcome_U, treated_U, generator.normal(size=(4_000, 2)))
        silent += not outcome_U[~treated_U].any()
        alarms += not found.adjusted.low <= 0 <= found.adjusted.high
    assert silent > 60
    assert alarms <= 24


def test_covariates_that_tell_nothing_new_are_left_out() -> None:
    outcome_U, treated_U, covariate_UX = draw(np.random.default_rng(1), 2_000)
    many_UX = np.column_stack([covariate_UX, covariate_UX.sum(1), np.ones(2_000), covariate_UX[:, 0] * 3])
    many, few = lift(outcome_U, treated_U, many_UX), lift(outcome_U, treated_U, covariate_UX)
    assert many.covariates == 2
    assert many.adjusted.value == pytest.approx(few.adjusted.value)
    noise_UX = np.random.default_rng(2).normal(size=(2_000, 60))
    assert lift(outcome_U, treated_U, noise_UX).covariates == (~treated_U).sum() // lifts.USERS_PER_COVARIATE
    assert lift(outcome_U[:100], np.arange(100) > 10, covariate_UX[:100]) is None


def test_the_detectable_lift_is_found_in_four_of_five_weeks() -> None:
    stderr = lift(*draw(np.random.default_rng(3), 1_000)).adjusted.stderr
    smallest = lift(*draw(np.random.default_rng(3), 1_000)).detectable()
    assert smallest == pytest.approx(2.802 * stderr, rel=1e-3)
    hits = sum(
        lift(*draw(np.random.default_rng(1_000 + seed), 1_000, effect=smallest)).adjusted.low > 0 for seed in range(300)
    )
    assert 0.73 * 300 < hits < 0.87 * 300


def test_the_sample_ratio_is_scipys_chi_square() -> None:
    found = sample_ratio(
        {"holdout": 230, "exploring": 280, "chosen": 9_490}, {"holdout": 0.02, "exploring": 0.03, "chosen": 0.95}
    )
    assert found.p_value == pytest.approx(stats.chisquare([230, 280, 9_490], [200, 300, 9_500]).pvalue)
    assert found.holds
    assert not sample_ratio({"a": 300, "b": 9_700}, {"a": 0.02, "b": 0.98}).holds
    assert sample_ratio({"all": 10, "none": 0}, {"all": 1.0, "none": 0.0}).p_value == 1.0


def test_the_sample_ratio_raises_a_false_alarm_once_in_a_thousand() -> None:
    generator = np.random.default_rng(5)
    drawn = generator.multinomial(5_000, [0.05, 0.95], 4_000)
    alarms = sum(not sample_ratio({"a": a, "b": b}, {"a": 0.05, "b": 0.95}).holds for a, b in drawn.tolist())
    assert alarms <= 12


def made(value: float, stderr: float, control: float = 1.0) -> Lift:
    mean = Estimate(control, stderr)
    return Lift(mean, Estimate(control + value, stderr), Estimate(value, stderr), Estimate(value, stderr), 100, 900, 0)


AS_DRAWN = SampleRatio({}, {}, 0.5)
METRICS = (
    JudgedMetric("subs", success=True),
    JudgedMetric("revenue", success=True),
    JudgedMetric("opt_out", lower_is_better=True, margin=0.1),
)


@pytest.mark.parametrize(
    ("subs", "revenue", "opt_out", "ship", "says"),
    [
        (
            made(0.3, 0.1),
            made(0.0, 0.1),
            made(0.0, 0.05),
            True,
            "Ship: subs better, and opt_out no worse than allowed.",
        ),
        (
            made(0.21, 0.1),
            made(0.0, 0.1),
            made(0.0, 0.05),
            False,
            "no success metric is shown to be better (subs, revenue)",
        ),
        (made(-0.3, 0.1), made(0.0, 0.1), made(0.0, 0.05), False, "no success metric"),
        (made(0.3, 0.1), made(0.0, 0.1), made(0.0, 0.07), False, "not shown to be safe: opt_out"),
        (made(0.3, 0.1), made(0.0, 0.1), made(0.2, 0.01), False, "not shown to be safe: opt_out"),
        (made(0.3, 0.1), made(0.0, 0.1), made(-0.2, 0.01), True, "Ship"),
        (made(0.3, 0.1), made(0.0, 0.1), None, False, "not shown to be safe: opt_out"),
        (None, None, made(0.0, 0.05), False, "no success metric"),
    ],
)
def test_one_success_and_every_guardrail(subs, revenue, opt_out, ship, says) -> None:
    """Two success metrics share 5 %: 2.24 standard errors; a guardrail of 10 % holds if 1.645 standard errors fit below it."""
    found = decide(METRICS, {"subs": subs, "revenue": revenue, "opt_out": opt_out}, AS_DRAWN, 0.05)
    assert found.ship is ship
    assert says in found.sentence
    assert len(found.conditions) == 3


def test_groups_that_are_not_as_drawn_decide_it() -> None:
    good = {"subs": made(0.3, 0.01), "revenue": made(0.3, 0.01), "opt_out": made(0.0, 0.01)}
    found = decide(METRICS, good, SampleRatio({}, {}, 1e-6), 0.05)
    assert not found.ship
    assert "the groups are not as they were drawn" in found.sentence
    assert all(isinstance(condition, Condition) and condition.met for condition in found.conditions)


def test_wrong_decisions_are_as_rare_as_they_should_be() -> None:
    """Without any effect and with a guardrail that is exactly at its margin: in at most 5 % of the weeks the one or the other is shown."""
    better = safe = 0
    for seed in range(400):
        generator = np.random.default_rng(seed)
        outcome_U, treated_U, covariate_UX = draw(generator, 600, 0.3, effect=0.0)
        worse_U = 1.0 + 0.1 * treated_U + generator.normal(size=600)
        found = decide(
            (JudgedMetric("subs", success=True), JudgedMetric("opt_out", lower_is_better=True, margin=0.1)),
            {"subs": lift(outcome_U, treated_U, covariate_UX), "opt_out": lift(worse_U, treated_U, covariate_UX)},
            AS_DRAWN,
            0.05,
        )
        better += found.conditions[0].met
        safe += found.conditions[1].met
    assert better <= 24  # 2.5 % on the good side, with room for chance
    assert safe <= 34
