"""Exposures as the history beside scores: what their users have received before, for rules that count contacts of earlier days.

Axes: U users of the scores, N rows of a batch.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ranker.scores import MOST_HISTORY_DAYS, InputError, open_scores
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
        problems += found
        if not found and wanted not in (None, kind := _type_of_ids(schema)):
            problems.append(f"{file}: column user_id: has type {kind}; the users to score have {wanted}")
    if problems:
        raise InputError(problems)


def _schemas(folder: Path) -> tuple[dict[Path, pa.Schema], list[str]]:
    """The columns of each file, and which files cannot be read."""
    schemas, problems = {}, []
    for file in _files(folder):
        try:
            schemas[file] = pq.read_schema(file)
        except (pa.ArrowException, OSError) as error:
            problems.append(f"{file}: is not a readable Parquet file ({error})")
    return schemas, problems


def write_history(exposures: Path, none: str, scores: Path, advance: Callable[[int], None] = lambda rows: None) -> int:
    """Writes `history/` into a scores dataset, a row per contact that its users have received; returns how many.

    A contact is an exposure with an action, other than `none`, in the MOST_HISTORY_DAYS days up to the scores' as_of, that day
    included. Memory: 8 bytes a user where ids are numbers, however many exposures there are. advance: called with the number of
    exposures just read. Raises InputError with all missing values, counted by file; types must be right (see `check_exposures`).
    """
    opened = open_scores(scores)
    as_of = opened.catalogue.as_of
    user_U = _sorted_ids(opened.files)
    kind = _type_of_ids(pq.read_schema(opened.files[0]))
    schema = pa.schema([("user_id", kind), ("action", pa.string()), ("date", pa.date32())])
    recent = (pc.field("date") > as_of - timedelta(MOST_HISTORY_DAYS)) & (pc.field("date") <= as_of)
    received = recent & (pc.field("action") != none)  # neither holds for a missing value
    faults: Counter[tuple[Path, str]] = Counter()
    (scores / "history").mkdir()
    rows = 0
    with pq.ParquetWriter(scores / "history" / "part-00000.parquet", schema, compression="zstd") as writer:
        for file, batch in _batches(_files(exposures)):
            faults.update({(file, name): batch.column(name).null_count for name in NEVER_MISSING})
            columns = [batch.column(name) for name in ("user_id", "action", "decided_on")]
            contacts = pa.table([c.cast(t, safe=False) for c, t in zip(columns, schema.types, strict=True)], schema)
            contacts = contacts.filter(received).drop_null()
            contacts = contacts.filter(pa.array(_are_among(user_U, _comparable(contacts.column("user_id")))))
            writer.write_table(contacts)
            rows += len(contacts)
            advance(len(batch))
    if problems := list(_missing(faults)):
        raise InputError(problems)
    return rows


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def _batches(files: Sequence[Path]) -> Iterator[tuple[Path, pa.RecordBatch]]:
    for file in files:
        try:
            for batch in pq.ParquetFile(file).iter_batches(ROWS_AT_ONCE, columns=list(WANTED)):
                yield file, batch
        except (pa.ArrowException, OSError) as error:
            raise InputError([f"{file}: the rows cannot be read ({error})"]) from None


def _missing(faults: Counter[tuple[Path, str]]) -> Iterator[str]:
    for (file, name), count in faults.items():
        if count:
            yield f"{file}: column {name}: {count:,} of {pq.read_metadata(file).num_rows:,} rows are missing"


def _type_of_ids(schema: pa.Schema) -> pa.DataType | None:
    """int64 or string, whatever the encoding; None without the column."""
    if "user_id" not in schema.names:
        return None
    return pa.int64() if pa.types.is_integer(schema.field("user_id").type) else pa.string()


def _comparable(ids: pa.ChunkedArray) -> np.ndarray:
    """Ids as an array that sorts: int64, or numpy's strings."""
    if pa.types.is_integer(ids.type):
        return ids.to_numpy()
    return np.array(ids.to_pylist(), dtype=np.dtypes.StringDType())


def _sorted_ids(files: Sequence[Path]) -> np.ndarray:
    user_U = np.concatenate([_comparable(pq.read_table(file, columns=["user_id"]).column(0)) for file in files])
    if (user_U[1:] < user_U[:-1]).any():
        user_U.sort()
    return user_U


def _are_among(user_U: np.ndarray, user_N: np.ndarray) -> np.ndarray:
    """bool[N]: who is one of the sorted users."""
    place_N = np.minimum(np.searchsorted(user_U, user_N), len(user_U) - 1)
    return user_U[place_N] == user_N
