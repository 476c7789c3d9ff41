"""Contact history beside scores, from exposures: earlier contacts of the scored users, for rules with `days`."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ranker import disk
from ranker.catalogue import MOST_HISTORY_DAYS
from ranker.columns import Places, as_days, as_ids, as_text, read_ids, together, type_of_ids, value_problems
from ranker.files import InputError, batches, parquet_files, parquet_rows, parquet_schema
from ranker.scores import open_scores
from ranker.tables.check import type_problems

WANTED = {"user_id": "id", "decided_on": "date", "action": "string"}
NEVER_MISSING = ("user_id", "decided_on")
ROWS_AT_ONCE = 1_048_576


def check_exposures(exposures: Path, users: Path) -> None:
    """Raises InputError with all faults of files and types, which can be told before the users are scored.

    exposures: a folder of *.parquet. users: those to be scored. Their ids are of the same kind, and they say which day it is: without
    that, scores have the day of the latest decision that the model learned from, and contacts since then would be left out.
    """
    schemas, problems = _schemas(exposures)
    problems += [] if schemas or problems else [f"{exposures}: there are no *.parquet files"]
    user_schemas, _ = _schemas(users)  # what else is wrong with them is told when they are read
    for file, schema in user_schemas.items():
        if "as_of" not in schema.names:
            problems.append(f"{file}: column as_of: is missing; contacts of earlier days are counted back from it")
    wanted = next(map(_type_of_ids, user_schemas.values()), None)
    for file, schema in schemas.items():
        found = [f"{file}: {problem}" for problem in type_problems(schema, WANTED)]
        problems += found or value_problems(file, ["user_id"], ["decided_on"])
        if not found and wanted not in (None, kind := _type_of_ids(schema)):
            problems.append(f"{file}: column user_id: has type {kind}; the users to score have {wanted}")
    if problems:
        raise InputError(problems)


def _schemas(folder: Path) -> tuple[dict[Path, pa.Schema], list[str]]:
    """The columns of each file, and which files cannot be read."""
    schemas, problems = {}, []
    for file in parquet_files(folder):
        try:
            schemas[file] = parquet_schema(file)
        except InputError as error:
            problems += error.problems
    return schemas, problems


def write_history(exposures: Path, none: str, scores: Path, advance: Callable[[int], None] = lambda rows: None) -> int:
    """Writes `history/` into a scores dataset, a row per contact that its users have received; returns how many.

    A contact is an exposure with an action, other than `none`, in the MOST_HISTORY_DAYS days up to the scores' as_of, that day
    included. Memory: some 24 bytes a user where ids are numbers, however many exposures there are. advance: called with the number of
    exposures just read. Raises InputError with all missing values, counted by file; types must be right (see `check_exposures`).
    """
    opened = open_scores(scores)
    as_of = opened.catalogue.as_of
    places = Places(read_ids(*opened.files))
    kind = type_of_ids(parquet_schema(opened.files[0]).field("user_id").type)
    schema = pa.schema([("user_id", kind), ("action", pa.string()), ("date", pa.date32())])
    recent = (pc.field("date") > as_of - timedelta(MOST_HISTORY_DAYS)) & (pc.field("date") <= as_of)
    received = recent & (pc.field("action") != none)  # neither holds for a missing value
    faults: Counter[tuple[Path, str]] = Counter()
    disk.make_folder(scores / "history")
    rows = 0

    def contacts() -> Iterator[pa.Table]:
        for file, batch in _batches(parquet_files(exposures)):
            faults.update({(file, name): batch.column(name).null_count for name in NEVER_MISSING})
            columns = (("user_id", as_ids), ("action", as_text), ("decided_on", as_days))
            yield pa.table([read(batch.column(name)) for name, read in columns], schema).filter(received).drop_null()
            advance(len(batch))

    with disk.parquet(scores / "history" / "part-00000.parquet", schema, compression="zstd") as writer:
        for table in together(contacts(), max(len(places), ROWS_AT_ONCE)):
            kept = table.filter(pa.array(places.of(table.column("user_id")) >= 0))
            writer.write_table(kept)
            rows += len(kept)
    if problems := list(_missing(faults)):
        raise InputError(problems)
    return rows


def _batches(files: Sequence[Path]) -> Iterator[tuple[Path, pa.RecordBatch]]:
    yield from ((file, batch) for file in files for batch in batches(file, ROWS_AT_ONCE, list(WANTED)))


def _missing(faults: Counter[tuple[Path, str]]) -> Iterator[str]:
    for (file, name), count in faults.items():
        if count:
            yield f"{file}: column {name}: {count:,} of {parquet_rows(file):,} rows are missing"


def _type_of_ids(schema: pa.Schema) -> pa.DataType | None:
    """int64 or string, whatever the encoding; None without the column."""
    if "user_id" not in schema.names:
        return None
    return type_of_ids(schema.field("user_id").type)
