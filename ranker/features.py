"""Features as numbers: numeric columns on a common scale, categories as indices; missing and unseen values are normal.

The encoder is fitted on training rows and travels with the model.

Axes: U users (or rows of logs), I numeric inputs, G categorical columns, W features (the columns of `Features.wide`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ranker.files import named
from ranker.log_schema import LogSchema

MOST_LEVELS = 50  # of a category, the most frequent; the linear path grows with their square
FEW_VALUES = 9  # a number with so many values or fewer has a level for each
QUANTILES = (0.2, 0.4, 0.6, 0.8)
FURTHEST = 4.0  # standard deviations; what lies beyond tells nothing more
TREND, LEVEL, BEND = (
    0,
    1,
    2,
)  # what an input is: a number; a level of a category or a missing number; a range of a number


@dataclass(frozen=True)
class Features:
    """numeric_UI: float32, standardised, followed by one missing indicator per numeric column. index_UG: int64 rows of one table
    of levels that all categorical columns share, and after them numeric columns cut into levels, so that what is linear in them
    can bend (each column's first level is 'unseen or missing').

    numeric and index may lie in files (np.memmap); then `rows` are the positions of the users there (None: all), and nothing is read
    before it is used.
    """

    numeric: np.ndarray
    index: np.ndarray
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.numeric) if self.rows is None else len(self.rows)

    @property
    def numeric_UI(self) -> np.ndarray:
        return self.numeric if self.rows is None else self.numeric[self.rows]

    @property
    def index_UG(self) -> np.ndarray:
        index_UG = self.index if self.rows is None else self.index[self.rows]
        return index_UG.astype(np.int64, copy=False)

    @property
    def numeric_width(self) -> int:
        return self.numeric.shape[1]

    def take(self, rows: np.ndarray | slice) -> "Features":
        """The users of a mask, of positions or of a slice."""
        if not isinstance(self.numeric, np.memmap):
            return Features(self.numeric[rows], self.index[rows])
        return Features(
            self.numeric, self.index, np.arange(len(self.numeric))[rows] if self.rows is None else self.rows[rows]
        )

    def __reduce__(self) -> tuple:
        """Another process opens the files itself."""
        if isinstance(self.numeric, np.memmap):
            return _opened, (self.numeric.filename, self.index.filename, self.rows)
        return Features, (self.numeric, self.index)

    def wide(self, levels: int) -> np.ndarray:
        """float32[U, I + levels]: the numeric inputs, then 1 at each of a row's levels, of so many in the table."""
        numeric = self.numeric_width
        wide_UW = np.zeros((len(self), numeric + levels), np.float32)
        wide_UW[:, :numeric] = self.numeric_UI
        wide_UW[np.arange(len(self))[:, None], numeric + self.index_UG] = 1.0
        return wide_UW


def _opened(numeric: str, index: str, rows: np.ndarray | None) -> Features:
    return Features(np.load(numeric, mmap_mode="r"), np.load(index, mmap_mode="r"), rows)


class FeatureFiles:
    """Takes the features of so many users, a part at a time, into files of a folder; they are there as long as it is."""

    def __init__(self, folder: Path, users: int, encoder: "Encoder"):
        kinds = {
            "numeric": (np.float32, encoder.numeric_width),
            "index": (np.min_scalar_type(encoder.levels), encoder.groups),
        }
        self._numeric, self._index = (
            named(folder / f"{name}.npy", (users, width), kind) for name, (kind, width) in kinds.items()
        )
        self._next = 0

    def add(self, features: Features) -> None:
        here = slice(self._next, self._next + len(features))
        self._numeric[here], self._index[here] = features.numeric_UI, features.index_UG
        self._next = here.stop

    def features(self) -> Features:
        return Features(self._numeric, self._index)


@dataclass(frozen=True)
class NumericColumn:
    """z = (asinh((x - center) / spread) - mean) / deviation: linear near the centre, logarithmic in heavy tails.

    cuts: where one level ends and the next begins, rising; none for a column with two values or fewer.
    """

    name: str
    center: float
    spread: float
    mean: float
    deviation: float
    cuts: tuple[float, ...] = ()

    def encode(self, values_U: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The standardised values [U], 0 where missing, and the missing indicator [U]."""
        missing_U = ~np.isfinite(values_U)
        z_U = (np.arcsinh((values_U - self.center) / self.spread) - self.mean) / self.deviation
        return np.where(missing_U, 0.0, np.clip(z_U, -FURTHEST, FURTHEST)), missing_U

    def decode(self, z_U: Tensor) -> Tensor:
        """The values that have these standardised ones."""
        return self.center + self.spread * torch.sinh(z_U * self.deviation + self.mean)

    def level(self, values_U: np.ndarray) -> np.ndarray:
        """int64[U]: 0 where missing, 1 below the first cut."""
        return np.where(np.isfinite(values_U), 1 + np.searchsorted(self.cuts, values_U, side="right"), 0)


@dataclass(frozen=True)
class CategoricalColumn:
    """levels: values seen in training, sorted; the value at position i has index i + 1."""

    name: str
    levels: tuple[str, ...]

    def encode(self, values_U: pd.Series) -> np.ndarray:
        """int64[U]: 0 for unseen or missing."""
        code_U, values = pd.factorize(values_U)
        found = [self._index_of.get(str(value), 0) for value in values.tolist()]
        return np.array([*found, 0])[code_U]  # a missing value has code -1

    @cached_property
    def _index_of(self) -> dict[str, int]:
        return {level: position for position, level in enumerate(self.levels, 1)}


@dataclass(frozen=True)
class Encoder:
    """All feature columns of a model, in the order of the log schema."""

    numeric: tuple[NumericColumn, ...]
    categorical: tuple[CategoricalColumn, ...]

    @property
    def numeric_width(self) -> int:
        return 2 * len(self.numeric)

    @cached_property
    def levels(self) -> int:
        """Of all columns together."""
        return sum(self.level_counts)

    @cached_property
    def width(self) -> int:
        """Of `Features.wide`."""
        return self.numeric_width + self.levels

    @property
    def kind_W(self) -> np.ndarray:
        """int64[W] of `Features.wide`: TREND, LEVEL or BEND."""
        counts = (len(self.numeric), len(self.numeric), sum(len(c.levels) + 1 for c in self.categorical))
        return np.repeat([TREND, LEVEL, LEVEL, BEND], [*counts, self.width - sum(counts)])

    @property
    def groups(self) -> int:
        """Columns that have levels."""
        return len(self.level_counts)

    @cached_property
    def level_counts(self) -> tuple[int, ...]:
        return (
            *(len(column.levels) + 1 for column in self.categorical),
            *(len(column.cuts) + 2 for column in self._cut),
        )

    @cached_property
    def _cut(self) -> tuple[NumericColumn, ...]:
        return tuple(column for column in self.numeric if column.cuts)

    def encode(self, frame: pd.DataFrame) -> Features:
        """The features of a frame that has all the encoder's columns."""
        rows = len(frame)
        numeric_UI = np.zeros((rows, self.numeric_width), np.float32)
        numbers = {column.name: frame[column.name].to_numpy(np.float64, na_value=np.nan) for column in self.numeric}
        for position, column in enumerate(self.numeric):
            z_U, missing_U = column.encode(numbers[column.name])
            numeric_UI[:, position] = z_U
            numeric_UI[:, len(self.numeric) + position] = missing_U
        levels = [column.encode(frame[column.name]) for column in self.categorical]
        levels += [column.level(numbers[column.name]) for column in self._cut]
        first_G = np.cumsum([0, *self.level_counts])[:-1]
        index_UG = np.stack(levels, axis=1) + first_G if levels else np.zeros((rows, 0), np.int64)
        return Features(numeric_UI, index_UG.astype(np.int64))

    def holding(self, features: Features, values: Mapping[str, float]) -> Features:
        """The same features with these numeric columns at one value for everybody (NaN: missing)."""
        held = Features(np.array(features.numeric_UI), np.array(features.index_UG))
        first_G = np.cumsum([0, *self.level_counts])
        for position, column in enumerate(self.numeric):
            if column.name in values:
                z_1, missing_1 = column.encode(np.array([values[column.name]]))
                held.numeric_UI[:, position] = z_1
                held.numeric_UI[:, len(self.numeric) + position] = missing_1
        for position, column in enumerate(self._cut, len(self.categorical)):
            if column.name in values:
                held.index_UG[:, position] = first_G[position] + column.level(np.array([values[column.name]]))
        return held

    def columns_of(self, names: Collection[str]) -> np.ndarray:
        """int64[n] of `Features.wide`: all columns that tell of these numeric ones."""
        first_G = self.numeric_width + np.cumsum([0, *self.level_counts])
        cut = {column.name: len(self.categorical) + position for position, column in enumerate(self._cut)}
        found = []
        for position, column in enumerate(self.numeric):
            if column.name in names:
                found += [position, len(self.numeric) + position]
                if column.name in cut:
                    found += range(first_G[cut[column.name]], first_G[cut[column.name] + 1])
        return np.array(found, np.int64)


def fit_encoder(frame: pd.DataFrame, schema: LogSchema) -> Encoder:
    """The encoder of these training rows."""
    return Encoder(
        numeric=tuple(_fit_numeric(name, frame[name]) for name in schema.numeric),
        categorical=tuple(CategoricalColumn(name, _levels(frame[name])) for name in schema.categorical),
    )


def _fit_numeric(name: str, values: pd.Series) -> NumericColumn:
    known = values.to_numpy(np.float64, na_value=np.nan)
    known = known[np.isfinite(known)]
    if not len(known) or known.min() == known.max():
        return NumericColumn(name, float(known[0]) if len(known) else 0.0, 1.0, 0.0, 1.0)
    low, center, high = np.quantile(known, [0.25, 0.5, 0.75])
    spread = (high - low) / 1.349 if high > low else float(known.std())
    bent = np.arcsinh((known - center) / spread)
    return NumericColumn(name, float(center), float(spread), float(bent.mean()), float(bent.std()), _cuts(known))


def _cuts(known: np.ndarray) -> tuple[float, ...]:
    """Between all values where there are few, else at quantiles."""
    distinct = np.unique(known)
    if len(distinct) > FEW_VALUES:
        return tuple(np.unique(np.quantile(known, QUANTILES)).astype(float).tolist())
    middle = (distinct[:-1] + distinct[1:]) / 2
    return tuple(middle.astype(float).tolist()) if len(distinct) > 2 else ()


def _levels(values: pd.Series) -> tuple[str, ...]:
    counts = values.value_counts()
    return tuple(sorted(_as_text(counts.index[:MOST_LEVELS].to_series())))


def _as_text(values: pd.Series) -> np.ndarray:
    text = values.astype(object)
    return text.where(text.isna(), text.astype(str)).to_numpy()
