"""A coffee shop's promotion trial (Starbucks take-home, as used by Udacity) as logs: the promotion or nothing, half of customers each.

A promotion costs COST, a purchase earns REVENUE. The trial's own text calls it simulated.
"""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from ranker.files import InputError
from ranker.log_schema import LogSchema, Outcome
from ranker.trials.adapters import Trial, read_csv, split

COST, REVENUE = 0.15, 10.0
ARMS = {"No": "none", "Yes": "promotion"}
ACTIONS = ({"id": "promotion", "slot": "app_1", "surface": "app", "surface_kind": "messaging", "product": "coffee"},)
SCHEMA = LogSchema(
    numeric=("V2", "V3"),
    categorical=("V1", "V4", "V5", "V6", "V7"),
    outcomes=(Outcome("purchase", "binary", "purchases"),),
    none="none",
)
DAY = date(2018, 1, 1)  # the trial gives no day


def read_promotion(file: Path, test_share: float, seed: int) -> Trial:
    """Reads the trial's CSV and splits its customers evenly by arm and purchase; InputError if it is not the trial."""
    raw = read_csv(file, ["ID", "Promotion", "purchase", *SCHEMA.features])
    unknown = ~raw["Promotion"].isin(ARMS)
    if unknown.any():
        raise InputError([f"{file}: column Promotion: {int(unknown.sum()):,} rows are none of {', '.join(ARMS)}"])
    frame = pd.DataFrame(
        {
            "user_id": np.arange(len(raw)),
            "as_of": pd.Timestamp(DAY),
            "action": raw["Promotion"].map(ARMS),
            "propensity": 0.5,
            **{name: raw[name].astype("float32") for name in SCHEMA.numeric},
            **{name: raw[name].astype(str) for name in SCHEMA.categorical},
            "purchase": raw["purchase"].astype("float64"),
        }
    )
    return split(frame, ["action", "purchase"], test_share, seed)
