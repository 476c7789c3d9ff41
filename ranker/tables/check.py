"""Validation of every file of the tables: schema, ranges, missing values, keys; all problems counted by file and column."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa_check
import pyarrow as pa
import pyarrow.parquet as pq
from pandera.errors import SchemaErrors

from ranker.scores import Catalogue
from ranker.tables.schema import TableSchema

TABLES = ("users", "exposures", "outcomes")
ROWS_AT_ONCE = 262_144
EXAMPLES = 3


@dataclass(frozen=True)
class Described:
    """What the tables are checked against. known_before: the day at whose start nothing dated on it or later is known."""

    schema: TableSchema
    catalogue: Catalogue
    known_before: date

    @property
    def actions(self) -> tuple[str, ...]:
        return (*self.catalogue.ids, self.schema.none)


def files_of(tables: Path, name: str) -> list[Path]:
    return sorted((tables / name).glob("*.parquet"))


def check_types(tables: Path, described: Described, names: Sequence[str] = TABLES) -> Iterator[str]:
    """Problems of folders, files and column types; where there are any, nothing more can be read."""
    id_types: dict[str, Path] = {}
    for name in names:
        files = files_of(tables, name)
        if not files:
            yield f"{tables / name}: there are no *.parquet files"
        for file in files:
            try:
                arrow = pq.read_schema(file)
            except (pa.ArrowException, OSError) as error:
                yield f"{file}: is not a readable Parquet file ({error})"
                continue
            yield from (f"{file}: {problem}" for problem in type_problems(arrow, _wanted(name, described)))
            yield from (f"{file}: {problem}" for problem in _eligible_problems(arrow, described))
            if "user_id" in arrow.names:
                id_types.setdefault("string" if _is_string(arrow.field("user_id").type) else "integer", file)
    if len(id_types) > 1:
        first, second = id_types.items()
        yield f"{second[1]}: column user_id: is {second[0]}, but {first[0]} in {first[1]}"


def check_values(tables: Path, described: Described, names: Sequence[str] = TABLES) -> Iterator[str]:
    """Problems of single rows: ranges, missing values, unknown names; types must be right."""
    for name in names:
        for file in files_of(tables, name):
            yield from _file_problems(file, name, described)


def _file_problems(file: Path, name: str, described: Described) -> Iterator[str]:
    schema = _row_schema(name, described)
    parquet = pq.ParquetFile(file)
    columns = [column for column in _wanted(name, described) if column in parquet.schema_arrow.names]
    columns += ["eligible"] if name == "exposures" and "eligible" in parquet.schema_arrow.names else []
    faults: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], set[str]] = {}
    for batch in parquet.iter_batches(ROWS_AT_ONCE, columns=columns):
        frame = as_frame(pa.Table.from_batches([batch.drop_columns("eligible") if "eligible" in columns else batch]))
        if "eligible" in columns:
            frame["shown_eligible"] = _shown_eligible(batch, described)
        for column, fault, count, values in _failures(schema, frame):
            faults[(column, fault)] += count
            examples.setdefault((column, fault), set()).update(values)
    rows = parquet.metadata.num_rows
    for (column, fault), count in faults.items():
        shown = ", ".join(f"'{value}'" for value in sorted(examples[(column, fault)])[:EXAMPLES])
        yield f"{file}: column {column}: {count:,} of {rows:,} rows {fault}" + (f" (such as {shown})" if shown else "")


def _failures(schema: pa_check.DataFrameSchema, frame: pd.DataFrame) -> Iterator[tuple[str, str, int, set[str]]]:
    """Column, fault, number of rows and examples of every check that failed."""
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases
        cases = cases.assign(check=cases["check"].where(cases["check"] != "not_nullable", "are missing"))
        # A check of whole rows fails once per column; it names its own column before the bar.
        cases["column"] = cases["column"].where(~cases["check"].str.contains("|", regex=False), "")
        for (column, check), group in cases.groupby(["column", "check"], sort=False):
            place, _, fault = check.rpartition("|") if "|" in check else (column, "", check)
            named = fault.startswith(("are not one of", "name "))
            values = {str(value) for value in group["failure_case"].unique()} if named else set()
            yield place, fault, group["index"].nunique(), values


def as_frame(table: pa.Table) -> pd.DataFrame:
    """Columns as pandas holds them here: dates as datetime64, numbers as numbers, strings as strings."""
    columns = {}
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
            column = column.cast(pa.date32(), safe=False).cast(pa.timestamp("s"))
        columns[name] = column.to_pandas()
        if _is_string(column.type):
            columns[name] = columns[name].astype("str")
    return pd.DataFrame(columns)


def _row_schema(name: str, described: Described) -> pa_check.DataFrameSchema:
    return {"users": _users_schema, "exposures": _exposures_schema, "outcomes": _outcomes_schema}[name](described)


def _users_schema(described: Described) -> pa_check.DataFrameSchema:
    columns = {"user_id": pa_check.Column(), "as_of": pa_check.Column()}
    for name, number in described.schema.numeric.items():
        low = -np.inf if number.min is None else number.min
        high = np.inf if number.max is None else number.max
        checks = []
        if not np.isfinite([low, high]).all():
            checks.append(pa_check.Check(np.isfinite, error="are infinite", ignore_na=True))
        if np.isfinite([low, high]).any():
            checks.append(pa_check.Check.in_range(low, high, error=f"are not in [{low:g}, {high:g}]"))
        columns[name] = pa_check.Column(nullable=number.missing, checks=checks)
    for name, category in described.schema.categorical.items():
        checks = [] if category.values is None else [_one_of(category.values)]
        columns[name] = pa_check.Column(nullable=category.missing, checks=checks)
    return pa_check.DataFrameSchema(columns)


def _exposures_schema(described: Described) -> pa_check.DataFrameSchema:
    columns = {
        "user_id": pa_check.Column(),
        "decided_on": pa_check.Column(),
        "action": pa_check.Column(
            nullable=True,
            checks=pa_check.Check.isin(described.actions, error="name an action that catalogue.json does not have"),
        ),
        "propensity": pa_check.Column(
            checks=pa_check.Check(lambda p: (p > 0) & (p <= 1), error="are not in (0, 1]", ignore_na=True)
        ),
        "arm": pa_check.Column(required=False),
    }
    none = described.schema.none
    checks = [
        pa_check.Check(lambda f: f["action"].notna() | _holdout(f), error="action|are missing, outside the holdout"),
        pa_check.Check(
            lambda f: ~_holdout(f) | f["action"].isna() | (f["action"] == none),
            error=f"action|are in the holdout and not '{none}'",
        ),
        pa_check.Check(
            lambda f: f["shown_eligible"] if "shown_eligible" in f else pd.Series(True, f.index),
            error="eligible|were shown an action that is not eligible",
        ),
    ]
    return pa_check.DataFrameSchema(columns, checks=checks)


def _outcomes_schema(described: Described) -> pa_check.DataFrameSchema:
    names = [outcome.name for outcome in described.schema.outcomes]
    columns = {
        "user_id": pa_check.Column(),
        "outcome": pa_check.Column(checks=_one_of(names)),
        "occurred_on": pa_check.Column(),
        "recorded_on": pa_check.Column(),
        "value": pa_check.Column(checks=pa_check.Check(np.isfinite, error="are infinite", ignore_na=True)),
    }
    kinds = {outcome.name: outcome.kind for outcome in described.schema.outcomes}
    checks = [
        pa_check.Check(
            lambda f: ~(f["recorded_on"] < f["occurred_on"]), error="recorded_on|are recorded before they occurred"
        ),
        pa_check.Check(lambda f: _fits_kind(f, kinds), error="value|do not fit the kind of their outcome"),
    ]
    return pa_check.DataFrameSchema(columns, checks=checks)


def _one_of(values: Sequence[str]) -> pa_check.Check:
    told = ", ".join(values) if len(values) <= 12 else f"the {len(values)} values of schema.json"
    return pa_check.Check.isin(list(values), error=f"are not one of {told}")


def _holdout(frame: pd.DataFrame) -> pd.Series:
    return frame["arm"] == "holdout" if "arm" in frame else pd.Series(False, frame.index)


def _fits_kind(frame: pd.DataFrame, kinds: dict[str, str]) -> pd.Series:
    """binary: 0 or 1; count: a whole number >= 0; amount: >= 0. Missing values and unknown outcomes are told elsewhere."""
    kind, value = frame["outcome"].map(kinds), frame["value"]
    wrong = (kind == "binary") & ~value.isin([0, 1])
    wrong |= (kind == "count") & ((value < 0) | (value != np.floor(value)))
    wrong |= (kind == "amount") & (value < 0)
    return ~wrong | value.isna() | np.isinf(value)


def _shown_eligible(batch: pa.RecordBatch, described: Described) -> np.ndarray:
    """bool[R]: whether the action was eligible; none always is."""
    ids = pd.Index(described.catalogue.ids)
    position = ids.get_indexer(batch.column("action").to_pandas().astype("str"))
    column = batch.column("eligible")
    if column.null_count:
        return np.asarray(column.is_valid()) | (position < 0)
    flags_RA = column.flatten().fill_null(False).to_numpy(zero_copy_only=False).reshape(len(batch), len(ids))
    return flags_RA[np.arange(len(batch)), position] | (position < 0)


def _wanted(name: str, described: Described) -> dict[str, str]:
    """Column -> the kind of type it must have; a trailing ? marks what may be absent."""
    if name == "users":
        numbers = dict.fromkeys(described.schema.numeric, "number")
        return {"user_id": "id", "as_of": "date", **numbers, **dict.fromkeys(described.schema.categorical, "string")}
    if name == "exposures":
        own = {"arm": "string?", "decision_id": "id?", "propensity": "number"}
        return {"user_id": "id", "decided_on": "date", "action": "string", **own}
    return {"user_id": "id", "outcome": "string", "occurred_on": "date", "recorded_on": "date", "value": "number"}


def type_problems(arrow: pa.Schema, wanted: dict[str, str]) -> Iterator[str]:
    """Columns that are missing or of a wrong type. wanted: column -> id, date, string or number; a trailing ? marks what may be absent."""
    fits = {
        "id": (lambda t: pa.types.is_int64(t) or _is_string(t), "int64 or string"),
        "date": (lambda t: pa.types.is_date(t) or pa.types.is_timestamp(t), "a date"),
        "string": (_is_string, "string"),
        "number": (lambda t: pa.types.is_integer(t) or pa.types.is_floating(t) or pa.types.is_boolean(t), "a number"),
    }
    for column, kind in wanted.items():
        test, told = fits[kind.rstrip("?")]
        if column not in arrow.names:
            if not kind.endswith("?"):
                yield f"column {column}: is missing"
        elif not test(arrow.field(column).type):
            yield f"column {column}: has type {arrow.field(column).type}; {told} is needed"


def _eligible_problems(arrow: pa.Schema, described: Described) -> Iterator[str]:
    if "eligible" not in arrow.names:
        return
    kind, actions = arrow.field("eligible").type, len(described.catalogue.actions)
    if not pa.types.is_fixed_size_list(kind) or kind.list_size != actions or not pa.types.is_boolean(kind.value_type):
        yield f"column eligible: has type {kind}; fixed_size_list<bool>[{actions}] is needed, an entry per action"


def _is_string(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
