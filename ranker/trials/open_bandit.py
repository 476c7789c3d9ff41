"""The Open Bandit sample (ZOZOTOWN; Saito et al. 2020, arXiv 2008.07146): what a policy recommended in three positions, and clicks.

Axes: R rows, P positions, A actions (items).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ranker.files import InputError
from ranker.trials.adapters import read_csv

FILE = "all.csv.gz"
COLUMNS = ("item_id", "position", "click", "propensity_score")


@dataclass(frozen=True)
class Impressions:
    """One policy's logs. propensity_R: of the item, given the position. position_R: from 0."""

    item_R: np.ndarray
    position_R: np.ndarray
    propensity_R: np.ndarray
    click_R: np.ndarray

    def __len__(self) -> int:
        return len(self.item_R)


def read_shown(folder: Path) -> Impressions:
    """Reads one policy's folder of the sample; InputError if it is not that."""
    file = folder / FILE
    frame = read_csv(file, COLUMNS)
    propensity_R = frame["propensity_score"].to_numpy(np.float64)
    odd = int(np.count_nonzero(~((propensity_R > 0) & (propensity_R <= 1))))
    if odd:
        raise InputError([f"{file}: column propensity_score: {odd:,} of {len(frame):,} rows are not in (0, 1]"])
    return Impressions(
        item_R=frame["item_id"].to_numpy(np.int64),
        position_R=frame["position"].to_numpy(np.int64) - 1,
        propensity_R=propensity_R,
        click_R=frame["click"].to_numpy(np.float64),
    )


def shares(shown: Impressions, positions: int, items: int) -> np.ndarray:
    """float64[P, A]: how often each item stood in each position. A policy that knows no users and changes with time is on average
    this; its logged propensities are those of one moment each."""
    count_PA = np.zeros((positions, items))
    np.add.at(count_PA, (shown.position_R, shown.item_R), 1.0)
    return count_PA / count_PA.sum(axis=1, keepdims=True)
