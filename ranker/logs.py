"""Logged decisions: who was shown what, how likely that was, and what came of it; the training data of the ranker.

A directory with `schema.json`, `*.parquet` (a row per decision) and `catalogue.json`. Position a of the optional list column
`eligible` is action a of the catalogue. `immature/*.parquet`, where there is one, has the same columns of decisions too young for all
their outcomes to be known: what is not known yet is missing there, and nowhere else. Axes: R rows, A actions (catalogue order).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ranker import disk
from ranker.catalogue import CATALOGUE_FILE, LARGEST, Catalogue, read_catalogue, write_catalogue
from ranker.columns import (
    as_days,
    as_flags,
    as_ids,
    as_moments,
    as_numbers,
    as_text,
    frequent,
    is_date,
    is_id,
    is_list_of,
    is_number,
    is_text,
    read_ids,
    type_of_ids,
    value_problems,
)
from ranker.files import (
    InputError,
    batches,
    parquet_files,
    parquet_rows,
    parquet_schema,
    some_parquet_files,
)
from ranker.log_schema import DECISION, LATE_FILE, SCHEMA_FILE, LateEvents, LogSchema, read_schema, write_schema

UNIQUE = ["user_id", "as_of", "action"]  # no two rows have the same
IMMATURE = "immature"
LEAST_CHANCE = 1e-12
TOO_SMALL = f"are below {LEAST_CHANCE:g}, as no chance of what happened is"
TOO_LARGE = f"are beyond {LARGEST:g}, as no outcome is"
ROWS_PER_BATCH = 65_536


@dataclass(frozen=True)
class Logs:
    """All logged decisions, validated.

    actions: in catalogue order, without the `none` action. frame: R rows, index 0..R-1, columns user_id, as_of (datetime64),
    action, propensity (float64), numeric features (float32, NaN = missing), categorical features (strings, missing allowed),
    outcomes and early columns (float64, NaN = not known yet). eligible: bool[R, A], which actions could have been shown; None where
    every action could.
    """

    schema: LogSchema
    actions: tuple[Mapping[str, object], ...]
    frame: pd.DataFrame
    eligible: np.ndarray | None

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def place(self) -> str:
        """What messages call them."""
        return "logs"

    @property
    def late(self) -> LateEvents | None:
        """Nobody tells what rows in memory were made without."""
        return None

    @property
    def latest(self) -> date:
        """The last day of decisions."""
        last: date = self.frame["as_of"].max().date()
        return last

    def batches(self) -> Iterator["Logs"]:
        """Itself in parts of at most ROWS_PER_BATCH rows."""
        for start in range(0, len(self), ROWS_PER_BATCH):
            here = slice(start, start + ROWS_PER_BATCH)
            eligible = None if self.eligible is None else self.eligible[here]
            yield replace(self, frame=self.frame.iloc[here], eligible=eligible)

    @property
    def tells_slates(self) -> bool:
        """Whether rows say with which others they were decided."""
        return DECISION in self.frame

    def columns(self, names: Sequence[str]) -> pd.DataFrame:
        """Some columns of all rows."""
        return self.frame[list(names)]

    def rows(self, positions: np.ndarray) -> pd.DataFrame:
        """All columns of some rows."""
        return self.frame.iloc[positions]

    @property
    def complete(self) -> "Logs":
        """The decisions of which every outcome is known."""
        known_R = self.frame[[outcome.name for outcome in self.schema.outcomes]].notna().all(axis=1).to_numpy()
        eligible = None if self.eligible is None else self.eligible[known_R]
        return replace(self, frame=self.frame[known_R].reset_index(drop=True), eligible=eligible)


@dataclass(frozen=True)
class StoredLogs:
    """All logged decisions, validated, in files: what `Logs` holds, of which no more is in memory than is asked for. files: of complete
    decisions, then of young ones. late: events that were left out, where whoever made the logs tells."""

    schema: LogSchema
    actions: tuple[Mapping[str, object], ...]
    files: tuple[Path, ...]
    count: int
    latest: date
    late: LateEvents | None = None

    def __len__(self) -> int:
        return self.count

    @property
    def place(self) -> str:
        """What messages call them."""
        return str(self.files[0].parent)

    def batches(self) -> Iterator[Logs]:
        """All rows in order, in parts of at most ROWS_PER_BATCH."""
        for table in self._tables():
            yield Logs(self.schema, self.actions, self._columns.frame(table), _eligible_in(table, len(self.actions)))

    @property
    def tells_slates(self) -> bool:
        """Whether rows say with which others they were decided."""
        return DECISION in pq.read_schema(self.files[0]).names

    def columns(self, names: Sequence[str]) -> pd.DataFrame:
        """Some columns of all rows."""
        return pd.concat([self._columns.frame(table) for table in self._tables(names)], ignore_index=True)[list(names)]

    def rows(self, positions: np.ndarray) -> pd.DataFrame:
        """All columns of some rows, given in rising order."""
        frames, start = [], 0
        for table in self._tables():
            first, last = np.searchsorted(positions, [start, start + len(table)])
            frames.append(self._columns.frame(table.take(positions[first:last] - start)))
            start += len(table)
        return pd.concat(frames, ignore_index=True)

    @property
    def _columns(self) -> "_Columns":
        return _Columns("logs", self.schema, len(self.actions))

    def _tables(self, names: Sequence[str] | None = None) -> Iterator[pa.Table]:
        for file in self.files:
            yield from self._columns.tables(file, names)
        pa.default_memory_pool().release_unused()  # half a gigabyte, else kept for other parts


def open_logs(path: Path) -> StoredLogs:
    """Validates a logs directory, a part at a time; InputError lists everything wrong in it. Memory grows by 8 bytes per row."""
    return _open(path, lambda frame, eligible_RA: None)


def read_logs(path: Path) -> Logs:
    """Reads and validates a logs directory, whole; InputError lists everything wrong in it."""
    parts: list[tuple[pd.DataFrame, np.ndarray | None]] = []
    stored = _open(path, lambda frame, eligible_RA: parts.append((frame, eligible_RA)))
    frame = pd.concat([frame for frame, _ in parts], ignore_index=True)
    eligible = None if parts[0][1] is None else np.concatenate([eligible_RA for _, eligible_RA in parts])
    return Logs(stored.schema, stored.actions, frame, eligible)


def _open(path: Path, keep: Callable[[pd.DataFrame, np.ndarray | None], object]) -> StoredLogs:
    """keep: is given all parts in turn."""
    schema = read_schema(path / SCHEMA_FILE)
    catalogue = _catalogue_of(path, schema)
    whole = some_parquet_files(path)
    files = [*whole, *parquet_files(path / IMMATURE)]
    columns = _Columns("logs", schema, None if catalogue is None else len(catalogue.actions))
    problems = [problem for file in files for problem in columns.problems(file)]
    problems += _mixed_ids(files) if not problems else []
    if problems:
        raise InputError(problems)
    checks = _Checks(schema, catalogue)
    for position, file in enumerate(files):
        for table in columns.tables(file):
            frame, eligible_RA = columns.frame(table), _eligible_in(table, columns.width)
            checks.see(file, frame, eligible_RA, position >= len(whole))
            keep(frame, eligible_RA)
    pa.default_memory_pool().release_unused()
    problems = [*checks.of_files(), *(f"{path}: {problem}" for problem in checks.of_all(columns, files))]
    if problems:
        raise InputError(problems)
    actions = tuple({"id": name, "slot": name} for name in checks.ids) if catalogue is None else catalogue.actions
    late = LateEvents.from_file_if_sound(path / LATE_FILE) if (path / LATE_FILE).exists() else None
    return StoredLogs(schema, actions, tuple(files), checks.rows, checks.latest.date(), late)


def write_logs(
    path: Path, schema: LogSchema, actions: Sequence[Mapping[str, object]], frames: Iterable[pd.DataFrame]
) -> int:
    """Writes logs into the existing directory `path`, a row group per frame, and returns the number of rows.

    A frame has the columns of `Logs.frame` and may have `eligible`, made by `eligible_column`. Rows that lack an outcome go to the
    folder of immature ones and are not counted.
    """
    write_schema(path / SCHEMA_FILE, schema)
    write_catalogue(path / CATALOGUE_FILE, Catalogue(tuple(actions)))
    rows = 0
    with ExitStack() as stack:
        writers: dict[Path, disk.ParquetTables] = {}

        def write(folder: Path, frame: pd.DataFrame) -> int:
            table = _as_table(frame, schema, len(actions))
            if folder not in writers:
                disk.make_folder(folder, there=True)
                file = folder / "part-00000.parquet"
                writers[folder] = stack.enter_context(disk.parquet(file, table.schema, compression="zstd"))
            writers[folder].write_table(table)
            return len(table)

        for frame in frames:
            young_R = frame[[outcome.name for outcome in schema.outcomes]].isna().any(axis=1).to_numpy()
            rows += write(path, frame[~young_R])
            if young_R.any():
                write(path / IMMATURE, frame[young_R])
    return rows


def read_users(path: Path, schema: LogSchema, actions: int) -> Iterator[pd.DataFrame]:
    """Streams the users to be scored in file, then row order, validated.

    A frame has user_id, the features as in `Logs.frame`, every further string column (segments; missing stays missing), and
    `as_of` and `eligible` where the files have them (see `eligible_of`). actions: the length that `eligible` must have.
    Raises InputError with everything wrong: types and repeated users before the first frame, values at the end.
    """
    files = some_parquet_files(path)
    columns = _Columns("users", schema, actions)
    problems = [problem for file in files for problem in columns.problems(file)]
    if not problems:
        problems += [*_mixed_ids(files), *_many_days(files)]
    if not problems:
        problems += _repeated_users(files)
    if problems:
        raise InputError(problems)
    faults: Counter[str] = Counter()
    for file in files:
        for table in columns.tables(file):
            frame = columns.frame(table)
            if "eligible" in table.column_names:
                frame["eligible"] = eligible_column(as_flags(table.column("eligible"), actions), frame.index)
            faults.update({f"{file}: column {c}": n for c, n in _infinite(frame, schema.numeric).items()})
            yield frame
    if faults:
        raise InputError([f"{place}: {count:,} rows are infinite" for place, count in sorted(faults.items())])


def users_of(table: pa.Table, schema: LogSchema, actions: int) -> pd.DataFrame:
    """Users to be scored that are in memory, as a frame of `read_users` and validated like one; messages open with `users:`."""
    columns = _Columns("users", schema, actions)
    table = _typed(table, schema)
    problems = [f"users: {problem}" for problem in columns.problems_of(table)]
    if problems:
        raise InputError(problems)
    frame = columns.frame(table.select(columns.present(table.schema)))
    if "eligible" in table.column_names:
        frame["eligible"] = eligible_column(as_flags(table.column("eligible"), actions), frame.index)
    if faults := _infinite(frame, schema.numeric):
        raise InputError([f"users: column {name}: {count:,} rows are infinite" for name, count in faults.items()])
    return frame


def _typed(table: pa.Table, schema: LogSchema) -> pa.Table:
    """Columns in which every value is missing have the type that is wanted."""
    for place, field in enumerate(table.schema):
        if pa.types.is_null(field.type):
            wanted = pa.float32() if field.name in schema.numeric else pa.string()
            table = table.set_column(place, field.name, table.column(place).cast(wanted))
    return table


def _many_days(files: Sequence[Path]) -> Iterator[str]:
    """The users to score are of one day, or of none that is told."""
    dated = [file for file in files if "as_of" in parquet_schema(file).names]
    days: set[date] = set()
    for file in dated:
        columns = [as_days(batch.column(0)) for batch in batches(file, 1 << 20, ["as_of"])]
        if missing := sum(column.null_count for column in columns):
            yield f"{file}: column as_of: {missing:,} of {parquet_rows(file):,} rows are missing"
        days.update(*(pc.unique(column.drop_null()).to_pylist() for column in columns))
    if 0 < len(dated) < len(files):
        lacking = next(file for file in files if file not in dated)
        yield f"{lacking}: column as_of: is missing here but present in {dated[0].name}"
    if len(days) > 1:
        told = f"{len(days):,} different days, from {min(days)} to {max(days)}"
        yield f"{files[0].parent}: column as_of: has {told}; the users to score are as of one day"


def eligible_column(eligible_RA: np.ndarray, index: pd.Index | None = None) -> pd.Series:
    """bool[R, A] as a column of a frame that `write_logs` takes."""
    flat = pa.array(np.ascontiguousarray(eligible_RA).reshape(-1), pa.bool_())
    return _as_arrow_column(pa.FixedSizeListArray.from_arrays(flat, eligible_RA.shape[1]), index)


def eligible_of(frame: pd.DataFrame) -> np.ndarray | None:
    """bool[R, A] from the `eligible` column of a frame; None where there is none."""
    if "eligible" not in frame:
        return None
    column = pa.chunked_array(pa.array(frame["eligible"]))
    return as_flags(column, column.type.list_size)


def _catalogue_of(path: Path, schema: LogSchema) -> Catalogue | None:
    file = path / CATALOGUE_FILE
    if not file.exists():
        return None
    catalogue = read_catalogue(file)
    if schema.none in catalogue.ids:
        raise InputError([f"{file}: the action '{schema.none}' stands for showing nothing and belongs in no catalogue"])
    return catalogue


def _mixed_ids(files: Sequence[Path]) -> Iterator[str]:
    """Ids are numbers in every file or texts in every file: 7 and "7" would be two users."""
    kinds = {file: parquet_schema(file).field("user_id").type for file in files}
    for file, kind in kinds.items():
        if type_of_ids(kind) != type_of_ids(kinds[files[0]]):
            yield f"{file}: column user_id: has type {kind} here but {kinds[files[0]]} in {files[0].name}"


@dataclass(frozen=True)
class _Columns:
    """Which columns a file of logs or users must have, and how they become a frame. width: actions, None if not known yet."""

    what: str
    schema: LogSchema
    width: int | None

    def problems(self, file: Path) -> Iterator[str]:
        try:
            arrow = parquet_schema(file)
            found = [f"{file}: {problem}" for problem in self._type_problems(arrow)]
            dates = [name for name in ("as_of",) if name in arrow.names]
            lists = {"eligible": self.width} if self.width is not None and "eligible" in arrow.names else {}
            yield from found or value_problems(file, ["user_id"], dates, lists)
        except InputError as error:
            yield from error.problems

    def problems_of(self, table: pa.Table) -> Iterator[str]:
        """The same of users in memory."""
        if found := list(self._type_problems(table.schema)):
            yield from found
            return
        ids = table.column("user_id")
        if ids.null_count:
            yield f"column user_id: {ids.null_count:,} of {len(ids):,} rows are missing"
        if repeated := len(ids) - ids.null_count - pc.count_distinct(ids, mode="only_valid").as_py():
            yield f"column user_id: {repeated:,} of {len(ids):,} rows repeat an earlier user"
        if "as_of" in table.column_names and len(set(as_days(table.column("as_of")).to_pylist())) > 1:
            yield "column as_of: is of several days; users are scored for one"

    def _type_problems(self, arrow: pa.Schema) -> Iterator[str]:
        for name, (fits, wanted) in self._wanted().items():
            if name not in arrow.names:
                yield f"column {name}: is missing"
            elif not fits(arrow.field(name).type):
                yield f"column {name}: has type {arrow.field(name).type}; {wanted} is needed"
        if "as_of" in arrow.names and not is_date(arrow.field("as_of").type) and "as_of" not in self._wanted():
            yield f"column as_of: has type {arrow.field('as_of').type}; a date is needed"
        if self.what == "logs" and DECISION in arrow.names and not is_id(arrow.field(DECISION).type):
            yield f"column {DECISION}: has type {arrow.field(DECISION).type}; int64 or string is needed"
        if "eligible" in arrow.names:
            kind = arrow.field("eligible").type
            if self.width is None:
                yield "column eligible: needs a catalogue.json that gives the order of the actions"
            elif not is_list_of(kind, pa.types.is_boolean, self.width):
                yield f"column eligible: has type {kind}; fixed_size_list<bool>[{self.width}] is needed, an entry per action"

    def _wanted(self) -> dict:
        wanted = {"user_id": (is_id, "int64 or string")}
        if self.what == "logs":
            wanted |= {"as_of": (is_date, "a date"), "action": (is_text, "string")}
            wanted |= {"propensity": (is_number, "a number")}
            wanted |= {name: (is_number, "a number") for name in self.schema.measured}
        wanted |= {name: (is_number, "a number") for name in self.schema.numeric}
        return wanted | {name: (_is_category, "string, integer or bool") for name in self.schema.categorical}

    def present(self, arrow: pa.Schema) -> list[str]:
        """The wanted columns, the optional ones that are there, and (of users) every further string column."""
        names = list(self._wanted())
        optional = ("as_of", "eligible", *([DECISION] if self.what == "logs" else []))
        names += [name for name in optional if name in arrow.names and name not in names]
        if self.what == "users":
            names += [f.name for f in arrow if is_text(f.type) and f.name not in names]
        return names

    def tables(self, file: Path, names: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The file in parts of at most ROWS_PER_BATCH rows: all wanted columns, or these."""
        names = self.present(parquet_schema(file)) if names is None else list(names)
        for batch in batches(file, ROWS_PER_BATCH, names):
            yield pa.Table.from_batches([batch])

    def frame(self, table: pa.Table) -> pd.DataFrame:
        columns = {}
        for name in (n for n in table.column_names if n != "eligible"):
            columns[name] = _as_values(table.column(name), self._target(name))
        return pd.DataFrame(columns)

    def _target(self, name: str) -> str:
        if name in self.schema.numeric:
            return "float32"
        if name == "propensity" or (self.what == "logs" and name in self.schema.measured):
            return "float64"
        return {"user_id": "keep", DECISION: "keep", "as_of": "date"}.get(name, "text")


