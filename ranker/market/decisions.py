"""How decisions were made in the weeks that are logged, and the exact chance of each.

A listener is in the holdout (nothing, in every week) by a salted hash. Of the others' decisions a share explores: uniform over
everything eligible and nothing. The rest follows a hand-made heuristic: nothing with a fixed chance, else a softmax mixed with a
uniform choice.

The logged propensity is the chance of the decision given everything observable before it, contacts of the weeks before included.
Those tell something about the holdout: who was contacted is surely not in it, and who was not is more likely in it
(`holdout_chance`). Conditional on them propensities are exact, and inverse-propensity estimates unbiased, though membership of
the holdout stays the same over the weeks.

Axes: U listeners, A actions (catalogue order) and one more last column: none.
"""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from ranker.market.answers import weights
from ranker.market.settings import Logging
from ranker.scores import Catalogue

HOLDOUT, EXPLORATION, HEURISTIC = 0, 1, 2
ARMS = ("holdout", "exploration", "heuristic")


@dataclass(frozen=True)
class Choices:
    """Chances of every action within an arm, float[U, A+1], rows adding up to 1."""

    exploration_UA: np.ndarray
    heuristic_UA: np.ndarray
    exploration: float

    @property
    def outside_holdout_UA(self) -> np.ndarray:
        return self.exploration * self.exploration_UA + (1 - self.exploration) * self.heuristic_UA


@dataclass(frozen=True)
class Decisions:
    """action_U: position in the catalogue, A for none. arm_U: index into ARMS. propensity_U: float64 in (0, 1]."""

    action_U: np.ndarray
    arm_U: np.ndarray
    propensity_U: np.ndarray


def uniform(salt: str, user_id: np.ndarray) -> np.ndarray:
    """float64[U] in [0, 1), the same for the same salt and id on every machine: splitmix64 of the id, keyed by the salt."""
    key = np.uint64(int.from_bytes(blake2b(salt.encode(), digest_size=8).digest(), "little"))
    x = user_id.astype(np.uint64) ^ key
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2**53


def heuristic_weights(logging: Logging, catalogue: Catalogue) -> np.ndarray:
    """float32[S, A]: what marketing believes makes an offer fit."""
    return np.column_stack([weights(logging.heuristic.get(action["product"], {})) for action in catalogue.actions])


def choices(logging: Logging, belief_UA: np.ndarray, eligible_UA: np.ndarray) -> Choices:
    """belief_UA: the heuristic's score of every action; eligible_UA: bool, without the column of none."""
    options_U = eligible_UA.sum(axis=1)[:, None]
    exploration_UA = np.column_stack([eligible_UA, np.ones(len(eligible_UA), bool)]) / (options_U + 1)
    odds_UA = np.where(eligible_UA, np.exp(logging.sharpness * belief_UA), 0.0)
    softmax_UA = odds_UA / np.maximum(odds_UA.sum(axis=1, keepdims=True), 1e-30)
    even_UA = eligible_UA / np.maximum(options_U, 1)
    something_UA = (1 - logging.none) * (logging.epsilon * even_UA + (1 - logging.epsilon) * softmax_UA)
    heuristic_UA = np.column_stack([something_UA, 1 - something_UA.sum(axis=1)])
    return Choices(exploration_UA, heuristic_UA, logging.exploration)


def decide(
    rng: np.random.Generator, options: Choices, holdout_U: np.ndarray, holdout_chance_U: np.ndarray
) -> Decisions:
    """Draws a decision for every listener.

    propensity of a is (1 - h) p(a), of none h + (1 - h) p(none), h being the chance of the holdout given what is observable.
    """
    count = len(holdout_U)
    arm_U = np.where(rng.random(count) < options.exploration, EXPLORATION, HEURISTIC)
    chance_UA = np.where((arm_U == EXPLORATION)[:, None], options.exploration_UA, options.heuristic_UA)
    reached_UA = np.cumsum(chance_UA, axis=1)
    target_U = rng.random(count) * reached_UA[:, -1]
    none = chance_UA.shape[1] - 1
    action_U = np.minimum((reached_UA <= target_U[:, None]).sum(axis=1), none)
    action_U = np.where(holdout_U, none, action_U)
    arm_U = np.where(holdout_U, HOLDOUT, arm_U)
    chosen_U = options.outside_holdout_UA[np.arange(count), action_U]
    propensity_U = (1 - holdout_chance_U) * chosen_U + np.where(action_U == none, holdout_chance_U, 0.0)
    return Decisions(action_U, arm_U, propensity_U)


def holdout_chance(holdout_chance_U: np.ndarray, options: Choices, action_U: np.ndarray) -> np.ndarray:
    """The chance of being in the holdout after one more decision was seen, by Bayes' rule."""
    none = options.exploration_UA.shape[1] - 1
    quiet_U = options.outside_holdout_UA[:, none]
    posterior_U = holdout_chance_U / (holdout_chance_U + (1 - holdout_chance_U) * quiet_U)
    return np.where(action_U == none, posterior_U, 0.0)
