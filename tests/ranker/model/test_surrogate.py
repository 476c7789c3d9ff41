"""What stands in for outcomes that are not known yet is right on average where early events are a part of all, and refused elsewhere."""

from dataclasses import replace

import numpy as np
import pytest

from ranker.features import Features
from ranker.log_schema import Early, LogSchema, Outcome
from ranker.model.examples import Examples
from ranker.model.linear import fit_design
from ranker.model.outcome_heads import fit_targets
from ranker.model.surrogate import StandIns, stand_in

ROWS, ACTIONS, YOUNG = 40_000, 3, 0.4
LIFT_B = np.array([0.03, 0.06, 0.09, 0.0])  # of each action and of none


def examples(generator: np.random.Generator, y_R: np.ndarray, early_R: np.ndarray, arm_R: np.ndarray, x_R: np.ndarray):
    """The last YOUNG of the rows know y only by what is early."""
    young_R = np.arange(ROWS) >= (1 - YOUNG) * ROWS
    return Examples(
        features=Features(x_R[:, None].astype(np.float32), np.zeros((ROWS, 0), np.int64)),
        action_R=arm_R,
        propensity_R=np.full(ROWS, 1 / (ACTIONS + 1)),
        outcome_RO=np.where(young_R, np.nan, y_R)[:, None],
        user_R=np.arange(ROWS),
        eligible_RA=np.ones((ROWS, ACTIONS), bool),
        early_RE=early_R[:, None].astype(float),
    )


def stood_in(kind: str, made: Examples) -> StandIns:
    schema = LogSchema(("x",), (), (Outcome("y", kind, ""),), "none", (Early("y_7d", "y", 7),))
    targets = fit_targets([("y", kind, "")], made.outcome_RO)
    fold_R = np.random.default_rng(9).integers(0, 3, ROWS)
    return stand_in(schema, targets, made, fold_R, fit_design(made.features, np.zeros(1, int)))


def late_events(generator: np.random.Generator, recorded: float) -> tuple[Examples, np.ndarray]:
    """Events of which a share is recorded early, by chance alone; and the chance of each row."""
    x_R, arm_R = generator.normal(size=ROWS), generator.integers(0, ACTIONS + 1, ROWS)
    chance_R = np.clip(0.08 + 0.03 * x_R, 0.01, 0.9) + LIFT_B[arm_R]
    y_R = generator.random(ROWS) < chance_R
    return examples(generator, y_R, y_R & (generator.random(ROWS) < recorded), arm_R, x_R), chance_R


@pytest.mark.parametrize("recorded", [0.6, 0.85])
def test_events_recorded_late_are_made_up_for(recorded) -> None:
    made, chance_R = late_events(np.random.default_rng(0), recorded)
    found = stood_in("binary", made)
    (finding,) = found.findings
    young_R = np.isnan(made.outcome_RO[:, 0])
    # h(1) = 1 and h(0) is the chance of an event that is not recorded yet; it shows their difference where an event is recorded.
    chance = chance_R.mean()
    shown = recorded * (1 - chance) / (1 - recorded * chance)
    assert finding.used
    assert finding.kappa == pytest.approx(shown, abs=3 * finding.kappa_stderr)
    assert finding.kappa_stderr < 0.04
    assert finding.explained == pytest.approx(shown, abs=0.02)
    assert finding.weight == pytest.approx(shown, abs=0.1)  # events scaled up by 1 / shown vary so much more
    for arm in range(ACTIONS + 1):
        rows = young_R & (made.action_R == arm)
        noise = np.sqrt(chance_R[rows].mean() / recorded / rows.sum())
        assert found.value_RO[rows, 0].mean() == pytest.approx(chance_R[rows].mean(), abs=3 * noise)
    ((channel,),) = found.channels
    assert channel.used_R.all()
    np.testing.assert_allclose(channel.y_R[young_R], found.value_RO[young_R, 0], rtol=1e-5)
    assert set(np.unique(channel.information_R())) == {np.float32(finding.weight), np.float32(1)}
    assert np.isnan(found.value_RO[~young_R]).all()


