"""What is known of the differences between users: against the squared correlation with a truth, and for scores that know nothing."""

from dataclasses import dataclass

import numpy as np
import pytest

from ranker.evaluate.reliability import reliabilities, reliability
from ranker.features import Features
from ranker.model.ensemble import Effects
from ranker.model.examples import Examples


@dataclass(frozen=True)
class Scores:
    """Stands for a model: says the same whatever it is asked."""

    said: dict[str, Effects]
    actions: tuple[dict, ...]

    def effects(self, features: Features) -> dict[str, Effects]:
        return {
            name: Effects(*(part[: len(features)] for part in vars(each).values())) for name, each in self.said.items()
        }


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
def test_it_is_the_squared_correlation_of_a_posterior_mean_with_the_truth(noise: float) -> None:
    """Truth N(0, 1), seen with noise: the posterior has the mean y / (1 + noise^2) and the variance noise^2 / (1 + noise^2)."""
    generator, users = np.random.default_rng(0), 50_000
    truth_R = generator.normal(size=users)
    mean_R = (truth_R + noise * generator.normal(size=users)) / (1 + noise**2)
    found = reliability(mean_R, np.full(users, noise / np.sqrt(1 + noise**2)))
    assert found == pytest.approx(np.corrcoef(mean_R, truth_R)[0, 1] ** 2, abs=0.01)
    assert found == pytest.approx(1 / (1 + noise**2), abs=0.01)


def test_scores_that_do_not_differ_know_nothing_and_few_users_tell_nothing() -> None:
    assert reliability(np.full(9, 0.2), np.full(9, 0.1)) == 0.0
    assert reliability(np.full(9, 0.2), np.zeros(9)) == 0.0
    assert reliability(np.array([0.2]), np.array([0.1])) is None


def test_averages_are_named_and_only_users_who_may_get_an_action_count() -> None:
    users = 1_000
    apart_R = np.random.default_rng(1).normal(size=users).astype(np.float32)
    may_RA = np.ones((users, 3), bool)
    may_RA[:500, 1] = False
    may_RA[1:, 2] = False
    mean_UA = np.column_stack([apart_R, np.where(may_RA[:, 1], 0.01 * apart_R, 50 * apart_R), apart_R])
    said = {"subs": Effects(np.zeros(users), mean_UA, np.ones((users, 3)))}
    examples = Examples(
        features=Features(np.zeros((users, 1), np.float32), np.zeros((users, 0), np.int64)),
        action_R=np.zeros(users, np.int64),
        propensity_R=np.ones(users),
        outcome_RO=np.zeros((users, 1)),
        user_R=np.arange(users),
        eligible_RA=may_RA,
        early_RE=np.zeros((users, 0)),
    )
    model = Scores(said, tuple({"id": name} for name in ("apart", "alike", "rare")))
    found = reliabilities(model, examples, np.arange(users))
    assert [(record["outcome"], record["action"], record["average"]) for record in found] == [
        ("subs", "apart", False),
        ("subs", "alike", True),
        ("subs", "rare", False),
    ]
    assert found[0]["reliability"] == pytest.approx(0.5, abs=0.03)
    assert found[2]["reliability"] is None
