"""Sketches of parts, merged, are as good as a sketch of the whole; quantiles are near the true ones, and bytes are always the same."""

import numpy as np
import pyarrow as pa
import pytest

from ranker.profiles.sketch import LOWEST, RANKS, NumberSketch, TextSketch, UserSketch, digest_of, quantiles

RANK_ERROR = 0.01


def rank_errors(values: np.ndarray, found: list[float]) -> list[float]:
    """How far each quantile is from its rank among the values, ties counted as one place."""
    ordered = np.sort(values)
    low = np.searchsorted(ordered, found, "left") / len(values)
    high = np.searchsorted(ordered, found, "right") / len(values)
    return [max(a - rank, rank - b, 0.0) for a, b, rank in zip(low, high, RANKS, strict=True)]


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=60_000),
        np.random.default_rng(1).lognormal(size=60_000),
        np.where(np.random.default_rng(2).random(60_000) < 0.9, 0.0, np.random.default_rng(3).lognormal(size=60_000)),
        -np.random.default_rng(4).poisson(0.5, 60_000).astype(float),
        np.zeros(60_000),
    ],
    ids=["normal", "lognormal", "mostly zero", "negative counts", "zero"],
)
@pytest.mark.parametrize("parts", [1, 7, 60])
def test_merged_parts_tell_the_quantiles_of_the_whole(values: np.ndarray, parts: int) -> None:
    merged = NumberSketch("x")
    for part in np.array_split(values, parts):
        sketch = NumberSketch("x")
        sketch.see(part)
        merged.merge(sketch)
    profile = merged.profile()
    assert (profile.rows, profile.zeros) == (len(values), int((values == 0).sum()))
    assert (profile.low, profile.high) == (values.min(), values.max())
    assert profile.mean == pytest.approx(values.mean(), abs=1e-9)
    assert max(rank_errors(values, list(profile.quantiles))) < RANK_ERROR
    again = quantiles(profile.zeros, digest_of(profile), RANKS)
    assert list(profile.quantiles) == again, "the sketch in the file tells the same"


def test_missing_numbers_are_counted_and_nothing_else() -> None:
    sketch = NumberSketch("x")
    sketch.see(np.array([1.0, np.nan, 3.0, np.nan]))
    profile = sketch.profile()
    assert (profile.rows, profile.missing, profile.low, profile.high, profile.mean) == (4, 2, 1.0, 3.0, 2.0)
    empty = NumberSketch("x")
    empty.see(np.array([np.nan]))
    assert (empty.profile().low, empty.profile().quantiles, empty.profile().varies) == (None, (), False)


def test_the_same_rows_give_the_same_bytes() -> None:
    values = np.random.default_rng(0).normal(size=50_000)
    found = set()
    for _ in range(2):
        sketch = NumberSketch("x")
        for part in np.array_split(values, 5):
            sketch.see(part)
        found.add(sketch.profile().text())
    assert len(found) == 1


def test_texts_are_counted_and_rare_ones_are_not_named() -> None:
    whole, merged = TextSketch("market"), TextSketch("market")
    column = pa.array(["SE"] * 500 + ["NO"] * 200 + ["rare"] * 99 + [None] * 7)
    whole.see(column)
    for start in range(0, len(column), 90):
        part = TextSketch("market")
        part.see(column[start : start + 90].dictionary_encode())
        merged.merge(part)
    assert whole.profile() == merged.profile()
    assert merged.profile().values == {"NO": 200, "SE": 500}
    assert (merged.profile().other, merged.profile().missing) == (99, 7)


def test_ids_in_the_place_of_a_category_are_never_named_and_take_no_room() -> None:
    sketch = TextSketch("market")
    for start in range(0, 200_000, 20_000):
        sketch.see(pa.array([f"user-{number}" for number in range(start, start + 20_000)]))
    profile = sketch.profile()
    assert (profile.values, profile.other) == ({}, 200_000)
    assert "user-" not in profile.text()


@pytest.mark.parametrize("kind", [int, str])
def test_users_are_counted_once_however_often_they_come(kind: type) -> None:
    few, many, merged = UserSketch(), UserSketch(), UserSketch()
    few.see(pa.array([kind(number % 1000) for number in range(5000)]))
    assert few.users == 1000 < LOWEST
    for start in range(0, 100_000, 20_000):
        part = UserSketch()
        part.see(pa.array([kind(number) for number in range(start, start + 25_000)]))
        merged.merge(part)
    many.see(pa.array([kind(number) for number in range(105_000)]))
    assert merged.users == many.users == pytest.approx(105_000, rel=0.05)
