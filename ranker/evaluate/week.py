"""Outcomes of users after a day, as far as they are complete, and covariates before it, from a company's tables.

Axes: U users, X covariates.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ranker.catalogue import Catalogue
from ranker.evaluate.baselines import design
from ranker.features import fit_encoder
from ranker.files import InputError, batches, parquet_schema
from ranker.log_schema import SCHEMA_FILE
from ranker.tables.check import ROWS_AT_ONCE, Described, as_frame, check_types, check_values, files_of
from ranker.tables.join import UserTables, join
from ranker.tables.schema import TableSchema, Window, read_table_schema

READ = ("users", "outcomes")


@dataclass(frozen=True)
class OutcomeWeek:
    """known_U: which of the users asked about the tables know before the day; all other arrays are about those, in their order.

    outcome: complete ones by name [U]. before: the same in the days before. covariate_UX: features on the day, standardised.
    immature: outcomes that are not complete yet, and the day on which they are.
    """

    windows: tuple[Window, ...]
    known_U: np.ndarray
    outcome: dict[str, np.ndarray]
    before: dict[str, np.ndarray]
    covariate_UX: np.ndarray
    immature: dict[str, date]
    known_before: date


def read_week(tables: Path, catalogue: Catalogue, day: date, user_id: np.ndarray, before_days: int) -> OutcomeWeek:
    """The week after `day` of these users. InputError where the tables are wrong, know none of the users, or nothing is complete yet."""
    schema = read_table_schema(tables / SCHEMA_FILE)
    described = Described(schema, catalogue, schema.snapshot)
    problems = list(check_types(tables, described, READ)) or list(check_values(tables, described, READ))
    if problems:
        raise InputError(problems)
    ripe = {window.name: day + timedelta(days=window.matures_after) for window in schema.outcomes}
    complete = tuple(window for window in schema.outcomes if ripe[window.name] <= schema.snapshot)
    if not complete:
        soon = f"the first outcome of {day} is complete on {min(ripe.values())}"
        raise InputError([f"{tables / SCHEMA_FILE}: snapshot: {schema.snapshot} is too early to read; {soon}"])
    users = _rows(tables, "users", user_id, ("user_id", "as_of", *schema.log_schema().features))
    events = _rows(tables, "outcomes", user_id, ("user_id", "outcome", "occurred_on", "recorded_on", "value"))
    first_seen = users.groupby("user_id")["as_of"].min()
    known_U = pd.Series(user_id).map(first_seen).le(pd.Timestamp(day)).to_numpy(bool)
    if not known_U.any():
        raise InputError(
            [f"{tables / 'users'}: has a snapshot on or before {day} of none of the {len(user_id):,} users"]
        )
    asked = user_id[known_U]
    frame = _joined(users, events, asked, day, schema.model_copy(update={"outcomes": complete}), schema.snapshot)
    earlier = tuple(window.model_copy(update={"from_day": 0, "to_day": before_days}) for window in complete)
    bare = schema.model_copy(update={"outcomes": earlier, "numeric": {}, "categorical": {}})
    past = _joined(users, events, asked, day - timedelta(days=before_days), bare, day)
    encoder = fit_encoder(frame, schema.log_schema())
    return OutcomeWeek(
        windows=schema.outcomes,
        known_U=known_U,
        outcome={window.name: frame[window.name].to_numpy(float) for window in complete},
        before={window.name: past[window.name].to_numpy(float) for window in complete},
        covariate_UX=design(encoder, encoder.encode(frame)).toarray(),
        immature={name: when for name, when in ripe.items() if when > schema.snapshot},
        known_before=schema.snapshot,
    )


def _rows(tables: Path, name: str, user_id: np.ndarray, columns: tuple[str, ...]) -> pd.DataFrame:
    wanted, parts = pd.Index(user_id), []
    for file in files_of(tables, name):
        for batch in batches(file, ROWS_AT_ONCE, columns):
            frame = as_frame(pa.Table.from_batches([batch]))
            parts.append(frame[frame["user_id"].isin(wanted)])
    if not parts:  # of the right types all the same
        parts = [as_frame(parquet_schema(file).empty_table().select(columns)) for file in files_of(tables, name)]
    return pd.concat(parts, ignore_index=True)


def _joined(
    users: pd.DataFrame, events: pd.DataFrame, user_id: np.ndarray, day: date, schema: TableSchema, known_before: date
) -> pd.DataFrame:
    """The point-in-time join for one decision on `day` of each of these users, in their order."""
    asked = pd.DataFrame(
        {"user_id": user_id, "decided_on": pd.Timestamp(day), "action": schema.none, "propensity": 1.0}
    )
    part = UserTables(users=users, exposures=asked, outcomes=events, eligible=None)
    schema = schema.model_copy(update={"outcomes": tuple(_ripe_by(w, day, known_before) for w in schema.outcomes)})
    frame = join(part, schema, known_before).set_index("user_id")
    return frame.loc[user_id].reset_index()


def _ripe_by(window: Window, day: date, known_before: date) -> Window:
    """The window, complete by what is known: maturity was decided before, outcome by outcome."""
    ripe = min(window.matures_after, (known_before - day).days)
    return window.model_copy(update={"matures_after": ripe, "early_days": ()})