def _as_values(column: pa.ChunkedArray, target: str) -> np.ndarray | pd.api.extensions.ExtensionArray:
    """A column as a frame holds it; no series, which frames align one by one."""
    if target in ("float32", "float64"):
        with np.errstate(over="ignore"):  # what is too large is told as infinite
            return as_numbers(column).to_numpy().astype(target)
    if target == "date":
        return as_moments(column).to_pandas().array
    if target == "keep":
        column = as_ids(column)
    if target == "text" or is_text(column.type):
        return as_text(column).to_pandas().astype("str").array
    return column.to_pandas().array


def _is_category(kind: pa.DataType) -> bool:
    return is_text(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)


class _Checks:
    """What is wrong with decisions that are seen part by part: in single values, counted by file and column, and between rows."""

    def __init__(self, schema: LogSchema, catalogue: Catalogue | None):
        self._schema, self._ids = schema, None if catalogue is None else pd.Index(catalogue.ids)
        self._faults: dict[Path, Counter[tuple[str, str]]] = {}  # per file, (column, fault) -> rows
        self._rows: Counter[Path] = Counter()
        self._known: Counter[str] = Counter()  # per outcome
        self._actions: Counter[str] = Counter()
        self._keys: list[np.ndarray] = []  # a hash per row of what may not repeat
        self._without_eligible = self._without_decision = self._barred = 0
        self.latest = pd.Timestamp.min

    @property
    def rows(self) -> int:
        return sum(self._rows.values())

    @property
    def ids(self) -> list[str]:
        """Of the actions."""
        return sorted(self._actions.keys() - {self._schema.none}) if self._ids is None else list(self._ids)

    def see(self, file: Path, frame: pd.DataFrame, eligible_RA: np.ndarray | None, immature: bool) -> None:
        """immature: whether outcomes may be missing."""
        self._rows[file] += len(frame)
        self._faults.setdefault(file, Counter()).update(dict(_faults(frame, self._schema, immature)))
        self._known.update({o.name: int(frame[o.name].notna().sum()) for o in self._schema.outcomes})
        self._actions.update(frame["action"].value_counts().to_dict())
        self._keys.append(pd.util.hash_pandas_object(frame[UNIQUE], index=False).to_numpy())
        self.latest = max(self.latest, frame["as_of"].max())
        self._without_decision += DECISION not in frame
        if eligible_RA is None or self._ids is None:
            self._without_eligible += 1
        else:
            position_R = self._ids.get_indexer(frame["action"])
            shown = np.flatnonzero(position_R >= 0)
            self._barred += int(np.count_nonzero(~eligible_RA[shown, position_R[shown]]))

    def of_files(self) -> Iterator[str]:
        for file, faults in self._faults.items():
            for (column, fault), count in faults.items():
                yield f"{file}: column {column}: {count:,} of {self._rows[file]:,} rows {fault}"

    def of_all(self, columns: "_Columns", files: Sequence[Path]) -> Iterator[str]:
        """Between rows of all files, which are read again where some seem to repeat others."""
        rows = self.rows
        if rows == 0:
            yield "there are no rows"
            return
        if not self.ids:
            yield f"column action: no row has another action than '{self._schema.none}'"
        for outcome in self._schema.outcomes:
            if not self._known[outcome.name]:
                yield f"column {outcome.name}: is missing in all {rows:,} rows; there is nothing to learn it from"
        unknown = sorted(self._actions.keys() - {self._schema.none, *self.ids})
        if unknown:
            counts = {name: self._actions[name] for name in unknown}
            told = f"{sum(counts.values()):,} of {rows:,} rows name an action not in catalogue.json"
            yield f"column action: {told}{frequent(counts, rows)}"
        repeated = self._repeated(columns, files)
        if repeated:
            yield f"columns user_id, as_of, action: {repeated:,} of {rows:,} rows repeat an earlier row"
        if 0 < self._without_eligible < len(self._keys):
            yield "column eligible: is in some files of the logs and missing in others"
        if 0 < self._without_decision < len(self._keys):
            yield f"column {DECISION}: is in some files of the logs and missing in others"
        if self._barred:
            yield f"column eligible: {self._barred:,} of {rows:,} rows were shown an action that is not eligible"

    def _repeated(self, columns: "_Columns", files: Sequence[Path]) -> int:
        key_R = np.concatenate(self._keys)
        sorted_R = np.sort(key_R)
        twice = np.unique(sorted_R[1:][sorted_R[1:] == sorted_R[:-1]])
        if not len(twice):
            return 0
        tables = (columns.frame(table) for file in files for table in columns.tables(file, UNIQUE))
        suspects = [
            frame[np.isin(key_r, twice)] for frame, key_r in zip(tables, self._keys, strict=True)
        ]  # hashes of different rows may be the same
        return int(pd.concat(suspects).duplicated(UNIQUE).sum())


