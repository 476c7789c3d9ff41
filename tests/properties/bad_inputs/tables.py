"""Tables and logs with something wrong in them, as `prepare` and `train` meet them; and forms of columns that are right."""

import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.properties.bad_inputs.case import (
    Bad,
    Spoil,
    column,
    content,
    edited,
    first,
    gone,
    in_place_of,
    nothing,
    rows,
    without,
)

USERS, SHOWN, CAME = (f"tables/{name}/part-00000.parquet" for name in ("users", "exposures", "outcomes"))
LOGS = "logs/part-00000.parquet"
PREPARE = ("prepare", "tables=tables", "logs=made")
TRAIN = ("train", "logs=logs", "model=made")


def _table(name: str, spoil: Spoil, *told: str) -> Bad:
    return Bad("tables", name, spoil, PREPARE, told)


def _log(name: str, spoil: Spoil, *told: str) -> Bad:
    return Bad("logs", name, spoil, TRAIN, told)


def _doubled(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table, table.slice(0, 3)])


def _cast(kind: pa.DataType) -> Callable[[pa.ChunkedArray], pa.ChunkedArray]:
    return lambda values: values.cast(kind, safe=False)


def _texts(values: pa.ChunkedArray) -> pa.Array:
    return pa.array([str(value) for value in values.to_pylist()])


def _moved(days: int) -> Callable[[pa.ChunkedArray], pa.Array]:
    return lambda values: pc.add(values.cast(pa.int32()), pa.scalar(days, pa.int32())).cast(pa.date32())


def _with(name: str, made: Callable[[pa.Table], pa.Array]) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.append_column(name, made(table))


def _truncated(folder: Path) -> None:
    (folder / SHOWN).write_bytes((folder / SHOWN).read_bytes()[:-40])


def _flipped(folder: Path) -> None:
    held = bytearray((folder / USERS).read_bytes())
    held[4:400] = bytes(396)
    (folder / USERS).write_bytes(bytes(held))


def _as_csv(folder: Path) -> None:
    table = pq.read_table(folder / CAME).to_pandas()
    (folder / CAME).write_text(table.to_csv(index=False))


def _csv_beside_nothing(folder: Path) -> None:
    (folder / CAME).rename((folder / CAME).with_suffix(".csv"))


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


