"""Users are split whole, and too few of them are told before anything is trained."""

import numpy as np
import pandas as pd
import pytest

from ranker.model.splits import split_users, too_few_users


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        (np.zeros(500, int), "all 500 rows are of one user, too few"),
        (np.arange(500) % 2, "all 500 rows are of 2 users, too few"),
        (np.arange(500) % 100, None),
    ],
)
@pytest.mark.parametrize("as_text", [False, True])
def test_one_or_two_users_are_too_few(ids: np.ndarray, told: str | None, as_text: bool) -> None:
    user_id = pd.Series(ids).astype("str") if as_text else pd.Series(ids)
    splits = split_users(user_id, 3, 0.2, 0)
    assert (too_few_users(user_id, splits, 0.2) or "").startswith(told or "")
    assert (told is None) == (too_few_users(user_id, splits, 0.2) is None)
    for user in user_id.unique()[:5]:
        assert len(set(splits.fold_R[user_id == user])) == 1


def test_without_a_test_none_is_missed() -> None:
    user_id = pd.Series(np.arange(200))
    assert too_few_users(user_id, split_users(user_id, 4, 0.0, 0), 0.0) is None
