"""Sketches of columns: grow by batches, merge, and take little room; the same rows in the same order give the same bytes.

Quantiles come from t-digests, which draw nothing at random, unlike KLL sketches. Frequent values and numbers of users are exact while
there are few, and bounded in memory where there are many.

Axes: R rows.
"""

import base64
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasketches import frequent_items_error_type, frequent_strings_sketch, tdigest_float

from ranker.columns import MANY_ROWS, as_numbers, as_text
from ranker.hashed import keys_of, mixed
from ranker.profiles.records import NumberProfile, TextProfile

COMPRESSION = 500
"""Of t-digests, which then take 5 KB: ranks are off by 5 per thousand in the middle, by less at the ends."""
LARGEST = 3e38
RANKS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
MOST_VALUES = 50
LOG_OF_MAP = 12  # exact up to 3,000 different texts
LOWEST = 4096  # hashes that are kept: users are exact up to there, within 2 % beyond


class NumberSketch:
    """A column of numbers: missing ones and zeros are counted, the others are in a t-digest."""

    def __init__(self, name: str):
        self.name = name
        self.rows = self.missing = self.zeros = 0
        self.low, self.high, self.total = np.inf, -np.inf, 0.0
        self.digest = tdigest_float(COMPRESSION)

    def see(self, value_R: np.ndarray) -> None:
        """float64[R]; what is not finite is missing."""
        known = value_R[np.isfinite(value_R)]
        others = known[known != 0]
        self.rows += len(value_R)
        self.missing += len(value_R) - len(known)
        self.zeros += len(known) - len(others)
        if len(known):
            self.low, self.high = min(self.low, float(known.min())), max(self.high, float(known.max()))
            self.total += float(known.sum())
        if len(others):
            self.digest.update(np.clip(others, -LARGEST, LARGEST).astype(np.float32))

    def merge(self, other: "NumberSketch") -> None:
        self.rows, self.missing = self.rows + other.rows, self.missing + other.missing
        self.zeros, self.total = self.zeros + other.zeros, self.total + other.total
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        if not other.digest.is_empty():
            self.digest.merge(other.digest)

    def profile(self) -> NumberProfile:
        known = self.rows - self.missing
        empty = self.digest.is_empty()
        sketch = "" if empty else base64.b64encode(self.digest.serialize()).decode()
        return NumberProfile(
            name=self.name,
            rows=self.rows,
            missing=self.missing,
            zeros=self.zeros,
            low=self.low if known else None,
            high=self.high if known else None,
            mean=self.total / known if known else None,
            quantiles=tuple(quantiles(self.zeros, None if empty else self.digest, RANKS)) if known else (),
            sketch=sketch,
        )


def quantiles(zeros: int, digest: tdigest_float | None, ranks: Sequence[float]) -> list[float]:
    """Of so many zeros and what is in the digest, together."""
    others = 0 if digest is None else int(digest.get_total_weight())
    if digest is None or not others:
        return [0.0] * len(ranks)
    below = 0 if digest.get_min_value() > 0 else round(digest.get_rank(0.0) * others)
    found = []
    for rank in ranks:
        place = rank * (zeros + others)
        if below <= place < below + zeros:
            found.append(0.0)
        else:
            part = place / others if place < below else (place - zeros) / others
            found.append(float(digest.get_quantile(min(max(part, 0.0), 1.0))))
    return found


def digest_of(profile: NumberProfile) -> tdigest_float | None:
    """None where everything is missing or zero."""
    return tdigest_float.deserialize(base64.b64decode(profile.sketch)) if profile.sketch else None


class TextSketch:
    """A column of texts: the frequent ones with their rows."""

    def __init__(self, name: str):
        self.name, self.rows, self.missing = name, 0, 0
        self.items = frequent_strings_sketch(LOG_OF_MAP)

    def see(self, column: pa.Array) -> None:
        texts = as_text(column)
        self.rows, self.missing = self.rows + len(texts), self.missing + texts.null_count
        counts = pc.value_counts(texts.drop_null())
        for value, count in zip(counts.field(0).to_pylist(), counts.field(1).to_pylist(), strict=True):
            self.items.update(value, count)

    def merge(self, other: "TextSketch") -> None:
        self.rows, self.missing = self.rows + other.rows, self.missing + other.missing
        self.items.merge(other.items)

    def profile(self) -> TextProfile:
        """Values of fewer than MANY_ROWS rows are not named: a column may have been mixed up with ids."""
        found = self.items.get_frequent_items(frequent_items_error_type.NO_FALSE_POSITIVES)
        many = sorted((-int(item[1]), str(item[0])) for item in found if int(item[1]) >= MANY_ROWS)[:MOST_VALUES]
        values = {value: -count for count, value in many}
        known = self.rows - self.missing
        return TextProfile(
            name=self.name,
            rows=self.rows,
            missing=self.missing,
            values=dict(sorted(values.items())),
            other=max(known - sum(values.values()), 0),
        )


class UserSketch:
    """How many different users there are: from the lowest hashes of their ids."""

    def __init__(self) -> None:
        self.lowest = np.zeros(0, np.uint64)

    def see(self, ids: pa.Array) -> None:
        self._keep(mixed(keys_of(ids.drop_null())))

    def merge(self, other: "UserSketch") -> None:
        self._keep(other.lowest)

    def _keep(self, hashes: np.ndarray) -> None:
        if len(self.lowest) == LOWEST:
            hashes = hashes[hashes < self.lowest[-1]]
        self.lowest = np.unique(np.concatenate([self.lowest, hashes]))[:LOWEST]

    @property
    def users(self) -> int:
        if len(self.lowest) < LOWEST:
            return len(self.lowest)
        return round((LOWEST - 1) / (float(self.lowest[-1]) / 2.0**64))


def as_floats(column: pa.Array) -> np.ndarray:
    """float64[R], NaN where missing."""
    floats: np.ndarray = as_numbers(column).to_numpy(zero_copy_only=False)
    return floats
