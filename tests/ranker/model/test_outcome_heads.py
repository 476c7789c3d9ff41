"""Targets and their channels: which amounts come about in two ways, and what the expected amount is then."""

import numpy as np
import pytest
import torch

from ranker.model.outcome_heads import LOG, LOGIT, SHARE, SIZE, channels_of, fit_targets

NAMES = [("subs", "binary", "subscribers"), ("visit", "binary", "visits"), ("revenue", "amount", "EUR")]
ROWS = 20_000


def outcomes(generator: np.random.Generator) -> np.ndarray:
    """Subscribers always pay, about 40 EUR; others sometimes buy for about 10 EUR; visits bring nothing of their own."""
    subs_R, bought_R = generator.random(ROWS) < 0.05, generator.random(ROWS) < 0.1
    paid_R = subs_R * 40 * generator.lognormal(0, 0.3, ROWS) + bought_R * 10 * generator.lognormal(0, 0.3, ROWS)
    return np.column_stack([subs_R, generator.random(ROWS) < 0.3, paid_R]).astype(float)


def test_an_amount_that_a_binary_outcome_brings_is_split_by_it() -> None:
    outcome_RO = outcomes(np.random.default_rng(0))
    target = fit_targets(NAMES, outcome_RO)[2]
    assert (target.beside, target.channels) == (0, 4)
    brought, size, rest, rest_size = channels_of(target, outcome_RO)
    assert [channel.link for channel in (brought, size, rest, rest_size)] == [LOGIT, SIZE, LOGIT, SIZE]
    np.testing.assert_array_equal(brought.y_R, outcome_RO[:, 0])
    np.testing.assert_array_equal(brought.y_R + rest.y_R, outcome_RO[:, 2] > 0)
    np.testing.assert_array_equal(size.used_R, outcome_RO[:, 0] > 0)


def test_without_such_an_outcome_there_is_one_way() -> None:
    outcome_RO = outcomes(np.random.default_rng(1))
    outcome_RO[:, 0] = 0
    target = fit_targets(NAMES, outcome_RO)[2]
    assert (target.beside, target.channels) == (-1, 2)


@pytest.mark.parametrize("split", [True, False])
def test_the_start_of_an_amount_is_about_its_mean(split) -> None:
    outcome_RO = outcomes(np.random.default_rng(2))
    outcome_RO[:, 0] *= split
    target = fit_targets(NAMES, outcome_RO)[2]
    expected = float(target.mean(torch.tensor(target.start)))
    assert expected == pytest.approx(outcome_RO[:, 2].mean(), rel=0.05 if split else 0.15)


def test_a_count_that_many_rows_reach_the_top_of_is_bounded_by_it() -> None:
    generator = np.random.default_rng(3)
    days_R, clicks_R = generator.binomial(7, 0.6, ROWS).astype(float), generator.poisson(1.0, ROWS).astype(float)
    outcome_RO = np.column_stack([days_R, clicks_R])
    days, clicks = fit_targets([("days", "count", "days"), ("clicks", "count", "clicks")], outcome_RO)
    assert [channels_of(target, outcome_RO)[0].link for target in (days, clicks)] == [SHARE, LOG]
    assert float(days.mean(torch.tensor(days.start))) == pytest.approx(days_R.mean())
    assert float(days.mean(torch.tensor([50.0]))) == pytest.approx(7.0)


@pytest.mark.parametrize("kind", ["binary", "bounded", "count", "real", "amount"])
def test_the_variance_of_an_expectation_is_that_of_draws(kind) -> None:
    generator = np.random.default_rng(4)
    outcome_RO = outcomes(generator)
    named = {"binary": "binary", "bounded": "count", "count": "count", "real": "real", "amount": "amount"}[kind]
    own_R = {
        "binary": outcome_RO[:, 1],
        "bounded": generator.binomial(7, 0.4, ROWS),
        "count": generator.poisson(1.0, ROWS),
        "real": generator.normal(3.0, 2.0, ROWS),
        "amount": outcome_RO[:, 2],
    }[kind]
    target = fit_targets([NAMES[0], ("own", named, "")], np.column_stack([outcome_RO[:, 0], own_R]))[1]
    link_C, doubt_C = torch.tensor(target.start), torch.full((target.channels,), 0.05**2)
    draws = target.mean(link_C + 0.05 * torch.from_numpy(generator.normal(size=(40_000, target.channels))))
    assert float(target.variance(link_C, doubt_C)) == pytest.approx(float(draws.var()), rel=0.05)


@pytest.mark.parametrize("split", [True, False])
def test_the_steepness_of_an_amount_is_how_it_moves_with_its_chances(split) -> None:
    outcome_RO = outcomes(np.random.default_rng(5))
    outcome_RO[:, 0] *= split
    target = fit_targets(NAMES, outcome_RO)[2]
    link_LC = torch.tensor(target.start, dtype=torch.float64) + torch.zeros(3, 1)
    link_LC[:, 0::2] += torch.tensor([[-1.0], [0.0], [1.5]])  # rare, as seen, and for most
    up_LC, down_LC = link_LC.clone(), link_LC.clone()
    up_LC[:, 0::2] += 1e-3
    down_LC[:, 0::2] -= 1e-3
    wanted_L = (target.mean(up_LC) - target.mean(down_LC)) / 2e-3
    np.testing.assert_allclose(target.per_link(target.mean(link_LC)), wanted_L, rtol=0.1)
    assert float(wanted_L[-1] / target.mean(link_LC)[-1]) < 0.8
    assert float(target.per_link(torch.tensor(1e6))) == pytest.approx(5e4)  # more than anyone spent


def test_rows_that_do_not_know_an_outcome_tell_nothing_of_it() -> None:
    outcome_RO = outcomes(np.random.default_rng(6))
    young_RO = outcome_RO.copy()
    young_RO[::2, 2] = np.nan
    young_RO[1::4, 0] = np.nan  # knows the amount, but not in which way it came
    targets = fit_targets(NAMES, young_RO)
    np.testing.assert_allclose(targets[0].start, fit_targets(NAMES, outcome_RO[np.isfinite(young_RO[:, 0])])[0].start)
    both_R = np.isfinite(young_RO).all(1)
    amount = fit_targets(NAMES, outcome_RO[both_R])[2]
    np.testing.assert_allclose(targets[2].start[0], amount.start[0])
    channels = channels_of(targets[2], young_RO)
    for channel in channels[::2]:
        np.testing.assert_array_equal(channel.used_R, both_R)
    np.testing.assert_array_equal(channels[1].used_R, both_R & (outcome_RO[:, 0] > 0))
    assert all(np.isfinite(channel.y_R).all() for channel in channels)
