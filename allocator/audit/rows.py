"""The allocation's rows, streamed into compact arrays.

Axes: U users of a shard, N contacts (rows), A actions.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from allocator.audit.checks import Check, none_of, verdict
from ranker.scores import Catalogue, Scores

SOURCES = ("optimised", "exploration", "fallback", "pinned")
COLUMNS = ("user_id", "action", "slot", "value", "margin", "runner_up", "source", "propensity")
MARGINAL = "marginal_propensity"
"""The chance over all ways to a contact: not in the contract, and checked where it is there."""
ROWS_PER_STEP = 1_048_576


class Unreadable(Exception):
    """The allocation is not a dataset of the contract."""


@dataclass(frozen=True)
class Contacts:
    """Who was given what, sorted by user. action_N: position in the catalogue, -1 where unknown."""

    user_N: np.ndarray
    action_N: np.ndarray

    def __len__(self) -> int:
        return len(self.user_N)

    def of(self, user_U: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(position of the row, position of its user in user_U) of all rows of these users."""
        first_U = np.searchsorted(self.user_N, user_U, "left")
        count_U = np.searchsorted(self.user_N, user_U, "right") - first_U
        user_n = np.repeat(np.arange(len(user_U)), count_U)
        offset_n = np.arange(len(user_n)) - np.repeat(np.cumsum(count_U) - count_U, count_U)
        return np.repeat(first_U, count_U) + offset_n, user_n


@dataclass(frozen=True)
class Rows(Contacts):
    """The allocation's rows. source_N: position in SOURCES, -1 where unknown. value_N is NaN where missing, marginal_N too.

    faults: what is wrong with rows, counted.
    """

    value_N: np.ndarray
    source_N: np.ndarray
    marginal_N: np.ndarray
    faults: Mapping[str, int]

    def checks(self, matched: int) -> Iterator[Check]:
        """matched: how many rows are of users who are in the scores."""
        wrong = [f"{count:,} rows {what}" for what, count in self.faults.items() if count]
        yield verdict("rows", wrong, f"{len(self):,} rows are well formed")
        yield none_of("users", len(self) - matched, "rows are for users who are not in the scores")


def comparable(ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Ids as an array that sorts: int64, or numpy's strings."""
    if pa.types.is_integer(ids.type):
        return ids.to_numpy() if isinstance(ids, pa.ChunkedArray) else ids.to_numpy(zero_copy_only=False)
    return np.array(ids.to_pylist(), dtype=np.dtypes.StringDType())


def type_of_ids(scores: Scores) -> pa.DataType:
    return pq.ParquetFile(scores.files[0]).schema_arrow.field("user_id").type


def read_rows(allocation: Path, scores: Scores) -> Rows:
    """Streams the rows into compact arrays: some 30 bytes a contact."""
    files = sorted(allocation.glob("*.parquet"))
    if not files:
        raise Unreadable("there are no *.parquet files")
    wanted = type_of_ids(scores)
    opened = [open_rows(file, COLUMNS, "the rows") for file in files]
    total = sum(parquet.metadata.num_rows for parquet in opened)
    action_N, source_N = np.empty(total, np.int16), np.empty(total, np.int8)
    value_N, marginal_N = np.empty(total), np.full(total, math.nan)
    user_parts, faults, first = [comparable(pa.chunked_array([], wanted))], Counter(), 0
    for parquet in opened:
        told = [*COLUMNS, *({MARGINAL} & set(parquet.schema_arrow.names))]
        for table in batches(parquet, told, "the rows"):
            part = slice(first, first := first + len(table))
            if MARGINAL in told:
                marginal_N[part] = _floats(table.column(MARGINAL))
                faults["have a marginal_propensity outside (0, 1]"] += _no_chances(marginal_N[part])
            user_n, action_N[part], value_N[part], source_N[part] = _compact(table, wanted, scores.catalogue, faults)
            user_parts.append(user_n)
    user_N = np.concatenate(user_parts)
    user_parts.clear()
    return Rows(*by_user(user_N, action_N, value_N, source_N, marginal_N), faults)


def by_user(user_N: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """The arrays in the order of the users."""
    if not (user_N[1:] < user_N[:-1]).any():
        return user_N, *others
    order_N = np.argsort(user_N, kind="stable")
    return tuple(each[order_N] for each in (user_N, *others))


def open_rows(file: Path, columns: Sequence[str], what: str) -> pq.ParquetFile:
    try:
        parquet = pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise Unreadable(f"{what} cannot be read ({type(error).__name__})") from None
    lacking = [name for name in columns if name not in parquet.schema_arrow.names]
    if lacking:
        raise Unreadable(f"{what} lack the column {', '.join(lacking)}")
    return parquet


def batches(parquet: pq.ParquetFile, columns: Sequence[str], what: str) -> Iterator[pa.Table]:
    try:
        for batch in parquet.iter_batches(ROWS_PER_STEP, columns=list(columns)):
            yield pa.table(batch)
    except (pa.ArrowException, OSError) as error:
        raise Unreadable(f"{what} cannot be read ({type(error).__name__})") from None


def ids_of(table: pa.Table, wanted: pa.DataType, what: str) -> np.ndarray:
    """The users of some rows as an array that sorts; they must have the type that the scores have."""
    users = table.column("user_id")
    if users.null_count or pa.types.is_integer(users.type) != pa.types.is_integer(wanted):
        raise Unreadable(
            f"column user_id of {what}: is {users.type} with {users.null_count:,} missing; the scores have {wanted}"
        )
    return comparable(users)


def _compact(
    table: pa.Table, wanted: pa.DataType, catalogue: Catalogue, faults: Counter[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(user, action, value, source) of some rows, what is wrong with them counted into `faults`."""
    user_N = ids_of(table, wanted, "the rows")
    action_N, source_N = codes_of(table.column("action"), catalogue.ids), codes_of(table.column("source"), SOURCES)
    value_N = _floats(table.column("value"))
    slots = sorted(set(catalogue.slots))
    slot_A = np.array([slots.index(slot) for slot in catalogue.slots])
    runner_up = table.column("runner_up")
    wrong = {
        "have an action that is not in the catalogue": action_N < 0,
        "have another slot than their action": (codes_of(table.column("slot"), slots) != slot_A[action_N])
        | (action_N < 0),
        "have an unknown source": source_N < 0,
        "have no finite value": ~np.isfinite(value_N),
        "have a runner_up that is not in the catalogue": (codes_of(runner_up, catalogue.ids) < 0)
        & ~_missing(runner_up),
        "have an infinite margin": np.isinf(_floats(table.column("margin"))),
    }
    faults["have a propensity outside (0, 1]"] += _no_chances(_floats(table.column("propensity")))
    faults.update({name: int(np.count_nonzero(wrong_N)) for name, wrong_N in wrong.items()})
    return user_N, action_N.astype(np.int16), value_N, source_N.astype(np.int8)


def _no_chances(chance_N: np.ndarray) -> int:
    """How many are no chances of what has happened."""
    return int(np.count_nonzero(~((chance_N > 0) & (chance_N <= 1))))


def codes_of(column: pa.ChunkedArray, values: Sequence[str]) -> np.ndarray:
    """int64[N]: the position of each value, -1 where it is none of them."""
    if pa.types.is_null(column.type):
        return np.full(len(column), -1)
    found = pc.index_in(column.cast(pa.string()), pa.array(values, pa.string()))
    return found.fill_null(-1).to_numpy().astype(np.int64)


def _missing(column: pa.ChunkedArray) -> np.ndarray:
    return column.is_null().to_numpy()


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    return column.cast(pa.float64()).fill_null(math.nan).to_numpy()
