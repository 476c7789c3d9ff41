"""One week of the market, whoever decides: the listeners' state before, the outcomes of decisions, the state after.

Axes: U users (listeners), A actions (catalogue order), S signals, L contacts of a slate.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa

from ranker.catalogue import Catalogue
from ranker.market import answers, catalogue, decisions, listeners, outcomes
from ranker.market.settings import MarketSettings

NONE = "none"


@dataclass(frozen=True)
class Market:
    """What is built once and shared by all listeners and weeks."""

    settings: MarketSettings
    catalogue: Catalogue
    answers: answers.Answers
    belief_SA: np.ndarray
    shown: listeners.ActionTraces

    @property
    def decided_on(self) -> list[date]:
        """The days of the logged decisions, a week apart, the last a week before the snapshot."""
        weeks = self.settings.weeks
        return [self.settings.snapshot - timedelta(weeks=weeks - week) for week in range(weeks)]


@dataclass(frozen=True)
class MarketState:
    """Listeners on the day of a decision: what is observable, what may be shown, and what effects depend on."""

    frame: pd.DataFrame
    signals_US: np.ndarray
    eligible_UA: np.ndarray
    at: answers.Situation


@dataclass(frozen=True)
class MarketTables:
    """Rows of users, exposures and outcomes."""

    users: pa.Table
    exposures: pa.Table
    outcomes: pa.Table


def together(weeks: Sequence[MarketTables]) -> MarketTables:
    """The rows of several weeks."""
    return MarketTables(
        *(pa.concat_tables(getattr(week, table.name) for week in weeks) for table in fields(MarketTables))
    )


def build(settings: MarketSettings) -> Market:
    actions = catalogue.build(settings)
    belief_SA = decisions.heuristic_weights(settings.logging, actions)
    return Market(settings, actions, answers.build(settings, actions), belief_SA, listeners.shown_of(settings, actions))


def standing(market: Market, people: listeners.Listeners, moment: listeners.Moment) -> MarketState:
    frame = listeners.features(people, moment)
    signals_US = listeners.signals(market.settings, frame)
    at = answers.situation(market.answers, frame, signals_US)
    return MarketState(frame, signals_US, listeners.eligible(frame, market.catalogue), at)


def hand_made(market: Market, here: MarketState) -> decisions.ActionDistribution:
    """What the policy that made the logs does."""
    return decisions.action_distribution(market.settings.logging, here.signals_US @ market.belief_SA, here.eligible_UA)


def live(
    market: Market,
    rng: np.random.Generator,
    people: listeners.Listeners,
    moment: listeners.Moment,
    here: MarketState,
    options: decisions.ActionDistribution,
    day: date,
) -> tuple[MarketTables, listeners.Moment]:
    """Decides by these chances, all but the holdout of the day; the rows of the week, and how things stand a week later."""
    settings = market.settings
    holdout_U = decisions.in_holdout(settings.logging, day, people.user_id)
    made = decisions.decide(rng, options, holdout_U, settings.logging.holdout)
    exposures = _exposures(market.catalogue, people.user_id, day, made, here.eligible_UA)
    return answered(market, rng, people, moment, here, exposures, made.action_U[:, None], day)


def answered(
    market: Market,
    rng: np.random.Generator,
    people: listeners.Listeners,
    moment: listeners.Moment,
    here: MarketState,
    exposures: pa.Table,
    slate_UL: np.ndarray,
    day: date,
) -> tuple[MarketTables, listeners.Moment]:
    """What comes of decisions that somebody made: exposures, the rows of them, say which contacts slate_UL everybody got (A for none)."""
    drawn = outcomes.draw(market.settings, market.answers, rng, here.at, slate_UL, people.z_U)
    found = outcomes.rows(market.settings, rng, people.user_id, np.datetime64(day), drawn)
    tables = MarketTables(users=snapshot(here.frame, day), exposures=exposures, outcomes=_outcomes(found))
    return tables, listeners.next_moment(rng, moment, people, market.shown, slate_UL)


def snapshot(frame: pd.DataFrame, day: date) -> pa.Table:
    """The observable features as rows of the users' table."""
    columns = {"user_id": pa.array(frame["user_id"]), "as_of": _days(day, len(frame))}
    for name in frame.columns[1:]:
        values = pa.array(frame[name], from_pandas=True)
        columns[name] = values.cast(pa.string()) if name in listeners.CATEGORICAL else values
    return pa.table(columns)


def lists(flags_UA: np.ndarray) -> pa.Array:
    """What is eligible as a column."""
    flat = pa.array(np.ascontiguousarray(flags_UA).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, flags_UA.shape[1])


def _exposures(
    actions: Catalogue, user_id: np.ndarray, day: date, made: decisions.MadeDecisions, eligible_UA: np.ndarray
) -> pa.Table:
    ids = pa.array([*actions.ids, NONE])
    return pa.table(
        {
            "user_id": pa.array(user_id),
            "decided_on": _days(day, len(user_id)),
            "action": ids.take(pa.array(made.action_U)),
            "arm": pa.array(decisions.ARMS).take(pa.array(made.arm_U)),
            "propensity": pa.array(made.propensity_U),
            "eligible": lists(eligible_UA),
        }
    )


def _outcomes(frame: pd.DataFrame) -> pa.Table:
    return pa.table(
        {
            "user_id": pa.array(frame["user_id"]),
            "outcome": pa.array(frame["outcome"], pa.string()),
            "occurred_on": pa.array(frame["occurred_on"].to_numpy("datetime64[D]")),
            "recorded_on": pa.array(frame["recorded_on"].to_numpy("datetime64[D]")),
            "value": pa.array(frame["value"], pa.float64()),
        }
    )


def _days(day: date, count: int) -> pa.Array:
    return pa.array(np.full(count, np.datetime64(day, "D")))
