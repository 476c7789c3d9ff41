"""The point-in-time join: features known when a decision was made, and its outcomes as far as they are known now.

Features are those of the latest snapshot on or before the day of the decision. An outcome is the sum of its events in
the days [from_day, to_day) after the decision, among the events recorded before the day `known_before`. It is missing
where it is not complete by then. Its early columns count events recorded within so many days after the decision, alike
in young and old decisions. The contacts of one listener and day are a slate: they have the same features and outcomes,
and share one window.

Axes: R rows (decisions), P pairs of a decision and an event in its window, N days of listeners.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

import numpy as np
import pandas as pd

from ranker.log_schema import DECISION
from ranker.logs import eligible_column
from ranker.tables.schema import TableSchema, Window

DAY_SPAN = 1 << 20  # days of one user in a combined key; 2,800 years
NO_SLOTS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class UserTables:
    """The rows of some users in all three tables; eligible: bool[exposures, A] or None."""

    users: pd.DataFrame
    exposures: pd.DataFrame
    outcomes: pd.DataFrame
    eligible: np.ndarray | None


def join(part: UserTables, schema: TableSchema, known_before: date, *, slates: bool = False) -> pd.DataFrame:
    """Logs of the decisions of which anything is known, in order of user and day, with the columns of `ranker.logs.Logs.frame`.

    slates: whether days with several contacts are to be told, by a number that the contacts of a day share.
    Every exposure must have a snapshot on or before its day (`key_faults` tells otherwise).
    """
    exposures = part.exposures
    chosen = np.flatnonzero(is_known(part, schema, known_before))
    exposures = exposures.iloc[chosen]
    order = np.lexsort((_days(exposures["decided_on"]), exposures["user_id"].to_numpy()))
    chosen, exposures = chosen[order], exposures.iloc[order].reset_index(drop=True)
    codes = pd.Index(exposures["user_id"].unique())
    kept, exposures = _whole_days(exposures, _keys(codes, exposures["user_id"], exposures["decided_on"]), schema.none)
    chosen = chosen[kept]
    decision_keys = _keys(codes, exposures["user_id"], exposures["decided_on"])
    snapshots = part.users.iloc[_latest(codes, part.users, decision_keys)]
    columns = {
        "user_id": exposures["user_id"],
        "as_of": exposures["decided_on"],
        "action": exposures["action"].where(exposures["action"].notna(), schema.none),
        "propensity": exposures["propensity"].astype("float64"),
    }
    columns |= {name: snapshots[name].reset_index(drop=True) for name in schema.log_schema().features}
    known = part.outcomes[part.outcomes["recorded_on"].to_numpy() < np.datetime64(known_before)]
    known = known[known["user_id"].isin(codes)]
    for outcome in schema.outcomes:
        pairs = _pairs(outcome, codes, known[known["outcome"] == outcome.name], decision_keys)
        ages = {outcome.name: outcome.matures_after, **{early.name: early.days for early in outcome.early}}
        for name, days in ages.items():
            known_R = _is_old_enough(exposures["decided_on"], days, known_before)
            columns[name] = np.where(known_R, _total(outcome, pairs, len(exposures), days), np.nan)
    frame = pd.DataFrame(columns)
    if slates:
        frame[DECISION] = np.unique(decision_keys, return_inverse=True)[1]
    if part.eligible is not None:
        frame["eligible"] = eligible_column(part.eligible[chosen], frame.index)
    return frame


def _whole_days(exposures: pd.DataFrame, day_R: np.ndarray, none: str) -> tuple[np.ndarray, pd.DataFrame]:
    """Positions of the rows that tell a day, and these rows: its contacts, or one row of nothing.

    Decisions of one day that showed nothing say nothing of their own beside a contact of another decision. Several of them alone are
    one: the listener was shown nothing with the product of their chances.
    """
    if len(day_R) == len(np.unique(day_R)):
        return np.arange(len(day_R)), exposures
    day_R = np.unique(day_R, return_inverse=True)[1]
    nothing_R = exposures["action"].isna().to_numpy() | (exposures["action"] == none).to_numpy()
    contacted_N = np.bincount(day_R, ~nothing_R) > 0
    first_R = ~pd.Series(day_R).duplicated().to_numpy()
    kept = np.flatnonzero(~nothing_R | (~contacted_N[day_R] & first_R))
    several_R = nothing_R & (np.bincount(day_R)[day_R] > 1)
    propensity_R = exposures["propensity"].to_numpy(np.float64, copy=True)
    chance_N = np.exp(np.bincount(day_R[several_R], np.log(propensity_R[several_R]), minlength=len(contacted_N)))
    propensity_R[several_R] = chance_N[day_R[several_R]]
    return kept, exposures.assign(propensity=propensity_R).iloc[kept].reset_index(drop=True)


def is_known(part: UserTables, schema: TableSchema, known_before: date) -> np.ndarray:
    """bool[exposures]: whether anything is known of what came of the decision."""
    return _is_old_enough(part.exposures["decided_on"], min(schema.ages), known_before)


def is_mature(decided_on: pd.Series, schema: TableSchema, known_before: date) -> np.ndarray:
    """bool[R]: whether every outcome of the decision is complete at the start of the day `known_before`."""
    return _is_old_enough(decided_on, schema.matures_after, known_before)


def _is_old_enough(decided_on: pd.Series, days: int, known_before: date) -> np.ndarray:
    return _days(decided_on) + days <= np.datetime64(known_before, "D").astype(int)


@dataclass(frozen=True)
class KeyFaults:
    """Numbers of rows whose key is wrong; of days with several contacts, which are right."""

    users_repeated: int
    exposures_repeated: int
    nothing_beside: int
    slates: int
    exposures_without_user: int
    exposures_before_snapshot: int
    outcomes_repeated: int
    outcomes_without_user: int


def key_faults(part: UserTables, schema: TableSchema, slots: Mapping[str, str] = NO_SLOTS) -> KeyFaults:
    """Repeated keys, and rows that refer to nobody; only key columns of `part` are read, and none may be missing.

    slots: of the actions; those that are not in it share one. A listener gets one contact per slot and day.
    An amount may stand twice on a day (two purchases of the same price); a binary outcome or a count may not.
    """
    users, exposures, outcomes = part.users, part.exposures, part.outcomes
    codes = pd.Index(users["user_id"].unique())
    known = exposures["user_id"].isin(codes)
    late = _latest(codes, users, _keys(codes, exposures["user_id"][known], exposures["decided_on"][known])) < 0
    shown = _SlateFaults.of(exposures, schema.none, slots)
    once = [outcome.name for outcome in schema.outcomes if outcome.kind in ("binary", "count")]
    single = outcomes[outcomes["outcome"].isin(once)]
    return KeyFaults(
        users_repeated=int(users.duplicated(["user_id", "as_of"]).sum()),
        exposures_repeated=shown.repeated,
        nothing_beside=shown.nothing_beside,
        slates=shown.slates,
        exposures_without_user=int((~known).sum()),
        exposures_before_snapshot=int(late.sum()),
        outcomes_repeated=int(single.duplicated(["user_id", "outcome", "occurred_on"]).sum()),
        outcomes_without_user=int((~outcomes["user_id"].isin(codes)).sum()),
    )


@dataclass(frozen=True)
class _SlateFaults:
    """Rows that repeat the slot of a day, or a decision to show nothing; rows of nothing beside a contact of the same decision; days
    with several contacts."""

    repeated: int
    nothing_beside: int
    slates: int

    @staticmethod
    def of(exposures: pd.DataFrame, none: str, slots: Mapping[str, str]) -> "_SlateFaults":
        day = ["user_id", "decided_on"]
        decision = [*day, *([DECISION] if DECISION in exposures else [])]
        nothing_R = exposures["action"] == none
        contacts = exposures[~nothing_R].assign(slot=[slots.get(a, "") for a in exposures["action"][~nothing_R]])
        repeated = contacts.duplicated([*day, "slot"]).sum() + exposures[nothing_R].duplicated(decision).sum()
        decided = pd.MultiIndex.from_frame(contacts[decision])
        beside = pd.MultiIndex.from_frame(exposures.loc[nothing_R, decision]).isin(decided).sum()
        days = contacts.loc[contacts.duplicated(day), day].drop_duplicates()
        return _SlateFaults(int(repeated), int(beside), len(days))


def _latest(codes: pd.Index, users: pd.DataFrame, decision_keys: np.ndarray) -> np.ndarray:
    """int[R]: row of `users` that holds the user's latest snapshot on or before the decision; -1 where there is none."""
    rows = np.flatnonzero(users["user_id"].isin(codes).to_numpy())
    keys = _keys(codes, users["user_id"].iloc[rows], users["as_of"].iloc[rows])
    order = np.argsort(keys, kind="stable")
    rows, keys = rows[order], keys[order]
    if not len(keys):
        return np.full(len(decision_keys), -1)
    found = np.searchsorted(keys, decision_keys, side="right") - 1
    same_user = (found >= 0) & (keys[found] // DAY_SPAN == decision_keys // DAY_SPAN)
    return np.where(same_user, rows[found], -1)


def late_events(part: UserTables, known_before: date) -> Mapping[str, int]:
    """By outcome how many events `join` leaves out, since they were recorded on the day `known_before` or later."""
    late = part.outcomes["recorded_on"].to_numpy() >= np.datetime64(known_before)
    return part.outcomes["outcome"][late].value_counts().to_dict()


@dataclass(frozen=True)
class _Pairs:
    """Decisions with the events in their windows. recorded_P: days from the decision to the record."""

    row_P: np.ndarray
    value_P: np.ndarray
    recorded_P: np.ndarray


def _pairs(outcome: Window, codes: pd.Index, events: pd.DataFrame, decision_keys: np.ndarray) -> _Pairs:
    """events: of this outcome and of users in `codes`."""
    keys = _keys(codes, events["user_id"], events["occurred_on"])
    order = np.argsort(keys, kind="stable")
    keys, events = keys[order], events.iloc[order]
    first_R = np.searchsorted(keys, decision_keys + outcome.from_day)
    count_R = np.searchsorted(keys, decision_keys + outcome.to_day) - first_R
    row_P = np.repeat(np.arange(len(count_R)), count_R)
    event_P = np.arange(len(row_P)) + np.repeat(first_R - (np.cumsum(count_R) - count_R), count_R)
    delay = _days(events["recorded_on"]) - _days(events["occurred_on"])
    occurred_P = keys[event_P] - decision_keys[row_P]
    return _Pairs(row_P, events["value"].to_numpy(float)[event_P], occurred_P + delay[event_P])


def _total(outcome: Window, pairs: _Pairs, rows: int, days: int) -> np.ndarray:
    """float64[R]: the sum of the events, of an early column those recorded within so many days; for a binary outcome whether it is
    positive."""
    known_P = pairs.recorded_P < days if days < outcome.matures_after else slice(None)
    total_R = np.bincount(pairs.row_P[known_P], pairs.value_P[known_P], minlength=rows)
    return (total_R > 0).astype(float) if outcome.kind == "binary" else total_R


def _keys(codes: pd.Index, user_id: pd.Series, day: pd.Series) -> np.ndarray:
    """int64: user and day as one number that sorts by both; users must be in `codes`."""
    return codes.get_indexer(user_id).astype(np.int64) * DAY_SPAN + _days(day) + DAY_SPAN // 2


def _days(day: pd.Series) -> np.ndarray:
    """int64: days since 1970."""
    return day.to_numpy("datetime64[D]").astype(np.int64)