TABLES = [
    *(
        _table(f"{file.split('/')[1]} without {name}", without(file, name), file, f"column {name}: is missing")
        for file, names in {
            USERS: ("user_id", "as_of", "age", "market"),
            SHOWN: ("user_id", "decided_on", "action", "propensity"),
            CAME: ("user_id", "outcome", "occurred_on", "recorded_on", "value"),
        }.items()
        for name in names
    ),
    _table("propensity 0", column(SHOWN, "propensity", first(0.0, 0.0)), SHOWN, "column propensity: 2 of"),
    _table("propensity above 1", column(SHOWN, "propensity", first(1.5)), SHOWN, "column propensity: 1 of"),
    _table("propensity below 0", column(SHOWN, "propensity", first(-0.1)), SHOWN, "column propensity: 1 of"),
    _table("propensity NaN", column(SHOWN, "propensity", first(float("nan"))), SHOWN, "column propensity: 1 of"),
    _table("propensity null", column(SHOWN, "propensity", first(None)), SHOWN, "column propensity: 1 of"),
    _table("propensity as text", column(SHOWN, "propensity", _texts), SHOWN, "column propensity: has type string"),
    _table("propensity infinite", column(SHOWN, "propensity", first(float("inf"))), SHOWN, "column propensity: 1 of"),
    _table("chance of nothing", column(SHOWN, "propensity", first(1e-300)), SHOWN, "column propensity: 1 of"),
    _table("ids null in users", column(USERS, "user_id", first(None)), USERS, "column user_id: 1 of"),
    _table("ids null in exposures", column(SHOWN, "user_id", first(None)), SHOWN, "column user_id: 1 of"),
    _table("ids null in outcomes", column(CAME, "user_id", first(None)), CAME, "column user_id: 1 of"),
    _table(
        "ids as fractions", column(USERS, "user_id", lambda ids: [0.5] * len(ids)), USERS, "column user_id", "double"
    ),
    _table("ids as bytes", column(USERS, "user_id", _cast(pa.binary())), USERS, "column user_id", "binary"),
    _table(
        "ids of two kinds",
        column(CAME, "user_id", lambda ids: list(range(len(ids)))),
        "column user_id: is integer, but string in",
        CAME,
    ),
    _table("a snapshot twice", rows(USERS, _doubled), "tables/users: columns user_id, as_of: 3 of"),
    _table("a decision twice", rows(SHOWN, _doubled), "tables/exposures: columns user_id, decided_on, action: 3 of"),
    _table("action that nobody knows", column(SHOWN, "action", first("home_1/none")), SHOWN, "column action: 1 of"),
    _table("action null", column(SHOWN, "action", first(None)), SHOWN, "column action: 1 of"),
    _table("action as a number", column(SHOWN, "action", lambda ids: [7] * len(ids)), SHOWN, "column action: has type"),
    _table("dates as text", column(SHOWN, "decided_on", _texts), SHOWN, "column decided_on: has type string"),
    _table(
        "dates as numbers", column(SHOWN, "decided_on", _cast(pa.int32())), SHOWN, "column decided_on: has type int32"
    ),
    _table("a date null", column(SHOWN, "decided_on", first(None)), SHOWN, "column decided_on: 1 of"),
    _table(
        "a date of the year 1", column(SHOWN, "decided_on", first(date(1, 1, 1))), SHOWN, "column decided_on", "1000"
    ),
    _table("a date of 9999", column(USERS, "as_of", first(date(9999, 1, 1))), USERS, "column as_of", "2999"),
    _table(
        "a time of day in a zone",
        column(SHOWN, "decided_on", lambda days: pa.array([datetime(2026, 11, 2, 7, tzinfo=UTC)] * len(days))),
        SHOWN,
        "column decided_on",
        "no midnight in UTC",
    ),
    _table(
        "a zone that is none",
        column(SHOWN, "decided_on", lambda days: days.cast(pa.timestamp("us", tz="No/Where"))),
        SHOWN,
        "column decided_on",
        "No/Where",
    ),
    _table(
        "decided before anything is known", column(SHOWN, "decided_on", _moved(-9000)), "tables/exposures", "decided_on"
    ),
    _table("recorded before it came", column(CAME, "recorded_on", _moved(-400)), CAME, "recorded_on"),
    _table("age beyond its range", column(USERS, "age", first(999.0)), USERS, "column age: 1 of", "[13, 100]"),
    _table("age infinite", column(USERS, "age", first(float("-inf"))), USERS, "column age: 1 of"),
    _table("age as text", column(USERS, "age", _texts), USERS, "column age: has type string"),
    _table("age as lists", column(USERS, "age", lambda ages: [[1.0]] * len(ages)), USERS, "column age: has type list"),
    _table(
        "age nested",
        column(USERS, "age", lambda ages: [{"years": 1}] * len(ages)),
        USERS,
        "column age: has type struct",
    ),
    _table("market missing", column(USERS, "market", first(None)), USERS, "column market: 1 of"),
    _table("market of another column", column(USERS, "market", lambda held: ["?"] * len(held)), USERS, "column market"),
    _table(
        "market as numbers", column(USERS, "market", lambda held: [1] * len(held)), USERS, "column market: has type"
    ),
    _table(
        "eligible of another width", column(SHOWN, "eligible", lambda held: [[True]] * len(held)), SHOWN, "eligible"
    ),
    _table("outcome of another name", column(CAME, "outcome", first("spent")), CAME, "column outcome: 1 of"),
    _table("value NaN", column(CAME, "value", first(float("nan"))), CAME, "column value: 1 of"),
    _table("value beyond sums", column(CAME, "value", first(1e300)), CAME, "column value: 1 of"),
    _table("value as decimals", column(CAME, "value", _cast(pa.decimal128(20, 6))), CAME, "has type decimal128(20, 6)"),
    _table("value as text", column(CAME, "value", _texts), CAME, "column value: has type string"),
    _table(
        "a column twice", rows(USERS, _with("age", lambda table: table["age"])), USERS, "column age: stands 2 times"
    ),
    _table(
        "a column in capitals", rows(USERS, lambda t: t.rename_columns({"age": "Age"})), USERS, "column age: is missing"
    ),
    _table("no users", rows(USERS, lambda table: table.slice(0, 0)), "name a user that users/ does not have"),
    _table("no exposures", rows(SHOWN, lambda table: table.slice(0, 0)), "tables/exposures"),
    _table("a file of no bytes", content(USERS, b""), USERS, "is not a readable Parquet file"),
    _table("a file cut short", _truncated, SHOWN, "is not a readable Parquet file"),
    _table("pages overwritten", _flipped, USERS, "cannot be read"),
    _table("CSV by a Parquet name", _as_csv, CAME, "is not a readable Parquet file"),
    _table("CSV alone", _csv_beside_nothing, "tables/outcomes", "there are no *.parquet files"),
    _table("a folder for a file", in_place_of(USERS, Path.mkdir), USERS, "is a folder; a file is needed"),
    _table("a link to itself", in_place_of(USERS, _loop), USERS, "Too many levels of symbolic links"),
    _table("a link to nothing", in_place_of(USERS, lambda path: path.symlink_to("gone")), USERS, "not there"),
    _table("a pipe for a file", in_place_of(SHOWN, os.mkfifo), SHOWN, "is a device, a socket or a pipe"),
    _table("a device for a file", in_place_of(SHOWN, lambda path: path.symlink_to("/dev/zero")), SHOWN, "is a device"),
    _table("a schema that is none", content("tables/schema.json", "{"), "tables/schema.json: is not valid JSON"),
    _table(
        "a schema in Latin-1", content("tables/schema.json", b'{"\xe4": 1}'), "tables/schema.json: is not UTF-8 text"
    ),
    _table("a schema gone", in_place_of("tables/schema.json", gone), "tables/schema.json", "no such file"),
    _table(
        "a kind unknown", edited("tables/schema.json", '"binary"', '"yes"'), "tables/schema.json", "outcomes.0.kind"
    ),
    _table("a key unknown", edited("tables/schema.json", '"numeric"', '"numbers"'), "tables/schema.json", "numeric"),
    _table(
        "a range upside down", edited("tables/schema.json", '"max": 100.0', '"max": 1.0'), "schema.json", "above max"
    ),
    Bad("tables", "tables that are not there", nothing, ("prepare", "tables=none", "logs=made"), ("none",)),
    Bad("tables", "a file for the folder", nothing, ("prepare", f"tables={USERS}", "logs=made"), (USERS,)),
]

