"""The allocation's rows, streamed into compact arrays.

Axes: U users, N contacts, n those of a shard, A actions.
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
from ranker.catalogue import Catalogue
from ranker.files import InputError, batches_of, open_parquet, parquet_files
from ranker.scores import Scores

SOURCES = ("optimised", "exploration", "fallback", "pinned")
COLUMNS = ("user_id", "action", "slot", "value", "margin", "runner_up", "source", "propensity")
MARGINAL = "marginal_propensity"
"""The chance over all ways to a contact: not in the contract, and checked where it is there."""
ROWS_PER_STEP = 1_048_576


class Unreadable(Exception):
    """The allocation is not a dataset of the contract."""


@dataclass(frozen=True)
class ContactsAsRead:
    """Who was given what, sorted by user_N: the user's number in the scores, -1 where not there. action_N: position in the
    catalogue, -1 where unknown."""

    user_N: np.ndarray
    action_N: np.ndarray

    def __len__(self) -> int:
        return len(self.user_N)

    def of(self, first: int, users: int) -> tuple[np.ndarray, np.ndarray]:
        """(position of the row, position of its user) of all rows of so many users of the scores from number `first` on."""
        row_n = np.arange(*np.searchsorted(self.user_N, [first, first + users]))
        return row_n, self.user_N[row_n].astype(np.int64) - first


@dataclass(frozen=True)
class Rows(ContactsAsRead):
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


class Numbering:
    """The users of the scores, numbered as they stand there; none may stand twice or be missing.

    Numbers are looked up among sorted ones, texts by the codes of a dictionary in which those of the scores come first.
    """

    def __init__(self, scores: Scores):
        self.type = type_of_ids(scores)
        files = [open_rows(file, ("user_id",), "the scores") for file in scores.files]
        tables = [table for parquet in files for table in batches(parquet, ("user_id",), "the scores")]
        chunks = [chunk.cast(self.type) for table in tables for chunk in table.column(0).chunks]
        self._ids = pa.chunked_array(chunks, self.type)
        self._order_U = np.argsort(self._ids.to_numpy(), kind="stable") if self.type == pa.int64() else None

    def __len__(self) -> int:
        return len(self._ids)

    def of(self, ids: pa.ChunkedArray) -> np.ndarray:
        """int32[N]: the number of each user, -1 for those who are not in the scores."""
        if self._order_U is None:
            coded = pa.chunked_array([*self._ids.chunks, *ids.chunks], self.type).dictionary_encode()
            codes = np.concatenate([chunk.indices.to_numpy() for chunk in coded.chunks])[len(self) :]
            return np.where(codes < len(self), codes, -1).astype(np.int32)
        sorted_U, id_N = self._ids.to_numpy()[self._order_U], ids.to_numpy()
        place_N = np.minimum(np.searchsorted(sorted_U, id_N), len(self) - 1)
        return np.where(sorted_U[place_N] == id_N, self._order_U[place_N], -1).astype(np.int32)


class Numbered:
    """Users of rows, numbered about as many at a time as there are users: a table of all of them is made each time."""

    def __init__(self, numbering: Numbering):
        self._numbering = numbering
        self._waiting: list[pa.Array] = []
        self._done = [np.empty(0, np.int32)]

    def add(self, ids: pa.ChunkedArray) -> None:
        self._waiting += ids.chunks
        if sum(map(len, self._waiting)) >= max(len(self._numbering), ROWS_PER_STEP):
            self._number()

    def _number(self) -> None:
        self._done.append(self._numbering.of(pa.chunked_array(self._waiting, self._numbering.type)))
        self._waiting.clear()

    def all(self) -> np.ndarray:
        """int32[N]."""
        self._number()
        return np.concatenate(self._done)


def type_of_ids(scores: Scores) -> pa.DataType:
    """int64 or string."""
    with open_rows(scores.files[0], ("user_id",), "the scores") as parquet:
        kind = parquet.schema_arrow.field("user_id").type
    return pa.int64() if pa.types.is_integer(kind) else pa.string()


def read_rows(allocation: Path, scores: Scores, numbering: Numbering) -> Rows:
    """Streams the rows into compact arrays: some 30 bytes a contact."""
    files = parquet_files(allocation)
    if not files:
        raise Unreadable("there are no *.parquet files")
    opened = [open_rows(file, COLUMNS, "the rows") for file in files]
    total = sum(parquet.metadata.num_rows for parquet in opened)
    action_N, source_N = np.empty(total, np.int16), np.empty(total, np.int8)
    value_N, marginal_N = np.empty(total), np.full(total, math.nan)
    users, first = Numbered(numbering), 0
    faults: Counter[str] = Counter()
    for parquet in opened:
        told = [*COLUMNS, *({MARGINAL} & set(parquet.schema_arrow.names))]
        for table in batches(parquet, told, "the rows"):
            part = slice(first, first := first + len(table))
            if MARGINAL in told:
                marginal_N[part] = _floats(table.column(MARGINAL))
                faults["have a marginal_propensity outside (0, 1]"] += _no_chances(marginal_N[part])
            users.add(ids_of(table, numbering.type, "the rows"))
            action_N[part], value_N[part], source_N[part] = _compact(table, scores.catalogue, faults)
    user_N, action_N, value_N, source_N, marginal_N = by_user(users.all(), action_N, value_N, source_N, marginal_N)
    return Rows(user_N, action_N, value_N, source_N, marginal_N, faults)


def by_user(user_N: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """The arrays in the order of the users."""
    if not (user_N[1:] < user_N[:-1]).any():
        return user_N, *others
    order_N = np.argsort(user_N, kind="stable")
    return tuple(each[order_N] for each in (user_N, *others))


def open_rows(file: Path, columns: Sequence[str], what: str) -> pq.ParquetFile:
    try:
        parquet = open_parquet(file)
    except InputError as error:
        raise Unreadable(f"{what} cannot be read ({'; '.join(error.problems)})") from None
    lacking = [name for name in columns if name not in parquet.schema_arrow.names]
    if lacking:
        raise Unreadable(f"{what} lack the column {', '.join(lacking)}")
    return parquet


def batches(parquet: pq.ParquetFile, columns: Sequence[str], what: str) -> Iterator[pa.Table]:
    try:
        for batch in batches_of(parquet, Path(what), ROWS_PER_STEP, columns):
            yield pa.table(batch)
    except InputError:
        raise Unreadable(f"{what} cannot be read") from None


def ids_of(table: pa.Table, wanted: pa.DataType, what: str) -> pa.ChunkedArray:
    """The users of some rows; they must be numbers or texts as those of the scores are."""
    users = table.column("user_id")
    if users.null_count or pa.types.is_integer(users.type) != pa.types.is_integer(wanted):
        raise Unreadable(
            f"column user_id of {what}: is {users.type} with {users.null_count:,} missing; the scores have {wanted}"
        )
    return cast(users, wanted, f"column user_id of {what}")


def _compact(table: pa.Table, catalogue: Catalogue, faults: Counter[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(action, value, source) of some rows, what is wrong with them counted into `faults`."""
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
    return action_N.astype(np.int16), value_N, source_N.astype(np.int8)


def cast(column: pa.ChunkedArray, kind: pa.DataType, what: str) -> pa.ChunkedArray:
    try:
        return column.cast(kind)
    except (pa.ArrowException, ValueError) as error:
        raise Unreadable(f"{what}: is {column.type} and no {kind} ({type(error).__name__})") from None


def _no_chances(chance_N: np.ndarray) -> int:
    """How many are no chances of what has happened."""
    return int(np.count_nonzero(~((chance_N > 0) & (chance_N <= 1))))


def codes_of(column: pa.ChunkedArray, values: Sequence[str]) -> np.ndarray:
    """int64[N]: the position of each value, -1 where it is none of them."""
    if pa.types.is_null(column.type):
        return np.full(len(column), -1)
    found = pc.index_in(cast(column, pa.string(), "a column of text"), pa.array(values, pa.string()))
    return found.fill_null(-1).to_numpy().astype(np.int64)


def _missing(column: pa.ChunkedArray) -> np.ndarray:
    return column.is_null().to_numpy()


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    return cast(column, pa.float64(), "a column of numbers").fill_null(math.nan).to_numpy()
