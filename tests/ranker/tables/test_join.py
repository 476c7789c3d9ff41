"""The join never sees the future: hand-made tables, and a second implementation by loops."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from ranker.logs import eligible_of
from ranker.tables.join import UserTables, join, key_faults
from ranker.tables.schema import Category, Number, TableSchema, Window

TODAY = date(2026, 11, 23)
SCHEMA = TableSchema(
    numeric={"minutes": Number()},
    categorical={"market": Category()},
    outcomes=(
        Window(name="subs", kind="binary", unit="subscribers", from_day=0, to_day=7, matures_after=8),
        Window(name="mau", kind="binary", unit="users", from_day=28, to_day=35, matures_after=35),
        Window(name="days", kind="count", unit="days", from_day=0, to_day=7, matures_after=8),
        Window(
            name="revenue", kind="amount", unit="EUR", from_day=0, to_day=7, matures_after=35, early_days=(5, 14, 21)
        ),
    ),
    none="none",
    snapshot=TODAY,
)


def days(*text: str) -> pd.Series:
    return pd.Series(pd.to_datetime(list(text)))


def snapshots(*rows: tuple) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["user_id", "as_of", "minutes"])
    return frame.assign(as_of=pd.to_datetime(frame["as_of"]), market="SE")


def decisions(*rows: tuple) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["user_id", "decided_on", "action"])
    return frame.assign(decided_on=pd.to_datetime(frame["decided_on"]), propensity=0.25)


def events(*rows: tuple) -> pd.DataFrame:
    """user, outcome, occurred on, value and, where it differs, recorded on."""
    full = [(u, o, d, rest[0] if rest else d, v) for u, o, d, v, *rest in rows]
    frame = pd.DataFrame(full, columns=["user_id", "outcome", "occurred_on", "recorded_on", "value"])
    for name in ("occurred_on", "recorded_on"):
        frame[name] = pd.to_datetime(frame[name])
    return frame.astype({"value": float, "outcome": "str"})


def joined(users: pd.DataFrame, exposures: pd.DataFrame, outcomes: pd.DataFrame, today: date = TODAY) -> pd.DataFrame:
    return join(UserTables(users, exposures, outcomes, None), SCHEMA, today)


def test_features_are_the_latest_that_were_known_when_it_was_decided() -> None:
    users = snapshots(
        (1, "2026-10-06", 999.0),  # a day later than the decision: must never be seen
        (1, "2026-09-28", 10.0),
        (1, "2026-10-05", 20.0),  # the day of the decision, at its start
        (2, "2026-09-01", 5.0),
        (2, "2027-01-01", 999.0),
    )
    logs = joined(users, decisions((2, "2026-10-05", "a"), (1, "2026-10-05", "b"), (1, "2026-10-04", "none")), events())
    assert list(zip(logs["user_id"], logs["minutes"], strict=True)) == [(1, 10.0), (1, 20.0), (2, 5.0)]
    assert list(logs["action"]) == ["none", "b", "a"]
    assert set(logs["market"]) == {"SE"}


@pytest.mark.parametrize(
    ("occurred", "outcome", "counts"),
    [
        ("2026-10-04", "subs", False),
        ("2026-10-05", "subs", True),
        ("2026-10-11", "subs", True),
        ("2026-10-12", "subs", False),
        ("2026-11-01", "mau", False),
        ("2026-11-02", "mau", True),
        ("2026-11-08", "mau", True),
        ("2026-11-09", "mau", False),
    ],
)
def test_an_outcome_counts_within_its_window(occurred: str, outcome: str, counts: bool) -> None:
    logs = joined(
        snapshots((1, "2026-09-01", 1.0)), decisions((1, "2026-10-05", "a")), events((1, outcome, occurred, 1))
    )
    assert logs[outcome].tolist() == [float(counts)]
    assert (
        logs.drop(columns=outcome)[[o for o in ("subs", "mau", "days", "revenue") if o != outcome]].sum(axis=None) == 0
    )


def test_what_is_recorded_on_the_day_or_later_is_not_known() -> None:
    outcomes = events(
        (1, "revenue", "2026-10-05", 9.99, "2026-11-22"),
        (1, "revenue", "2026-10-05", 9.99, "2026-11-22"),
        (1, "revenue", "2026-10-06", 100.0, "2026-11-23"),
        (1, "revenue", "2026-10-07", 1000.0, "2026-12-01"),
    )
    users, exposures = snapshots((1, "2026-09-01", 1.0)), decisions((1, "2026-10-05", "a"))
    assert joined(users, exposures, outcomes)["revenue"].tolist() == [pytest.approx(19.98)]
    assert joined(users, exposures, outcomes, date(2026, 11, 24))["revenue"].tolist() == [pytest.approx(119.98)]


def test_kinds_sum_or_happen() -> None:
    outcomes = events(
        (1, "subs", "2026-10-05", 1),
        (1, "subs", "2026-10-06", 1),
        (1, "days", "2026-10-05", 2),
        (1, "days", "2026-10-07", 3),
    )
    logs = joined(snapshots((1, "2026-09-01", 1.0)), decisions((1, "2026-10-05", "a")), outcomes)
    assert logs[["subs", "days", "mau", "revenue"]].iloc[0].tolist() == [1, 5, 0, 0]


def test_what_is_not_mature_yet_is_missing_and_not_zero() -> None:
    users = snapshots((1, "2026-09-01", 1.0))
    of_days = ("2026-10-19", "2026-10-20", "2026-11-15", "2026-11-16", "2026-11-18", "2026-11-19")
    logs = joined(
        users, decisions(*((1, day, "a") for day in of_days)), events()
    )  # 35, 34, 8, 7, 5 and 4 days before TODAY
    assert logs["as_of"].tolist() == [pd.Timestamp(day) for day in of_days[:-1]]  # of the last nothing is known
    known = {name: logs[name].notna().sum() for name in ("mau", "revenue", "subs", "days", "revenue_21d", "revenue_5d")}
    assert known == {"mau": 1, "revenue": 1, "subs": 3, "days": 3, "revenue_21d": 2, "revenue_5d": 5}
    assert (logs[list(known)].fillna(0) == 0).all(axis=None)
    assert len(joined(users, decisions((1, "2026-10-19", "a")), events(), date(2026, 10, 1))) == 0


def test_what_is_known_early_is_the_same_in_old_and_young_decisions() -> None:
    outcomes = events(
        *((user, "revenue", day, 1.0, day) for user, day in ((1, "2026-10-05"), (2, "2026-11-05"))),
        *(
            (user, "revenue", day, 10.0, told)
            for user, day, told in ((1, "2026-10-08", "2026-10-18"), (2, "2026-11-08", "2026-11-18"))
        ),
        (1, "revenue", "2026-10-08", 100.0, "2026-10-19"),  # a day later, which the young decision cannot know yet
    )
    users = snapshots((1, "2026-09-01", 1.0), (2, "2026-09-01", 1.0))
    logs = joined(users, decisions((1, "2026-10-05", "a"), (2, "2026-11-05", "a")), outcomes, date(2026, 11, 19))
    assert logs["revenue_14d"].tolist() == [11.0, 11.0]
    assert logs["revenue_5d"].tolist() == [1.0, 1.0]
    assert logs["revenue"].tolist()[0] == 111.0
    assert np.isnan(logs["revenue"].iloc[1])


def test_the_holdout_is_none_and_eligibility_follows_its_row() -> None:
    exposures = decisions((2, "2026-10-05", None), (1, "2026-11-20", "a"), (1, "2026-10-05", "b"))
    eligible = np.array([[True, False], [True, True], [False, True]])
    users = snapshots((1, "2026-09-01", 1.0), (2, "2026-09-01", 2.0))
    logs = join(UserTables(users, exposures, events(), eligible), SCHEMA, TODAY)
    assert logs["action"].tolist() == ["b", "none"]
    np.testing.assert_array_equal(eligible_of(logs), [[False, True], [True, False]])


def by_loops(part: UserTables, today: date) -> pd.DataFrame:
    rows = []
    for _, exposure in part.exposures.sort_values(["user_id", "decided_on"]).iterrows():
        day = exposure["decided_on"]
        age = (pd.Timestamp(today) - day).days
        if age < 5:
            continue
        known = part.users[(part.users["user_id"] == exposure["user_id"]) & (part.users["as_of"] <= day)]
        row = {"user_id": exposure["user_id"], "as_of": day, "minutes": known.sort_values("as_of")["minutes"].iloc[-1]}
        for window in SCHEMA.outcomes:
            e = part.outcomes
            e = e[(e["user_id"] == exposure["user_id"]) & (e["outcome"] == window.name)]
            e = e[e["recorded_on"] < pd.Timestamp(today)]
            after = (e["occurred_on"] - day).dt.days
            e = e[(after >= window.from_day) & (after < window.to_day)]
            total = float(e["value"].sum())
            total = float(total > 0) if window.kind == "binary" else total
            row[window.name] = total if age >= window.matures_after else np.nan
            for early in window.early_days:
                so_far = float(e["value"][(e["recorded_on"] - day).dt.days < early].sum())
                row[f"{window.name}_{early}d"] = so_far if age >= early else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("text_ids", [False, True])
def test_the_join_equals_plain_loops(seed: int, text_ids: bool) -> None:
    rng = np.random.default_rng(seed)
    start = pd.Timestamp("2026-08-20")

    def random_days(count: int, span: int) -> pd.Series:
        return pd.Series(start + pd.to_timedelta(rng.integers(0, span, count), unit="D")).astype("datetime64[s]")

    names = (lambda ids: pd.Series(ids).map("u{:02d}".format)) if text_ids else pd.Series
    users = pd.DataFrame({"user_id": names(rng.integers(0, 12, 80)), "as_of": random_days(80, 95)})
    users = pd.concat([users, pd.DataFrame({"user_id": names(np.arange(12)), "as_of": start})])
    users = users.drop_duplicates(["user_id", "as_of"]).sample(frac=1, random_state=seed).reset_index(drop=True)
    users = users.assign(minutes=rng.normal(size=len(users)), market="SE")
    exposures = pd.DataFrame({"user_id": names(rng.integers(0, 12, 60)), "decided_on": random_days(60, 95)})
    exposures = exposures.drop_duplicates().reset_index(drop=True).assign(action="a", propensity=0.5)
    outcomes = pd.DataFrame({"user_id": names(rng.integers(0, 14, 900)), "occurred_on": random_days(900, 95)})
    outcomes["outcome"] = rng.choice(["subs", "mau", "days", "revenue"], 900)
    outcomes["recorded_on"] = outcomes["occurred_on"] + pd.to_timedelta(rng.integers(0, 20, 900), unit="D")
    outcomes["value"] = rng.integers(1, 9, 900) / 4
    part = UserTables(users, exposures, outcomes, None)
    expected = by_loops(part, TODAY)
    found = join(part, SCHEMA, TODAY)[list(expected.columns)]
    assert len(found) > 40
    assert found["revenue"].isna().any()
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_wrong_keys_are_counted() -> None:
    users = snapshots((1, "2026-09-01", 1.0), (1, "2026-09-01", 2.0), (2, "2026-10-10", 1.0))
    exposures = decisions(
        (1, "2026-10-05", "a"), (1, "2026-10-05", "b"), (2, "2026-10-05", "a"), (3, "2026-10-05", "a")
    )
    outcomes = events(
        (1, "subs", "2026-10-05", 1),
        (1, "subs", "2026-10-05", 1),
        (1, "revenue", "2026-10-05", 1),
        (1, "revenue", "2026-10-05", 1),
        (9, "subs", "2026-10-05", 1),
    )
    faults = key_faults(UserTables(users, exposures, outcomes, None), SCHEMA)
    assert faults.users_repeated == 1
    assert faults.exposures_repeated == 1
    assert faults.exposures_without_user == 1
    assert faults.exposures_before_snapshot == 1
    assert faults.outcomes_repeated == 1
    assert faults.outcomes_without_user == 1


def test_several_contacts_of_a_day_are_one_slate_unless_a_slot_has_two_or_nothing_is_among_them() -> None:
    users = snapshots(*((user, "2026-09-01", 1.0) for user in range(1, 6)))
    exposures = decisions(
        (1, "2026-10-05", "a"),
        (1, "2026-10-05", "b"),
        (2, "2026-10-05", "a"),
        (2, "2026-10-05", "a2"),  # the same slot
        (3, "2026-10-05", "a"),
        (3, "2026-10-05", "none"),  # the same decision
        (4, "2026-10-05", "a"),
        (4, "2026-10-05", "none"),  # another decision: says nothing of its own
        (5, "2026-10-05", "none"),
        (5, "2026-10-05", "none"),  # two decisions for nothing are one
    )
    exposures["decision_id"] = [0, 0, 0, 0, 0, 0, 0, 1, 0, 1]
    part, slots = (
        UserTables(users, exposures, events((1, "subs", "2026-10-06", 1)), None),
        {"a": "x", "a2": "x", "b": "y"},
    )
    faults = key_faults(part, SCHEMA, slots)
    assert (faults.exposures_repeated, faults.nothing_beside, faults.slates) == (1, 1, 2)
    assert key_faults(replace(part, exposures=exposures.drop(columns="decision_id")), SCHEMA, slots).nothing_beside == 2
    right = replace(part, exposures=exposures[exposures["user_id"].isin([1, 4, 5])])
    assert not key_faults(right, SCHEMA, slots).exposures_repeated
    logs = join(right, SCHEMA, TODAY, slates=True)
    assert logs[["user_id", "action", "decision_id"]].to_numpy().tolist() == [
        [1, "a", 0],
        [1, "b", 0],
        [4, "a", 1],
        [5, "none", 2],
    ]
    assert logs["propensity"].tolist() == [0.25, 0.25, 0.25, pytest.approx(0.25**2)]
    assert logs["subs"].tolist() == [1, 1, 0, 0]
