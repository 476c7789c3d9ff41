"""The logging policy of the market, and the exact propensity of each decision.

A listener is in the holdout of a week (and gets nothing) by a salted hash, drawn anew each week. Of the others'
decisions a share explores: uniformly over all eligible actions and nothing. The rest follows a hand-written heuristic:
nothing with a fixed probability, else a softmax mixed with a uniform choice.

The logged propensity is the total probability of the decision over all arms, given the features of that day. A lasting
holdout would not do: contacts of earlier weeks are features, and a listener without contacts is more likely to be in
the holdout. Propensities given those features are exact, but leave 15 % of the rows' information in week 4 and 0.2 % in
week 6. Propensities without them are biased.

Axes: U users (listeners), A actions (catalogue order; one more last column: none), S signals.
"""

from dataclasses import dataclass
from datetime import date
from hashlib import blake2b

import numpy as np

from ranker.catalogue import Catalogue
from ranker.market.answers import weights
from ranker.market.settings import Logging

HOLDOUT, EXPLORATION, HEURISTIC = 0, 1, 2
ARMS = ("holdout", "exploration", "heuristic")


@dataclass(frozen=True)
class ActionDistribution:
    """Chances outside the holdout.

    chance_UA: float64[U, A+1], rows adding up to 1. explored_UA: the part of it that comes from exploration.
    """

    chance_UA: np.ndarray
    explored_UA: np.ndarray


@dataclass(frozen=True)
class MadeDecisions:
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


def in_holdout(logging: Logging, day: date, user_id: np.ndarray) -> np.ndarray:
    """bool[U]: who is held out on that day."""
    return uniform(f"{logging.salt}:{day}", user_id) < logging.holdout


def heuristic_weights(logging: Logging, catalogue: Catalogue) -> np.ndarray:
    """float32[S, A]: what marketing believes makes an offer fit."""
    return np.column_stack([weights(logging.heuristic.get(action["product"], {})) for action in catalogue.actions])


def action_distribution(logging: Logging, belief_UA: np.ndarray, eligible_UA: np.ndarray) -> ActionDistribution:
    """belief_UA: the heuristic's score of every action; eligible_UA: bool, without the column of none.

    With k eligible actions: p(a) = e / (k + 1) + (1 - e) (1 - none) [epsilon / k + (1 - epsilon) softmax(a)], e the exploration.
    """
    options_U = eligible_UA.sum(axis=1)
    some_U = options_U > 0
    explored_U = logging.exploration / (options_U + 1)
    believed_U = some_U * (1 - logging.exploration) * (1 - logging.none)
    odds_UA = np.exp(np.float32(logging.sharpness) * belief_UA) * eligible_UA
    firm_U = believed_U * (1 - logging.epsilon) / np.maximum(odds_UA.sum(axis=1, dtype=np.float64), 1e-30)
    even_U = explored_U + believed_U * logging.epsilon / np.maximum(options_U, 1)
    chance_UA = np.empty((len(eligible_UA), eligible_UA.shape[1] + 1))
    np.multiply(odds_UA, firm_U[:, None], out=chance_UA[:, :-1])
    chance_UA[:, :-1] += eligible_UA * even_U[:, None]
    chance_UA[:, -1] = 1 - chance_UA[:, :-1].sum(axis=1)
    return ActionDistribution(chance_UA, np.broadcast_to(explored_U[:, None], chance_UA.shape))


def pass_over(rng: np.random.Generator, users: int) -> None:
    """Throws the dice of `decide` for decisions that somebody else made, so that the same dice fall for what comes of them."""
    rng.random(2 * users)


def decide(
    rng: np.random.Generator, options: ActionDistribution, holdout_U: np.ndarray, holdout: float
) -> MadeDecisions:
    """Draws a decision for every listener; holdout_U: who is held out, holdout: the chance h of that.

    propensity of a is (1 - h) p(a), of none h + (1 - h) p(none).
    """
    none = options.chance_UA.shape[1] - 1
    reached_UA = np.cumsum(options.chance_UA, axis=1)
    target_U = rng.random(len(holdout_U)) * reached_UA[:, -1]
    action_U = np.minimum((reached_UA <= target_U[:, None]).sum(axis=1), none)
    action_U = np.where(holdout_U, none, action_U)
    at = np.arange(len(holdout_U)), action_U
    chosen_U = options.chance_UA[at]
    # Action first, then the arm it came from, by Bayes' rule: the same law with one draw from one table.
    explored_U = rng.random(len(holdout_U)) * chosen_U < options.explored_UA[at]
    arm_U = np.where(holdout_U, HOLDOUT, np.where(explored_U, EXPLORATION, HEURISTIC))
    propensity_U = (1 - holdout) * chosen_U + np.where(action_U == none, holdout, 0.0)
    return MadeDecisions(action_U, arm_U, propensity_U)
