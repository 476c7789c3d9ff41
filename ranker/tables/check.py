"""Validation of the tables: schema, ranges, missing values and keys, all problems counted by file and column.

Axes: R rows, A actions.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa_check
import pyarrow as pa
from pandera.errors import SchemaErrors

from ranker.catalogue import LARGEST, Catalogue
from ranker.columns import (
    as_days,
    as_flags,
    as_ids,
    as_text,
    frequent,
    is_date,
    is_id,
    is_list_of,
    is_number,
    is_text,
    value_problems,
)
from ranker.files import InputError, batches, parquet_files, parquet_rows, parquet_schema
from ranker.logs import LEAST_CHANCE, TOO_LARGE, TOO_SMALL
from ranker.tables.schema import TableSchema

TABLES = ("users", "exposures", "outcomes")
ROWS_AT_ONCE = 262_144
UNLISTED = "are not one of"
MOST_UNLISTED = 0.2
"""Part of a file's rows whose value of a category its list may lack: a new country is a few rows, a wrong column nearly all."""


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
    return parquet_files(tables / name)


def check_types(tables: Path, described: Described, names: Sequence[str] = TABLES) -> Iterator[str]:
    """Problems of folders, files and column types; where there are any, nothing more can be read."""
    id_types: dict[str, Path] = {}
    for name in names:
        files = files_of(tables, name)
        if not files:
            yield f"{tables / name}: there are no *.parquet files"
        for file in files:
            try:
                arrow = parquet_schema(file)
                found = [f"{file}: {problem}" for problem in _column_problems(arrow, name, described)]
                lists = {"eligible": len(described.catalogue.actions)} if "eligible" in arrow.names else {}
                lists = lists if name == "exposures" else {}
                yield from found or value_problems(file, ["user_id"], _dates(name, described), lists)
            except InputError as error:
                yield from error.problems
                continue
            if "user_id" in arrow.names:
                id_types.setdefault("string" if is_text(arrow.field("user_id").type) else "integer", file)
    if len(id_types) > 1:
        first, second = id_types.items()
        yield f"{second[1]}: column user_id: is {second[0]}, but {first[0]} in {first[1]}"


def _column_problems(arrow: pa.Schema, name: str, described: Described) -> Iterator[str]:
    yield from type_problems(arrow, _wanted(name, described))
    if name == "exposures":
        yield from _eligible_problems(arrow, described)


def _dates(name: str, described: Described) -> list[str]:
    return [column for column, kind in _wanted(name, described).items() if kind == "date"]


def check_values(tables: Path, described: Described, names: Sequence[str] = TABLES) -> Iterator[str]:
    """Problems of single rows: ranges, missing values, unknown names; types must be right."""
    for name in names:
        for file in files_of(tables, name):
            yield from _file_problems(file, name, described)


def _file_problems(file: Path, name: str, described: Described) -> Iterator[str]:
    schema = _row_schema(name, described)
    names = parquet_schema(file).names
    columns = [column for column in _wanted(name, described) if column in names]
    columns += ["eligible"] if name == "exposures" and "eligible" in names else []
    faults: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], Counter[str]] = {}
    for batch in batches(file, ROWS_AT_ONCE, columns):
        frame = as_frame(pa.Table.from_batches([batch.drop_columns("eligible") if "eligible" in columns else batch]))
        if "eligible" in columns:
            frame["shown_eligible"] = _shown_eligible(batch, described)
        for column, fault, count, values in _failures(schema, frame):
            faults[(column, fault)] += count
            examples.setdefault((column, fault), Counter()).update(values)
    rows = parquet_rows(file)
    for (column, fault), count in faults.items():
        if name == "users" and fault.startswith(UNLISTED) and count <= MOST_UNLISTED * rows:
            continue  # counted by `unlisted`
        yield f"{file}: column {column}: {count:,} of {rows:,} rows {fault}{frequent(examples[(column, fault)], rows)}"


def unlisted(tables: Path, described: Described) -> Counter[str]:
    """Rows of users by category whose value is not in the category's closed list; those whose list is kept are left out."""
    found: Counter[str] = Counter()
    closed = {name: each.values for name, each in described.schema.categorical.items() if each.values is not None}
    for file in files_of(tables, "users") if closed else ():
        for batch in batches(file, ROWS_AT_ONCE, list(closed)):
            frame = as_frame(pa.Table.from_batches([batch]))
            for name, values in closed.items():
                found[name] += int((frame[name].notna() & ~frame[name].isin(list(values))).sum())
    return +found


def _failures(schema: pa_check.DataFrameSchema, frame: pd.DataFrame) -> Iterator[tuple[str, str, int, Counter[str]]]:
    """Column, fault, number of rows and, of names, the rows of each value, of every check that failed."""
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases
        cases = cases.assign(check=cases["check"].where(cases["check"] != "not_nullable", "are missing"))
        # A check of whole rows fails once per column; it names its own column before the bar.
        cases["column"] = cases["column"].where(~cases["check"].str.contains("|", regex=False), "")
        for (column, check), group in cases.groupby(["column", "check"], sort=False):
            place, _, fault = check.rpartition("|") if "|" in check else (column, "", check)
            named = fault.startswith((UNLISTED, "name "))
            values = group["failure_case"].astype(str).value_counts().to_dict() if named else {}
            yield place, fault, group["index"].nunique(), Counter(values)


def as_frame(table: pa.Table) -> pd.DataFrame:
    """Columns as pandas holds them here: dates as datetime64, numbers as numbers, strings as strings."""
    columns = {}
    for name in table.column_names:
        column = table.column(name)
        if is_date(column.type):
            columns[name] = as_days(column).cast(pa.timestamp("s")).to_pandas()
        elif is_text(column.type):
            columns[name] = as_text(column).to_pandas().astype("str")
        else:
            columns[name] = (as_ids(column) if name == "user_id" else column).to_pandas()
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
            checks=[
                pa_check.Check(lambda p: (p > 0) & (p <= 1), error="are not in (0, 1]", ignore_na=True),
                pa_check.Check(lambda p: (p <= 0) | (p >= LEAST_CHANCE), error=TOO_SMALL, ignore_na=True),
            ]
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
        "value": pa_check.Column(
            checks=[
                pa_check.Check(np.isfinite, error="are infinite", ignore_na=True),
                pa_check.Check(lambda v: (v.abs() <= LARGEST) | np.isinf(v), error=TOO_LARGE, ignore_na=True),
            ]
        ),
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
    return pa_check.Check.isin(list(values), error=f"{UNLISTED} {told}")


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
    flags_RA = as_flags(pa.chunked_array([batch.column("eligible")]), len(ids))
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
        "id": (is_id, "int64 or string"),
        "date": (is_date, "a date"),
        "string": (is_text, "string"),
        "number": (is_number, "a number"),
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
    if not is_list_of(kind, pa.types.is_boolean, actions):
        yield f"column eligible: has type {kind}; fixed_size_list<bool>[{actions}] is needed, an entry per action"
