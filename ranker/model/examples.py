"""Logged decisions as arrays: what the network, the calibration and the evaluation all read.

Axes: R rows, A actions (catalogue order), O outcomes. Action index A is `none`.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ranker.features import Encoder, Features
from ranker.logs import Logs


@dataclass(frozen=True)
class Examples:
    """features: of R rows. action_R: int64 in 0..A. propensity_R: of the logged action. outcome_RO: natural units, NaN where not known.
    user_R: int64 codes of users, for clustered standard errors. eligible_RA: bool. early_RE: what is known early, columns as in the
    schema. stand_in_RO: in place of outcomes that are not known, NaN where nothing is; weight_RO: what it tells, next to an outcome."""

    features: Features
    action_R: np.ndarray
    propensity_R: np.ndarray
    outcome_RO: np.ndarray
    user_R: np.ndarray
    eligible_RA: np.ndarray
    early_RE: np.ndarray
    stand_in_RO: np.ndarray | None = None
    weight_RO: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.action_R)

    @property
    def actions(self) -> int:
        return self.eligible_RA.shape[1]

    @property
    def complete_R(self) -> np.ndarray:
        """bool[R]: whether every outcome is known."""
        return np.isfinite(self.outcome_RO).all(1)

    def known(self, outcome: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the rows that know an outcome, and its values there."""
        rows = np.flatnonzero(np.isfinite(self.outcome_RO[:, outcome]))
        return rows, self.outcome_RO[rows, outcome]

    def filled(self, outcome: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions of the rows that know an outcome or have something in its place, the values and what each tells."""
        value_R, told_R = self.outcome_RO[:, outcome], np.ones(len(self))
        if self.stand_in_RO is not None:
            young_R = ~np.isfinite(value_R)
            value_R = np.where(young_R, self.stand_in_RO[:, outcome], value_R)
            told_R = np.where(young_R, self.weight_RO[:, outcome], 1.0)
        rows = np.flatnonzero(np.isfinite(value_R))
        return rows, value_R[rows], told_R[rows]

    def take(self, rows: np.ndarray) -> "Examples":
        """The rows of a mask or of positions."""
        return Examples(
            features=self.features.take(rows),
            action_R=self.action_R[rows],
            propensity_R=self.propensity_R[rows],
            outcome_RO=self.outcome_RO[rows],
            user_R=self.user_R[rows],
            eligible_RA=self.eligible_RA[rows],
            early_RE=self.early_RE[rows],
            stand_in_RO=None if self.stand_in_RO is None else self.stand_in_RO[rows],
            weight_RO=None if self.weight_RO is None else self.weight_RO[rows],
        )


def examples_of(logs: Logs, encoder: Encoder) -> Examples:
    """The logs as arrays."""
    frame = logs.frame
    ids = [str(action["id"]) for action in logs.actions]
    action_R = pd.Index([*ids, logs.schema.none], dtype=object).get_indexer(frame["action"].astype(object))
    everything = np.ones((len(frame), len(ids)), bool)
    return Examples(
        features=encoder.encode(frame),
        action_R=action_R.astype(np.int64),
        propensity_R=frame["propensity"].to_numpy(np.float64),
        outcome_RO=frame[[outcome.name for outcome in logs.schema.outcomes]].to_numpy(np.float64),
        user_R=pd.factorize(frame["user_id"])[0].astype(np.int64),
        eligible_RA=everything if logs.eligible is None else logs.eligible,
        early_RE=frame[[early.name for early in logs.schema.early]].to_numpy(np.float64),
    )


def stabilised_weights(action_R: np.ndarray, propensity_R: np.ndarray, actions: int, clip: float) -> np.ndarray:
    """Weights [R] proportional to share(action) / propensity, average 1, none above `clip` averages.

    Plain 1 / propensity gives each of A actions as much weight as `none` and leaves few effective rows; the share of the action
    in the numerator removes what the logging policy depends on and keeps the rows (Robins, Hernan and Brumback 2000).
    """
    share_A = np.bincount(action_R, minlength=actions + 1) / max(len(action_R), 1)
    raw_R = share_A[action_R] / propensity_R
    clipped_R = np.minimum(raw_R, clip * raw_R.mean())
    return clipped_R / clipped_R.mean()
