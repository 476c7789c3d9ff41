"""The objective by which policies are judged: one outcome, or a weighted sum whose weights may depend on the action.

The value of giving the actions `s` to a user is  sum_o plain_o y_o(none) + sum_{a in s} weight_oa (y_o(a) - y_o(none)).
A term with `times`, such as a discount per subscriber, counts the effect of the contact alone, as in the policy of the
allocator.

Axes: R rows, O outcomes, A actions, B = A + 1 arms, the last one `none`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ranker.evaluate import off_policy
from ranker.evaluate.off_policy import Decisions, Judged

OBJECTIVE = "objective"


@dataclass(frozen=True)
class Objective:
    """name: the outcome's, or OBJECTIVE. weight_OA: of what a contact adds. plain_O: weights that depend on no action."""

    name: str
    weight_OA: np.ndarray
    plain_O: np.ndarray

    @property
    def used(self) -> tuple[int, ...]:
        """Positions of the outcomes that count."""
        return tuple(np.flatnonzero(self.weight_OA.any(1) | (self.plain_O != 0)).tolist())

    def effect(self, effect: Sequence[np.ndarray]) -> np.ndarray:
        """What a contact adds, in the objective's unit, from what it adds to each outcome: arrays [R, A] or [A], one per outcome."""
        return sum(self.weight_OA[o] * effect[o] for o in self.used)

    def measure(self, o: int, policy_RB: np.ndarray) -> np.ndarray:
        """float64[R, B]: the policy as a measure of outcome o alone."""
        measure_RB = np.empty(policy_RB.shape)
        np.multiply(policy_RB[:, :-1], self.weight_OA[o], out=measure_RB[:, :-1])
        measure_RB[:, -1] = self.plain_O[o] - measure_RB[:, :-1].sum(1)
        return measure_RB


def single(names: Sequence[str], actions: int) -> tuple[Objective, ...]:
    """Each outcome as an objective of its own."""
    return tuple(weighted(name, {name: 1.0}, names, actions) for name in names)


def weighted(name: str, weights: Mapping[str, float], names: Sequence[str], actions: int) -> Objective:
    """A sum of outcomes whose weights depend on no action."""
    plain_O = np.array([weights.get(outcome, 0.0) for outcome in names])
    return Objective(name, np.repeat(plain_O[:, None], actions, axis=1), plain_O)


def judge(
    objective: Objective,
    decisions: Decisions,
    policy_RB: np.ndarray,
    outcome_RO: np.ndarray,
    expected: Sequence[np.ndarray],
) -> Mapping[str, Judged]:
    """The policy's value by every estimator, outcome by outcome and added up. expected: [R, B] per outcome."""
    parts = [
        off_policy.judge(decisions, objective.measure(o, policy_RB), outcome_RO[:, o], expected[o])
        for o in objective.used
    ]
    return {name: off_policy.added([part[name] for part in parts], decisions.user_R) for name in off_policy.ESTIMATORS}


def as_logged(
    objective: Objective, decisions: Decisions, outcome_RO: np.ndarray, expected: Sequence[np.ndarray]
) -> Judged:
    """The logging policy itself: the mean outcome; where a term depends on the action, the model says what none would have given."""
    total_R = np.zeros(len(decisions))
    shown_R = decisions.arm_R < objective.weight_OA.shape[1]
    for o in objective.used:
        weight_R = np.where(shown_R, np.append(objective.weight_OA[o], 0.0)[decisions.arm_R], objective.plain_O[o])
        total_R += weight_R * outcome_RO[:, o] + (objective.plain_O[o] - weight_R) * expected[o][:, -1]
    return off_policy.mean_of(total_R, decisions.user_R)
