"""A model judged on the held-out half of a randomised trial, next to the ridge T-learner and to one e-mail for everyone.

Axes: R test rows, A actions, B = A + 1 arms, the last one `none`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ranker.evaluate import off_policy
from ranker.evaluate.baselines import design, fit_arms
from ranker.evaluate.qini import qini
from ranker.evaluate.report import decisions_of
from ranker.logs import Logs
from ranker.model.calibrate import calibrate
from ranker.model.examples import examples_of
from ranker.model.fit import fit
from ranker.model.settings import FitSettings, ModelSettings


@dataclass(frozen=True)
class Split:
    """Of one split and one learner: Qini x 100 per action, value of its policy and difference to the best arm, in points.

    Differences are doubly robust with the randomised shares, paired on rows.
    """

    learner: str
    qini: Mapping[str, float]
    value: float
    difference: float
    difference_stderr: float


def judge_split(
    train: Logs, test: Logs, model: ModelSettings, fitting: FitSettings, seed: int, outcome: str, best: str
) -> list[Split]:
    """Trains on one half and judges on the other. best: the action that everyone gets in the policy to compare with."""
    fitted = fit(train, model, fitting.model_copy(update={"test_share": 0.0}), seed)
    calibrated = fitted.model.calibrated(calibrate(fitted.model, fitted.examples, fitted.splits))
    examples = examples_of(test, calibrated.encoder)
    o = [target.name for target in calibrated.targets].index(outcome)
    expected_RB = _ridge(calibrated.encoder, fitted.examples, examples, o)
    scores = {
        "valuenet": calibrated.effects(examples.features)[outcome].mean_UA,
        "ridge T-learner": expected_RB[:, :-1] - expected_RB[:, -1:],
    }
    decisions, y_R = decisions_of(examples), examples.outcome_RO[:, o]
    arm = [str(action["id"]) for action in test.actions].index(best)
    fixed = off_policy.doubly_robust(decisions, off_policy.always(arm, examples.eligible_RA), y_R, expected_RB)
    splits = []
    for learner, score_RA in scores.items():
        policy_RB = off_policy.greedy(score_RA, examples.eligible_RA)
        value = off_policy.doubly_robust(decisions, policy_RB, y_R, expected_RB)
        gain = off_policy.difference(value, fixed, decisions.user_R)
        qinis = _qinis(test, examples, score_RA, y_R)
        splits.append(Split(learner, qinis, 100 * value.estimate.value, 100 * gain.value, 100 * gain.stderr))
    splits.append(Split(f"{best} to all", dict.fromkeys(splits[0].qini, 0.0), 100 * fixed.estimate.value, 0.0, 0.0))
    return splits


def _ridge(encoder, learn, test, o: int) -> np.ndarray:
    arms = fit_arms("binary", design(encoder, learn.features), decisions_of(learn), learn.outcome_RO[:, o])
    return arms.expected(design(encoder, test.features))


def _qinis(test: Logs, examples, score_RA: np.ndarray, y_R: np.ndarray) -> dict[str, float]:
    found = {}
    for a, action in enumerate(test.actions):
        rows = np.flatnonzero((examples.action_R == a) | (examples.action_R == examples.actions))
        contacted = examples.action_R[rows] == a
        one = qini(score_RA[rows, a], contacted, y_R[rows], examples.propensity_R[rows], examples.user_R[rows])
        found[str(action["id"])] = 100 * one.value
    return found
