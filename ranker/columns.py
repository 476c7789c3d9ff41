"""Columns as Spark, Polars, DuckDB and pandas write them, in the one form that is worked with here.

Ids are int64 or string, texts string, dates date32, lists flat with their width.

Axes: R rows, A actions (a list has an entry for each).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ranker.files import FIRST_DAY, LAST_DAY, batches, open_parquet, parquet_schema, unreadable

NO_LISTS: Mapping[str, int] = MappingProxyType({})
ROWS_AT_ONCE = 1_048_576
MANY_ROWS, MANY_SHARE, EXAMPLES = 100, 0.01, 3
"""A value that may be told stands in so many rows, and in such a share of them."""
UNITS_PER_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


def is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_id(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or is_text(kind)


def is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def is_date(kind: pa.DataType) -> bool:
    return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind))


def is_list_of(kind: pa.DataType, fits: Callable[[pa.DataType], bool], width: int) -> bool:
    """A list of any kind whose entries fit; of a fixed size, it is the width. Other lists are counted row by row."""
    if pa.types.is_fixed_size_list(kind):
        return kind.list_size == width and fits(kind.value_type)
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return (lists or pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind)) and fits(kind.value_type)


def type_of_ids(kind: pa.DataType) -> pa.DataType:
    """int64 or string, as `as_ids` gives them."""
    return pa.int64() if pa.types.is_integer(kind) else pa.string()


def as_ids(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """int64 or string; numbers beyond int64 are told by `value_problems`."""
    return column.cast(type_of_ids(column.type))


def as_text(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return column if pa.types.is_string(column.type) else column.cast(pa.string())


def as_numbers(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """float64; whole numbers beyond 2^53 are rounded."""
    return column.cast(pa.float64(), safe=False)


def as_days(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """date32: the day where the time was read, in its own time zone."""
    return _local(column).cast(pa.date32(), safe=False)


def as_moments(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """timestamp[s]: a date, or the time where it was read."""
    return _local(column).cast(pa.timestamp("s"), safe=False)


def _local(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    zoned = pa.types.is_timestamp(column.type) and column.type.tz is not None
    return pc.local_timestamp(column) if zoned else column


def as_lists(column: pa.Array, width: int) -> tuple[pa.Array, np.ndarray]:
    """(entries of the rows that have a list of this width, bool[R] which these are)."""
    if pa.types.is_list_view(column.type) or pa.types.is_large_list_view(column.type):
        column = column.cast(pa.large_list(column.type.value_type))
    if pa.types.is_fixed_size_list(column.type) and not column.null_count:
        return column.flatten(), np.full(len(column), column.type.list_size == width)
    whole = pc.fill_null(pc.equal(pc.list_value_length(column), width), False)
    return column.filter(whole).flatten(), whole.to_numpy(zero_copy_only=False)


def as_flags(column: pa.ChunkedArray, width: int) -> np.ndarray:
    """bool[R, A] of a list column; a missing list or entry is false, and so is a list of another length."""
    flags_RA = np.zeros((len(column), width), bool)
    start = 0
    for chunk in column.chunks:
        values, whole_R = as_lists(chunk, width)
        flat = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
        flags_RA[start : start + len(chunk)][whole_R] = flat.reshape(-1, width)
        start += len(chunk)
    return flags_RA


def value_problems(
    file: Path, ids: Sequence[str] = (), dates: Sequence[str] = (), lists: Mapping[str, int] = NO_LISTS
) -> Iterator[str]:
    """What is wrong with ids, dates and lengths of lists in a file whose column types are right, counted by column; reads these alone.

    lists: column -> the length that each list must have, where it is not missing.
    """
    with open_parquet(file) as parquet:
        kinds = {field.name: field.type for field in parquet.schema_arrow}
        rows = parquet.metadata.num_rows
    faults = {name: _too_large for name in ids if pa.types.is_uint64(kinds[name])}
    for name in dates:
        zone = getattr(kinds[name], "tz", None)
        if zone is not None and not _is_known(zone):
            yield f"{file}: column {name}: has times in {zone}, which is no known time zone; write dates"
        else:
            faults[name] = _wrong_days
    sized = [name for name in lists if not pa.types.is_fixed_size_list(kinds[name])]
    faults |= {name: partial(_other_lengths, width=lists[name]) for name in sized}
    for name, fault in faults.items():
        counts: dict[str, int] = {}
        for batch in batches(file, ROWS_AT_ONCE, [name]):
            for what, count in fault(batch.column(name)):
                counts[what] = counts.get(what, 0) + count
        yield from (f"{file}: column {name}: {n:,} of {rows:,} rows {what}" for what, n in counts.items() if n)


def _too_large(column: pa.Array) -> Iterator[tuple[str, int]]:
    yield (
        "are numbers above 2^63, the most that an id may be",
        pc.sum(pc.greater(column, pa.scalar(2**63 - 1, pa.uint64()))).as_py() or 0,
    )


def _wrong_days(column: pa.Array) -> Iterator[tuple[str, int]]:
    kind, column = column.type, column.drop_null()
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        local = pc.local_timestamp(column).cast(pa.int64()).to_numpy(zero_copy_only=False)
        late = int(np.count_nonzero(local % UNITS_PER_DAY[kind.unit]))
        yield f"are no midnight in {kind.tz}, so which day is meant is not known; write dates", late
    day_R = as_days(column).cast(pa.int32()).to_numpy(zero_copy_only=False)
    first, last = (np.datetime64(day, "D").astype(np.int64) for day in (FIRST_DAY, LAST_DAY))
    yield (
        f"are not between the years {FIRST_DAY.year} and {LAST_DAY.year}",
        int(((day_R < first) | (day_R > last)).sum()),
    )


def _other_lengths(column: pa.Array, width: int) -> Iterator[tuple[str, int]]:
    other = pc.not_equal(pc.list_value_length(column), width)
    yield f"have a list of another length than {width}, an entry per action", pc.sum(other).as_py() or 0


def _is_known(zone: str) -> bool:
    try:
        pc.local_timestamp(pa.array([0], pa.timestamp("s", tz=zone)))
    except unreadable():
        return False
    return True


def frequent(counts: Mapping[str, int], rows: int) -> str:
    """' (such as ...)' with the values that stand in so many rows that they are no users' ids; nothing where there are none.

    counts: value -> rows. A column may have been mixed up with the users', and no message has an id in it.
    """
    many = [value for value, count in counts.items() if count >= max(MANY_ROWS, MANY_SHARE * rows)]
    told = sorted(many, key=lambda value: -counts[value])[:EXAMPLES]
    return f" (such as {', '.join(repr(value) for value in told)})" if told else ""


def read_ids(*files: Path) -> pa.ChunkedArray:
    """The users of all rows of some files, as `as_ids` gives them; the files hold ids of one kind."""
    kind = type_of_ids(parquet_schema(files[0]).field("user_id").type)
    parts = [as_ids(batch.column(0)) for file in files for batch in batches(file, ROWS_AT_ONCE, ["user_id"])]
    return pa.chunked_array(parts, kind)


class Places:
    """Where each of many ids stands among these, which are of one type and have none missing.

    A table of the ids is made per call, so a call is worth it for about as many as there are of them (see `together`).
    """

    def __init__(self, ids: pa.ChunkedArray):
        self._ids = ids
        self._order = None
        if pa.types.is_integer(ids.type):
            id_R = ids.to_numpy()
            self._order = np.argsort(id_R, kind="stable")
            self._sorted = id_R[self._order]

    def __len__(self) -> int:
        return len(self._ids)

    def of(self, ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
        """int64[R]: the place of each, -1 where it is none of them."""
        if not len(self) or not len(ids):
            return np.full(len(ids), -1)
        if self._order is None:
            found: pa.Array | pa.ChunkedArray = pc.index_in(ids, value_set=self._ids).fill_null(-1)
            return np.asarray(found.to_numpy(zero_copy_only=False), np.int64)
        id_R = ids.to_numpy(zero_copy_only=False) if isinstance(ids, pa.Array) else ids.to_numpy()
        place_R = np.minimum(np.searchsorted(self._sorted, id_R), len(self) - 1)
        return np.where(self._sorted[place_R] == id_R, self._order[place_R], -1)


def together(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of at least so many; the last may have fewer."""
    waiting, count = [], 0
    for table in tables:
        waiting.append(table)
        count += len(table)
        if count >= rows:
            yield pa.concat_tables(waiting)
            waiting, count = [], 0
    if waiting:
        yield pa.concat_tables(waiting)
