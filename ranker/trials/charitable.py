"""Karlan and List's fund-raising trial (American Economic Review 2007) as logs: one of 36 letters, or none, at random.

A letter says that gifts are matched, by which ratio and up to which size, and which gift it asks for. Two thirds of the former donors
got one. The trial found that any letter brings more than none, and that ratios do not differ.
"""

from datetime import date
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from ranker.files import InputError
from ranker.log_schema import LogSchema, Outcome
from ranker.trials.adapters import Trial, read_csv, split

RATIOS, SIZES, ASKS = ("r1", "r2", "r3"), ("25k", "50k", "100k", "unstated"), ("a1", "a2", "a3")
NONE = "none"
ACTIONS = tuple(
    {
        "id": f"{ratio}_{size}_{ask}",
        "slot": "letter_1",
        "surface": "letter",
        "surface_kind": "messaging",
        "product": "appeal",
        "ratio": ratio,
        "size": size,
        "ask": ask,
    }
    for ratio, size, ask in product(RATIOS, SIZES, ASKS)
)
SCHEMA = LogSchema(
    numeric=(
        *("hpa", "freq", "years", "mrm2", "nonlit", "cases", "perbush", "pwhite", "pblack", "page18_39", "ave_hh_sz"),
        *("median_hhincome", "powner", "psch_atlstba", "pop_propurban"),
    ),
    categorical=("ltmedmra", "dormant", "female", "couple", "close25", "red0", "redcty"),
    outcomes=(Outcome("gave", "binary", "gifts"), Outcome("amount", "amount", "USD")),
    none=NONE,
)
DAY = date(2005, 8, 1)  # the month of the letters; the file gives no day


def read_charitable(file: Path, test_share: float, seed: int) -> Trial:
    """Reads the trial's CSV and splits its donors evenly by whether they got a letter and gave; InputError if it is not the trial."""
    raw = read_csv(file, ["letter", *SCHEMA.features, *(outcome.name for outcome in SCHEMA.outcomes)])
    known = {NONE, *(action["id"] for action in ACTIONS)}
    unknown = ~raw["letter"].isin(known)
    if unknown.any():
        raise InputError([f"{file}: column letter: {int(unknown.sum()):,} rows are none of the {len(ACTIONS)} letters"])
    frame = pd.DataFrame(
        {
            "user_id": np.arange(len(raw)),
            "as_of": pd.Timestamp(DAY),
            "action": raw["letter"],
            "propensity": raw["letter"].map(raw["letter"].value_counts(normalize=True)),
            **{name: raw[name].astype("float32") for name in SCHEMA.numeric},
            **{name: raw[name].astype("object").where(raw[name].notna()).map(_as_text) for name in SCHEMA.categorical},
            **{outcome.name: raw[outcome.name].astype("float64") for outcome in SCHEMA.outcomes},
            "got": raw["letter"] != NONE,
        }
    )
    made = split(frame, ["got", "gave"], test_share, seed)
    return Trial(made.train.drop(columns="got"), made.test.drop(columns="got"))


def _as_text(value: object) -> str | None:
    return None if value is None or value != value else str(value)
