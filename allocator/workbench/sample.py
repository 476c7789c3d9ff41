"""A stratified sample of the users of some scores, kept as a small scores dataset with how many users each one stands for.

Strata are the cells of the segments, so every `users` filter of every policy is a union of them and its number of users is known
exactly. Each stratum gives its share of the sample, at least two users.

Axes: U users of the scores or of the sample, H strata, N segments.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from allocator.workbench.answers import SAMPLE, SampleRecord
from ranker import disk
from ranker.catalogue import CATALOGUE_FILE
from ranker.columns import as_ids
from ranker.files import batches, parquet_files
from ranker.scores import Scores, Shard, open_scores

WEIGHT, STRATUM = "sample_weight", "sample_stratum"
USERS_PER_STRATUM = 20
"""Of the sample, on average: finer cells would each be known from a handful of users."""
ROWS = 65_536


@dataclass(frozen=True)
class Sample:
    """scores: those of the sampled users alone. weight_U: float64, how many users each one stands for. stratum_U: int32. users: of all."""

    scores: Scores
    weight_U: np.ndarray
    stratum_U: np.ndarray
    users: int

    def __len__(self) -> int:
        return len(self.weight_U)

    @cached_property
    def _planes(self) -> dict[tuple[tuple[str, str], ...], np.ndarray]:
        return {}

    def planes(self, wanted: tuple[tuple[str, str], ...]) -> np.ndarray:
        """float32[U, P, A]: these planes of all its users, read once."""
        if wanted not in self._planes:
            shards = list(self.scores.shards())
            parts = [np.stack([getattr(shard, kind)[name] for kind, name in wanted], axis=1) for shard in shards]
            self._planes[wanted] = np.concatenate(parts) if wanted else _no_planes(shards)
        return self._planes[wanted]

    @cached_property
    def segments(self) -> Mapping[str, np.ndarray]:
        """int32[U] of each segment, codes into `scores.vocabulary`."""
        names = list(self.scores.vocabulary)
        parts = list(self.scores.segment_codes(names)) if names else []
        return {name: np.concatenate([part[position] for part in parts]) for position, name in enumerate(names)}

    @property
    def whole(self) -> bool:
        """Whether everybody is in it, so that nothing is estimated."""
        return len(self) == self.users

    def stderr_of_sums(self, each_UF: np.ndarray) -> np.ndarray:
        """float64[F]: the standard error of sum over U of weight_U * each_UF as an estimate of the sum over all users.

        Cochran, Sampling Techniques, 3rd ed., eq. 5.7: per stratum N (N - n) s^2 / n, with s^2 the variance within it.
        """
        variance_F = np.zeros(each_UF.shape[1])
        n_H, factor_H = self._strata
        for column in range(each_UF.shape[1] if not self.whole else 0):
            sum_H = np.bincount(self.stratum_U, each_UF[:, column], minlength=len(n_H))
            square_H = np.bincount(self.stratum_U, each_UF[:, column] ** 2, minlength=len(n_H))
            variance_F[column] = factor_H @ np.maximum(square_H - sum_H**2 / n_H, 0.0)
        return np.sqrt(variance_F)

    def stderr_of_few(self, user_N: np.ndarray, cell_N: np.ndarray, amount_N: np.ndarray, cells: int) -> np.ndarray:
        """float64[cells]: the same of sums that most users have nothing in; one amount per user and cell."""
        n_H, factor_H = self._strata
        both_N = self.stratum_U[user_N].astype(np.int64) * cells + cell_N
        places, place_N = np.unique(both_N, return_inverse=True)
        sum_P, square_P = np.bincount(place_N, amount_N), np.bincount(place_N, amount_N**2)
        stratum_P, cell_P = places // cells, places % cells
        variance_P = factor_H[stratum_P] * np.maximum(square_P - sum_P**2 / n_H[stratum_P], 0.0)
        return np.sqrt(np.bincount(cell_P, variance_P, cells))

    @cached_property
    def _strata(self) -> tuple[np.ndarray, np.ndarray]:
        """float64[H] each: users of the sample, and by what the squares around the mean are multiplied."""
        strata = int(self.stratum_U.max()) + 1
        n_H = np.maximum(np.bincount(self.stratum_U, minlength=strata).astype(float), 1.0)
        all_H = np.bincount(self.stratum_U, self.weight_U, minlength=strata)
        return n_H, np.where(n_H > 1, all_H * np.maximum(all_H - n_H, 0.0) / np.maximum(n_H * (n_H - 1), 1.0), 0.0)


def _no_planes(shards: Sequence[Shard]) -> np.ndarray:
    return np.concatenate([np.empty((len(shard), 0, shard.eligible_UA.shape[1]), np.float32) for shard in shards])


@dataclass(frozen=True)
class KeptScores(Scores):
    """Scores of few users, whose rows are read once and stay in memory."""

    @classmethod
    def of(cls, scores: Scores) -> "KeptScores":
        return cls(**{field.name: getattr(scores, field.name) for field in fields(scores)})

    @cached_property
    def _kept(self) -> tuple[Shard, ...]:
        return tuple(super().shards())

    @cached_property
    def _users_checked(self) -> bool:
        super().check_users()
        return True

    def check_users(self) -> None:
        assert self._users_checked  # raises InputError the first time

    def shards(
        self, rows: int = ROWS, *, check: bool = True, planes: Collection[tuple[str, str]] | None = None
    ) -> Iterator[Shard]:
        yield from self._kept

    def segment_codes(self, names: Sequence[str], rows: int = ROWS) -> Iterator[tuple[np.ndarray, ...]]:
        for shard in self._kept:
            yield tuple(shard.segments[name] for name in names)


def everybody(scores: Scores) -> Sample:
    """All users as a sample of themselves."""
    return Sample(KeptScores.of(scores), np.ones(scores.users), np.zeros(scores.users, np.int32), scores.users)


def draw_sample(
    scores: Scores, size: int, folder: Path, seed: int = 1, seen: Callable[[int], None] = lambda users: None
) -> Sample:
    """Draws a sample of about so many users and writes it into an existing folder; reads the scores once.

    The same scores, size and seed give the same sample. seen: is told how many users have been read. Raises InputError.
    """
    stratum_U = _strata(scores, size)
    chosen_U, weight_H = _chosen(stratum_U, size, np.random.default_rng(seed))
    _write(scores, chosen_U, stratum_U, weight_H, folder, seen)
    disk.write_text(folder / SAMPLE, SampleRecord(users=scores.users, sample=int(chosen_U.sum()), seed=seed).text())
    return open_sample(folder)


def one_user(scores: Scores, place: int, folder: Path) -> Scores:
    """The scores of the user at this place alone, written into an existing folder."""
    chosen_U = np.arange(scores.users) == place
    _write(scores, chosen_U, np.zeros(scores.users, np.int32), np.ones(1), folder, lambda users: None)
    return open_scores(folder)


def _write(
    scores: Scores,
    chosen_U: np.ndarray,
    stratum_U: np.ndarray,
    weight_H: np.ndarray,
    folder: Path,
    seen: Callable[[int], None],
) -> None:
    """The rows of those chosen, with strata and weights, and their contact history."""
    disk.write_bytes(folder / CATALOGUE_FILE, (scores.path / CATALOGUE_FILE).read_bytes())
    ids, start = [], 0
    for number, file in enumerate(scores.files):
        rows = pq.read_metadata(file).num_rows
        if not chosen_U[start : start + rows].any():
            start += rows
            seen(rows)
            continue
        names = pq.read_schema(file).names
        tables = []
        for batch in batches(file, ROWS, names):
            part = slice(start, start + len(batch))
            stratum_u = stratum_U[part][chosen_U[part]]
            taken = pa.table(batch).filter(pa.array(chosen_U[part]))
            taken = taken.append_column(WEIGHT, pa.array(weight_H[stratum_u]))
            tables.append(taken.append_column(STRATUM, pa.array(stratum_u)))
            start = part.stop
            seen(len(batch))
        together = pa.concat_tables(tables)
        ids.append(as_ids(together.column("user_id").combine_chunks()))
        if len(together):
            disk.write_table(folder / f"part-{number:05d}.parquet", together, compression="none")
    _write_history(scores, pa.chunked_array(ids), folder)


def open_sample(folder: Path) -> Sample:
    """A sample as `draw_sample` wrote it."""
    scores = open_scores(folder)
    columns = [pq.read_table(file, columns=[WEIGHT, STRATUM]) for file in scores.files]
    weight_U = np.concatenate([table.column(WEIGHT).to_numpy() for table in columns])
    stratum_U = np.concatenate([table.column(STRATUM).to_numpy() for table in columns])
    return Sample(KeptScores.of(scores), weight_U, stratum_U, SampleRecord.from_file(folder / SAMPLE).users)


def _strata(scores: Scores, size: int) -> np.ndarray:
    """int32[U]: the cell of the segments that each user is in, of as many segments as leave enough users to a cell."""
    names = [name for name in scores.vocabulary if len(scores.vocabulary[name]) > 1]
    code_NU = np.concatenate([np.stack(codes) for codes in scores.segment_codes(names)], axis=1) if names else None
    cell_U = np.zeros(scores.users, np.int64)
    for position, name in enumerate(names):
        finer_U = cell_U * len(scores.vocabulary[name]) + code_NU[position]  # type: ignore[index]  # there are names
        values, finer_U = np.unique(finer_U, return_inverse=True)
        if len(values) * USERS_PER_STRATUM <= size:
            cell_U = finer_U
    return cell_U.astype(np.int32)


def _chosen(stratum_U: np.ndarray, size: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """bool[U] who is drawn, and float64[H] how many users one who is drawn stands for."""
    size_H = np.bincount(stratum_U)
    wanted_H = np.minimum(size_H, np.maximum(2, np.ceil(size_H * (size / len(stratum_U)))).astype(np.int64))
    order_U = np.lexsort((generator.random(len(stratum_U)), stratum_U))
    rank_U = np.arange(len(stratum_U)) - np.repeat(np.cumsum(size_H) - size_H, size_H)
    chosen_U = np.zeros(len(stratum_U), bool)
    chosen_U[order_U[rank_U < wanted_H[stratum_U[order_U]]]] = True
    return chosen_U, size_H / np.maximum(wanted_H, 1)


def _write_history(scores: Scores, ids: pa.ChunkedArray, folder: Path) -> None:
    """The contact history of the users who were drawn."""
    files = parquet_files(scores.path / "history")
    if not files:
        return
    disk.make_folder(folder / "history", there=True)
    for number, file in enumerate(files):
        names = pq.read_schema(file).names
        kept = [_of(pa.table(batch), ids) for batch in batches(file, ROWS * 16, names)]
        disk.write_table(folder / "history" / f"part-{number:05d}.parquet", pa.concat_tables(kept))


def _of(table: pa.Table, ids: pa.ChunkedArray) -> pa.Table:
    """The rows of these users."""
    return table.filter(pc.is_in(as_ids(table.column("user_id")), ids))