LOG_CASES = [
    *(
        _log(f"without {name}", without(LOGS, name), LOGS, f"column {name}: is missing")
        for name in ("user_id", "as_of", "action", "propensity", "age", "market", "revenue")
    ),
    _log("propensity 0", column(LOGS, "propensity", first(0.0)), LOGS, "column propensity: 1 of", "(0, 1]"),
    _log("propensity NaN", column(LOGS, "propensity", first(float("nan"))), LOGS, "column propensity: 1 of"),
    _log("an outcome below its kind", column(LOGS, "revenue", first(-3.0)), LOGS, "column revenue: 1 of", "amount"),
    _log("an outcome infinite", column(LOGS, "revenue", first(float("inf"))), LOGS, "column revenue: 1 of"),
    _log("a binary outcome of 2", column(LOGS, "subs", first(2.0)), LOGS, "column subs: 1 of", "binary"),
    _log("a row twice", rows(LOGS, _doubled), "columns user_id, as_of, action: 3 of"),
    _log("ids null", column(LOGS, "user_id", first(None)), LOGS, "column user_id: 1 of"),
    _log("action unknown", column(LOGS, "action", first("home_9/x")), "column action: 1 of"),
    _log("dates as text", column(LOGS, "as_of", _texts), LOGS, "column as_of: has type string"),
    _log("a feature infinite", column(LOGS, "tenure_weeks", first(float("inf"))), LOGS, "column tenure_weeks"),
    _log("a feature as text", column(LOGS, "tenure_weeks", _texts), LOGS, "column tenure_weeks: has type string"),
    _log("an outcome of zeros", nothing, "logs: column opt_out: is 0 in all"),
    _log("a propensity of a hair", column(LOGS, "propensity", first(1e-300)), LOGS, "column propensity: 1 of"),
    _log("no rows", rows(LOGS, lambda table: table.slice(0, 0)), "logs"),
    _log("a schema that is a list", content("logs/schema.json", "[]"), "logs/schema.json: must hold one JSON object"),
    _log(
        "a schema too deep",
        content("logs/schema.json", '{"a":' * 999 + "1" + "}" * 999),
        "logs/schema.json: nests deeper",
    ),
    _log("a schema of half letters", content("logs/schema.json", '{"a": "\\ud800"}'), "logs/schema.json", "surrogate"),
    _log("none as an action", edited("logs/catalogue.json", '"home_1/lite/trial"', '"none"'), "catalogue.json", "none"),
]

FINE: dict[str, Spoil] = {
    "ids as a dictionary": column(SHOWN, "user_id", lambda ids: ids.dictionary_encode()),
    "ids as large strings": column(USERS, "user_id", _cast(pa.large_string())),
    "text as string views": column(USERS, "market", _cast(pa.string_view())),
    "a number of one byte": column(USERS, "devices", _cast(pa.int8())),
    "a number as half": column(USERS, "age", _cast(pa.float32())),
    "midnights": column(SHOWN, "decided_on", _cast(pa.timestamp("us"))),
    "midnights in a zone": column(SHOWN, "decided_on", lambda days: days.cast(pa.timestamp("us", tz="UTC"))),
    "another column": rows(USERS, _with("hat", lambda table: pa.array(["x"] * len(table)))),
}
"""Forms of columns that `prepare` takes."""
