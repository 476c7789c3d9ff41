"""Whether predicted effects have the right size: predicted effects against those of AIPW on users that no member has seen.

A slope is that of the realised effect (see `aipw`) on the predicted one: 1 where predictions can be taken at face value, less where
they tell users or actions further apart than they are, 0 where they tell nothing. Standard errors are clustered by user.

Axes: R rows, A actions, P pairs of a row and an action it is eligible for.
"""

from dataclasses import asdict, dataclass

import numpy as np

from ranker.evaluate.off_policy import clustered_stderr

ROWS_PER_GROUP = 50


@dataclass(frozen=True)
class Slope:
    """value and stderr are None where predictions do not differ."""

    value: float | None
    stderr: float | None

    def to_json(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class Group:
    """Rows (or pairs) with predictions next to each other: the mean prediction, and the mean realised effect with its stderr."""

    predicted: float
    realised: float
    stderr: float

    def to_json(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class Pooled:
    """Over all actions. average: of all pairs. users: slope of differences between users, within actions. actions: slope of
    differences between the actions' averages."""

    average: Group
    users: Slope
    actions: Slope
    groups: tuple[Group, ...]


def slope_of(predicted_R: np.ndarray, realised_R: np.ndarray, user_R: np.ndarray) -> Slope:
    """Of one action, over the rows that are eligible for it."""
    if not len(predicted_R):
        return Slope(None, None)
    lever_R = predicted_R - predicted_R.mean(dtype=np.float64)
    return _slope(lever_R[:, None], (realised_R - realised_R.mean())[:, None], None, user_R)


def groups_of(predicted_P: np.ndarray, aipw_P: np.ndarray, user_P: np.ndarray, count: int) -> tuple[Group, ...]:
    """`count` groups of equal size by prediction, the lowest first."""
    if count < 1:
        return ()
    order_P = np.argsort(predicted_P, kind="stable")
    return tuple(
        Group(
            predicted=float(predicted_P[part].mean(dtype=np.float64)),
            realised=float(aipw_P[part].mean()),
            stderr=clustered_stderr(aipw_P[part], user_P[part]),
        )
        for part in np.array_split(order_P, count)
    )


def pooled(
    predicted_RA: np.ndarray, aipw_RA: np.ndarray, eligible_RA: np.ndarray, user_R: np.ndarray, groups: int
) -> Pooled:
    """All actions together; rows count for the actions that they are eligible for."""
    rows_A = np.maximum(eligible_RA.sum(0), 1)
    predicted_RA = np.where(eligible_RA, predicted_RA, 0.0)
    aipw_RA = np.where(eligible_RA, aipw_RA, 0.0)
    predicted_A, aipw_A = predicted_RA.sum(0, dtype=np.float64) / rows_A, aipw_RA.sum(0) / rows_A
    within_RA = np.where(eligible_RA, predicted_RA - predicted_A, 0.0)
    middle = float((predicted_A * rows_A).sum() / rows_A.sum())
    between_RA = np.where(eligible_RA, predicted_A - middle, 0.0)
    own_RA = np.where(eligible_RA, aipw_RA - aipw_A, 0.0)
    row_P, action_P = np.nonzero(eligible_RA)
    user_P = user_R[row_P]
    predicted_P, aipw_P = predicted_RA[row_P, action_P], aipw_RA[row_P, action_P]
    return Pooled(
        average=groups_of(predicted_P, aipw_P, user_P, 1)[0],
        users=_slope(within_RA, own_RA, None, user_R),
        actions=_slope(between_RA, aipw_RA, own_RA, user_R),
        groups=groups_of(predicted_P, aipw_P, user_P, min(groups, len(row_P) // ROWS_PER_GROUP)),
    )


def _slope(lever_RA: np.ndarray, aipw_RA: np.ndarray, noise_RA: np.ndarray | None, user_R: np.ndarray) -> Slope:
    """Least squares: sum(lever realised) / sum(lever^2), the lever being the centred prediction.

    noise_RA: what of the realised effects is chance; None: what the fitted line leaves of them.
    """
    total = float((lever_RA**2).sum(dtype=np.float64))
    if not total > 0:
        return Slope(None, None)
    value = float((lever_RA * aipw_RA).sum(dtype=np.float64)) / total
    noise_RA = aipw_RA - value * lever_RA if noise_RA is None else noise_RA
    error_R = (lever_RA * noise_RA).sum(1, dtype=np.float64)
    return Slope(value, clustered_stderr(error_R, user_R) * len(user_R) / total)
