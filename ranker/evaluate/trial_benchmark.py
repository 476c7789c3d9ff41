"""Learners side by side on the held-out half of a randomised trial: each ranking and policy, paired with ours.

Axes: R rows (held out), A actions, B = A + 1 arms, the last one `none`.
"""

from dataclasses import dataclass

import numpy as np

from ranker.evaluate import off_policy
from ranker.evaluate.off_policy import Decisions, Estimate, Judged
from ranker.evaluate.qini import ours_minus_this, qini


@dataclass(frozen=True)
class Half:
    """Who is judged by what. names: of actions. outcome_R: in its unit. expected_RB: of a model of the other half."""

    names: tuple[str, ...]
    decisions: Decisions
    outcome_R: np.ndarray
    expected_RB: np.ndarray

    @property
    def eligible_RA(self) -> np.ndarray:
        return self.decisions.eligible_RB[:, :-1]


@dataclass(frozen=True)
class Figure:
    """A learner's figure and ours less it, on the same rows."""

    own: Estimate
    ours_minus_this: Estimate


def qinis(half: Half, score_RA: np.ndarray, ours_RA: np.ndarray) -> dict[str, Figure]:
    """Qini per action, against none."""
    found = {}
    for action, name in enumerate(half.names):
        arm_R = half.decisions.arm_R
        rows = np.flatnonzero((arm_R == action) | (arm_R == len(half.names)))
        parts = (
            arm_R[rows] == action,
            half.outcome_R[rows],
            half.decisions.propensity_R[rows],
            half.decisions.user_R[rows],
        )
        own = qini(score_RA[rows, action], *parts)
        gain = ours_minus_this(ours_RA[rows, action], score_RA[rows, action], *parts)
        if own is not None and gain is not None:
            found[name] = Figure(Estimate(own.value, own.stderr), gain)
    return found


def value(half: Half, score_RA: np.ndarray, ours_RA: np.ndarray) -> Figure:
    """Doubly robust value, per row, of giving everyone the action with the highest score above 0."""
    one, ours = (_greedy(half, each_RA) for each_RA in (score_RA, ours_RA))
    return Figure(one.estimate, off_policy.difference(ours, one, half.decisions.user_R))


def over_fixed(half: Half, score_RA: np.ndarray, fixed: int) -> Estimate:
    """The same less one action for everyone, paired by row."""
    everyone = _judge(half, off_policy.always(fixed, half.eligible_RA))
    return off_policy.difference(_greedy(half, score_RA), everyone, half.decisions.user_R)


def _greedy(half: Half, score_RA: np.ndarray) -> Judged:
    return _judge(half, off_policy.greedy(score_RA, half.eligible_RA))


def _judge(half: Half, policy_RB: np.ndarray) -> Judged:
    return off_policy.doubly_robust(half.decisions, policy_RB, half.outcome_R, half.expected_RB)


@dataclass(frozen=True)
class Sent:
    """A campaign of one action for whom its score is above break-even, judged by who got it and who got nothing among them, half of all
    each. net: revenue over no campaign, less what was sent, as counted in the half that got it (NIR). rate: purchases per customer
    with it less without (IRR); None where it goes to nobody."""

    net: Figure
    rate: Estimate | None
    share: float


def sent(half: Half, score_R: np.ndarray, ours_R: np.ndarray, revenue: float, cost: float) -> Sent:
    """net = revenue * (bought with - bought without) - cost * got it, over those who are chosen."""
    chosen_R, ours_chosen_R = score_R > cost / revenue, ours_R > cost / revenue
    got_R = half.decisions.arm_R == 0
    worth_R = np.where(got_R, revenue * half.outcome_R - cost, -revenue * half.outcome_R)
    return Sent(
        net=Figure(_sum(chosen_R * worth_R), _sum((ours_chosen_R * 1.0 - chosen_R) * worth_R)),
        rate=_rate(half.outcome_R[chosen_R & got_R], half.outcome_R[chosen_R & ~got_R]),
        share=float(chosen_R.mean()),
    )


def _sum(worth_R: np.ndarray) -> Estimate:
    return Estimate(float(worth_R.sum()), float(worth_R.std(ddof=1) * len(worth_R) ** 0.5))


def _rate(with_R: np.ndarray, without_R: np.ndarray) -> Estimate | None:
    if min(len(with_R), len(without_R)) < 2:
        return None
    noise = with_R.var(ddof=1) / len(with_R) + without_R.var(ddof=1) / len(without_R)
    return Estimate(float(with_R.mean() - without_R.mean()), float(noise**0.5))
