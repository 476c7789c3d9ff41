"""What contacts take from each other, estimated where the truth is known: factors planted in rows, and in logs of a small world."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import least_squares
from scipy.stats import norm

from ranker.contact_history import HistoryColumns, other_contacts
from ranker.model import fatigue_and_cannibalisation
from ranker.model.fatigue_and_cannibalisation import (
    GROUPS,
    GROWS,
    GROWTH_SD,
    HistoryRows,
    _log_bayes_factor,
    _shrunk,
    estimate,
    grown,
    solve,
    spoils,
)
from ranker.model.fit import fit
from ranker.model.fit_calibration import calibrate
from ranker.model.settings import FitSettings, ModelSettings
from tests.ranker.worlds import make_world

USERS, WEEKS, VALUES = 20_000, 4, 3
KEPT, SPOILED, GROWN = 0.8, 0.3, 0.4


@pytest.fixture(scope="module")
def rows() -> HistoryRows:
    """Two outcomes; a contact of the days before leaves 80 % of an effect, product 1 lately leaves 30 % of product 0's. The lever is off
    by a factor of its own per product, and history changes the outcome without contact."""
    generator = np.random.default_rng(3)
    count = USERS * WEEKS
    value_R = generator.integers(-1, VALUES, count)
    contacts_R = generator.integers(0, 4, count).astype(float)
    flag_RJ = (generator.random((count, VALUES)) < 0.3).astype(np.float32)
    effect_RO = generator.normal([1.0, 0.2], 0.3, (count, 2)) * (value_R >= 0)[:, None]
    left_R = KEPT ** (contacts_R - contacts_R.mean())
    left_R *= np.where((value_R == 0) & (flag_RJ[:, 1] > 0), SPOILED, 1.0)
    base_R = 0.5 * contacts_R - 0.3 * flag_RJ[:, 1]
    shared_U = generator.normal(0, 0.5, USERS)
    noise_RO = generator.normal(0, [1.0, 0.2], (count, 2)) + np.tile(shared_U, WEEKS)[:, None] * [1.0, 0.2]
    response_RO = base_R[:, None] + left_R[:, None] * effect_RO + noise_RO
    response_RO[: count // 8, 1] = np.nan  # young rows do not know the second outcome
    off_V = np.array([1.0, 1.3, 0.8, 1.0])
    return HistoryRows(
        value_R=value_R,
        contacts_R=contacts_R - contacts_R.mean(),
        flag_RJ=flag_RJ,
        response_RO=response_RO,
        lever_RO=effect_RO * off_V[value_R][:, None],
        link_slope_RO=generator.uniform([0.8, 0.05], [1.2, 0.15], (count, 2)),
        precision_RO=np.where(np.isfinite(response_RO), [1 / 1.25, 1 / 0.05], 0.0),
        group_R=np.tile(np.arange(USERS), WEEKS) % GROUPS,
        values=VALUES,
    )


def test_planted_factors_are_found_within_their_standard_errors(rows):
    solved = solve(rows)
    assert solved.fatigue.kept == pytest.approx(KEPT, abs=3 * solved.fatigue.stderr)
    assert solved.fatigue.stderr < 0.02
    truth_VJ = np.ones((VALUES, VALUES))
    truth_VJ[0, 1] = SPOILED
    z_VJ = (solved.factor_VJ - truth_VJ) / solved.factor_stderr_VJ
    assert np.abs(z_VJ).max() < 3.2
    assert solved.factor_stderr_VJ[0, 1] < 0.1


def test_nothing_is_claimed_where_effects_are_nothing_but_noise(rows):
    generator = np.random.default_rng(5)
    nothing = replace(rows, response_RO=generator.normal(0, [1.0, 0.2], rows.response_RO.shape))
    solved = solve(nothing)
    assert spoils(solved.factor_VJ, solved.factor_stderr_VJ, np.ones((VALUES, VALUES), bool)).max() < 0.5


def test_effects_on_one_outcome_that_grow_with_contacts_are_told_from_those_that_tire(rows):
    tired_R = KEPT**rows.contacts_R * (rows.value_R >= 0)
    growth_RO = (tired_R * rows.contacts_R)[:, None] * rows.link_slope_RO * [0.0, GROWN]
    solved, none = solve(replace(rows, response_RO=rows.response_RO + growth_RO)), solve(rows)
    assert solved.growth_O[1] == pytest.approx(GROWN, abs=3 * solved.growth_stderr_O[1])
    assert solved.growth_stderr_O[1] < GROWN / 4
    assert (np.abs(none.growth_O) < 3 * none.growth_stderr_O).all()
    assert solved.fatigue.kept == pytest.approx(KEPT, abs=3 * solved.fatigue.stderr)


def test_the_common_factor_beside_growth_is_where_the_squared_error_is_least(rows):
    """Against a general least-squares solver on all unknowns at once."""
    few = slice(-6_000, None)  # the first do not know the second outcome
    some = replace(rows, **{name: value[few] for name, value in vars(rows).items() if isinstance(value, np.ndarray)})
    contacts_R, contacted_R = some.contacts_R, some.value_R >= 0
    growth_RO = (KEPT**contacts_R * contacts_R * contacted_R)[:, None] * some.link_slope_RO * [0.0, 2.0]
    some = replace(some, response_RO=some.response_RO + growth_RO)
    history_RH = np.column_stack([np.ones(len(contacts_R)), contacts_R, some.flag_RJ])
    width, own_RV = history_RH.shape[1], np.eye(VALUES)[some.value_R] * contacted_R[:, None]

    def left(x: np.ndarray) -> np.ndarray:
        base_HO, (scale_V, change_VJ) = (
            x[: 2 * width].reshape(2, width).T,
            (x[2 * width :][:VALUES], x[2 * width + VALUES : -2]),
        )
        scale_R = own_RV @ scale_V + ((own_RV @ change_VJ.reshape(VALUES, VALUES)) * some.flag_RJ).sum(1)
        grown_RO = some.link_slope_RO * (contacts_R * contacted_R)[:, None] * [0.0, x[-1]]
        tired_RO = np.exp(x[-2] * contacts_R)[:, None] * (some.lever_RO * scale_R[:, None] + grown_RO)
        missed_RO = np.nan_to_num(some.response_RO - history_RH @ base_HO - tired_RO) * np.sqrt(some.precision_RO)
        prior = [
            (scale_V - 1) / fatigue_and_cannibalisation.SCALE_SD,
            change_VJ / fatigue_and_cannibalisation.CHANGE_SD,
        ]
        return np.concatenate([missed_RO.ravel(), *prior, x[-2:-1] / fatigue_and_cannibalisation.FATIGUE_SD])

    start = np.concatenate([np.zeros(2 * width), np.ones(VALUES), np.zeros(VALUES**2 + 2)])
    best = least_squares(left, start).x
    found = fatigue_and_cannibalisation._solved(some, np.array([1]))
    assert np.log(found.fatigue.kept) == pytest.approx(best[-2], abs=1e-4)
    assert found.growth_O[1] == pytest.approx(best[-1], rel=1e-4)


def test_growth_that_differs_between_groups_of_users_is_known_no_better_than_these_agree(rows):
    tired_R = KEPT**rows.contacts_R * (rows.value_R >= 0)
    generator = np.random.default_rng(9)
    growth_R = generator.normal(GROWN, 0.5, GROUPS)[rows.group_R]
    growth_RO = (growth_R * tired_R * rows.contacts_R)[:, None] * rows.link_slope_RO * [0.0, 1.0]
    alike, differing = solve(rows), solve(replace(rows, response_RO=rows.response_RO + growth_RO))
    assert alike.growth_stderr_O[1] < 0.05
    assert differing.growth_stderr_O[1] == pytest.approx(0.5 / np.sqrt(GROUPS), rel=0.4)


def test_a_coefficient_that_joins_others_is_the_one_of_all_together():
    """Against one regression for each that holds it beside those with a prior."""
    generator = np.random.default_rng(4)
    x_RT = generator.normal(size=(200, 6)) @ generator.normal(size=(6, 6))
    y_R = generator.normal(size=200)
    prior_T, center_T = np.array([0.5, 2.0, 1e-6, 3.0]), np.array([1.0, 0.0, 0.0, -1.0])
    found = fatigue_and_cannibalisation._solution(x_RT.T @ x_RT, x_RT.T @ y_R, prior_T, center_T)
    for added in range(2):
        here_RT = x_RT[:, [0, 1, 2, 3, 4 + added]]
        whole_TT = here_RT.T @ here_RT + np.diag(np.append(prior_T, 0.0))
        all_T = np.linalg.solve(whole_TT, here_RT.T @ y_R + np.append(prior_T * center_T, 0.0))
        assert found.added_O[added] == pytest.approx(all_T[-1])
        assert found.added_stderr_O[added] == pytest.approx(np.sqrt(np.linalg.inv(whole_TT)[-1, -1]))
    x_RT[:, 5] = x_RT[:, 0] - 2 * x_RT[:, 2]
    flat_T = np.full(4, 1e-12)
    assert (
        fatigue_and_cannibalisation._solution(x_RT.T @ x_RT, x_RT.T @ y_R, flat_T, center_T).added_stderr_O[1] == np.inf
    )


def test_contacts_that_never_vary_tell_of_no_growth(rows):
    solved = solve(replace(rows, contacts_R=np.zeros_like(rows.contacts_R)))
    np.testing.assert_array_equal(solved.growth_O, 0.0)
    assert np.isinf(solved.growth_stderr_O).all()


def test_an_outcome_whose_rows_hardly_tell_stays_with_the_others(rows):
    """Even odds are no belief: the second outcome is known of a hundredth of the rows, and noisy. What its effects grow by there is more
    than a standard error, and of no size that growth has."""
    few_R = np.arange(len(rows.value_R)) % 100 > 0
    response_RO, precision_RO = rows.response_RO.copy(), rows.precision_RO.copy()
    response_RO[few_R, 1], precision_RO[few_R, 1] = np.nan, 0.0
    grown_R = rows.contacts_R * KEPT**rows.contacts_R * rows.link_slope_RO[:, 1] * (rows.value_R >= 0)
    response_RO[:, 1] += 8.0 * grown_R + np.random.default_rng(8).normal(0, 2.0, len(few_R))
    few = replace(rows, response_RO=response_RO, precision_RO=precision_RO / [1.0, 80.0])
    solved = solve(few)
    raw, stderr = solved.growth_O[1], solved.growth_stderr_O[1]
    assert 1.0 < stderr < raw
    assert 0.5 < fatigue_and_cannibalisation.grows(raw, stderr) < 0.6
    np.testing.assert_array_equal(solved.growth_O, fatigue_and_cannibalisation._solved(few, np.empty(0, int)).growth_O)


@pytest.mark.parametrize(("raw", "stderr"), [(0.09, 0.065), (0.3, 0.05), (-0.02, 0.01), (0.0, 0.2), (0.5, 0.03)])
def test_growth_is_shrunk_to_the_mean_of_its_mixture(raw, stderr):
    """On a grid fine enough for the narrowest: the posterior of a g that is 0 or normal, from an estimate with normal noise."""
    g_G = np.linspace(-1, 1, 200_001)
    joint_G = norm.pdf(g_G, 0, GROWTH_SD) * norm.pdf(raw, g_G, stderr) * (g_G[1] - g_G[0])
    own = GROWS * joint_G.sum()
    probability = own / (own + (1 - GROWS) * norm.pdf(raw, 0, stderr))
    weight_G = probability * joint_G / joint_G.sum()
    mean = (weight_G * g_G).sum()
    found = grown("visits", raw, stderr)
    assert found.probability == pytest.approx(probability, abs=1e-4)
    assert found.growth.added == pytest.approx(mean, abs=1e-4)
    assert found.growth.stderr == pytest.approx(np.sqrt((weight_G * g_G**2).sum() - mean**2), abs=1e-4)
    assert found.to_json() == {
        "outcome": "visits",
        "added": found.growth.added,
        "stderr": found.growth.stderr,
        "raw": raw,
        "raw_stderr": stderr,
        "probability": found.probability,
    }


@pytest.mark.parametrize(("raw", "stderr"), [(0.4, 0.2), (1.1, 0.3), (-0.8, 0.5), (2.5, 0.4)])
def test_the_evidence_for_a_pair_is_that_of_a_uniform_factor(raw, stderr):
    spoiled, _ = quad(lambda factor: norm.pdf(raw, factor, stderr), 0, 1)
    found = _log_bayes_factor(np.array([raw]), np.array([stderr]))
    assert found == pytest.approx(np.log(spoiled / norm.pdf(raw, 1, stderr)), abs=1e-4)


@pytest.mark.parametrize(("raw", "stderr"), [(0.4, 0.2), (1.1, 0.3), (-0.8, 0.5)])
def test_a_factor_is_shrunk_to_the_mean_of_its_mixture(raw, stderr):
    weight, _ = quad(lambda factor: norm.pdf(raw, factor, stderr), 0, 1)
    mean, _ = quad(lambda factor: factor * norm.pdf(raw, factor, stderr) / weight, 0, 1)
    square, _ = quad(lambda factor: factor**2 * norm.pdf(raw, factor, stderr) / weight, 0, 1)
    kept, deviation = _shrunk(raw, stderr, 0.7)
    assert kept == pytest.approx(0.3 + 0.7 * mean, abs=1e-5)
    assert deviation**2 == pytest.approx(0.3 + 0.7 * square - kept**2, abs=1e-5)


@pytest.mark.parametrize("raw", [-1e3, -2.0, 0.5, 1.0, 3.0, 1e3])
@pytest.mark.parametrize("stderr", [1e-6, 0.1, 1e3])
def test_estimates_far_from_anything_do_no_harm(raw, stderr):
    (evidence,) = _log_bayes_factor(np.array([raw]), np.array([stderr]))
    assert np.isfinite(evidence)
    assert (evidence > 0) == (raw < 0.7) or stderr == 1e3
    kept, deviation = _shrunk(raw, stderr, 0.5)
    assert 0.5 <= kept <= 1
    assert 0 <= deviation <= 0.5


def test_the_same_estimate_is_believed_less_among_more_pairs_of_nothing():
    def belief(products: int) -> float:
        generator = np.random.default_rng(1)
        raw_VV, stderr_VV = generator.normal(1.0, 0.2, (products, products)), np.full((products, products), 0.2)
        raw_VV[0, 1], raw_VV[1, 0] = 0.45, 0.6
        probability_VV = spoils(raw_VV, stderr_VV, np.ones_like(raw_VV, bool))
        assert (probability_VV == probability_VV.T).all()
        return float(probability_VV[0, 1])

    few, many = belief(3), belief(40)
    assert few > 0.8
    assert many < few


def test_most_pairs_of_nothing_are_not_believed():
    generator = np.random.default_rng(2)
    believed = 0
    for _ in range(40):
        raw_VV, stderr_VV = generator.normal(1.0, 0.3, (12, 12)), np.full((12, 12), 0.3)
        believed += int((np.triu(spoils(raw_VV, stderr_VV, np.ones_like(raw_VV, bool))) > 0.5).any())
    assert believed <= 6


@pytest.fixture(scope="module")
def fitted():
    """Every user has two decisions on one day; beside the student plan the family plan does nothing at all."""
    generator = np.random.default_rng(0)
    world = make_world(8_000, generator)
    frame = world.logs.frame
    product = frame["action"].str.split("/").str[-1]
    other = product.to_numpy().reshape(-1, 2)[:, ::-1].ravel()
    spoiled = np.flatnonzero((product == "family") & (other == "student"))
    subs = generator.random(len(spoiled)) < world.none["subs"][spoiled]
    frame.loc[spoiled, "subs"] = subs.astype(float)
    frame.loc[spoiled, "days"] = generator.poisson(world.none["days"][spoiled]).astype(float)
    frame.loc[spoiled, "revenue"] = subs * generator.lognormal(2.0, 0.5, len(spoiled))
    settings, fitting = ModelSettings(members=2, hidden=(8,)), FitSettings(max_epochs=1, batch_rows=512)
    done = fit(world.logs, settings, fitting, 0)
    return world.logs, done, done.model.calibrated(calibrate(done.model, done.examples, done.splits))


def test_rows_know_how_steep_each_outcome_is_where_it_is_expected(fitted):
    logs, done, model = fitted
    contacts = other_contacts(logs.frame[["user_id", "as_of", "action"]], None, logs.actions, "product")
    rows = fatigue_and_cannibalisation._rows(model, {}, done.examples, done.splits, contacts)
    happened_R = done.examples.outcome_RO[done.splits.learn_R, 0]
    chance_R = happened_R - rows.response_RO[:, 0] + rows.lever_RO[:, 0]
    np.testing.assert_allclose(rows.link_slope_RO[:, 0], chance_R * (1 - chance_R), atol=1e-4)


def test_two_decisions_of_a_user_in_one_week_tell_by_themselves(fitted, monkeypatch):
    logs, done, model = fitted
    assert estimate(model, logs, done.examples, done.splits, "product").findings == ()  # fewer than 1,000 rows a pair
    monkeypatch.setattr(fatigue_and_cannibalisation, "SAME_WEEK_ROWS", 200)
    found = estimate(model, logs, done.examples, done.splits, "product")
    spoiled = [pair for pair in found.interference.pairs if pair.where == {"product": "family"}]
    assert [(pair.beside, pair.basis) for pair in spoiled] == [({"product": "student"}, "same week")]
    assert spoiled[0].effect.at_most < 0.6
    assert len(found.interference.pairs) == 2  # and the other way round
    assert found.to_json()["handed_over"] == 2


def test_nothing_is_estimated_where_users_stand_once(fitted):
    logs, done, model = fitted
    once = replace(logs, frame=logs.frame.assign(user_id=np.arange(len(logs.frame))))
    assert estimate(model, once, done.examples, done.splits, "product") is None
    assert estimate(model, logs, done.examples, done.splits, "brand") is None


def test_a_history_that_tells_of_nobody_is_no_history(fitted):
    logs, done, model = fitted
    silent = replace(
        logs,
        frame=logs.frame.assign(contacts=np.float32(np.nan)),
        schema=replace(logs.schema, history=HistoryColumns(28, "contacts")),
    )
    without, found = (estimate(model, each, done.examples, done.splits, "product") for each in (logs, silent))
    assert found.interference == without.interference
    assert found.carryover is None