def _faults(frame: pd.DataFrame, schema: LogSchema, immature: bool) -> Iterator[tuple[tuple[str, str], int]]:
    """((column, fault), rows) of values that may not be. immature: whether outcomes may be missing."""
    outcomes = {outcome.name for outcome in schema.outcomes}

    def told(column: str, bad: pd.Series | np.ndarray, fault: str) -> Iterator[tuple[tuple[str, str], int]]:
        if count := int(np.count_nonzero(bad)):
            yield (column, fault), count

    for column in UNIQUE:
        yield from told(column, frame[column].isna(), "are missing")
    propensity = frame["propensity"].to_numpy()
    yield from told("propensity", ~((propensity > 0) & (propensity <= 1)), "are not in (0, 1]")
    yield from told("propensity", (propensity > 0) & (propensity < LEAST_CHANCE), TOO_SMALL)
    for column, count in _infinite(frame, schema.numeric).items():
        yield (column, "are infinite"), count
    for name, kind in schema.measured.items():
        values = frame[name].to_numpy()
        finite = np.isfinite(values)
        if immature or name not in outcomes:
            yield from told(name, np.isinf(values), "are infinite")
        else:
            yield from told(name, ~finite, "are missing or not finite")
        yield from told(name, finite & ~_in_kind(values, kind), f"do not fit the kind {kind}")
        yield from told(name, finite & (np.abs(values) > LARGEST), TOO_LARGE)


