"""A model on the held-out half of a randomised trial, next to the ridge T-learner and to one action for everyone.

Axes: R test rows, A actions, B = A + 1 arms, the last one `none`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ranker.evaluate import off_policy
from ranker.evaluate.baselines import design, fit_arms
from ranker.evaluate.learners import NETWORK, RIDGE, decisions_of
from ranker.evaluate.qini import qini
from ranker.features import Encoder
from ranker.logs import Logs
from ranker.model.calibrate import calibrate
from ranker.model.examples import Examples, examples_of
from ranker.model.fit import fit
from ranker.model.settings import FitSettings, ModelSettings


@dataclass(frozen=True)
class Split:
    """Of one split and one learner, all x 100: Qini and its stderr per action, value of the policy that follows the learner
    (IPS and doubly robust), and its doubly robust difference to the fixed action, paired on rows."""

    learner: str
    qini: Mapping[str, float]
    qini_stderr: Mapping[str, float]
    ips: float
    value: float
    value_stderr: float
    difference: float
    difference_stderr: float


def judge_split(
    train: Logs, test: Logs, model: ModelSettings, fitting: FitSettings, seed: int, outcome: str, fixed: str
) -> list[Split]:
    """Trains on one half and judges on the other. fixed: the action that everyone gets in the policy to compare with."""
    fitted = fit(train, model, fitting.model_copy(update={"test_share": 0.0}), seed)
    calibrated = fitted.model.calibrated(calibrate(fitted.model, fitted.examples, fitted.splits))
    examples = examples_of(test, calibrated.encoder)
    o = [target.name for target in calibrated.targets].index(outcome)
    expected_RB = _ridge(calibrated.encoder, fitted.examples, examples, o)
    arm = [str(action["id"]) for action in test.actions].index(fixed)
    scores = {
        NETWORK: calibrated.effects(examples.features)[outcome].mean_UA,
        RIDGE: expected_RB[:, :-1] - expected_RB[:, -1:],
        f"{fixed} to all": np.broadcast_to(np.eye(examples.actions)[arm], examples.eligible_RA.shape),
    }
    y_R = examples.outcome_RO[:, o]
    return [_split(learner, score_RA, examples, y_R, expected_RB, arm, test) for learner, score_RA in scores.items()]


def _split(
    learner: str,
    score_RA: np.ndarray,
    examples: Examples,
    y_R: np.ndarray,
    expected_RB: np.ndarray,
    arm: int,
    test: Logs,
) -> Split:
    decisions = decisions_of(examples)
    judged = off_policy.judge(decisions, off_policy.greedy(score_RA, examples.eligible_RA), y_R, expected_RB)
    fixed = off_policy.judge(decisions, off_policy.always(arm, examples.eligible_RA), y_R, expected_RB)
    gain = off_policy.difference(judged["DR"], fixed["DR"], decisions.user_R)
    qinis = [_qini(a, examples, score_RA, y_R) for a in range(examples.actions)]
    ids = [str(action["id"]) for action in test.actions]
    return Split(
        learner=learner,
        qini={name: 100 * one.value for name, one in zip(ids, qinis, strict=True)},
        qini_stderr={name: 100 * one.stderr for name, one in zip(ids, qinis, strict=True)},
        ips=100 * judged["IPS"].estimate.value,
        value=100 * judged["DR"].estimate.value,
        value_stderr=100 * judged["DR"].estimate.stderr,
        difference=100 * gain.value,
        difference_stderr=100 * gain.stderr,
    )


def _ridge(encoder: Encoder, learn: Examples, test: Examples, o: int) -> np.ndarray:
    arms = fit_arms("binary", design(encoder, learn.features), decisions_of(learn), learn.outcome_RO[:, o])
    return arms.expected(design(encoder, test.features))


def _qini(a: int, examples: Examples, score_RA: np.ndarray, y_R: np.ndarray):
    rows = np.flatnonzero((examples.action_R == a) | (examples.action_R == examples.actions))
    contacted = examples.action_R[rows] == a
    return qini(score_RA[rows, a], contacted, y_R[rows], examples.propensity_R[rows], examples.user_R[rows])
