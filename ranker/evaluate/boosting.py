"""Gradient boosted trees (LightGBM, an optional extra) as S- and T-learner, strongly regularised.

LightGBM is imported where it is used.

Axes: R rows, D columns, A actions, B = A + 1 arms (none last), M attribute values, Z = D + M columns of both (or the
first of them), L levels of categories, N nodes of a tree, Q = 2^N codes of a tree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ranker.features import Encoder, Features

SMALL: Mapping[str, object] = MappingProxyType(
    {"n_estimators": 120, "learning_rate": 0.05, "num_leaves": 7, "min_child_samples": 200, "reg_lambda": 5.0}
)
QUIET: Mapping[str, object] = MappingProxyType({"n_jobs": 1, "verbose": -1, "random_state": 0, "deterministic": True})
FEWEST_EVENTS = 5
ROWS_AT_ONCE = 20_000


def plain_design(encoder: Encoder, features: Features) -> np.ndarray:
    """float32[R, D]: numeric columns with their missing indicators, and one-hot categories; no levels of numbers, which trees find."""
    last = sum(len(column.levels) + 1 for column in encoder.categorical)
    hot_RL = np.zeros((len(features), last), np.float32)
    np.put_along_axis(hot_RL, features.index_UG[:, : len(encoder.categorical)], 1.0, axis=1)
    return np.hstack([features.numeric_UI, hot_RL])


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
    both_RZ = np.hstack([learn_RD, table_BM[arm_R]], dtype=np.float32)
    overall = float(np.average(outcome_R, weights=weight_R))
    return Trees(kind, both_RZ, outcome_R, weight_R, overall, settings)


def effects_shared(model: "Trees", test_RD: np.ndarray, table_BM: np.ndarray) -> np.ndarray:
    """float32[R, A]."""
    effect_RA = np.empty((len(test_RD), len(table_BM) - 1), np.float32)
    for start in range(0, len(test_RD), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        expected_RB = model.expected_of_pairs(test_RD[part], table_BM)
        effect_RA[part] = expected_RB[:, :-1] - expected_RB[:, -1:]
    return effect_RA


@dataclass(frozen=True)
class _Tree:
    """A small tree as a table: bit i of a row's code says whether it goes left at node i. value_Q: of every code, though most are
    never reached."""

    feature_N: np.ndarray
    threshold_N: np.ndarray
    value_Q: np.ndarray

    def code(self, x_RZ: np.ndarray, first: int) -> np.ndarray:
        """int64[R]: the bits of the nodes that ask for one of these columns, the first of which is column `first` of the tree."""
        code_R = np.zeros(len(x_RZ), np.int64)
        for node, (feature, threshold) in enumerate(zip(self.feature_N - first, self.threshold_N, strict=True)):
            if 0 <= feature < x_RZ.shape[1]:
                code_R |= (x_RZ[:, feature] <= threshold).astype(np.int64) << node
        return code_R


def _as_table(structure: Mapping) -> _Tree:
    """From LightGBM's own description; nodes compare numbers and nothing is missing."""
    nodes: list[tuple[int, int, float]] = []

    def values(node: Mapping, code_Q: np.ndarray) -> np.ndarray:
        if "leaf_value" in node:
            return np.full(len(code_Q), node["leaf_value"])
        i = node["split_index"]
        left_Q = (code_Q >> i & 1).astype(bool)
        return np.where(left_Q, values(node["left_child"], code_Q), values(node["right_child"], code_Q))

    def number(node: Mapping) -> None:
        if "leaf_value" not in node:
            nodes.append((node["split_index"], node["split_feature"], node["threshold"]))
            number(node["left_child"])
            number(node["right_child"])

    number(structure)
    _, feature_N, threshold_N = zip(*sorted(nodes), strict=True) if nodes else ((), (), ())
    value_Q = values(structure, np.arange(1 << len(nodes))).astype(np.float32)
    return _Tree(np.array(feature_N, np.int64), np.array(threshold_N), value_Q)


class Trees:
    """Boosted trees for one outcome, logistic for binary ones and least squares for others; a constant where events are too few."""

    def __init__(
        self,
        kind: str,
        learn_RZ: np.ndarray,
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
            self._trees = estimator(**settings, **QUIET).fit(learn_RZ, outcome_R, sample_weight=weight_R).booster_

    def expected(self, test_RZ: np.ndarray) -> np.ndarray:
        """float64[R]."""
        if self._trees is None:
            return np.full(len(test_RZ), self._constant)
        return np.asarray(self._trees.predict(test_RZ, num_threads=1))

    def expected_of_pairs(self, test_RD: np.ndarray, table_BM: np.ndarray) -> np.ndarray:
        """float64[R, B]: of every row with the attributes of every arm behind its own columns; a row's and an arm's part of a tree
        are looked up once, not once for each pair."""
        if self._trees is None:
            return np.full((len(test_RD), len(table_BM)), self._constant)
        link_RB = np.zeros((len(test_RD), len(table_BM)), np.float32)
        for described in self._trees.dump_model()["tree_info"]:
            tree = _as_table(described["tree_structure"])
            code_RB = tree.code(test_RD, 0)[:, None] | tree.code(table_BM, test_RD.shape[1])
            link_RB += tree.value_Q[code_RB]
        return 1.0 / (1.0 + np.exp(-link_RB.astype(np.float64))) if self._binary else link_RB.astype(np.float64)
