"""Gradient boosted trees (LightGBM, an optional extra) as learners of effects: an S-learner and a T-learner, with strong regularisation.

LightGBM is imported where it is used. Axes: R rows, D columns, A actions, B = A + 1 arms, the last one `none`, M attributes of
actions.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from ranker.features import Encoder, Features

SMALL: Mapping[str, object] = MappingProxyType(
    {"n_estimators": 120, "learning_rate": 0.05, "num_leaves": 7, "min_child_samples": 200, "reg_lambda": 5.0}
)
QUIET: Mapping[str, object] = MappingProxyType({"n_jobs": 1, "verbose": -1, "random_state": 0, "deterministic": True})
FEWEST_EVENTS = 5
ROWS_AT_ONCE = 100_000


def plain_design(encoder: Encoder, features: Features) -> np.ndarray:
    """float32[R, D]: numeric columns with their missing indicators, and one-hot categories; no levels of numbers, which trees find."""
    last = sum(len(column.levels) + 1 for column in encoder.categorical)
    hot_RL = np.zeros((len(features), last), np.float32)
    np.put_along_axis(hot_RL, features.index_UG[:, : len(encoder.categorical)], 1.0, axis=1)
    return np.hstack([features.numeric_UN, hot_RL])


def by_arm(
    kind: str, learn_RD: np.ndarray, arm_R: np.ndarray, outcome_R: np.ndarray, weight_R: np.ndarray, arms: int
) -> "list[Trees]":
    """The T-learner: trees for each arm by itself."""
    rows_B = [np.flatnonzero(arm_R == arm) for arm in range(arms)]
    overall = float(np.average(outcome_R, weights=weight_R))
    return [Trees(kind, learn_RD[rows], outcome_R[rows], weight_R[rows], overall) for rows in rows_B]


def effects_by_arm(models: "list[Trees]", test_RD: np.ndarray) -> np.ndarray:
    """float32[R, A]: each arm's expectation less that of none."""
    expected_RB = np.column_stack([model.expected(test_RD) for model in models])
    return (expected_RB[:, :-1] - expected_RB[:, -1:]).astype(np.float32)


def shared(
    kind: str,
    learn_RD: np.ndarray,
    arm_R: np.ndarray,
    outcome_R: np.ndarray,
    weight_R: np.ndarray,
    table_BM: np.ndarray,
    settings: Mapping[str, object] = SMALL,
) -> "Trees":
    """The S-learner: one forest that sees the attributes of the action beside the features."""
    both_RX = np.hstack([learn_RD, table_BM[arm_R]], dtype=np.float32)
    overall = float(np.average(outcome_R, weights=weight_R))
    return Trees(kind, both_RX, outcome_R, weight_R, overall, settings)


def effects_shared(model: "Trees", test_RD: np.ndarray, table_BM: np.ndarray) -> np.ndarray:
    """float32[R, A]."""
    rows, columns = test_RD.shape
    effect_RA = np.empty((rows, len(table_BM) - 1), np.float32)
    for start in range(0, rows, ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        both_RX = np.hstack([test_RD[part], np.zeros((len(test_RD[part]), table_BM.shape[1]))], dtype=np.float32)
        none_R = model.expected(both_RX)
        for action, attributes_M in enumerate(table_BM[:-1]):
            both_RX[:, columns:] = attributes_M
            effect_RA[part, action] = model.expected(both_RX) - none_R
    return effect_RA


class Trees:
    """Boosted trees for one outcome, logistic for binary ones and least squares for others; a constant where events are too few."""

    def __init__(
        self,
        kind: str,
        learn_RX: np.ndarray,
        outcome_R: np.ndarray,
        weight_R: np.ndarray,
        overall: float,
        settings: Mapping[str, object] = SMALL,
    ):
        import lightgbm

        events = int((outcome_R != 0).sum())
        rare = min(events, len(outcome_R) - events if kind == "binary" else events) < FEWEST_EVENTS
        self._constant = (outcome_R.sum() + FEWEST_EVENTS * overall) / (len(outcome_R) + FEWEST_EVENTS)
        self._binary = kind == "binary"
        estimator = lightgbm.LGBMClassifier if self._binary else lightgbm.LGBMRegressor
        self._trees = None
        if not rare:
            self._trees = estimator(**settings, **QUIET).fit(learn_RX, outcome_R, sample_weight=weight_R).booster_

    def expected(self, test_RX: np.ndarray) -> np.ndarray:
        """float64[R]."""
        if self._trees is None:
            return np.full(len(test_RX), self._constant)
        return np.asarray(self._trees.predict(test_RX, num_threads=1))
