"""Which users train, which are held out: by a hash of the user id, so that all rows of a user stay together.

Axes: R rows.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

ROWS_AT_ONCE = 65_536  # as text


@dataclass(frozen=True)
class Splits:
    """fold_R: int64, the fold of each row, -1 for test rows. Member k of the ensemble trains without fold k."""

    fold_R: np.ndarray
    folds: int

    def of(self, rows: np.ndarray | None) -> "Splits":
        """Those of some rows; of all for None."""
        return self if rows is None else Splits(self.fold_R[rows], self.folds)

    @property
    def test_R(self) -> np.ndarray:
        return self.fold_R < 0

    @property
    def learn_R(self) -> np.ndarray:
        return self.fold_R >= 0


def split_users(user_id: pd.Series, folds: int, test_share: float, seed: int) -> Splits:
    """Splits rows by user: a share of the users for the test, the others in folds of about equal size."""
    uniform_R = _uniform(user_id, seed)
    position_R = (uniform_R - test_share) / (1 - test_share) * folds
    fold_R = np.minimum(np.floor(position_R).astype(np.int64), folds - 1)
    return Splits(np.where(uniform_R < test_share, -1, fold_R), folds)


def too_few_users(user_id: pd.Series, splits: Splits, test_share: float) -> str | None:
    """Why training cannot do with these users: none of them is in the test, or in one of the folds."""
    if len(np.unique(splits.fold_R)) == splits.folds + (test_share > 0):
        return None
    users, rows = user_id.nunique(), f"{len(user_id):,} rows"
    whose = f"all {rows} are of one user" if users == 1 else f"all {rows} are of {users:,} users"
    return (
        f"{whose}, too few: some users are held out for the test and the others are split into {splits.folds} parts, "
        "none of which may be empty; was the column filled in where ids were missing?"
    )


def _uniform(user_id: pd.Series, seed: int) -> np.ndarray:
    hashed_R = np.empty(len(user_id), np.uint64)
    for start in range(0, len(user_id), ROWS_AT_ONCE):
        here = slice(start, start + ROWS_AT_ONCE)
        text = user_id.iloc[here].astype(str).to_numpy(dtype=object)
        hashed_R[here] = pd.util.hash_array(text, hash_key=f"{seed % 10**16:016d}")
    return hashed_R.astype(np.float64) / 2.0**64
