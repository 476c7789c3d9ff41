"""Targets and their channels: which amounts come about in two ways, and what the expected amount is then."""

import numpy as np
import pytest
import torch

from ranker.model.losses import IDENTITY, LOGIT, channels_of, fit_targets

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
    assert [channel.link for channel in (brought, size, rest, rest_size)] == [LOGIT, IDENTITY, LOGIT, IDENTITY]
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
