"""Which contacts were really shown, as whoever shows them tells."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from ranker.columns import as_ids, as_text, value_problems
from ranker.files import InputError, batches, parquet_schema, some_parquet_files
from ranker.tables.check import type_problems
from scripts.cli.entry import Advance

WANTED = {"user_id": "id", "action": "string"}
ROWS_AT_ONCE = 1_048_576


def read_shown(folder: Path, advance: Advance = lambda steps=1, note="": None) -> pd.DataFrame:
    """`user_id` and `action` of every row of the folder's *.parquet files; InputError with everything that is wrong in them."""
    problems: list[str] = []
    parts: list[pa.Table] = []
    for file in some_parquet_files(folder):
        found = [f"{file}: {problem}" for problem in type_problems(parquet_schema(file), WANTED)]
        found = found or list(value_problems(file, ["user_id"]))
        problems += found
        for batch in () if found else batches(file, ROWS_AT_ONCE, list(WANTED)):
            missing = {name: batch.column(name).null_count for name in WANTED}
            problems += [
                f"{file}: column {name}: {count:,} values are missing" for name, count in missing.items() if count
            ]
            columns = {"user_id": as_ids(batch.column("user_id")), "action": as_text(batch.column("action"))}
            parts.append(pa.table(columns))
            advance(len(batch))
    if problems:
        raise InputError(problems)
    return pa.concat_tables(parts).to_pandas()
