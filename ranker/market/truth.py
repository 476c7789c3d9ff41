"""The truth of a market on disk: the logging policy's choice, and the value of several contacts side by side.

The truth of single contacts is in truth/given_all and truth/given_observed, in the format of scores.

Axes: U users of the week to come, A actions (catalogue order), S signals, N contacts.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError

from ranker.catalogue import Catalogue
from ranker.files import InputError, parquet_table, read_json_object, some_parquet_files
from ranker.market import catalogue, decisions, listeners
from ranker.market.settings import WORLD_FILE, MarketSettings

MONTH = 4  # weeks for which an offer of the one product spoils the other


@dataclass(frozen=True)
class MarketTruth:
    """What world.json holds of the market in the folder `path`. decided_elsewhere: days that its policy did not decide."""

    path: Path
    settings: MarketSettings
    catalogue: Catalogue
    seed: int
    decided_elsewhere: tuple[date, ...]

    @property
    def pair(self) -> tuple[str, str]:
        """The two products that take from each other."""
        first, second = self.settings.cannibalisation.products
        return first, second

    @property
    def factor(self) -> float:
        """What is left of each one's effect beside the other."""
        return self.settings.cannibalisation.factor

    @property
    def offers_2A(self) -> np.ndarray:
        """bool[2, A]: which actions offer the first and the second product of the pair."""
        products = np.array([str(action["product"]) for action in self.catalogue.actions])
        return np.stack([products == product for product in self.pair])


def read_world(path: Path) -> MarketTruth:
    """Reads truth/world.json of the market in `path`; InputError where there is none or it is not a market's."""
    file = path / "truth" / WORLD_FILE
    try:
        if not file.exists():
            raise InputError([f"{file}: there is no such file; only a market written with its truth can judge"])
        held = read_json_object(file)
        settings = MarketSettings.model_validate(held["settings"])
        seed, elsewhere = int(held["seed"]), tuple(date.fromisoformat(day) for day in held.get("decided_elsewhere", ()))
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, ValidationError):
        raise InputError([f"{file}: does not hold the settings of a market"]) from None
    return MarketTruth(path, settings, catalogue.build(settings), seed, elsewhere)


def read_users(world: MarketTruth) -> pd.DataFrame:
    """The users of the week to come with their features and what is `eligible`, in file then row order."""
    files = some_parquet_files(world.path / "users")
    return pd.concat([parquet_table(file).to_pandas() for file in files], ignore_index=True)


def logging_chances(world: MarketTruth, users: pd.DataFrame) -> np.ndarray:
    """float64[U, A]: with what chance the logging policy would show each action to each of these users, were they not held out.

    It chooses one action or nothing, knows nothing of any week's rules, and explores as it did in the logs.
    """
    belief_SA = decisions.heuristic_weights(world.settings.logging, world.catalogue)
    signals_US = listeners.signals(world.settings, users)
    eligible_UA = np.stack(users["eligible"].to_numpy())
    return decisions.action_distribution(world.settings.logging, signals_US @ belief_SA, eligible_UA).chance_UA[:, :-1]


def spoiled_before(world: MarketTruth, users: pd.DataFrame) -> np.ndarray:
    """bool[U, A]: actions whose effect has the factor in it already, since the other product was offered in 28 days."""
    spoiled_UA = np.zeros((len(users), len(world.catalogue.actions)), bool)
    for offers_A, other in zip(world.offers_2A, reversed(world.pair), strict=True):
        lately_U = users[f"weeks_since_{other}"].to_numpy(np.float64) <= MONTH
        spoiled_UA |= lately_U[:, None] & offers_A
    return spoiled_UA


def left_beside(world: MarketTruth, spoiled_UA: np.ndarray, user_N: np.ndarray, action_N: np.ndarray) -> np.ndarray:
    """float64[N]: what is left of each contact's effect beside the user's other contacts.

    The factor where the slate holds both products of the pair and an earlier offer has not taken it already; else 1. The market
    applies it to the effect's logit; effects are small, so the difference it makes is the same to the second order.
    """
    both_U = np.ones(len(spoiled_UA), bool)
    for offers_A in world.offers_2A:
        both_U &= np.bincount(user_N[offers_A[action_N]], minlength=len(spoiled_UA)) > 0
    hit_N = both_U[user_N] & world.offers_2A.any(axis=0)[action_N] & ~spoiled_UA[user_N, action_N]
    return np.where(hit_N, world.factor, 1.0)
