"""One policy judged on a market's truth: true value per user, and every constraint as the policy believed it and as it truly is.

Axes: U users, P planes, A actions, S user classes, N contacts.
"""

from dataclasses import dataclass

import numpy as np

from allocator.constraints import CompiledConstraint, LinearForm
from allocator.problem import Problem
from allocator.users import Data
from ranker.market.truth import left_beside
from scripts.formats.regret import KeptConstraint
from scripts.judging import reference_policies
from scripts.judging.reference_policies import LOGGING, Chosen
from scripts.judging.truth import Truth

SLIGHT = 1e-9


@dataclass(frozen=True)
class JudgedOnTruth:
    """One policy on the truth. worth_U: true value per user, 0 for users who are not free. alone: without cannibalisation."""

    name: str
    about: str
    worth_U: np.ndarray
    believed: float | None
    alone: float
    contacts: float
    with_both: int
    constraints: tuple[KeptConstraint, ...]

    @property
    def value(self) -> float:
        return float(self.worth_U.sum())


def judge_one(
    problem: Problem,
    data: Data,
    truth: Truth,
    chosen: Chosen,
    fixed: tuple[np.ndarray, np.ndarray],
    reference: reference_policies.ReferencePolicy | None,
) -> JudgedOnTruth:
    """True value per user, and every constraint as believed and in truth, with the contacts of exploration. reference: None for logging."""
    user_N, action_N, chance_N = chosen.user_N, chosen.action_N, chosen.chance_N
    true_NP = truth.given["given_all"][user_N, :, action_N].astype(np.float64)
    left_N = np.ones(len(user_N))
    if reference is not None:  # the logging policy shows one action at most
        left_N = left_beside(truth.world, truth.spoiled_UA, user_N, action_N)
    alone_N = chance_N * problem.worth(action_N, true_NP)
    always_N = chance_N * problem.value_A[action_N]  # what a contact itself costs, whatever stands beside it
    everyone = tuple(np.concatenate([mine, extra]) for mine, extra in zip((user_N, action_N), fixed, strict=True))
    weight_N = np.concatenate([chance_N, np.ones(len(fixed[0]))])
    all_true_NP = truth.given["given_all"][everyone[0], :, everyone[1]] * 1.0
    all_true_NP[: len(user_N)] *= left_N[:, None]
    believed_NP, believed = None, None
    if reference is not None:
        width = len(problem.planes)
        believed_NP = reference.data.planes_UPA[everyone[0], :width, everyone[1]] * 1.0
        mine_NP = believed_NP[: len(user_N)]
        believed = (
            None if reference.name == reference_policies.RANDOM else float(problem.worth(action_N, mine_NP).sum())
        )
    return JudgedOnTruth(
        name=LOGGING if reference is None else reference.name,
        about="one action or none by the market's old habits; obeys no rule of the week"
        if reference is None
        else reference.about,
        worth_U=np.bincount(user_N, alone_N * left_N + always_N * (1 - left_N), len(data)),
        believed=believed,
        alone=float(alone_N.sum()),
        contacts=float(chance_N.sum()),
        with_both=len(np.unique(user_N[left_N < 1])),
        constraints=tuple(
            _kept(each, data.class_U[everyone[0]], everyone[1], weight_N, believed_NP, all_true_NP)
            for each in problem.measured
        ),
    )


def _kept(
    each: CompiledConstraint,
    class_N: np.ndarray,
    action_N: np.ndarray,
    weight_N: np.ndarray,
    believed_NP: np.ndarray | None,
    true_NP: np.ndarray,
) -> KeptConstraint:
    believed = None if believed_NP is None else _achieved(each, class_N, action_N, weight_N, believed_NP)
    true = _achieved(each, class_N, action_N, weight_N, true_NP)
    broken = _broken(each, true) if each.enforced else None
    return KeptConstraint(id=each.rule.id, min=each.low, max=each.high, believed=believed, true=true, broken=broken)


def _achieved(
    each: CompiledConstraint, class_N: np.ndarray, action_N: np.ndarray, weight_N: np.ndarray, planes_NP: np.ndarray
) -> float | None:
    """The sum, or the ratio of two, in the constraint's unit; None where nothing is in scope."""
    numerator = _total(each.numerator, class_N, action_N, weight_N, planes_NP)
    if each.denominator is None:
        return numerator
    denominator = _total(each.denominator, class_N, action_N, weight_N, planes_NP)
    return numerator / denominator if denominator else None


def _total(
    linear: LinearForm, class_N: np.ndarray, action_N: np.ndarray, weight_N: np.ndarray, planes_NP: np.ndarray
) -> float:
    used_N = linear.const_A[action_N] + (linear.plane_PA[:, action_N].T * planes_NP).sum(axis=1)
    return float((weight_N * linear.member_S[class_N] * used_N).sum())


def _broken(each: CompiledConstraint, true: float | None) -> str | None:
    """The side of the bound that is broken, by more than rounding."""
    if true is None:
        return None
    if each.low is not None and true < each.low - SLIGHT * max(abs(each.low), 1.0):
        return "min"
    if each.high is not None and true > each.high + SLIGHT * max(abs(each.high), 1.0):
        return "max"
    return None
