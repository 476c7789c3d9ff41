"""The scores dataset: what one contact is worth to each user, per action and metric; the contract between ranker and allocator.

A directory with `catalogue.json` and `*.parquet`, a row per user. Position a of every list column is action a of the catalogue,
said once here and relied on everywhere. Optional `history/*.parquet` has a row per contact that a user received before, for contact
rules that count earlier days. Optional `interference` in the catalogue says what contacts take from each other. Axes: U users, A
actions (catalogue order), N rows.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ranker import disk
from ranker.catalogue import (
    CATALOGUE_FILE,
    MOST_SEGMENT_VALUES,
    Catalogue,
    most_values,
    read_catalogue,
    write_catalogue,
)
from ranker.columns import (
    as_ids,
    as_lists,
    as_text,
    is_id,
    is_list_of,
    is_text,
    read_ids,
    value_problems,
)
from ranker.files import InputError, batches, open_parquet, some_parquet_files

if TYPE_CHECKING:
    import pandas as pd  # half a second that no command that reads scores needs

ROWS_PER_FILE = 2_000_000
ROWS_PER_GROUP = 65_536
MOST_EFFECT = 1e15
"""Of one contact, in any unit; times a weight of a policy it is still within float32."""


@dataclass(frozen=True)
class Shard:
    """Consecutive users of a scores dataset.

    start: position of the first user in the dataset. user_id: [U] int64 or string. segments: name -> int32[U], codes into
    `Scores.vocabulary[name]`. eligible_UA: bool. mean, stderr: metric -> float32[U, A]; absent where not given, or not read.
    """

    start: int
    user_id: pa.Array
    segments: Mapping[str, np.ndarray]
    eligible_UA: np.ndarray
    mean: Mapping[str, np.ndarray]
    stderr: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.user_id)

    @property
    def places(self) -> range:
        """Where the users stand in the dataset."""
        return range(self.start, self.start + len(self))


@dataclass(frozen=True)
class Scores:
    """A scores dataset on disk, opened with `open_scores`; read in shards, so memory does not grow with users."""

    path: Path
    catalogue: Catalogue
    files: tuple[Path, ...]
    users: int
    has_eligible: bool
    stderr_metrics: frozenset[str] = field(default=frozenset())

    @cached_property
    def vocabulary(self) -> Mapping[str, tuple[str, ...]]:
        """Per segment its values, sorted; a user's code is the position in it. Left out are those of more than MOST_SEGMENT_VALUES, and
        those with nearly as many values as users: these are ids by another name, and values of segments are told in messages."""
        found: dict[str, set[str]] = {name: set() for name in self.catalogue.segments}
        for file in self.files if found else ():
            names = [name for name, values in found.items() if len(values) <= MOST_SEGMENT_VALUES]
            for batch in batches(file, 1 << 20, names):
                for name in names:
                    if len(found[name]) <= MOST_SEGMENT_VALUES:
                        found[name].update(pc.unique(as_text(batch.column(name)).drop_null()).to_pylist())
        return {name: tuple(sorted(values)) for name, values in found.items() if len(values) <= most_values(self.users)}

    def shards(
        self, rows: int = 262_144, *, check: bool = True, planes: Collection[tuple[str, str]] | None = None
    ) -> Iterator[Shard]:
        """Streams the users in file, then row order, `rows` at a time. planes: read these (mean | stderr, metric) alone.

        check: count missing, non-finite and negative values on the way and raise InputError with all of them at the end of
        the iteration; a second iteration over the same data can leave it out.
        """
        faults: Counter[tuple[str, str, str]] = Counter()
        start = 0
        for file in self.files:
            for batch in batches(file, rows, self._columns(planes)):
                shard = self._shard(file, batch, start, faults if check else None)
                start += len(shard)
                yield shard
        if faults:
            raise InputError(
                [
                    f"{file}: column {column}: {count:,} {fault}"
                    for (file, column, fault), count in sorted(faults.items())
                ]
            )

    def segment_codes(self, names: Sequence[str], rows: int = 1 << 20) -> Iterator[tuple[np.ndarray, ...]]:
        """Streams only the segments named: per batch of users, int32[U] codes into `vocabulary` for each name."""
        for file in self.files:
            for batch in batches(file, rows, names):
                yield tuple(self._codes(batch, name, file, None) for name in names)

    def segment_counts(self, names: Sequence[str]) -> Mapping[tuple[str, ...], int]:
        """How many users have which values of these segments; pandas, which Arrow loads to make arrays, is not needed for it."""
        found: Counter[tuple[str, ...]] = Counter()
        for file in self.files if names else ():
            for batch in batches(file, 1 << 20, names):
                texts = [as_text(batch.column(name)) for name in names]
                encoded = [(each.fill_null("") if each.null_count else each).dictionary_encode() for each in texts]
                words = [each.dictionary.to_pylist() for each in encoded]
                shape = tuple(map(len, words))
                cell_U = np.ravel_multi_index(
                    tuple(np.asarray(np.from_dlpack(each.indices), np.int64) for each in encoded), shape
                )
                for cell, count in zip(*np.unique(cell_U, return_counts=True), strict=True):
                    place = np.unravel_index(cell, shape)
                    found[tuple(of[code] for of, code in zip(words, place, strict=True))] += int(count)
        return found

    def check_users(self) -> None:
        """Raises InputError where a user stands twice or has no id; 8 bytes a user where ids are numbers."""
        ids = (read_ids(file).drop_null() for file in self.files)
        known, repeated = _count_ids(ids, self.users)
        missing, problems = self.users - known, []
        if missing:
            problems.append(f"{self.path}: column user_id: {missing:,} of {self.users:,} rows are missing")
        if repeated:
            problems.append(f"{self.path}: column user_id: {repeated:,} of {self.users:,} rows repeat an earlier user")
        if problems:
            raise InputError(problems)

    @property
    def planes(self) -> tuple[tuple[str, str], ...]:
        """(mean | stderr, metric) of all that there is, in catalogue order."""
        names = [metric.name for metric in self.catalogue.metrics]
        return (
            *(("mean", name) for name in names),
            *(("stderr", name) for name in names if name in self.stderr_metrics),
        )

    def _columns(self, wanted: Collection[tuple[str, str]] | None) -> list[str]:
        planes = [f"{kind}_{name}" for kind, name in self.planes if wanted is None or (kind, name) in wanted]
        return ["user_id", *self.vocabulary, *(["eligible"] if self.has_eligible else []), *planes]

    def _shard(self, file: Path, batch: pa.RecordBatch, start: int, faults: Counter | None) -> Shard:
        actions = len(self.catalogue.actions)

        def matrix(column: str, value_type: pa.DataType) -> np.ndarray:
            values, wrong = _as_matrix(batch.column(column), actions, value_type)
            if faults is not None:
                _count_faults(faults, str(file), column, values, wrong)
            return values

        eligible = matrix("eligible", pa.bool_()) if self.has_eligible else np.ones((len(batch), actions), bool)
        read = [(kind, name) for kind, name in self.planes if f"{kind}_{name}" in batch.schema.names]
        return Shard(
            start=start,
            user_id=as_ids(batch.column("user_id")),
            segments={name: self._codes(batch, name, file, faults) for name in self.vocabulary},
            eligible_UA=eligible,
            mean={name: matrix(f"mean_{name}", pa.float32()) for kind, name in read if kind == "mean"},
            stderr={name: matrix(f"stderr_{name}", pa.float32()) for kind, name in read if kind == "stderr"},
        )

    def _codes(self, batch: pa.RecordBatch, name: str, file: Path, faults: Counter | None) -> np.ndarray:
        column = as_text(batch.column(name))
        if column.null_count and faults is not None:
            faults[(str(file), name, "rows are missing")] += column.null_count
        codes = pc.index_in(column, pa.array(self.vocabulary[name], pa.string()))
        return np.asarray(codes.fill_null(0).to_numpy(zero_copy_only=False), np.int32)


def open_scores(path: Path | str) -> Scores:
    """Opens a scores dataset: catalogue and column types of every file are validated, data is not read yet.

    Raises InputError that lists everything wrong.
    """
    path = Path(path)
    catalogue = read_catalogue(path / CATALOGUE_FILE, with_metrics=True)
    files = tuple(some_parquet_files(path))
    problems: list[str] = []
    schemas: dict[Path, pa.Schema] = {}
    users = 0
    for file in files:
        try:
            with open_parquet(file) as parquet:
                schemas[file], rows = parquet.schema_arrow, parquet.metadata.num_rows
        except InputError as error:
            problems += error.problems
            continue
        users += rows
        found = [f"{file}: {problem}" for problem in _schema_problems(schemas[file], catalogue)]
        problems += found or value_problems(file, ids=["user_id"])
    for optional in ["eligible", *(f"stderr_{metric.name}" for metric in catalogue.metrics)]:
        having = [file for file, schema in schemas.items() if optional in schema.names]
        if having and len(having) < len(schemas):
            lacking = next(file for file in schemas if file not in having)
            problems.append(f"{lacking}: column {optional}: is missing here but present in {having[0].name}")
    problems += _mixed_ids(schemas)
    if not problems and not users:
        problems.append(f"{path}: there are no users")
    if problems:
        raise InputError(problems)
    names = set(next(iter(schemas.values())).names)
    return Scores(
        path=path,
        catalogue=catalogue,
        files=files,
        users=users,
        has_eligible="eligible" in names,
        stderr_metrics=frozenset(m.name for m in catalogue.metrics if f"stderr_{m.name}" in names),
    )


def _schema_problems(schema: pa.Schema, catalogue: Catalogue) -> Iterator[str]:
    actions = len(catalogue.actions)
    if "user_id" not in schema.names:
        yield "column user_id: is missing"
    elif not is_id(schema.field("user_id").type):
        yield f"column user_id: has type {schema.field('user_id').type}; int64 or string is needed"
    for name in catalogue.segments:
        if name not in schema.names:
            yield f"column {name}: is missing, and catalogue.json names it as a segment"
        elif not is_text(schema.field(name).type):
            yield f"column {name}: has type {schema.field(name).type}; a segment is a string"
    wanted = {f"mean_{metric.name}": pa.types.is_floating for metric in catalogue.metrics}
    for name in (name for name in wanted if name not in schema.names):
        yield f"column {name}: is missing, and catalogue.json names the metric"
    wanted |= {f"stderr_{metric.name}": pa.types.is_floating for metric in catalogue.metrics}
    wanted["eligible"] = pa.types.is_boolean
    for name, fits in wanted.items():
        if name in schema.names:
            kind = schema.field(name).type
            if not is_list_of(kind, fits, actions):
                needed = "bool" if name == "eligible" else "float32"
                yield f"column {name}: has type {kind}; fixed_size_list<{needed}>[{actions}] is needed, an entry per action"


def _mixed_ids(schemas: Mapping[Path, pa.Schema]) -> Iterator[str]:
    """Ids are numbers in every file or texts in every file: 7 and "7" would be two users."""
    kinds = {file: schema.field("user_id").type for file, schema in schemas.items() if "user_id" in schema.names}
    for file, kind in kinds.items():
        first, wanted = next(iter(kinds.items()))
        if pa.types.is_integer(kind) != pa.types.is_integer(wanted):
            yield f"{file}: column user_id: has type {kind} here but {wanted} in {first.name}"


def _count_ids(parts: Iterable[pa.ChunkedArray], most: int) -> tuple[int, int]:
    """How many ids there are, at most `most`, and how many of them stand earlier already."""
    id_N, known, texts = np.empty(most, np.int64), 0, []
    for part in parts:
        if pa.types.is_integer(part.type):
            id_N[known : known + len(part)] = part.to_numpy()
        else:
            texts += part.chunks
        known += len(part)
    if texts:
        return known, known - pc.count_distinct(pa.chunked_array(texts)).as_py()
    id_N = id_N[:known]
    if not (id_N[1:] > id_N[:-1]).all():
        id_N.sort()  # a set of them would take several times the memory
    return known, int((id_N[1:] == id_N[:-1]).sum())


def _as_matrix(column: pa.Array, width: int, value_type: pa.DataType) -> tuple[np.ndarray, dict[str, int]]:
    """The list column as [rows, width], without a copy where Arrow allows, and how many rows and entries are not as they must be."""
    values, whole_N = as_lists(column, width)
    wrong = {
        "rows have no list at all; not eligible is eligible = false": column.null_count,
        f"rows have a list of another length than {width}, an entry per action": len(column)
        - int(whole_N.sum())
        - column.null_count,
        "entries are missing; not eligible is eligible = false": values.null_count,
    }
    if values.null_count:
        values = values.fill_null(False if pa.types.is_boolean(values.type) else 0.0)
    if values.type != value_type:
        values = values.cast(value_type)
    flat = values.to_numpy(zero_copy_only=False)
    if whole_N.all():
        return flat.reshape(len(column), width), wrong
    matrix = np.zeros((len(column), width), flat.dtype)
    matrix[whole_N] = flat.reshape(-1, width)
    return matrix, wrong


def _count_faults(faults: Counter, file: str, column: str, values: np.ndarray, wrong: Mapping[str, int]) -> None:
    faults.update({(file, column, fault): count for fault, count in wrong.items() if count})
    if values.dtype == bool:
        return
    bad = values.size - int(np.count_nonzero(np.abs(values) <= MOST_EFFECT))
    if bad:
        infinite = values.size - int(np.count_nonzero(np.isfinite(values)))
        wrong = {
            "entries are not finite; not eligible is eligible = false, never NaN": infinite,
            f"entries are beyond {MOST_EFFECT:g}, as no effect of a contact is": bad - infinite,
        }
        faults.update({(file, column, fault): count for fault, count in wrong.items() if count})
    if column.startswith("stderr_"):
        negative = int(np.count_nonzero(values < 0))
        if negative:
            faults[(file, column, "entries are negative; a standard error is not")] += negative


@dataclass(frozen=True)
class HeldScores(Scores):
    """Scores of a few users, in memory; nothing is read from `path`."""

    table: pa.Table = field(default_factory=lambda: pa.table({}))

    @classmethod
    def of(cls, table: pa.Table, catalogue: Catalogue) -> "HeldScores":
        """table: as `scores_table` makes it."""
        stderrs = frozenset(m.name for m in catalogue.metrics if f"stderr_{m.name}" in table.column_names)
        eligible = "eligible" in table.column_names
        return cls(Path("scores"), catalogue, (), len(table), eligible, stderrs, table.combine_chunks())

    @cached_property
    def vocabulary(self) -> Mapping[str, tuple[str, ...]]:
        found = {name: pc.unique(as_text(self.table.column(name)).drop_null()) for name in self.catalogue.segments}
        return {name: tuple(sorted(values.to_pylist())) for name, values in found.items()}

    @cached_property
    def _held(self) -> tuple[Shard, ...]:
        start, shards = 0, []
        for batch in self.table.to_batches():
            shards.append(self._shard(self.path, batch, start, None))
            start += len(batch)
        return tuple(shards)

    def shards(
        self, rows: int = 262_144, *, check: bool = True, planes: Collection[tuple[str, str]] | None = None
    ) -> Iterator[Shard]:
        yield from self._held

    def segment_codes(self, names: Sequence[str], rows: int = 1 << 20) -> Iterator[tuple[np.ndarray, ...]]:
        for shard in self._held:
            yield tuple(shard.segments[name] for name in names)

    def check_users(self) -> None:
        """Users in memory were checked when they were scored."""


def scores_table(
    catalogue: Catalogue,
    user_id: pa.Array,
    segments: Mapping[str, pa.Array],
    mean: Mapping[str, np.ndarray],
    stderr: Mapping[str, np.ndarray] | None = None,
    eligible_UA: np.ndarray | None = None,
    extra: Mapping[str, pa.Array] | None = None,
) -> pa.Table:
    """The rows of some users, as `ScoresWriter.write` takes and writes them."""
    columns: dict[str, pa.Array] = {"user_id": user_id}
    columns |= {name: segments[name] for name in catalogue.segments}
    if eligible_UA is not None:
        columns["eligible"] = _as_lists(eligible_UA, pa.bool_())
    for metric in catalogue.metrics:
        columns[f"mean_{metric.name}"] = _as_lists(mean[metric.name], pa.float32())
    for name, values_UA in (stderr or {}).items():
        columns[f"stderr_{name}"] = _as_lists(values_UA, pa.float32())
    return pa.table({**columns, **(extra or {})})


class ScoresWriter:
    """Writes a scores dataset shard by shard into an existing directory; use as a context manager."""

    def __init__(self, path: Path, catalogue: Catalogue):
        self._path, self._catalogue = path, catalogue
        self._file = ExitStack()
        self._writer: disk.ParquetTables | None = None
        self._file_rows = 0
        self._files = 0
        write_catalogue(path / CATALOGUE_FILE, catalogue)

    def write(
        self,
        user_id: pa.Array,
        segments: Mapping[str, pa.Array],
        mean: Mapping[str, np.ndarray],
        stderr: Mapping[str, np.ndarray] | None = None,
        eligible_UA: np.ndarray | None = None,
        extra: Mapping[str, pa.Array] | None = None,
    ) -> None:
        """Appends users: user_id [U]; segments name -> string[U]; mean, stderr metric -> float32[U, A]; eligible_UA bool.

        extra: further columns, kept for other readers and ignored by `open_scores`.
        """
        self._append(scores_table(self._catalogue, user_id, segments, mean, stderr, eligible_UA, extra))

    def _append(self, table: pa.Table) -> None:
        if self._writer is None:
            # Floats of scores do not compress; plain pages are read back at memory speed.
            file = disk.parquet(
                self._path / f"part-{self._files:05d}.parquet",
                table.schema,
                compression="none",
                use_dictionary=list(self._catalogue.segments) or False,
                write_statistics=False,
            )
            self._writer = self._file.enter_context(file)
            self._files += 1
        self._writer.write_table(table, row_group_size=ROWS_PER_GROUP)
        self._file_rows += len(table)
        if self._file_rows >= ROWS_PER_FILE:
            self._close_file()

    def _close_file(self) -> None:
        self._file.close()
        self._writer, self._file_rows = None, 0

    def __enter__(self) -> "ScoresWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_file()


def write_frame(path: Path, catalogue: Catalogue | Mapping[str, object], frame: "pd.DataFrame") -> Scores:
    """Writes a scores dataset from a frame, for notebooks, and opens it.

    Args:
        path: an existing folder to write into.
        catalogue: the actions, metrics and segments, as a record or as the content of `catalogue.json`.
        frame: a row per user: `user_id`, a column per segment, `mean_METRIC` (a number per action in each row), and where there are any
            `stderr_METRIC` and `eligible`.

    Raises:
        InputError: with everything that is wrong with catalogue or frame.
    """
    write_catalogue(path / CATALOGUE_FILE, catalogue)
    disk.write_table(path / "part-00000.parquet", pa.Table.from_pandas(frame, preserve_index=False))
    return open_scores(path)


def _as_lists(values_UA: np.ndarray, value_type: pa.DataType) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values_UA).reshape(-1), type=value_type)
    return pa.FixedSizeListArray.from_arrays(flat, values_UA.shape[1])
