"""The truth is what is simulated; effects move with position, fatigue and cannibalisation as they are told to."""

from dataclasses import replace

import numpy as np
import pytest

from ranker.market import answers, listeners, outcomes, week


def logit(p: np.ndarray) -> np.ndarray:
    p = p.astype(float)
    return np.log(p / (1 - p))


def test_chances_of_one_action_are_the_truths_column(market, day_one) -> None:
    people, _, at = day_one
    expected = answers.given_all(market.answers, at, people.z_U)
    for action in (0, 23, 41, 60):
        slate_UL = np.full((len(people), 1), action)
        found = answers.chances(market.answers, at, slate_UL, people.z_U)
        plan_eur_U, purchase_eur_U = answers.worth(market.answers, at, slate_UL)
        for name in ("subs", "mau", "opt_out"):
            np.testing.assert_allclose(found[name], expected[name][:, action], rtol=2e-5)
        np.testing.assert_allclose(7 * found["active_days"], expected["active_days"][:, action], rtol=2e-5)
        revenue = found["subs"] * plan_eur_U + found["purchase"] * purchase_eur_U
        np.testing.assert_allclose(revenue, expected["revenue"][:, action], rtol=2e-5)


def test_given_observed_is_the_mean_of_given_all_over_the_hidden_trait(market, day_one) -> None:
    """A finer quadrature of 31 nodes over the other function is the reference."""
    people, _, at = day_one
    few = answers.Situation(at.signals_US[:100], at.scale_UA[:100], at.lately_2U[:, :100])
    nodes, node_weights = np.polynomial.hermite_e.hermegauss(31)
    reference = dict.fromkeys(answers.OUTCOMES, 0.0)
    for node, weight in zip(nodes, node_weights / node_weights.sum(), strict=True):
        for name, values_UA in answers.given_all(market.answers, few, np.full(100, node)).items():
            reference[name] = reference[name] + weight * values_UA.astype(float)
    observed = answers.given_observed(market.answers, few)
    for name, values_UA in observed.items():
        np.testing.assert_allclose(values_UA, reference[name], rtol=1e-5)
        assert np.abs(answers.given_all(market.answers, few, people.z_U[:100])[name] - values_UA).max() > 0


@pytest.mark.parametrize("action", [4, 26, 45, 60])
def test_simulated_outcomes_have_the_truths_mean(market, day_one, action: int) -> None:
    people, _, at = day_one
    rng = np.random.default_rng(100 + action)
    slate_UL = np.full((len(people), 1), action)
    expected = answers.given_all(market.answers, at, people.z_U)
    rounds = [outcomes.draw(market.settings, market.answers, rng, at, slate_UL, people.z_U) for _ in range(60)]
    for name, values_UA in expected.items():
        drawn = np.array([result[name] for result in rounds])
        mean = values_UA[:, action].mean(dtype=float)
        assert abs(drawn.mean() - mean) < 4.5 * drawn.std() / np.sqrt(drawn.size), name


def test_revenue_is_seldom_and_never_negative(market, day_one) -> None:
    people, _, at = day_one
    rng = np.random.default_rng(3)
    drawn = outcomes.draw(market.settings, market.answers, rng, at, np.full((len(people), 1), 5), people.z_U)["revenue"]
    assert (drawn >= 0).all()
    assert 0.002 < (drawn > 0).mean() < 0.05


def gain(market, at, people, name: str) -> np.ndarray:
    """float[U, A]: the effect on the logit scale, where it is linear in what is left of it."""
    expected = answers.given_all(market.answers, at, people.z_U)[name]
    return logit(expected[:, :-1]) - logit(expected[:, -1:])


def test_each_recent_contact_takes_its_share_of_an_effect(market, day_one) -> None:
    people, frame, _ = day_one
    signals_US = listeners.signals(market.settings, frame)  # kept, so that only fatigue differs
    rested = answers.situation(market.answers, frame.assign(contacts_28d=np.float32(0)), signals_US)
    tired = answers.situation(market.answers, frame.assign(contacts_28d=np.float32(3)), signals_US)
    before, after = gain(market, rested, people, "mau"), gain(market, tired, people, "mau")
    np.testing.assert_allclose(after, before * (1 - market.settings.fatigue) ** 3, atol=2e-5)


