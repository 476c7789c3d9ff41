"""Karlan and List's fund-raising trial (American Economic Review 2007) as logs: a letter that matches gifts 1:1, 2:1 or 3:1, or none.

Two thirds of the former donors got a letter. The 36 letters of the file also differ in the largest sum that is matched and in the gift
they ask for. As actions they are taken by ratio: a single letter has some ten gifts. The trial found that any letter brings more than
none, and that ratios do not differ.

Axes: R rows.
"""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from ranker.files import InputError
from ranker.log_schema import LogSchema, Outcome
from ranker.trials.adapters import Trial, read_csv, split

NONE = "none"
ACTIONS = tuple(
    {"id": ratio, "slot": "letter_1", "surface": "letter", "surface_kind": "messaging", "product": ratio}
    for ratio in ("r1", "r2", "r3")
)
LETTER = r"^(none|r[123])(?:_(?:25k|50k|100k|unstated)_a[123])?$"
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
    """Reads the trial's CSV and splits its donors evenly by letter and gift; InputError if it is not the trial."""
    raw = read_csv(file, ["letter", *SCHEMA.features, *(outcome.name for outcome in SCHEMA.outcomes)])
    action_R = raw["letter"].astype(str).str.extract(LETTER)[0]
    if unknown := int(action_R.isna().sum()):
        raise InputError([f"{file}: column letter: {unknown:,} rows are no letter of the trial"])
    frame = pd.DataFrame(
        {
            "user_id": np.arange(len(raw)),
            "as_of": pd.Timestamp(DAY),
            "action": action_R,
            "propensity": action_R.map(action_R.value_counts(normalize=True)),
            **{name: raw[name].astype("float32") for name in SCHEMA.numeric},
            **{name: raw[name].map(_as_text) for name in SCHEMA.categorical},
            **{outcome.name: raw[outcome.name].astype("float64") for outcome in SCHEMA.outcomes},
        }
    )
    return split(frame, ["action", "gave"], test_share, seed)


def _as_text(value: object) -> str | None:
    return None if value != value else str(value)
