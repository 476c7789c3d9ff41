"""Partial pooling across outcomes: the effects of sparse outcomes borrow strength from dense ones.

Users whom an offer suits listen more and buy more, and the first happens every day. So the interactions of a channel (how its effects
differ between users) are a weighted sum over the interactions of all channels,

    effect[c, m] = sum over channels j of weight[c, m, j] own_effect[j, m],

where own_effect is of the single-outcome paths. Weights may differ by the values of one attribute: the taste for a plan may show in
subscriptions, the taste for a book in listening and purchases. Weights are estimated on the folds that the paths did not see, all folds
together, since there are few weights.

Axes: A actions, B = A + 1 arms (none last), M attribute values, D columns of x, F folds, C channels, V values of one
attribute (by which weights differ), Z = V x C weights of one channel.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ranker.model.linear import Actions, LikelihoodSums, LinearPath, arms_of, scale

OWN_WEIGHT, OWN_WEIGHT_SD = 0.5, 0.5  # prior of a channel's weight on itself
CROSS_WEIGHT_SD, ROUNDS = 0.7, 20  # prior of its weights on others, to begin with
SPREADS = (0.1, 0.3, 1.0, 3.0)  # how far weights may differ by an attribute, whichever has the largest evidence
LEAST_VARIANCE = (
    0.2  # share of a channel's own posterior variance that stays, since weights and history are estimates too
)
ENOUGH_ACTIONS = 25  # per value of such an attribute, on average: with fewer, noise is taken for a difference


def pool(
    actions: Actions, by_fold: Sequence[Sequence[LinearPath]], sums: Sequence[Sequence[LikelihoodSums]]
) -> list[list[LinearPath]]:
    """Pools the interactions of all channels.

    Args:
        actions: the actions, by their attribute values.
        by_fold: per fold the path of each channel, of `single_outcome_paths`.
        sums: per channel the sums of each fold, of `single_outcome_paths`.

    Returns:
        Per fold the path of each channel, with pooled effects [M, D] on the scale of the channel's link and the posterior variance that
        pooling leaves. Averages (column 0) are not pooled; a single channel comes back as it is.
    """
    if len(sums) == 1:  # the calibration decides how much of it to keep
        return [list(paths) for paths in by_fold]
    values = pooling_values(actions)
    likelihoods = [_weight_likelihood(c, sums_c, actions, values, by_fold) for c, sums_c in enumerate(sums)]
    weight_CMC = _weights(values, *zip(*likelihoods, strict=True))
    return [_pooled(weight_CMC, actions, paths) for paths in by_fold]


@dataclass(frozen=True)
class PoolingValues:
    """Values by which weights differ: the weight of value m is a sum over those of them that it implies, as a product does its family.

    column_V: their columns of the action table. implied_MV: bool. attribute_V: number of the attribute of each, 0 being what all
    contacts share.
    """

    column_V: np.ndarray
    implied_MV: np.ndarray
    attribute_V: np.ndarray


def pooling_values(actions: Actions) -> PoolingValues:
    """The values of attributes that have few, in which every action has one."""
    has_AM = actions.alone_AM > 0
    count_M = has_AM.sum(0)
    values_M = np.bincount(actions.attribute_M)[actions.attribute_M]  # of the attribute that each is a value of
    few_M = values_M * ENOUGH_ACTIONS <= len(has_AM)
    column_V = np.flatnonzero(few_M | (actions.attribute_M == 0))
    together_MV = has_AM.T.astype(np.int64) @ has_AM[:, column_V].astype(np.int64)
    return PoolingValues(column_V, together_MV == count_M[:, None], actions.attribute_M[column_V])


def _weight_likelihood(
    channel: int,
    by_fold: Sequence[LikelihoodSums],
    actions: Actions,
    values: PoolingValues,
    paths: Sequence[Sequence[LinearPath]],
) -> tuple[np.ndarray, np.ndarray]:
    """The log likelihood of one channel's weights, from the rows of each fold and the paths that did not see them: minus its curvature
    [Z, Z], and its gradient [Z] at 0."""
    count = len(paths[0])
    size = len(values.column_V) * count
    curvature_ZZ, gradient_Z = np.zeros((size, size)), np.zeros(size)
    for sums, path_C in zip(by_fold, paths, strict=True):
        interaction_CMD = np.stack([path.effect_MD for path in path_C])
        average_MD = np.zeros_like(interaction_CMD[channel])
        average_MD[:, 0] = interaction_CMD[channel, :, 0]
        interaction_CMD[:, :, 0] = 0.0
        left_BD = sums.target_BD - sums.curved(path_C[channel].base_D + arms_of(actions, average_MD))
        for a, has_M in enumerate(actions.table_AM > 0):
            here_V = np.flatnonzero(has_M[values.column_V])
            of_MV = values.implied_MV[np.ix_(has_M, here_V)] * actions.table_AM[a, has_M, None].astype(np.float64)
            interaction_ZD = np.tensordot(of_MV.T, interaction_CMD[:, has_M], (1, 1)).reshape(
                -1, interaction_CMD.shape[2]
            )
            at_Z = (here_V[:, None] * count + np.arange(count)).ravel()
            gradient_Z[at_Z] += interaction_ZD @ left_BD[a]
            curvature_ZZ[np.ix_(at_Z, at_Z)] += (
                interaction_ZD @ sums.curvature_BDD[a].astype(np.float64) @ interaction_ZD.T
            )
    return curvature_ZZ, gradient_Z


def _weights(
    values: PoolingValues, curvature_CZZ: Sequence[np.ndarray], gradient_CZ: Sequence[np.ndarray]
) -> np.ndarray:
    """float64[C, M, C]: of each channel, for each value of an attribute, the weights of all.

    The prior variance of the weights on a channel, in all others, is estimated from the data. Each channel's weights may then differ by
    one attribute; which one and how far has the largest evidence.
    """
    count = len(gradient_CZ)
    own_CC = np.eye(count, dtype=bool)
    attribute_Z = np.repeat(values.attribute_V, count)
    alike = np.flatnonzero(attribute_Z == 0)
    cross_C = np.full(count, CROSS_WEIGHT_SD**2)
    for _ in range(ROUNDS):
        prior_CC = np.where(own_CC, OWN_WEIGHT_SD**2, cross_C)
        fits = [
            _posterior(curvature_ZZ[np.ix_(alike, alike)], gradient_Z[alike], OWN_WEIGHT * own_C, prior_C)
            for curvature_ZZ, gradient_Z, own_C, prior_C in zip(
                curvature_CZZ, gradient_CZ, own_CC, prior_CC, strict=True
            )
        ]
        square_CC = np.stack([fit.weight_Z for fit in fits]) ** 2
        known_CC = 1 - np.stack([fit.variance_Z for fit in fits]) / prior_CC
        cross_C = np.array([scale(square_CC[~o, j].sum(), known_CC[~o, j].sum()) for j, o in enumerate(own_CC)])
    weight_CMC = np.empty((count, len(values.implied_MV), count))
    for c, best in enumerate(fits):
        here = alike
        for attribute in np.unique(values.attribute_V[values.attribute_V > 0]):
            tried = np.flatnonzero((attribute_Z == 0) | (attribute_Z == attribute))
            differ_Z = attribute_Z[tried] > 0
            mean_Z, prior_Z = np.zeros(len(tried)), np.empty(len(tried))
            mean_Z[~differ_Z], prior_Z[~differ_Z] = OWN_WEIGHT * own_CC[c], prior_CC[c]
            for spread in SPREADS:
                prior_Z[differ_Z] = spread**2
                fit = _posterior(curvature_CZZ[c][np.ix_(tried, tried)], gradient_CZ[c][tried], mean_Z, prior_Z)
                if fit.evidence > best.evidence:
                    best, here = fit, tried
        weight_Z = np.zeros(len(attribute_Z))
        weight_Z[here] = best.weight_Z
        weight_CMC[c] = values.implied_MV @ weight_Z.reshape(-1, count)
    return weight_CMC


@dataclass(frozen=True)
class _Posterior:
    """Weights under normal priors, the variance of each, and the log evidence up to a constant."""

    weight_Z: np.ndarray
    variance_Z: np.ndarray
    evidence: float


def _posterior(curvature_ZZ: np.ndarray, gradient_Z: np.ndarray, mean_Z: np.ndarray, prior_Z: np.ndarray) -> _Posterior:
    variance_ZZ = np.linalg.inv(curvature_ZZ + np.diag(1 / prior_Z))
    score_Z = gradient_Z + mean_Z / prior_Z
    weight_Z = variance_ZZ @ score_Z
    spread = np.linalg.slogdet(variance_ZZ)[1] - np.log(prior_Z).sum()
    evidence = 0.5 * (score_Z @ weight_Z - (mean_Z**2 / prior_Z).sum() + spread)
    return _Posterior(weight_Z, np.diag(variance_ZZ), float(evidence))


def _pooled(weight_CMC: np.ndarray, actions: Actions, paths: Sequence[LinearPath]) -> list[LinearPath]:
    """The paths of all channels, the interactions of each being a weighted sum over all.

    Posterior variance after pooling: the channel's own variance times the pooling weight on itself (its share of the total precision).
    """
    effect_CMD = np.stack([path.effect_MD for path in paths])
    pooled_CMD = np.einsum("cmj,jmd->cmd", weight_CMC, effect_CMD)
    pooled_CMD[:, :, 0] = effect_CMD[:, :, 0]
    pooled = []
    for c, path in enumerate(paths):
        own_A = np.clip(_of_actions(weight_CMC[c, :, c], actions, path), LEAST_VARIANCE, 1.0)
        pooled.append(replace(path, effect_MD=pooled_CMD[c], within_variance_A=own_A * path.within_variance_A))
    return pooled


def _of_actions(weight_M: np.ndarray, actions: Actions, path: LinearPath) -> np.ndarray:
    """float64[A]: the weight in each action's effect, that of its attribute values, each counting as far as users may differ by it."""
    part_AM = actions.alone_AM * path.prior_MD[:, 1:].sum(1)
    return part_AM @ weight_M / part_AM.sum(1)