def test_effects_are_proportional_to_position(market, day_one) -> None:
    people, _, at = day_one
    ids = market.catalogue.ids
    audience = gain(market, at, people, "mau")
    upper, lower = (audience[:, ids.index(f"home_{n}/merch")] for n in (1, 2))
    np.testing.assert_allclose(lower, 0.6 * upper, atol=2e-5)


def test_a_product_takes_from_the_other_that_was_offered_lately(market, day_one) -> None:
    people, frame, _ = day_one
    signals_US = listeners.signals(market.settings, frame)
    columns = {"weeks_since_audiobooks": np.float32(np.nan)}
    apart = answers.situation(
        market.answers, frame.assign(**columns, weeks_since_premium_duo=np.float32(5)), signals_US
    )
    close = answers.situation(
        market.answers, frame.assign(**columns, weeks_since_premium_duo=np.float32(4)), signals_US
    )
    books = np.array([action["product"] == "audiobooks" for action in market.catalogue.actions])
    before, after = gain(market, apart, people, "mau"), gain(market, close, people, "mau")
    np.testing.assert_allclose(after[:, books], 0.4 * before[:, books], atol=2e-5)
    np.testing.assert_array_equal(after[:, ~books], before[:, ~books])


def test_without_strength_nothing_has_an_effect(settings_with, day_one) -> None:
    people, frame, at = day_one
    market = week.build(settings_with("effects.strength=0"))
    at = answers.situation(market.answers, frame, at.signals_US)
    for values_UA in answers.given_observed(market.answers, at).values():
        links = values_UA / values_UA[:, -1:]
        assert np.abs(links[:, :-1] - 1).max() < 0.25  # revenue alone keeps what an offer steers
    for name in ("subs", "mau", "active_days", "opt_out"):
        expected = answers.given_all(market.answers, at, people.z_U)[name]
        np.testing.assert_array_equal(expected, np.broadcast_to(expected[:, -1:], expected.shape))


def test_without_heterogeneity_everyone_answers_alike(settings_with, day_one) -> None:
    people, frame, at = day_one
    market = week.build(settings_with("effects.heterogeneity=0"))
    at = answers.situation(market.answers, frame.assign(contacts_28d=np.float32(0)), at.signals_US)
    at = replace(at, scale_UA=np.broadcast_to(market.answers.reach_A, at.scale_UA.shape))
    effect = gain(market, at, replace(people, z_U=np.zeros(len(people))), "mau")
    assert np.ptp(effect, axis=0).max() < 1e-5


def test_the_best_product_differs_between_listeners(market, chunk) -> None:
    """A learner that knows listeners must be worth clearly more than the best fixed action."""
    expected = chunk.truth["given_observed"]
    for name in ("subs", "mau", "active_days"):
        effect_UA = np.where(chunk.eligible_UA, expected[name][:, :-1] - expected[name][:, -1:], 0)
        assert effect_UA.max(axis=1).mean() > 1.5 * effect_UA.mean(axis=0).max(), name
        products = np.array([action["product"] for action in market.catalogue.actions])[effect_UA.argmax(axis=1)]
        assert max(np.unique(products, return_counts=True)[1]) < 0.5 * len(products), name


def test_rates_are_believable(market, chunk) -> None:
    expected = chunk.truth["given_observed"]
    base = {name: values_UA[:, -1].mean(dtype=float) for name, values_UA in expected.items()}
    assert 0.003 < base["subs"] < 0.005
    assert 0.70 < base["mau"] < 0.85
    assert 0.0002 < base["opt_out"] < 0.001
    slots = np.array(market.catalogue.slots)
    shown = np.where(chunk.eligible_UA, expected["subs"][:, :-1], np.nan)
    assert np.nanmean(shown[:, slots == "home_1"]) < 0.01
    push = np.where(chunk.eligible_UA, expected["opt_out"][:, :-1], np.nan)[:, slots == "push_1"]
    assert 0.001 < np.nanmean(push) < 0.003
    mau = (expected["mau"][:, :-1] - expected["mau"][:, -1:])[chunk.eligible_UA]
    assert np.quantile(np.abs(mau), 0.5) < 0.005
    assert np.quantile(mau, 0.01) < 0 < np.quantile(mau, 0.99) < 0.06
    relative = (expected["subs"][:, :-1] / expected["subs"][:, -1:])[chunk.eligible_UA]
    assert np.quantile(relative, 0.99) < 2.2  # Hillstrom's stronger arm: 2.2 on conversion, 1.7 on visits