def _in_kind(values: np.ndarray, kind: str) -> np.ndarray:
    fits: np.ndarray = np.ones(len(values), bool)
    if kind == "binary":
        fits = (values == 0) | (values == 1)
    if kind == "count":
        fits = (values >= 0) & (values == np.floor(values))
    if kind == "amount":
        fits = values >= 0
    return fits


def _infinite(frame: pd.DataFrame, columns: Sequence[str]) -> dict[str, int]:
    counts = np.isinf(frame[list(columns)].to_numpy(np.float64)).sum(axis=0)
    return {name: int(count) for name, count in zip(columns, counts, strict=True) if count}


def _eligible_in(table: pa.Table, actions: int | None) -> np.ndarray | None:
    """bool[R, A]; None where every action could have been shown, or the order of the actions is not known."""
    if actions is None or "eligible" not in table.column_names:
        return None
    return as_flags(table.column("eligible"), actions)


def _as_arrow_column(column: pa.Array | pa.ChunkedArray, index: pd.Index | None) -> pd.Series:
    return pd.Series(pd.arrays.ArrowExtensionArray(column), index=index)


def _as_table(frame: pd.DataFrame, schema: LogSchema, actions: int) -> pa.Table:
    columns = {
        "user_id": pa.array(frame["user_id"]),
        "as_of": pa.array(frame["as_of"].to_numpy("datetime64[D]"), pa.date32()),
        "action": pa.array(frame["action"], pa.string()).dictionary_encode(),
        "propensity": pa.array(frame["propensity"], pa.float64()),
    }
    columns |= {name: pa.array(frame[name], pa.float32(), from_pandas=True) for name in schema.numeric}
    for name in schema.categorical:
        columns[name] = pa.array(frame[name], pa.string(), from_pandas=True).dictionary_encode()
    columns |= {name: pa.array(frame[name], pa.float64(), from_pandas=True) for name in schema.measured}
    if DECISION in frame:
        columns[DECISION] = pa.array(frame[DECISION])
    if "eligible" in frame:
        columns["eligible"] = pa.array(frame["eligible"]).cast(pa.list_(pa.bool_(), actions))
    return pa.table(columns)


def _repeated_users(files: Sequence[Path]) -> list[str]:
    ids = read_ids(*files)
    place, problems = f"{files[0].parent}: column user_id", []
    if ids.null_count:
        problems.append(f"{place}: {ids.null_count:,} of {len(ids):,} rows are missing")
    repeated = len(ids) - ids.null_count - pc.count_distinct(ids, mode="only_valid").as_py()
    if repeated:
        problems.append(f"{place}: {repeated:,} of {len(ids):,} rows repeat an earlier user")
    return problems
