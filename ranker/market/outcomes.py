"""Outcomes of decisions, drawn from their expectation, with the day of record, as rows of the outcomes table.

Given the listener and the contacts so far, outcomes of different weeks are drawn independently: a subscription won in
one week changes nothing in the next.

Axes: U users (listeners of one week), L contacts of a slate.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ranker.market.answers import DAYS, Answers, Situation, chances, worth
from ranker.market.settings import MarketSettings, OutcomeWindow


def draw(
    settings: MarketSettings,
    answers: Answers,
    rng: np.random.Generator,
    at: Situation,
    slate_UL: np.ndarray,
    z_U: np.ndarray,
) -> dict[str, np.ndarray]:
    """float64[U] per outcome: what came of the contacts each listener got (A stands for none)."""
    chance = chances(answers, at, slate_UL, z_U)
    happened = {name: rng.random(len(slate_UL)) < chance[name] for name in ("subs", "mau", "opt_out", "purchase")}
    plan_eur_U, purchase_eur_U = worth(answers, at, slate_UL)
    spread = settings.effects.revenue.spread
    paid_U = happened["subs"] * plan_eur_U * _around_one(rng, spread, len(slate_UL))
    paid_U += happened["purchase"] * purchase_eur_U * _around_one(rng, spread, len(slate_UL))
    drawn = {name: happened[name].astype(float) for name in ("subs", "mau", "opt_out")}
    return drawn | {"active_days": rng.binomial(DAYS, chance["active_days"]).astype(float), "revenue": paid_U}


def rows(
    settings: MarketSettings, rng: np.random.Generator, user_id: np.ndarray, day: np.datetime64, drawn: Mapping
) -> pd.DataFrame:
    """The table's rows of one week's decisions on `day`, as far as they are recorded before the snapshot."""
    tables = [_rows_of(outcome, rng, user_id, day, drawn[outcome.name]) for outcome in settings.outcomes]
    table = pd.concat(tables, ignore_index=True)
    return table[table["recorded_on"].to_numpy() < np.datetime64(settings.snapshot)]


def _rows_of(
    outcome: OutcomeWindow, rng: np.random.Generator, user_id: np.ndarray, day: np.datetime64, value_U: np.ndarray
) -> pd.DataFrame:
    """Occurs evenly over the window; recorded with a delay that decays over what is left until maturity."""
    hit = np.flatnonzero(value_U)
    occurred = outcome.from_day + rng.integers(0, outcome.to_day - outcome.from_day, len(hit))
    latest = outcome.matures_after - outcome.to_day
    delay = np.minimum(rng.exponential(max(latest / 3, 1e-9), len(hit)).astype(int), latest)
    return pd.DataFrame(
        {
            "user_id": user_id[hit],
            "outcome": outcome.name,
            "occurred_on": day + occurred.astype("timedelta64[D]"),
            "recorded_on": day + (occurred + delay).astype("timedelta64[D]"),
            "value": np.round(value_U[hit], 2) if outcome.kind == "amount" else value_U[hit],
        }
    )


def _around_one(rng: np.random.Generator, spread: float, count: int) -> np.ndarray:
    """Log-normal with mean 1."""
    return np.exp(rng.normal(-(spread**2) / 2, spread, count))
