"""Predictions of the model and of each baseline for test users that none of them saw.

Axes: R rows (of the test), A actions, B = A + 1 arms, the last one `none`, O outcomes, D columns of the design
matrix, M attribute values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ranker.evaluate.baselines import average_effects, best_fixed, design, fit_arms, fit_shared
from ranker.evaluate.objective import Objective
from ranker.evaluate.off_policy import Decisions
from ranker.model.ensemble import USERS_AT_ONCE, ValueModel
from ranker.model.examples import Examples

VALUENET, RIDGE, SINGLE, RESPONSE = "valuenet", "ridge T-learner", "ridge S-learner", "response model"
FIXED, AVERAGE, LOGGING, RANDOM = "best fixed action", "average effect", "logging policy", "random"
WITHOUT_COVARIATES = "valuenet, averaged"
MOST_VALUES = 16  # of an attribute of actions, for the S-learner


@dataclass(frozen=True)
class Predictions:
    """effect: learner -> per outcome float32[R, A], what a contact adds. expected: per outcome float32[R, B], the network's
    expectation of the outcome itself. stderr: per outcome float32[R, A], the network's. average_OA: without covariates, by inverse
    propensities of the training rows; fixed: per objective the arm that is best for everyone there."""

    effect: Mapping[str, Sequence[np.ndarray]]
    expected: Sequence[np.ndarray]
    stderr: Sequence[np.ndarray]
    average_OA: np.ndarray
    fixed: Mapping[str, int]

    @property
    def choosers(self) -> Mapping[str, Sequence[np.ndarray]]:
        """The learners that choose among actions each in its own way. The response model orders users; among a user's actions it
        chooses as the ridge T-learner does, since what none gives is the same for all of them."""
        return {name: effect for name, effect in self.effect.items() if name != RESPONSE}


def decisions_of(examples: Examples) -> Decisions:
    none_R1 = np.ones((len(examples), 1), bool)
    eligible_RB = np.hstack([examples.eligible_RA, none_R1])
    return Decisions(examples.action_R, examples.propensity_R, examples.user_R, eligible_RB)


def predictions_of(
    model: ValueModel, learn: Examples, test: Examples, objectives: Sequence[Objective], *, single: bool = True
) -> Predictions:
    """Baselines are fitted on `learn`; what is fixed is chosen there too. single: the S-learner as well, which takes as long as
    the others together."""
    decisions = decisions_of(learn)
    raw_OA = np.stack(
        [average_effects(decisions.take(rows), y) for rows, y in map(learn.known, range(len(model.targets)))]
    )
    seen_A = np.isfinite(raw_OA).all(0)
    average_OA = np.where(seen_A, raw_OA, 0.0)
    expected, effect, stderr = _network(model, test)
    effects = {VALUENET: effect, **_ridge_by_arm(model, learn, test)}
    if single:
        effects[SINGLE] = _ridge_shared(model, learn, test)
    return Predictions(
        effect=effects,
        expected=expected,
        stderr=stderr,
        average_OA=average_OA,
        fixed={
            each.name: best_fixed(np.where(seen_A, each.effect(average_OA), -np.inf), decisions) for each in objectives
        },
    )


def of_network(model: ValueModel, test: Examples) -> Predictions:
    """What the network alone says of the test rows."""
    expected, effect, stderr = _network(model, test)
    average_OA = np.stack([each.mean(0) for each in effect])
    return Predictions({VALUENET: effect}, expected, stderr, average_OA, {})


def _network(model: ValueModel, test: Examples) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    parts = [
        model.effects(test.features.take(slice(start, start + USERS_AT_ONCE)))
        for start in range(0, len(test), USERS_AT_ONCE)
    ]
    expected, effect, stderr = [], [], []
    for target in model.targets:
        none_R = np.concatenate([part[target.name].none_U for part in parts])
        effect.append(np.concatenate([part[target.name].mean_UA for part in parts]))
        stderr.append(np.concatenate([part[target.name].stderr_UA for part in parts]))
        expected.append(np.column_stack([none_R[:, None] + effect[-1], none_R]))
    return expected, effect, stderr


def _ridge_by_arm(model: ValueModel, learn: Examples, test: Examples) -> dict[str, list[np.ndarray]]:
    """Effects by the ridge T-learner (arm minus none), and the response model: the outcome under the action, whatever none gives."""
    learn_RD, test_RD = design(model.encoder, learn.features), design(model.encoder, test.features)
    decisions = decisions_of(learn)
    ridge, response = [], []
    for o, target in enumerate(model.targets):
        rows, y = learn.known(o)
        arms = fit_arms(_kind(target.kind, learn), learn_RD[rows], decisions.take(rows), y)
        expected_RB = arms.expected(test_RD).astype(np.float32)
        ridge.append(expected_RB[:, :-1] - expected_RB[:, -1:])
        response.append(expected_RB[:, :-1])
    return {RIDGE: ridge, RESPONSE: response}


def _ridge_shared(model: ValueModel, learn: Examples, test: Examples) -> list[np.ndarray]:
    """Effects by the ridge S-learner."""
    learn_RD, test_RD = design(model.encoder, learn.features), design(model.encoder, test.features)
    decisions, table_BM = decisions_of(learn), attributes(model)
    effects = []
    for o, target in enumerate(model.targets):
        rows, y = learn.known(o)
        shared = fit_shared(_kind(target.kind, learn), learn_RD[rows], decisions.take(rows), y, table_BM)
        effects.append(shared.effect(test_RD, table_BM[:-1]).astype(np.float32))
    return effects


def _kind(kind: str, learn: Examples) -> str:
    """What came of one contact of a slate is no longer 0 or 1."""
    return kind if learn.others_RA is None else "real"


def attributes(model: ValueModel) -> np.ndarray:
    """float32[B, M]: the attributes that the S-learner knows actions by; those with many values would be one more T-learner."""
    table_BM = model.code.table(model.actions, none=True)
    sizes = {name: len(values) for name, values in model.code.values}
    return table_BM[:, [sizes.get(name, 1) <= MOST_VALUES for name, _ in model.code.names]]
