"""What contacts take from each other, estimated where the truth is known: factors planted in rows, and in logs of a small world."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from ranker.contact_history import HistoryColumns
from ranker.model import interference
from ranker.model.calibrate import calibrate
from ranker.model.fit import fit
from ranker.model.interference import (
    GROUPS,
    GROWS,
    GROWTH_SD,
    Rows,
    _log_bayes_factor,
    _shrunk,
    estimate,
    grown,
    solve,
    spoils,
)
from ranker.model.settings import FitSettings, ModelSettings
from tests.ranker.worlds import make_world

USERS, WEEKS, VALUES = 20_000, 4, 3
KEPT, SPOILED, GROWN = 0.8, 0.3, 0.4


@pytest.fixture(scope="module")
def rows() -> Rows:
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
    return Rows(
        value_R=value_R,
        contacts_R=contacts_R - contacts_R.mean(),
        flag_RJ=flag_RJ,
        response_RO=response_RO,
        lever_RO=effect_RO * off_V[value_R][:, None],
        steep_RO=generator.uniform([0.8, 0.05], [1.2, 0.15], (count, 2)),
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
    growth_RO = (tired_R * rows.contacts_R)[:, None] * rows.steep_RO * [0.0, GROWN]
    solved, none = solve(replace(rows, response_RO=rows.response_RO + growth_RO)), solve(rows)
    assert solved.growth_O[1] == pytest.approx(GROWN, abs=3 * solved.growth_stderr_O[1])
    assert solved.growth_stderr_O[1] < GROWN / 4
    assert (np.abs(none.growth_O) < 3 * none.growth_stderr_O).all()
    assert solved.fatigue.kept == pytest.approx(KEPT, abs=3 * solved.fatigue.stderr)


def test_contacts_that_never_vary_tell_of_no_growth(rows):
    solved = solve(replace(rows, contacts_R=np.zeros_like(rows.contacts_R)))
    np.testing.assert_array_equal(solved.growth_O, 0.0)
    assert np.isinf(solved.growth_stderr_O).all()


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


def test_two_decisions_of_a_user_in_one_week_tell_by_themselves(fitted, monkeypatch):
    logs, done, model = fitted
    assert estimate(model, logs, done.examples, done.splits, "product").findings == ()  # fewer than 1,000 rows a pair
    monkeypatch.setattr(interference, "SAME_WEEK_ROWS", 200)
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
