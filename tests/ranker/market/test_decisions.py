"""Logged propensities are the exact chances, so that inverse-propensity estimates recover the truth."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from ranker.columns import as_flags
from ranker.logs import eligible_of
from ranker.market import answers, decisions, listeners, world
from ranker.tables.check import as_frame
from ranker.tables.join import UserTables, join


@pytest.fixture(scope="module")
def options(market, day_one) -> decisions.ActionDistribution:
    _, frame, at = day_one
    eligible_UA = listeners.eligible(frame, market.catalogue)
    return decisions.action_distribution(market.settings.logging, at.signals_US @ market.belief_SA, eligible_UA)


def test_chances_add_up_and_spare_nobody_eligible(market, day_one, options) -> None:
    eligible_UA = listeners.eligible(day_one[1], market.catalogue)
    np.testing.assert_allclose(options.chance_UA.sum(axis=1), 1, atol=1e-12)
    assert (options.chance_UA[:, :-1][eligible_UA] > 1e-4).all()
    assert (options.chance_UA[:, :-1][~eligible_UA] == 0).all()
    logging = market.settings.logging
    some = eligible_UA.sum(axis=1)
    none = logging.exploration / (some + 1) + (1 - logging.exploration) * logging.none
    np.testing.assert_allclose(options.chance_UA[:, -1], none, rtol=1e-5)


def test_who_may_see_nothing_gets_nothing(market) -> None:
    options = decisions.action_distribution(
        market.settings.logging, np.zeros((2, 3), np.float32), np.zeros((2, 3), bool)
    )
    np.testing.assert_array_equal(options.chance_UA, [[0, 0, 0, 1]] * 2)


def test_frequencies_are_the_propensities(options) -> None:
    """One listener, many draws: each action as often as its propensity says, the holdout being drawn anew."""
    draws, share = 40_000, 0.08
    same = decisions.ActionDistribution(
        *(np.repeat(each[:1], draws, 0) for each in (options.chance_UA, options.explored_UA))
    )
    rng = np.random.default_rng(2)
    made = decisions.decide(rng, same, rng.random(draws) < share, share)
    chance = (1 - share) * options.chance_UA[0]
    chance[-1] += share
    counts = np.bincount(made.action_U, minlength=len(chance))
    assert (np.abs(counts - draws * chance) <= 4.5 * np.sqrt(draws * chance * (1 - chance))).all()
    np.testing.assert_allclose(made.propensity_U, chance[made.action_U])
    explored = (made.arm_U == decisions.EXPLORATION).mean()
    assert abs(explored - 0.25 * (1 - share)) < 4.5 * np.sqrt(0.25 / draws)


def test_the_hash_is_stable_and_even(market) -> None:
    ids = np.arange(200_000) + listeners.FIRST_ID
    first = decisions.uniform("autumn", ids)
    np.testing.assert_array_equal(first[::-1], decisions.uniform("autumn", ids[::-1]))
    assert abs((first < 0.08).mean() - 0.08) < 4.5 * np.sqrt(0.08 * 0.92 / 200_000)
    assert abs(np.corrcoef(first, decisions.uniform("winter", ids))[0, 1]) < 0.01
    assert decisions.uniform("autumn", np.array([1_000_000_000]))[0] == pytest.approx(first[0])


def test_the_holdout_gets_nothing(market, chunk) -> None:
    table = chunk.tables.exposures.select(["user_id", "decided_on", "action", "arm"]).to_pandas()
    for day, week in table.groupby("decided_on"):
        held = decisions.in_holdout(market.settings.logging, day, week["user_id"].to_numpy())
        assert (week["action"][held] == "none").all()
        assert ((week["arm"] == "holdout") == held).all()


@pytest.mark.parametrize("week", [1, 4, 8])
def test_propensities_are_exact_given_the_contacts_before(market, chunk, week: int) -> None:
    """E[1(a)/p | past] = 1, both among those contacted in the week before and among the others."""
    table = chunk.tables.exposures.select(["user_id", "decided_on", "action", "propensity"]).to_pandas()
    days = market.decided_on
    now = table[table["decided_on"] == days[week - 1]]
    before = table[(table["decided_on"] < days[week - 1]) & (table["decided_on"] >= days[max(week - 3, 0)])]
    quiet = ~now["user_id"].isin(before.loc[before["action"] != "none", "user_id"])
    for group in (quiet, ~quiet):
        weight = np.where(now["action"] == "none", 1 / now["propensity"], 0.0)[group]
        if len(weight):
            assert abs(weight.mean() - 1) < 4.5 * weight.std() / np.sqrt(len(weight))


def test_inverse_propensity_estimates_recover_the_truth(market, chunk) -> None:
    """The value of showing nothing, and of a uniform choice of what is eligible, in the weeks that are mature."""
    day = market.settings.snapshot - timedelta(days=35)
    chosen = np.array([d <= day for d in chunk.tables.exposures.column("decided_on").to_pylist()])
    exposures = chunk.tables.exposures.filter(chosen)
    eligible_RA = as_flags(exposures.column("eligible"), len(market.catalogue.actions))
    part = UserTables(
        *(as_frame(t) for t in (chunk.tables.users, exposures.drop_columns("eligible"), chunk.tables.outcomes)),
        eligible_RA,
    )
    logs = join(part, world.table_schema(market.settings), market.settings.snapshot)
    assert len(logs) == len(exposures) == 4 * 8000
    signals_US = listeners.signals(market.settings, logs)
    truth = answers.given_observed(market.answers, answers.situation(market.answers, logs, signals_US))
    eligible_RA = eligible_of(logs)
    uniform_RA = np.column_stack([eligible_RA, np.zeros(len(logs))]) / eligible_RA.sum(axis=1, keepdims=True)
    nothing_RA = np.zeros_like(uniform_RA)
    nothing_RA[:, -1] = 1
    position = pd.Index([*market.catalogue.ids, "none"]).get_indexer(logs["action"])
    for target_RA in (uniform_RA, nothing_RA):
        weight = target_RA[np.arange(len(logs)), position] / logs["propensity"].to_numpy()
        for name, values_RA in truth.items():
            # The control variate weight * truth removes the variance of the weights' mean.
            estimate = weight * logs[name].to_numpy() - (target_RA * values_RA).sum(axis=1)
            by_user = pd.Series(estimate).groupby(logs["user_id"].to_numpy()).mean()
            assert abs(by_user.mean()) < 4.5 * by_user.std() / np.sqrt(len(by_user)), name
