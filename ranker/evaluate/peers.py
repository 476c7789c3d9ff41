"""Learners of other libraries on a trial: causalml, econml, scikit-uplift and LightGBM, an optional extra.

Each takes the rows to learn from and the rows to judge, and returns its estimate of each action's effect. All are
regularised for small effects: trees as in `boosting.SMALL`, at least 200 customers in a leaf.

Axes: R rows, D columns, B = A + 1 arms (none last), M attribute values.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from types import MappingProxyType

import numpy as np
import pandas as pd

from ranker.evaluate import boosting
from ranker.evaluate.boosting import QUIET, SMALL

FOREST: Mapping[str, object] = MappingProxyType({"n_estimators": 200, "min_samples_leaf": 200, "n_jobs": 1})


@dataclass(frozen=True)
class Task:
    """A binary outcome of a trial. share: of each arm, known by design."""

    learn_RD: np.ndarray
    arm_R: np.ndarray
    outcome_R: np.ndarray
    test_RD: np.ndarray
    actions: int

    @property
    def weight_R(self) -> np.ndarray:
        return np.ones(len(self.arm_R))

    def against_none(self, action: int) -> np.ndarray:
        """bool[R]: rows of one action and of none."""
        return (self.arm_R == action) | (self.arm_R == self.actions)

    @property
    def names_R(self) -> np.ndarray:
        """Arms as text that sorts as they are numbered, none first."""
        return np.array(["a0", *(f"b{action:02d}" for action in range(self.actions))])[
            np.where(self.arm_R == self.actions, 0, self.arm_R + 1)
        ]


@dataclass(frozen=True)
class Peer:
    """A learner and the package that it comes from."""

    name: str
    package: str
    effects: Callable[[Task], np.ndarray]

    @property
    def version(self) -> str:
        """Raises PackageNotFoundError where it is not installed."""
        return f"{self.package} {metadata.version(self.package)}"


def lightgbm_s(task: Task) -> np.ndarray:
    table_BM = np.vstack([np.eye(task.actions), np.zeros(task.actions)])
    model = boosting.shared("binary", task.learn_RD, task.arm_R, task.outcome_R, task.weight_R, table_BM)
    return boosting.effects_shared(model, task.test_RD, table_BM)


def lightgbm_t(task: Task) -> np.ndarray:
    models = boosting.by_arm("binary", task.learn_RD, task.arm_R, task.outcome_R, task.weight_R, task.actions + 1)
    return boosting.effects_by_arm(models, task.test_RD)


def causalml_x(task: Task) -> np.ndarray:
    from causalml.inference.meta import BaseXClassifier

    learner = BaseXClassifier(outcome_learner=_classifier(), effect_learner=_regressor(), control_name="a0")
    return _causalml(learner, task)


def causalml_r(task: Task) -> np.ndarray:
    from causalml.inference.meta import BaseRLearner

    learner = BaseRLearner(
        outcome_learner=_regressor(), effect_learner=_regressor(), control_name="a0", random_state=0, cv_n_jobs=1
    )
    return _causalml(learner, task)


def _causalml(learner, task: Task) -> np.ndarray:
    """Propensities are those between an action and none alone."""
    names_R = task.names_R
    actions = sorted(set(names_R) - {"a0"})
    learn, test = (
        {name: np.full(rows, float((names_R == name).sum() / np.isin(names_R, (name, "a0")).sum())) for name in actions}
        for rows in (len(names_R), len(task.test_RD))
    )
    learner.fit(X=task.learn_RD, treatment=names_R, y=task.outcome_R, p=learn)
    return np.asarray(learner.predict(X=task.test_RD, p=test))


def causalml_forest(task: Task) -> np.ndarray:
    from causalml.inference.tree import UpliftRandomForestClassifier

    forest = UpliftRandomForestClassifier(
        control_name="a0", n_estimators=100, max_depth=5, min_samples_leaf=200, min_samples_treatment=50,
        evaluationFunction="ED", random_state=0, n_jobs=1,
    )  # fmt: skip
    forest.fit(task.learn_RD.astype(np.float64), task.names_R, task.outcome_R.astype(np.int64))
    return np.asarray(forest.predict(task.test_RD.astype(np.float64)))


def econml_linear_dr(task: Task) -> np.ndarray:
    from econml.dr import LinearDRLearner

    learner = LinearDRLearner(
        model_propensity=_shares(), model_regression=_regressor(), categories=_categories(task), random_state=0
    )
    return _econml(learner, task)


def econml_dr(task: Task) -> np.ndarray:
    from econml.dr import DRLearner

    learner = DRLearner(
        model_propensity=_shares(), model_regression=_regressor(), model_final=_regressor(),
        categories=_categories(task), random_state=0,
    )  # fmt: skip
    return _econml(learner, task)


def econml_forest(task: Task) -> np.ndarray:
    from econml.dml import CausalForestDML

    learner = CausalForestDML(
        model_y=_regressor(), model_t=_shares(), discrete_treatment=True, categories=_categories(task), random_state=0,
        **FOREST,
    )  # fmt: skip
    return _econml(learner, task)


def _econml(learner, task: Task) -> np.ndarray:
    varied = np.ptp(task.learn_RD, axis=0) > 0
    learner.fit(task.outcome_R, task.names_R, X=task.learn_RD[:, varied].astype(np.float64))
    effect = learner.const_marginal_effect(task.test_RD[:, varied].astype(np.float64))
    return np.asarray(effect).reshape(len(task.test_RD), task.actions)


def _categories(task: Task) -> list[str]:
    return sorted(set(task.names_R))


def sklift_transformed(task: Task) -> np.ndarray:
    from sklift.models import ClassTransformation

    return _sklift(lambda: ClassTransformation(_classifier()), task)


def sklift_solo(task: Task) -> np.ndarray:
    from sklift.models import SoloModel

    return _sklift(lambda: SoloModel(_classifier(), method="treatment_interaction"), task)


def sklift_two_models(task: Task) -> np.ndarray:
    from sklift.models import TwoModels

    return _sklift(lambda: TwoModels(_classifier(), _classifier(), method="ddr_control"), task)


def _sklift(make, task: Task) -> np.ndarray:
    """One action at a time against none; it takes frames with text for names."""
    learn, test = (pd.DataFrame(x_RD).add_prefix("x") for x_RD in (task.learn_RD, task.test_RD))
    found = []
    for action in range(task.actions):
        rows = task.against_none(action)
        model = make().fit(
            learn[rows].reset_index(drop=True),
            pd.Series(task.outcome_R[rows].astype(int)),
            pd.Series((task.arm_R[rows] == action).astype(int)),
        )
        found.append(np.asarray(model.predict(test)))
    return np.column_stack(found)


def _classifier():
    import lightgbm

    return lightgbm.LGBMClassifier(**SMALL, **QUIET)


def _regressor():
    import lightgbm

    return lightgbm.LGBMRegressor(**SMALL, **QUIET)


def _shares():
    """Arms were drawn at random, so their shares are their propensities."""
    from sklearn.dummy import DummyClassifier

    return DummyClassifier(strategy="prior")


PEERS: Mapping[str, Peer] = MappingProxyType(
    {
        peer.name: peer
        for peer in (
            Peer("LightGBM S-learner", "lightgbm", lightgbm_s),
            Peer("LightGBM T-learner", "lightgbm", lightgbm_t),
            Peer("causalml X-learner", "causalml", causalml_x),
            Peer("causalml R-learner", "causalml", causalml_r),
            Peer("causalml UpliftRandomForest", "causalml", causalml_forest),
            Peer("econml LinearDRLearner", "econml", econml_linear_dr),
            Peer("econml DRLearner", "econml", econml_dr),
            Peer("econml CausalForestDML", "econml", econml_forest),
            Peer("sklift ClassTransformation", "scikit-uplift", sklift_transformed),
            Peer("sklift SoloModel", "scikit-uplift", sklift_solo),
            Peer("sklift TwoModels", "scikit-uplift", sklift_two_models),
        )
    }
)
