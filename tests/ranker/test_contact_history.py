"""What logs know of other contacts: counted by hand on a few decisions, and read from features that say so."""

import numpy as np
import pandas as pd
import pytest

from ranker.contact_history import HistoryColumns, Since, other_contacts

ACTIONS = (
    {"id": "a1", "product": "books"},
    {"id": "a2", "product": "books"},
    {"id": "d1", "product": "duo"},
    {"id": "x"},
)


def frame(*decisions: tuple[str, str, str], **columns: list) -> pd.DataFrame:
    rows = pd.DataFrame(decisions, columns=["user_id", "as_of", "action"])
    return rows.assign(as_of=pd.to_datetime(rows["as_of"]), **columns)


def test_earlier_decisions_of_a_user_are_counted_once_the_logs_reach_back_far_enough():
    rows = frame(
        ("u", "2026-06-01", "a1"),
        ("u", "2026-06-08", "d1"),
        ("v", "2026-06-29", "d1"),
        ("u", "2026-06-29", "none"),  # 28 days after the first, 21 after the second
        ("u", "2026-07-06", "x"),  # 28 days after the second; the first is too long ago
        ("v", "2026-07-27", "a2"),  # 28 days after duo
        ("v", "2026-07-28", "a2"),  # 29 days after duo, and one after books
    )
    told = other_contacts(rows, None, ACTIONS, "product")
    assert told.values == ("books", "duo")
    assert told.value_A.tolist() == [0, 0, 1, -1]
    assert told.contacts_R[2:].tolist() == [0, 2, 1, 1, 0]
    assert told.lately_RV[2:].tolist() == [[0, 0], [1, 1], [0, 1], [0, 1], [0, 0]]
    assert told.contacts_R[:2] == pytest.approx([0.8, 0.8])  # the mean where all is known
    assert told.lately_RV[:2] == pytest.approx(np.array([[0.2, 0.6]] * 2))
    assert told.same_week_RV.tolist() == [[False, False]] * 5 + [[True, False]] * 2


@pytest.mark.parametrize("seed", range(4))
def test_many_decisions_are_counted_as_a_loop_over_all_pairs_would(seed: int):
    generator = np.random.default_rng(seed)
    days = pd.Timestamp("2026-01-01") + pd.to_timedelta(generator.integers(0, 90, 120), "D")
    names = [*(action["id"] for action in ACTIONS), "none"]
    rows = pd.DataFrame(
        {"user_id": generator.integers(0, 6, 120), "as_of": days, "action": generator.choice(names, 120)}
    )
    told = other_contacts(rows, None, ACTIONS, "product")
    products = {action["id"]: action.get("product") for action in ACTIONS}
    whole = [r for r in range(120) if (days[r] - days.min()).days >= 28]
    for r in range(120):
        others = [s for s in range(120) if s != r and rows["user_id"][s] == rows["user_id"][r]]
        before = [s for s in others if 7 <= (days[r] - days[s]).days <= 28 and rows["action"][s] != "none"]
        beside = {products.get(rows["action"][s]) for s in others if abs((days[r] - days[s]).days) < 7}
        assert told.same_week_RV[r].tolist() == [value in beside for value in told.values]
        if r in whole:
            assert told.contacts_R[r] == len(before)
            lately = {products[rows["action"][s]] for s in before}
            assert told.lately_RV[r].tolist() == [value in lately for value in told.values]


def test_declared_features_tell_of_contacts_that_the_logs_do_not_hold():
    rows = frame(
        ("u", "2026-06-01", "a1"),
        ("v", "2026-06-01", "none"),
        ("w", "2026-06-01", "d1"),
        recent=[2.0, np.nan, 0.0],
        weeks_since_books=[np.nan, 4.0, 5.0],
    )
    history = HistoryColumns(28, "recent", (Since("weeks_since_books", {"product": "books"}, 7),))
    told = other_contacts(rows, history, ACTIONS, "product")
    assert told.contacts_R.tolist() == [2, 1, 0]
    assert told.lately_RV.tolist() == [[0, 0], [1, 0], [0, 0]]


def test_nothing_is_told_where_every_user_stands_once_and_no_feature_says_anything():
    rows = frame(("u", "2026-06-01", "a1"), ("v", "2026-06-01", "d1"), ("w", "2026-07-01", "none"))
    assert other_contacts(rows, None, ACTIONS, "product") is None
    twice = frame(("u", "2026-06-01", "a1"), ("u", "2026-06-03", "d1"))
    assert other_contacts(twice, None, ACTIONS, "product") is not None
    assert other_contacts(twice, None, ACTIONS, "brand") is None
