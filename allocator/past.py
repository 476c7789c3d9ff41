"""What users were given before: an earlier allocation, which constraints compare with, and the contact history, which caps count.

Both are rows of (user, action), streamed into arrays sorted by user and looked up shard by shard.

Axes: U users, N earlier contacts, n those of a shard's users, A actions, C contact caps, S user classes, K contacts of a slate.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ranker.scores import InputError, Scores, Shard

GONE = -1
"""The action of an earlier contact that this week's catalogue does not have."""
ROWS_PER_STEP = 1_048_576


@dataclass(frozen=True)
class PastContacts:
    """Earlier contacts sorted by user. action_N: int16 position in the catalogue or GONE; age_N: int16 days before `as_of`, or empty."""

    user_N: np.ndarray
    action_N: np.ndarray
    age_N: np.ndarray

    def of(self, ids: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """(position of the user among `ids`, position of the contact here) of all contacts of these users, in their order."""
        user_U = comparable(ids)
        first_U = np.searchsorted(self.user_N, user_U, "left")
        had_U = np.searchsorted(self.user_N, user_U, "right") - first_U
        user_n = np.repeat(np.arange(len(user_U)), had_U)
        offset_n = np.arange(len(user_n)) - np.repeat(np.cumsum(had_U) - had_U, had_U)
        return user_n, np.repeat(first_U, had_U) + offset_n


def comparable(ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Ids as an array that sorts: int64, or numpy's strings."""
    if pa.types.is_integer(ids.type):
        return ids.to_numpy() if isinstance(ids, pa.ChunkedArray) else ids.to_numpy(zero_copy_only=False)
    return np.array(ids.to_pylist(), dtype=np.dtypes.StringDType())


def read_previous(scores: Scores, previous: Path | None) -> PastContacts:
    """The rows of the allocation to compare with, whatever their source; InputError where there is none."""
    if previous is None:
        raise InputError(
            ["policy: a constraint of kind change or churn needs previous=, the allocation to compare with"]
        )
    files = sorted(previous.glob("*.parquet"))
    if not files:
        raise InputError([f"{previous}: there are no *.parquet files; previous= names an earlier allocation"])
    return _read(files, ("user_id", "action"), scores, None, 0)


def read_history(scores: Scores, rules: Sequence[str], most_days: int) -> PastContacts:
    """The contacts of the `history/` dataset inside the scores that are less than most_days old; gone actions are left out.

    rules: ids of the contact rules that count them, for messages. Raises InputError with all faults.
    """
    folder = scores.path / "history"
    files = sorted(folder.glob("*.parquet"))
    named = f"rule{'s' if len(rules) > 1 else ''} {', '.join(rules)}"
    faults = []
    if scores.catalogue.as_of is None:
        faults.append(f"{scores.path}/catalogue.json: as_of: is missing, and days are counted back from it ({named})")
    if not files:
        faults.append(
            f"policy: contact: counts contacts of earlier days ({named}), and {folder} has no *.parquet files"
        )
    if faults:
        raise InputError(faults)
    past = _read(files, ("user_id", "action", "date"), scores, scores.catalogue.as_of, most_days)
    known_N = past.action_N != GONE
    return PastContacts(past.user_N[known_N], past.action_N[known_N], past.age_N[known_N])


def contacts_before(
    past: PastContacts, scores: Scores, class_of: Callable[[Shard], np.ndarray], classes: int
) -> np.ndarray:
    """int64[S, A]: earlier contacts of users who are in the scores, by the class they are in now, without gone actions."""
    actions = len(scores.catalogue.actions)
    count_SA = np.zeros(classes * actions, np.int64)
    for shard in scores.shards(check=False, metrics=()):
        user_n, row_n = past.of(shard.user_id)
        action_n = past.action_N[row_n].astype(np.int64)
        known_n = action_n != GONE
        class_n = class_of(shard)[user_n].astype(np.int64)
        count_SA += np.bincount((class_n * actions + action_n)[known_n], minlength=len(count_SA))
    return count_SA.reshape(classes, actions)


def slates_before(past: PastContacts, ids: pa.Array, width: int, none: int) -> tuple[np.ndarray, np.ndarray]:
    """(int16[U, width] of the users' earlier actions in catalogue order, padded with `none`; bool[U] whether they fit in and exist).

    What is not there any more, or is more than `width` actions, cannot be given again.
    """
    user_n, row_n = past.of(ids)
    action_n = past.action_N[row_n]
    order_n = np.lexsort((action_n, user_n))
    user_n, action_n = user_n[order_n], action_n[order_n]
    again_n = np.append(True, (user_n[1:] != user_n[:-1]) | (action_n[1:] != action_n[:-1]))[: len(user_n)]
    user_n, action_n = user_n[again_n], action_n[again_n]
    rank_n = np.arange(len(user_n)) - np.searchsorted(user_n, user_n, "left")
    whole_U = np.ones(len(ids), bool)
    whole_U[user_n[(rank_n >= width) | (action_n == GONE)]] = False
    slate_UK = np.full((len(ids), width), none, np.int16)
    kept_n = rank_n < width
    slate_UK[user_n[kept_n], rank_n[kept_n]] = action_n[kept_n]
    return slate_UK, whole_U


def received(
    past: PastContacts, ids: pa.Array, member_CA: np.ndarray, capacity_C: np.ndarray, days_C: np.ndarray
) -> np.ndarray:
    """[U, C] of the smallest unsigned type: earlier contacts that each cap counts, at most its capacity."""
    user_n, row_n = past.of(ids)
    action_n, age_n = past.action_N[row_n], past.age_N[row_n]
    count_UC = np.zeros((len(ids), len(days_C)), counted_as(capacity_C))
    for cap in np.flatnonzero(days_C):
        counted_n = member_CA[cap, action_n] & (age_n < days_C[cap])
        count_U = np.bincount(user_n[counted_n], minlength=len(ids))
        count_UC[:, cap] = np.minimum(count_U, capacity_C[cap])
    return count_UC


def counted_as(capacity_C: np.ndarray) -> np.dtype:
    """The type in which contacts up to these capacities are counted."""
    return np.min_scalar_type(int(capacity_C.max(initial=0)))


def _read(
    files: Sequence[Path], columns: Sequence[str], scores: Scores, as_of: date | None, most_days: int
) -> PastContacts:
    """Streams rows into compact arrays; with as_of, the rows of the last most_days days alone. Raises InputError with all faults."""
    faults: list[str] = []
    parts = [part for file in files for part in _batches(file, columns, scores, as_of, most_days, faults)]
    if faults:
        raise InputError(faults)
    wanted = pq.ParquetFile(scores.files[0]).schema_arrow.field("user_id").type
    empty = (comparable(pa.array([], wanted)), np.empty(0, np.int16), np.empty(0, np.int16))
    user_N, action_N, age_N = (np.concatenate(each) for each in zip(empty, *parts, strict=True))
    parts.clear()
    if (user_N[1:] < user_N[:-1]).any():
        order_N = np.argsort(user_N, kind="stable")
        user_N, action_N = user_N[order_N], action_N[order_N]
        age_N = age_N[order_N] if len(age_N) else age_N
    return PastContacts(user_N, action_N, age_N)


def _batches(
    file: Path, columns: Sequence[str], scores: Scores, as_of: date | None, most_days: int, faults: list[str]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(user, action, age) of one file, a bounded number of rows at a time; what is wrong with it goes to `faults`."""
    try:
        with pq.ParquetFile(file) as parquet:
            wrong = list(_wrong_columns(file, parquet.schema_arrow, columns, scores))
            if wrong:
                faults.extend(wrong)
                return
            missing = dict.fromkeys(columns, 0)
            future = 0
            for batch in parquet.iter_batches(ROWS_PER_STEP, columns=list(columns)):
                table = pa.table(batch)
                for name in columns:
                    missing[name] += table.column(name).null_count
                table = table.drop_null()
                age_N = np.empty(0, np.int16)
                if as_of is not None:
                    age_N = _ages(table.column("date"), as_of)
                    future += int((age_N < 0).sum())
                    recent_N = (age_N >= 0) & (age_N < most_days)
                    table, age_N = table.filter(pa.array(recent_N)), age_N[recent_N].astype(np.int16)
                yield comparable(table.column("user_id")), _positions(table.column("action"), scores), age_N
    except (pa.ArrowException, OSError) as error:
        faults.append(f"{file}: the rows cannot be read ({type(error).__name__})")
        return
    faults.extend(f"{file}: column {name}: {count:,} rows are missing" for name, count in missing.items() if count)
    if future:
        faults.append(f"{file}: column date: {future:,} rows are later than the scores' as_of, {as_of.isoformat()}")


def _wrong_columns(file: Path, schema: pa.Schema, columns: Sequence[str], scores: Scores) -> Iterator[str]:
    for name in columns:
        if name not in schema.names:
            yield f"{file}: column {name}: is missing"
    if "user_id" in schema.names:
        wanted = pq.ParquetFile(scores.files[0]).schema_arrow.field("user_id").type
        kind = schema.field("user_id").type
        if pa.types.is_integer(kind) != pa.types.is_integer(wanted):
            yield f"{file}: column user_id: has type {kind}; the scores have {wanted}"
    if "date" in columns and "date" in schema.names and not pa.types.is_date(schema.field("date").type):
        yield f"{file}: column date: has type {schema.field('date').type}; it must be a date"


def _ages(dates: pa.ChunkedArray, as_of: date) -> np.ndarray:
    """int64[N]: whole days before as_of."""
    days = dates.cast(pa.date32()).cast(pa.int32()).to_numpy()
    return (as_of - date(1970, 1, 1)).days - days.astype(np.int64)


def _positions(actions: pa.ChunkedArray, scores: Scores) -> np.ndarray:
    """int16[N]: places in the catalogue, GONE for what is not in it."""
    found = pc.index_in(actions.cast(pa.string()), pa.array(scores.catalogue.ids, pa.string()))
    return found.fill_null(GONE).to_numpy().astype(np.int16)
