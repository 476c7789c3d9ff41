"""Public randomised trials as logs: what their adapters share.

Axes: R rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ranker.files import InputError


@dataclass(frozen=True)
class Trial:
    """Logs of the customers to learn from, and of those held out to judge by."""

    train: pd.DataFrame
    test: pd.DataFrame


def read_csv(file: Path, needed: Sequence[str]) -> pd.DataFrame:
    """The CSV file, plain or gzipped; InputError where it cannot be read or lacks a column."""
    try:
        frame = pd.read_csv(file)
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise InputError([f"{file}: is not a readable CSV file ({error})"]) from None
    problems = [f"{file}: column {name}: is missing" for name in needed if name not in frame]
    if problems:
        raise InputError(problems)
    return frame


def split(frame: pd.DataFrame, by: Sequence[str], test_share: float, seed: int) -> Trial:
    """A share of the rows of every combination of the columns `by` is held out."""
    generator = np.random.default_rng(seed)
    test_R = np.zeros(len(frame), bool)
    for rows in frame.groupby(list(by)).indices.values():
        test_R[generator.permutation(rows)[: round(test_share * len(rows))]] = True
    return Trial(frame[~test_R].reset_index(drop=True), frame[test_R].reset_index(drop=True))
