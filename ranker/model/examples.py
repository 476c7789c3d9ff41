"""Logged decisions as arrays: what the network, the calibration and the evaluation all read.

A row is a decision: of contacts that were decided together one stands for all (see `slates`).
Axes: R rows, A actions (catalogue order), O outcomes, E early columns. Action index A is `none`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from ranker.features import Encoder, FeatureFiles, Features
from ranker.logs import Logs, StoredLogs
from ranker.model.slates import draw


@dataclass(frozen=True)
class Examples:
    """features: of R rows. action_R: int64 in 0..A. propensity_R: of the logged action. outcome_RO: natural units, NaN where not known.
    user_R: int64 codes of users, for clustered standard errors. eligible_RA: bool. early_RE: what is known early, columns as in the
    schema. stand_in_RO: in place of outcomes that are not known, NaN where nothing is; weight_RO: what it tells, next to an outcome.
    Where there are slates (else None): row_R: rows of the logs that stand for a decision; others_RA: what else it showed; whole_RO: what
    came of all it showed, outcome_RO being, after `beside.alone`, what came of the one contact; whole_stand_in_RO likewise.

    Of each row there are in memory 24 bytes, 8 per outcome and early column (16 more per outcome if anything stands in) and, where the
    logs say what is eligible, one per action. Features may lie in files.
    """

    features: Features
    action_R: np.ndarray
    propensity_R: np.ndarray
    outcome_RO: np.ndarray
    user_R: np.ndarray
    eligible_RA: np.ndarray
    early_RE: np.ndarray
    stand_in_RO: np.ndarray | None = None
    weight_RO: np.ndarray | None = None
    row_R: np.ndarray | None = None
    others_RA: csr_array | None = None
    whole_RO: np.ndarray | None = None
    whole_stand_in_RO: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.action_R)

    @property
    def actions(self) -> int:
        return self.eligible_RA.shape[1]

    @property
    def logged_RO(self) -> np.ndarray:
        """What came of everything that a decision showed."""
        return self.outcome_RO if self.whole_RO is None else self.whole_RO

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
        value_R, information_R = self.outcome_RO[:, outcome], np.ones(len(self))
        if self.stand_in_RO is not None:
            young_R = ~np.isfinite(value_R)
            value_R = np.where(young_R, self.stand_in_RO[:, outcome], value_R)
            information_R = np.where(young_R, self.weight_RO[:, outcome], 1.0)
        rows = np.flatnonzero(np.isfinite(value_R))
        return rows, value_R[rows], information_R[rows]

    def take(self, rows: np.ndarray) -> "Examples":
        """The rows of a mask or of positions."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        optional = ("stand_in_RO", "weight_RO", "row_R", "others_RA", "whole_RO", "whole_stand_in_RO")
        held = {name: getattr(self, name) for name in optional}
        return Examples(
            features=self.features.take(rows),
            action_R=self.action_R[rows],
            propensity_R=self.propensity_R[rows],
            outcome_RO=self.outcome_RO[rows],
            user_R=self.user_R[rows],
            eligible_RA=_everything(len(rows), self.actions) if self._is_open else self.eligible_RA[rows],
            early_RE=self.early_RE[rows],
            **{name: None if value is None else value[rows] for name, value in held.items()},
        )

    @property
    def _is_open(self) -> bool:
        """Whether every action was eligible, in one byte."""
        return self.eligible_RA.strides == (0, 0)


def _everything(rows: int, actions: int) -> np.ndarray:
    return np.broadcast_to(True, (rows, actions))


def examples_of(logs: Logs | StoredLogs, encoder: Encoder, folder: Path | None = None) -> Examples:
    """The logs as arrays; the features in files of the folder, if one is given."""
    ids = pd.Index([*(str(action["id"]) for action in logs.actions), logs.schema.none], dtype=object)
    outcomes, early = [o.name for o in logs.schema.outcomes], [e.name for e in logs.schema.early]
    drawn = draw(logs)
    files = None if folder is None else FeatureFiles(folder, len(logs) if drawn is None else len(drawn.row_N), encoder)
    features, parts = [], []
    for part in logs.batches() if drawn is None else _standing(logs, drawn.row_N):
        frame = part.frame
        encoded = encoder.encode(frame)
        if files is None:
            features.append(encoded)
        else:
            files.add(encoded)
        parts.append(
            (
                ids.get_indexer(frame["action"].astype(object)).astype(np.int64),
                frame["propensity"].to_numpy(np.float64),
                frame[outcomes].to_numpy(np.float64),
                pd.util.hash_pandas_object(frame["user_id"], index=False).to_numpy(),
                _everything(len(frame), len(logs.actions)) if part.eligible is None else part.eligible,
                frame[early].to_numpy(np.float64),
            )
        )
    action_R, propensity_R, outcome_RO, user_R, eligible_RA, early_RE = map(_joined, zip(*parts, strict=True))
    found = Examples(
        features=_together(features) if files is None else files.features(),
        action_R=action_R,
        propensity_R=propensity_R,
        outcome_RO=outcome_RO,
        user_R=pd.factorize(user_R)[0].astype(np.int64),
        eligible_RA=eligible_RA,
        early_RE=early_RE,
    )
    if drawn is None:
        return found
    propensity_R = propensity_R / drawn.size_N
    slates = {"row_R": drawn.row_N, "others_RA": drawn.others_NA, "whole_RO": outcome_RO}
    return replace(found, propensity_R=propensity_R, **slates)


def _standing(logs: Logs | StoredLogs, rows: np.ndarray) -> Iterator[Logs]:
    """The logs in parts, of each the rows that are asked for, in rising order."""
    start = 0
    for part in logs.batches():
        first, last = np.searchsorted(rows, [start, start + len(part)])
        here = rows[first:last] - start
        eligible_RA = None if part.eligible is None else part.eligible[here]
        yield replace(part, frame=part.frame.iloc[here], eligible=eligible_RA)
        start += len(part)


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    if all(part.strides == (0, 0) for part in parts):
        return _everything(sum(map(len, parts)), parts[0].shape[1])
    return np.concatenate(parts)


def _together(parts: Sequence[Features]) -> Features:
    return Features(np.concatenate([part.numeric for part in parts]), np.concatenate([part.index for part in parts]))


def thinned(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the rows, evenly spaced."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def of_some_users(user_R: np.ndarray, rows: np.ndarray, most: int) -> np.ndarray:
    """All rows of some of the users, about so many at most: users evenly spaced in the order in which they come."""
    if len(rows) <= most:
        return rows
    users = np.unique(user_R[rows])
    chosen = thinned(users, max(1, len(users) * most // len(rows)))
    return rows[np.isin(user_R[rows], chosen)]


def stabilised_weights(action_R: np.ndarray, propensity_R: np.ndarray, actions: int, clip: float) -> np.ndarray:
    """Weights [R] proportional to share(action) / propensity, average 1, none above `clip` averages.

    Plain 1 / propensity gives each of A actions as much weight as `none` and leaves few effective rows; the share of the action
    in the numerator removes what the logging policy depends on and keeps the rows (Robins, Hernan and Brumback 2000).
    """
    share_A = np.bincount(action_R, minlength=actions + 1) / max(len(action_R), 1)
    raw_R = share_A[action_R] / propensity_R
    clipped_R = np.minimum(raw_R, clip * raw_R.mean())
    return clipped_R / clipped_R.mean()
