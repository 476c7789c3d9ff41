"""Sizes of drift against closed forms, and nothing between two samples of the same."""

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import norm

from ranker.profiles.drift import drift
from ranker.profiles.records import TableProfile
from ranker.profiles.table import TableSketch


def table(**columns: object) -> TableProfile:
    sketch = TableSketch("users")
    sketch.see(pa.RecordBatch.from_pydict(columns))
    return sketch.profile()


def normal(seed: int, mean: float = 0.0, deviation: float = 1.0, rows: int = 40_000) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, deviation, rows)


def test_two_samples_of_the_same_have_not_moved() -> None:
    (column,) = drift(table(x=normal(0)), table(x=normal(1))).columns
    assert column.shift == pytest.approx(0, abs=0.03)
    assert column.psi == pytest.approx(0, abs=0.003)


def test_a_shifted_normal_moved_by_its_shift_and_has_the_psi_of_its_tenths() -> None:
    """Of a normal moved by one deviation, the distance is one; the middle 98 % have a little less spread than all."""
    (column,) = drift(table(x=normal(0, mean=1.0)), table(x=normal(1))).columns
    assert column.shift == pytest.approx(1.0, abs=0.06)
    shares = np.diff(norm.cdf(norm.ppf(np.arange(0, 1.01, 0.1)) - 1.0))
    assert column.psi == pytest.approx(((shares - 0.1) * np.log(shares / 0.1)).sum(), rel=0.05)


def test_ten_times_as_much_is_far_away_even_where_most_are_zero() -> None:
    spent = np.where(
        np.random.default_rng(0).random(40_000) < 0.8, 0.0, np.random.default_rng(1).lognormal(size=40_000)
    )
    (column,) = drift(table(x=10 * spent), table(x=spent)).columns
    assert column.shift is not None
    assert column.shift > 2.0
    weeks = np.random.default_rng(2).integers(1, 50, 40_000).astype(float)
    (column,) = drift(table(x=10 * weeks), table(x=weeks)).columns
    assert column.shift is not None
    assert column.shift == pytest.approx(9 * weeks.mean() / weeks.std(), rel=0.05)


def test_a_constant_that_changes_is_as_far_as_can_be_and_one_that_stays_is_not() -> None:
    (column,) = drift(table(x=np.full(500, 3.0)), table(x=np.full(500, 2.0))).columns
    assert column.shift == 1e6
    (column,) = drift(table(x=np.full(500, 2.0)), table(x=np.full(500, 2.0))).columns
    assert column.shift == 0.0


def test_categories_moved_by_the_share_that_would_have_to_change() -> None:
    now = table(market=["SE"] * 400 + ["NO"] * 400 + ["DK"] * 200)
    (column,) = drift(now, table(market=["SE"] * 500 + ["NO"] * 500)).columns
    assert column.moved == pytest.approx(0.2)
    assert column.unseen == ("DK",)


def test_missing_gone_and_new_columns_are_told() -> None:
    now = table(x=pa.array([1.0, None, 2.0, None]), new=[1.0] * 4)
    found = {each.column: each for each in drift(now, table(x=[1.0, 2.0, 1.0, 2.0], old=[1.0] * 4)).columns}
    assert found["x"].missing == pytest.approx(0.5)
    assert (found["new"].new, found["old"].gone) == (True, True)


def test_every_nth_row_of_a_large_table_is_looked_at() -> None:
    sketch = TableSketch("users", every=4)
    for start in range(0, 1000, 130):
        rows = np.arange(start, min(start + 130, 1000))
        sketch.see(pa.RecordBatch.from_pydict({"user_id": rows, "x": rows.astype(float)}))
    profile = sketch.profile()
    assert (profile.rows, profile.looked_at, profile.users) == (1000, 250, 1000)
    column = profile.number("x")
    assert column is not None
    assert column.mean == pytest.approx(np.arange(0, 1000, 4).mean())