def test_what_shows_early_is_told_by_features_and_not_by_noise() -> None:
    """Half of every difference shows early, but four fifths of the noise: the explained variance would be taken for 0.8."""
    generator = np.random.default_rng(1)
    x_R, arm_R = generator.normal(size=ROWS), generator.integers(0, ACTIONS + 1, ROWS)
    half_R = 0.5 * x_R + 5 * LIFT_B[arm_R]
    early_R = half_R + generator.normal(size=ROWS)
    y_R = early_R + half_R + 0.5 * generator.normal(size=ROWS)
    (finding,) = stood_in("real", examples(generator, y_R, early_R, arm_R, x_R)).findings
    assert finding.used
    assert finding.explained > 0.75
    # h = c early, so that c / 2 of a difference shows, c being the slope of y on early: 1 + cov(half, early) / var(early).
    slope = 1 + half_R.var() / early_R.var()
    assert finding.kappa == pytest.approx(slope / 2, abs=0.03)
    assert finding.stand_in == pytest.approx(10 * LIFT_B[:-1].mean(), abs=0.08)
    assert abs(finding.actual - finding.stand_in) < 3 * finding.difference_stderr


def test_an_early_outcome_that_actions_move_by_itself_is_refused() -> None:
    generator = np.random.default_rng(2)
    x_R, arm_R = generator.normal(size=ROWS), generator.integers(0, ACTIONS + 1, ROWS)
    y_R = x_R + generator.normal(size=ROWS)
    click_R = y_R + 0.5 * (arm_R < ACTIONS)  # every contact is opened; nothing comes of it
    made = examples(generator, y_R, click_R, arm_R, x_R)
    found = stood_in("real", made)
    (finding,) = found.findings
    assert finding.explained > 0.9
    assert not finding.used
    assert finding.stand_in - finding.actual == pytest.approx(0.5, abs=0.1)
    assert np.isnan(found.value_RO).all()
    assert not found.channels[0][0].used_R[np.isnan(made.outcome_RO[:, 0])].any()


def test_an_action_whose_early_effect_misleads_is_refused() -> None:
    """On average over actions the index is right; between them it is not."""
    generator = np.random.default_rng(3)
    x_R, arm_R = generator.normal(size=ROWS), generator.integers(0, ACTIONS + 1, ROWS)
    y_R = x_R + generator.normal(size=ROWS)
    early_R = y_R + np.array([0.4, 0.0, -0.4, 0.0])[arm_R]
    (finding,) = stood_in("real", examples(generator, y_R, early_R, arm_R, x_R)).findings
    assert not finding.used
    assert finding.off > 5 * finding.noise


def test_an_index_that_knows_little_is_refused() -> None:
    generator = np.random.default_rng(4)
    x_R, arm_R = generator.normal(size=ROWS), generator.integers(0, ACTIONS + 1, ROWS)
    early_R = x_R + generator.normal(size=ROWS)
    y_R = 0.5 * early_R + generator.normal(size=ROWS)
    (finding,) = stood_in("real", examples(generator, y_R, early_R, arm_R, x_R)).findings
    assert finding.explained == pytest.approx(1 / 3, abs=0.03)
    assert not finding.used


def test_without_early_columns_nothing_stands_in() -> None:
    made, _ = late_events(np.random.default_rng(5), 0.7)
    schema = LogSchema(("x",), (), (Outcome("y", "binary", ""),), "none")
    targets = fit_targets([("y", "binary", "")], made.outcome_RO)
    made = replace(made, early_RE=np.zeros((ROWS, 0)))
    found = stand_in(schema, targets, made, np.arange(ROWS) % 3, fit_design(made.features, np.zeros(1, int)))
    assert found.findings == ()
    np.testing.assert_array_equal(found.channels[0][0].used_R, np.isfinite(made.outcome_RO[:, 0]))


@pytest.mark.parametrize("always", [0.0, 1.0])
def test_an_outcome_that_hardly_differs_is_left_alone(always) -> None:
    made, _ = late_events(np.random.default_rng(6), 0.7)
    made.outcome_RO[20:, 0] = np.where(np.isnan(made.outcome_RO[20:, 0]), np.nan, always)
    assert stood_in("binary", made).findings == ()
