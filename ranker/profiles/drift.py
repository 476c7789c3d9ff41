"""How far a table is from the same table of another week: sizes of effects, never p-values, which are all 0 where rows are many.

Numbers: the Wasserstein distance in units of the other week's spread, and the population stability index (PSI) over the other week's
tenths. Texts: total variation, which is the share of rows that would have to change. Missing parts: their difference.

Axes: N points of a distribution.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ranker.profiles.records import NumberProfile, TableProfile, TextProfile
from ranker.profiles.sketch import digest_of

POINTS = 1000
LEAST_SHARE = 1e-4
"""Of a bin of the PSI, which else is infinite."""
MIDDLE = (0.01, 0.99)
FURTHEST = 1e6
"""Spreads: what lies farther away is no farther."""


@dataclass(frozen=True)
class ColumnDrift:
    """shift: in spreads of the other week, numbers only; spread, psi: likewise; moved: total variation, texts only.

    missing: difference of the missing parts. unseen: frequent values that the other week did not name. gone, new: the column stands in
    one week alone.
    """

    column: str
    shift: float | None = None
    spread: float | None = None
    psi: float | None = None
    moved: float | None = None
    missing: float = 0.0
    unseen: tuple[str, ...] = ()
    gone: bool = False
    new: bool = False


@dataclass(frozen=True)
class TableDrift:
    """rows, users: (this week, the other). columns: in order of their names."""

    table: str
    rows: tuple[int, int]
    users: tuple[int, int] | None
    columns: tuple[ColumnDrift, ...]

    def column(self, name: str) -> ColumnDrift | None:
        return next((each for each in self.columns if each.column == name), None)


def drift(now: TableProfile, last: TableProfile) -> TableDrift:
    """This week's table beside last week's."""
    columns = [*_each(now.numbers, last.numbers, _of_numbers), *_each(now.texts, last.texts, _of_texts)]
    users = None if now.users is None or last.users is None else (now.users, last.users)
    return TableDrift(now.name, (now.rows, last.rows), users, tuple(sorted(columns, key=lambda each: each.column)))


def _each(now, last, compared) -> Iterator[ColumnDrift]:  # type: ignore[no-untyped-def]  # of either kind
    here, there = {each.name: each for each in now}, {each.name: each for each in last}
    for name in sorted(here.keys() | there.keys()):
        if name in here and name in there:
            yield compared(here[name], there[name])
        else:
            yield ColumnDrift(name, gone=name in there, new=name in here)


def _of_numbers(now: NumberProfile, last: NumberProfile) -> ColumnDrift:
    from scipy.stats import wasserstein_distance  # takes a second to import, and few commands compare

    missing = _part(now.missing, now.rows) - _part(last.missing, last.rows)
    here, there = _points(now), _points(last)
    if here is None or there is None:
        return ColumnDrift(now.name, missing=missing)
    spread = _spread(*there)
    far = wasserstein_distance(here[0], there[0], here[1], there[1])
    shift = 0.0 if far == 0.0 else float(far / spread) if spread > 0 else float("inf")
    return ColumnDrift(now.name, shift=min(shift, FURTHEST), spread=spread, psi=_psi(here, there), missing=missing)


def _part(rows: int, of: int) -> float:
    return rows / of if of else 0.0


def _points(profile: NumberProfile) -> tuple[np.ndarray, np.ndarray] | None:
    """float64[N], rising, and the weight of each: the zeros as one point, and points of the digest that weigh alike."""
    digest, known = digest_of(profile), profile.rows - profile.missing
    if not known:
        return None
    rank_N = (np.arange(POINTS) + 0.5) / POINTS
    value_N = np.zeros(0) if digest is None else np.array([digest.get_quantile(rank) for rank in rank_N])
    weight_N = np.full(len(value_N), (known - profile.zeros) / known / POINTS)
    value_N, weight_N = np.append(value_N, 0.0), np.append(weight_N, profile.zeros / known)
    kept_N, order = weight_N > 0, np.argsort(value_N, kind="stable")
    order = order[kept_N[order]]
    return value_N[order], weight_N[order]


def _spread(value_N: np.ndarray, weight_N: np.ndarray) -> float:
    """Standard deviation, what lies beyond the middle moved to its ends; of all where that is one value."""
    rank_N = np.cumsum(weight_N) - weight_N / 2
    low, high = np.interp(MIDDLE, rank_N, value_N)
    clipped = np.clip(value_N, low, high) if high > low else value_N
    mean = np.average(clipped, weights=weight_N)
    return float(np.sqrt(np.average((clipped - mean) ** 2, weights=weight_N)))


def _psi(here: tuple[np.ndarray, np.ndarray], there: tuple[np.ndarray, np.ndarray]) -> float:
    rank_N = np.cumsum(there[1])
    edges = np.unique(there[0][np.searchsorted(rank_N, np.arange(0.1, 0.95, 0.1))])

    def shares(value_N: np.ndarray, weight_N: np.ndarray) -> np.ndarray:
        bins = np.bincount(np.searchsorted(edges, value_N, side="left"), weight_N, minlength=len(edges) + 1)
        return np.maximum(bins, LEAST_SHARE)

    now, last = shares(*here), shares(*there)
    return float(((now - last) * np.log(now / last)).sum())


def _of_texts(now: TextProfile, last: TextProfile) -> ColumnDrift:
    here, there = _shares(now), _shares(last)
    names = here.keys() | there.keys()
    moved = sum(abs(here.get(name, 0.0) - there.get(name, 0.0)) for name in names) / 2
    missing = _part(now.missing, now.rows) - _part(last.missing, last.rows)
    unseen = tuple(name for name in now.values if name not in last.values)
    return ColumnDrift(now.name, moved=moved, missing=missing, unseen=unseen if last.other == 0 else ())


def _shares(profile: TextProfile) -> Mapping[str | None, float]:
    """By value, all others under None."""
    shares: dict[str | None, float] = {name: _part(rows, profile.rows) for name, rows in profile.values.items()}
    return shares | {None: _part(profile.other, profile.rows)}
