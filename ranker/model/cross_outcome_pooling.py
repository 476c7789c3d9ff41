"""What the linear paths of outcomes lend each other: dense outcomes teach sparse ones.

What one channel says of an effect on a user is worth something for the others too: whoever an offer suits listens more and buys more,
and of the two the first happens every day. So what tells users apart in the effects of a channel is a weighted sum over all channels,

    effect[c, m] = sum over channels j of weight[c, m, j] own_effect[j, m],

with weights that may differ by one attribute of what is offered: who likes a plan may subscribe, who likes a book may listen and
buy. Weights are found on the folds that the paths have not seen, all folds together: they are few.

Axes: A actions, B = A + 1 arms (none last), M attribute values, D columns of x, F folds, C channels, V values by which weights differ,
W = V x C weights of one channel.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ranker.model.linear import Actions, LikelihoodSums, LinearPath, arms_of, scale

OWN_WEIGHT, OWN_WEIGHT_SD = 0.5, 0.5  # prior of a channel's weight in itself
CROSS_WEIGHT_SD, ROUNDS = 0.7, 20  # of its weights in others, to begin with
SPREADS = (0.1, 0.3, 1.0, 3.0)  # how far weights may differ by an attribute, whichever has the largest evidence
LEAST_VARIANCE = 0.2  # of what a channel doubted by itself, whatever others and history tell: those are estimates too
ENOUGH_ACTIONS = 25  # per value of such an attribute, on average: with fewer, noise is taken for a difference


def pool(
    actions: Actions, by_fold: Sequence[Sequence[LinearPath]], sums: Sequence[Sequence[LikelihoodSums]]
) -> list[list[LinearPath]]:
    """For every fold the paths of all channels, from what `single_outcome_paths` returns."""
    if len(sums) == 1:  # how much of it to believe is for the calibration
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
    """What each fold's rows say of the weights in one channel, by the paths that did not see the rows: minus the curvature [W, W] and
    the gradient at 0 [W] of its log likelihood."""
    count = len(paths[0])
    size = len(values.column_V) * count
    curvature_WW, gradient_W = np.zeros((size, size)), np.zeros(size)
    for sums, path_C in zip(by_fold, paths, strict=True):
        interaction_CMD = np.stack([path.effect_MD for path in path_C])
        average_MD = np.zeros_like(interaction_CMD[channel])
        average_MD[:, 0] = interaction_CMD[channel, :, 0]
        interaction_CMD[:, :, 0] = 0.0
        left_BD = sums.target_BD - sums.curved(path_C[channel].base_D + arms_of(actions, average_MD))
        for a, has_M in enumerate(actions.table_AM > 0):
            here_V = np.flatnonzero(has_M[values.column_V])
            of_MV = values.implied_MV[np.ix_(has_M, here_V)] * actions.table_AM[a, has_M, None].astype(np.float64)
            interaction_WD = np.tensordot(of_MV.T, interaction_CMD[:, has_M], (1, 1)).reshape(
                -1, interaction_CMD.shape[2]
            )
            at_W = (here_V[:, None] * count + np.arange(count)).ravel()
            gradient_W[at_W] += interaction_WD @ left_BD[a]
            curvature_WW[np.ix_(at_W, at_W)] += (
                interaction_WD @ sums.curvature_BDD[a].astype(np.float64) @ interaction_WD.T
            )
    return curvature_WW, gradient_W


def _weights(
    values: PoolingValues, curvature_CWW: Sequence[np.ndarray], gradient_CW: Sequence[np.ndarray]
) -> np.ndarray:
    """float64[C, M, C]: of each channel, for each value of an attribute, the weights of all.

    A channel lends as far as the others gain by it: the prior variance of its weights in them comes from the data. Then each channel
    may let its weights differ by the attribute, and as far, as has the largest evidence.
    """
    count = len(gradient_CW)
    own_CC = np.eye(count, dtype=bool)
    attribute_W = np.repeat(values.attribute_V, count)
    alike = np.flatnonzero(attribute_W == 0)
    cross_C = np.full(count, CROSS_WEIGHT_SD**2)
    for _ in range(ROUNDS):
        prior_CC = np.where(own_CC, OWN_WEIGHT_SD**2, cross_C)
        fits = [
            _posterior(curvature_WW[np.ix_(alike, alike)], gradient_W[alike], OWN_WEIGHT * own_C, prior_C)
            for curvature_WW, gradient_W, own_C, prior_C in zip(
                curvature_CWW, gradient_CW, own_CC, prior_CC, strict=True
            )
        ]
        square_CC = np.stack([fit.weight_W for fit in fits]) ** 2
        known_CC = 1 - np.stack([fit.variance_W for fit in fits]) / prior_CC
        cross_C = np.array([scale(square_CC[~o, j].sum(), known_CC[~o, j].sum()) for j, o in enumerate(own_CC)])
    weight_CMC = np.empty((count, len(values.implied_MV), count))
    for c, best in enumerate(fits):
        here = alike
        for attribute in np.unique(values.attribute_V[values.attribute_V > 0]):
            tried = np.flatnonzero((attribute_W == 0) | (attribute_W == attribute))
            differ_W = attribute_W[tried] > 0
            mean_W, prior_W = np.zeros(len(tried)), np.empty(len(tried))
            mean_W[~differ_W], prior_W[~differ_W] = OWN_WEIGHT * own_CC[c], prior_CC[c]
            for spread in SPREADS:
                prior_W[differ_W] = spread**2
                fit = _posterior(curvature_CWW[c][np.ix_(tried, tried)], gradient_CW[c][tried], mean_W, prior_W)
                if fit.evidence > best.evidence:
                    best, here = fit, tried
        weight_W = np.zeros(len(attribute_W))
        weight_W[here] = best.weight_W
        weight_CMC[c] = values.implied_MV @ weight_W.reshape(-1, count)
    return weight_CMC


@dataclass(frozen=True)
class _Posterior:
    """Weights under normal priors, the variance of each, and the log evidence up to a constant."""

    weight_W: np.ndarray
    variance_W: np.ndarray
    evidence: float


def _posterior(curvature_WW: np.ndarray, gradient_W: np.ndarray, mean_W: np.ndarray, prior_W: np.ndarray) -> _Posterior:
    variance_WW = np.linalg.inv(curvature_WW + np.diag(1 / prior_W))
    score_W = gradient_W + mean_W / prior_W
    weight_W = variance_WW @ score_W
    spread = np.linalg.slogdet(variance_WW)[1] - np.log(prior_W).sum()
    evidence = 0.5 * (score_W @ weight_W - (mean_W**2 / prior_W).sum() + spread)
    return _Posterior(weight_W, np.diag(variance_WW), float(evidence))


def _pooled(weight_CMC: np.ndarray, actions: Actions, paths: Sequence[LinearPath]) -> list[LinearPath]:
    """The paths of all channels, the interactions of each being a weighted sum over all.

    Where two sources say the same, the weight of one is its share of their precisions, and so what is left of its variance.
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
