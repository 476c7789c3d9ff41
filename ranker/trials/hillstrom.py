"""Kevin Hillstrom's e-mail trial (MineThatData 2008) as logs and users: mens, womens or no e-mail, a third each."""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ranker import disk
from ranker.catalogue import CATALOGUE_FILE, Catalogue, write_catalogue
from ranker.files import InputError
from ranker.log_schema import SCHEMA_FILE, LogSchema, Outcome, write_schema
from ranker.logs import write_logs
from ranker.trials.adapters import Trial, read_csv, split

ARMS = {"No E-Mail": "none", "Mens E-Mail": "mens", "Womens E-Mail": "womens"}
ACTIONS = tuple(
    {"id": name, "slot": "email_1", "surface": "email", "surface_kind": "messaging", "product": name}
    for name in ("mens", "womens")
)
SCHEMA = LogSchema(
    numeric=("recency", "history", "mens", "womens", "newbie"),
    categorical=("history_segment", "zip_code", "channel"),
    outcomes=(
        Outcome("visit", "binary", "visits"),
        Outcome("conversion", "binary", "purchases"),
        Outcome("spend", "amount", "USD"),
    ),
    none="none",
)
DAY = date(2008, 3, 20)  # when the trial was published; the trial itself gives no day


def read_trial(file: Path, test_share: float, seed: int) -> Trial:
    """Reads the trial's CSV and splits its customers evenly by arm and outcome; InputError if it is not the trial."""
    raw = read_csv(file, [*SCHEMA.features, *(outcome.name for outcome in SCHEMA.outcomes), "segment"])
    unknown = ~raw["segment"].isin(ARMS)
    if unknown.any():
        raise InputError([f"{file}: column segment: {int(unknown.sum()):,} rows are none of {', '.join(ARMS)}"])
    frame = raw.assign(
        user_id=np.arange(len(raw)),
        as_of=pd.Timestamp(DAY),
        action=raw["segment"].map(ARMS),
        propensity=1 / 3,
        **{name: raw[name].astype("float32") for name in SCHEMA.numeric},
    )
    return split(frame, ["action", "visit", "conversion"], test_share, seed)


def write_trial(trial: Trial, out: Path) -> None:
    """Writes `logs/` (to learn from), `test_logs/` (to judge by) and `users/` (the customers of test_logs) under `out`."""
    for name, frame in (("logs", trial.train), ("test_logs", trial.test)):
        disk.make_folder(out / name)
        write_logs(out / name, SCHEMA, ACTIONS, [frame])
    disk.make_folder(out / "users")
    users = trial.test[["user_id", *SCHEMA.features]]
    disk.write_table(out / "users" / "part-00000.parquet", pa.Table.from_pandas(users, preserve_index=False))
    write_schema(out / "users" / SCHEMA_FILE, SCHEMA)
    write_catalogue(out / CATALOGUE_FILE, Catalogue(ACTIONS))
