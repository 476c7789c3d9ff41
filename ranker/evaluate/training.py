"""The evaluation that stands beside a trained model: its figures on test users, and what training found out on the way.

Axes: R rows.
"""

import time
from collections.abc import Sequence

import numpy as np

from ranker.evaluate.records import ModelEvaluation
from ranker.evaluate.reliability import reliabilities
from ranker.evaluate.report import evaluate, finite
from ranker.model.fit import LossCurve
from ranker.model.settings import FitSettings
from ranker.model.threads import fixed_threads
from ranker.model.train import Trained


def evaluated(trained: Trained, fitting: FitSettings, started: float) -> ModelEvaluation:
    """The evaluation of a model that was just trained.

    Args:
        trained: of `ranker.model.train.train`.
        fitting: the settings that it was trained with.
        started: when training began, of `time.perf_counter`.

    Returns:
        Values of policies, Qini, calibration and reliability on test rows, surrogates, interference (where the logs tell of it) and the
        losses by epoch; null for what is not finite.

    Raises:
        InputError: no users were kept for the test, none of them knows an outcome, or `fitting.evaluate` names no outcome of the logs.
    """
    with fixed_threads(fitting.threads):
        found = evaluate(trained.model, trained.examples, trained.splits, fitting.evaluate)
        test = np.flatnonzero(trained.splits.test_R)
        found["reliability"] = reliabilities(trained.model, trained.examples, test)
    found["surrogates"] = [finding.to_json() for finding in trained.surrogates]
    if trained.interference is not None:
        found["interference"] = trained.interference.to_json()
    found["training"] = _training(trained.curves, time.perf_counter() - started)
    return ModelEvaluation.model_validate(finite(found))


def _training(curves: Sequence[LossCurve], seconds: float) -> dict:
    """The curve is the average over members. A member whose best epoch is 0 does without its deep path."""
    longest = max(len(curve.train) for curve in curves)
    return {
        "epochs": longest,
        "best_epoch": round(float(np.mean([curve.best for curve in curves]))),
        "curve": [
            {
                "epoch": epoch + 1,
                "train": _average(epoch, [curve.train for curve in curves]),
                "validation": _average(epoch, [curve.validation for curve in curves]),
            }
            for epoch in range(longest)
        ],
        "members": [_member(curve) for curve in curves],
        "seconds": seconds,
    }


def _average(epoch: int, losses: list[tuple[float, ...]]) -> float:
    """A member that stopped keeps its last loss, so that the curve has no jumps."""
    return float(np.mean([member[min(epoch, len(member) - 1)] for member in losses]))


def _member(curve: LossCurve) -> dict:
    kept = curve.validation[curve.best - 1] if curve.best else curve.linear
    return {"epochs": len(curve.train), "best_epoch": curve.best, "validation": kept, "linear": curve.linear}
