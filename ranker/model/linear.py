"""The linear path of the network in closed form: one regression per channel over all arms, with priors estimated from the data.

    link(E[y | x, a]) = <x, base> + sum over attribute values m of a of <x, effect_m>,     x = (1, features)

Every coefficient has a normal prior around 0. The coefficients of one attribute (product, message ...) share prior scales: one for
averages (the coefficients of the 1 in x), one for interactions with each kind of feature. A single scale would be that of the many
category levels and shrink the few numeric trends away. Scales are estimated by MacKay's fixed point (1992). Interactions and base have
a factor each besides, as under a Student t prior: few are large, most next to nothing (Tipping 2001).

Rows enter through sums per arm alone, the gradient and the curvature of the likelihood. So memory does not grow with rows, and a fold is
left out by subtraction. Variances treat features as uncorrelated; means do not.

Axes: R rows (r: some of them), D columns of x, W features, A actions, B = A + 1 arms (none last), M attribute values,
T = 1 + M coefficients (of one column of x: base, then values), F folds, C channels, S points of a grid (of scales), N
functions of x.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import product

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, cg
from scipy.special import expit, softmax

from ranker.features import Features
from ranker.model.outcome_heads import IDENTITY, LARGEST_LOG, LOG, LOGIT, SIZE, Channel

SAMPLE = 100_000  # rows of the first passes
PASSES, FULL_PASSES = 5, 2
ROUNDS, LAST_ROUNDS = 2, 7  # of estimating the scales, per pass
INTERACTIONS = (1.0, 0.55, 0.3, 0.17, 0.1, 0.03, 0.01)  # shares of the scales of interactions that are tried
AVERAGES = (1.0, 0.3)  # with each of them, of the scales of averages
LEAST_WEIGHT = 1e-3  # of such a share, to be computed with
# Where the scales start; spread: of an effect between users.
AVERAGE_SD, SPREAD_SD, BASE_SD, INTERCEPT_SD = 0.1, 0.4, 0.1, 30.0
SMALLEST, LARGEST = 1e-10, 1.0  # variances
RAREST = 0.15  # the least deviation that a level counts with: rare ones are not blown up
ROWS_AT_ONCE = 65_536
COLUMNS_AT_ONCE = 32  # of x, whose matrices over the arms stay in a processor's cache
LONGEST_STEP = 2.0
TOLERANCE, MOST_STEPS = 1e-4, 200  # of conjugate gradients


@dataclass(frozen=True)
class Design:
    """x of a row: 1, then the features that vary, centred and scaled.

    mean: of all W features, the numeric ones and `levels` of categories. kept: positions of those that vary, scale: theirs.
    kinds: per kind of feature the columns of x that are of it.
    """

    levels: int
    mean: np.ndarray
    kept: np.ndarray
    scale: np.ndarray
    kinds: tuple[np.ndarray, ...]

    @property
    def width(self) -> int:
        return 1 + len(self.kept)

    def matrix(self, features: Features) -> np.ndarray:
        """float32[R, D]"""
        x_RD = np.ones((len(features), self.width), np.float32)
        x_RD[:, 1:] = (features.wide(self.levels)[:, self.kept] - self.mean[self.kept]) / self.scale
        return x_RD

    def weights(self, coefficient_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """N functions of x as functions of the features as they are: weights [N, W] and constants [N]."""
        slope_ND = coefficient_ND[:, 1:] / self.scale
        weight_NW = np.zeros((len(coefficient_ND), len(self.mean)))
        weight_NW[:, self.kept] = slope_ND
        return weight_NW, coefficient_ND[:, 0] - slope_ND @ self.mean[self.kept]


def fit_design(features: Features, kind_W: np.ndarray) -> Design:
    """From training rows; kind_W: of every feature, of `Encoder.kind_W`."""
    levels = len(kind_W) - features.numeric_width
    total, squares = 0.0, 0.0
    for start in range(0, len(features), ROWS_AT_ONCE):
        wide = features.take(slice(start, start + ROWS_AT_ONCE)).wide(levels).astype(np.float64)
        total, squares = total + wide.sum(0), squares + (wide**2).sum(0)
    mean = total / len(features)
    deviation = np.sqrt(np.maximum(squares / len(features) - mean**2, 0.0))
    kept = np.flatnonzero(deviation > 1e-3)
    scale = np.maximum(deviation[kept], RAREST)
    kinds = tuple(1 + np.flatnonzero(kind_W[kept] == kind) for kind in np.unique(kind_W[kept]))
    return Design(levels, mean.astype(np.float32), kept, scale.astype(np.float32), kinds)


@dataclass(frozen=True)
class Actions:
    """table_AM: which attribute values an action has; after the actions, `count` of them, the sums of slates that are arms of their own
    (None: there are none). attribute_M: the number of each value's attribute; 0 is what all contacts
    share, whose average has the standard deviation contact_sd, or size_sd where it is of the size of an amount. tails: degrees of
    freedom of the prior of single coefficients."""

    table_AM: np.ndarray
    attribute_M: np.ndarray
    contact_sd: float
    size_sd: float
    tails: float
    count: int | None = None

    @property
    def alone_AM(self) -> np.ndarray:
        """The actions, each alone."""
        return self.table_AM[: self.count]

    @cached_property
    def exact_AM(self) -> np.ndarray:
        """The table in float64."""
        return self.table_AM.astype(np.float64)

    @cached_property
    def square_AM(self) -> np.ndarray:
        return self.exact_AM**2

    @cached_property
    def pairs_MBB(self) -> csr_array:
        """The product of two arms' entries of each value; B, B as one axis."""
        table_BM = np.vstack([self.exact_AM, np.zeros(len(self.attribute_M))])
        return csr_array(np.einsum("bm,cm->mbc", table_BM, table_BM).reshape(len(self.attribute_M), -1))

    def shared_sd(self, link: str) -> float:
        return self.size_sd if link == SIZE else self.contact_sd


@dataclass(frozen=True)
class LinearPath:
    """The linear path of one channel: base_D and effect_MD, with the prior variances under which they were found.

    within_variance_A: posterior variance of a user's deviation from the action's average effect, averaged over users.
    average_variance_A: posterior variance of the effect on an average user, less that of all actions together.
    Both are on the scale of the link and from all rows, the fold left out included: what leaves the ranker is the mean over paths.
    """

    base_D: np.ndarray
    effect_MD: np.ndarray
    prior_D: np.ndarray
    prior_MD: np.ndarray
    within_variance_A: np.ndarray
    average_variance_A: np.ndarray


@dataclass(frozen=True)
class LikelihoodSums:
    """Of one channel's log likelihood at some coefficients of every arm, arm_BD: its gradient_BD and minus its curvature_BDD."""

    link: str
    arm_BD: np.ndarray
    gradient_BD: np.ndarray
    curvature_BDD: np.ndarray

    @cached_property
    def target_BD(self) -> np.ndarray:
        """The curvature times the coefficients that would be best for each arm alone."""
        return self.gradient_BD + self.curved(self.arm_BD)

    @cached_property
    def diagonal_BD(self) -> np.ndarray:
        """Of the curvature."""
        return np.einsum("bdd->bd", self.curvature_BDD).astype(np.float64)

    def curved(self, arm_BD: np.ndarray) -> np.ndarray:
        """Coefficients of every arm times the curvature."""
        return np.matvec(self.curvature_BDD, arm_BD.astype(np.float32)).astype(np.float64)


def single_outcome_paths(
    design: Design,
    features: Features,
    fold_R: np.ndarray,
    action_R: np.ndarray,
    actions: Actions,
    channels: Sequence[Channel],
    start: Sequence[float],
) -> tuple[list[list[LinearPath]], list[list[LikelihoodSums]]]:
    """Fits every channel by itself, once without each fold.

    Args:
        design: x of a row.
        features: of R rows.
        fold_R: int64, 0..F-1.
        action_R: int64, the logged arm, with none last.
        actions: attribute values and prior scales of the arms.
        channels: y, link and information weight of each channel, [R] each.
        start: per channel, the link of its mean.

    Returns:
        Per fold the path of each channel, learned without that fold, on the scale of the channel's link; and per channel the sums of the
        log likelihood of each fold.
    """
    groups = _groups(fold_R, action_R, len(actions.table_AM))
    rows = len(fold_R)
    thin = [[rows_g[:: max(1, rows // SAMPLE)] for rows_g in fold] for fold in groups]
    paths = [_empty(actions, design.width, channel.link, value) for channel, value in zip(channels, start, strict=True)]
    for number in range(PASSES):
        here = groups if number >= PASSES - FULL_PASSES else thin
        sums = _pass(design, features, here, actions, channels, paths)
        if number < PASSES - 1:
            for c, sums_c in enumerate(sums):
                found = _estimate(_added(sums_c), design.kinds, actions, paths[c], ROUNDS)
                paths[c] = _damped(actions, paths[c], found)
    trusted = [_trusted(sums_c, design.kinds, actions, path) for sums_c, path in zip(sums, paths, strict=True)]
    return [list(paths_c) for paths_c in zip(*trusted, strict=True)], sums


def arms_of(actions: Actions, effect_MD: np.ndarray) -> np.ndarray:
    """float64[B, D]: coefficients that the effects add in every arm."""
    arm_BD = np.zeros((len(actions.table_AM) + 1, effect_MD.shape[1]))
    np.matmul(actions.exact_AM, effect_MD, out=arm_BD[:-1])
    return arm_BD


def _groups(fold_R: np.ndarray, action_R: np.ndarray, actions: int) -> list[list[np.ndarray]]:
    """The rows of every fold and arm."""
    folds = int(fold_R.max()) + 1
    group_R = fold_R * (actions + 1) + action_R
    order_R = np.argsort(group_R, kind="stable")
    first = np.searchsorted(group_R[order_R], np.arange(1, folds * (actions + 1)))
    split = np.split(order_R, first)
    return [split[fold * (actions + 1) : (fold + 1) * (actions + 1)] for fold in range(folds)]


def _empty(actions: Actions, width: int, link: str, start: float) -> LinearPath:
    """Nothing but a constant."""
    prior_D, prior_MD = _priors(actions, width, link)
    none_A = np.zeros(len(actions.alone_AM))
    return LinearPath(np.eye(1, width)[0] * start, np.zeros_like(prior_MD), prior_D, prior_MD, none_A, none_A)


def _priors(actions: Actions, width: int, link: str) -> tuple[np.ndarray, np.ndarray]:
    """Variances [D] of base and [M, D] of effects, before the data say anything."""
    prior_D = np.full(width, BASE_SD**2)
    prior_D[0] = INTERCEPT_SD**2
    parts = actions.alone_AM.sum(1).mean() * max(width - 1, 1)  # of which an action's effect on a user is made
    prior_MD = np.full((len(actions.attribute_M), width), SPREAD_SD**2 / parts)
    prior_MD[:, 0] = np.where(actions.attribute_M == 0, actions.shared_sd(link) ** 2, AVERAGE_SD**2)
    return prior_D, prior_MD


def _pass(
    design: Design,
    features: Features,
    groups: Sequence[Sequence[np.ndarray]],
    actions: Actions,
    channels: Sequence[Channel],
    paths: Sequence[LinearPath],
) -> list[list[LikelihoodSums]]:
    """One pass over the rows of all groups: sums per channel and fold."""
    arm_CBD = [path.base_D + arms_of(actions, path.effect_MD) for path in paths]
    shape = (len(groups), *arm_CBD[0].shape)
    gradient = [np.zeros(shape) for _ in channels]
    curvature = [np.zeros((*shape, shape[-1]), np.float32) for _ in channels]
    misfit, rows_C = np.zeros(len(channels)), np.zeros(len(channels))
    for f, fold in enumerate(groups):
        for b, rows_g in enumerate(fold):
            for start in range(0, len(rows_g), ROWS_AT_ONCE):
                rows = rows_g[start : start + ROWS_AT_ONCE]
                x_RD = design.matrix(features.take(rows))
                for c, channel in enumerate(channels):
                    used_R = channel.used_R[rows]
                    x_rD = x_RD if used_R.all() else x_RD[used_R]
                    mean_r, weight_r = _mean(channel.link, x_rD @ arm_CBD[c][b].astype(np.float32))
                    left_r = channel.y_R[rows][used_R] - mean_r
                    information_r = 1.0 if channel.weight_R is None else channel.weight_R[rows][used_R]
                    misfit[c] += (information_r * left_r**2 / np.maximum(weight_r, 1e-9)).sum()
                    gradient[c][f, b] += x_rD.T @ (information_r * left_r)
                    rooted_rD = np.sqrt(information_r * weight_r)[:, None] * x_rD
                    curvature[c][f, b] += rooted_rD.T @ rooted_rD  # a product with itself takes half as long
                    rows_C[c] += len(x_rD)
    for c, channel in enumerate(channels):
        # Logistic regression needs no dispersion; counts and sizes vary more or less than their link says.
        dispersion = 1.0 if channel.link == LOGIT else max(misfit[c] / max(rows_C[c], 1.0), 1e-3)
        gradient[c] /= dispersion
        curvature[c] /= np.float32(dispersion)
    return [
        [LikelihoodSums(channel.link, arm_CBD[c], g, h) for g, h in zip(gradient[c], curvature[c], strict=True)]
        for c, channel in enumerate(channels)
    ]


def _mean(link: str, eta_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The expectation, and its derivative by the link's scale."""
    if link in (IDENTITY, SIZE):
        return eta_R, np.ones_like(eta_R)
    if link == LOG:
        mean_R = np.exp(np.minimum(eta_R, LARGEST_LOG))
        return mean_R, mean_R
    mean_R = expit(eta_R)
    return mean_R, mean_R * (1 - mean_R)


def _added(by_fold: Sequence[LikelihoodSums], without: int = -1) -> LikelihoodSums:
    kept = [sums for fold, sums in enumerate(by_fold) if fold != without]
    return replace(
        by_fold[0], gradient_BD=sum(s.gradient_BD for s in kept), curvature_BDD=sum(s.curvature_BDD for s in kept)
    )


def _estimate(
    sums: LikelihoodSums, kinds: Sequence[np.ndarray], actions: Actions, path: LinearPath, rounds: int
) -> LinearPath:
    """Coefficients and the scales of their priors in turn; scales start afresh, since those of a sample may be next to nothing."""
    tails = actions.tails
    attributes = [np.flatnonzero(actions.attribute_M == number) for number in range(int(actions.attribute_M.max()) + 1)]
    prior_D, prior_MD = _priors(actions, len(path.base_D), sums.link)
    found = replace(path, prior_D=prior_D, prior_MD=prior_MD)
    factor_MD, factor_D = np.ones_like(prior_MD), np.ones_like(prior_D)
    for _ in range(rounds):
        found = _solve(sums, actions, found)
        variance_D, variance_MD = _coefficient_variances(sums, actions, found)
        prior_D, prior_MD = found.prior_D.copy(), found.prior_MD.copy()
        known_D = 1 - variance_D / found.prior_D  # of each coefficient, how much the data tell
        known_MD = 1 - variance_MD / found.prior_MD
        for number, values in enumerate(attributes):
            if number > 0:
                square, known = (found.effect_MD[values, 0] ** 2).sum(), known_MD[values, 0].sum()
                prior_MD[values, 0] = scale(square, known)
            for columns in kinds:
                here = np.ix_(values, columns)
                prior_MD[here] = scale((found.effect_MD[here] ** 2 / factor_MD[here]).sum(), known_MD[here].sum())
        for columns in kinds:
            square = (found.base_D[columns] ** 2 / factor_D[columns]).sum()
            prior_D[columns] = scale(square, known_D[columns].sum())
        factor_MD = (tails + (found.effect_MD**2 + variance_MD) / prior_MD) / (tails + 1)
        factor_D = (tails + (found.base_D**2 + variance_D) / prior_D) / (tails + 1)
        prior_MD[:, 1:] *= factor_MD[:, 1:]
        prior_D[1:] = np.minimum(prior_D[1:] * factor_D[1:], LARGEST)
        found = replace(found, prior_D=prior_D, prior_MD=np.clip(prior_MD, SMALLEST, LARGEST))
    return _solve(sums, actions, found)


def _damped(actions: Actions, before: LinearPath, found: LinearPath) -> LinearPath:
    """At most a step of LONGEST_STEP in any arm: the curvature holds nearby only, and where few rows tell of an arm, it is soon gone."""
    base_D, effect_BD = found.base_D - before.base_D, arms_of(actions, found.effect_MD - before.effect_MD)
    step = max(np.abs(base_D).max(initial=0.0), np.abs(effect_BD).max(initial=0.0))
    share = min(1.0, LONGEST_STEP / step) if step > 0 else 1.0
    return replace(
        found,
        base_D=before.base_D + share * (found.base_D - before.base_D),
        effect_MD=before.effect_MD + share * (found.effect_MD - before.effect_MD),
    )


def _trusted(
    by_fold: Sequence[LikelihoodSums], kinds: Sequence[np.ndarray], actions: Actions, path: LinearPath
) -> list[LinearPath]:
    """The paths of one channel without each fold. Scales are estimated without it too, single ones of thousands of coefficients
    among them: else what a fold says of the path that did not see it would be too good.

    Prior scales are averaged over a 7 x 2 grid (shares of the scales of interactions and of averages), each point weighted by its
    held-out likelihood (pseudo-Bayesian model averaging; Geisser and Eddy 1979). Where outcomes are rare, many points are as likely,
    and their effects and variances differ by factors. The estimated scale of a dozen noisy averages is often too large.
    """
    others = [_added(by_fold, without=fold) for fold in range(len(by_fold))]
    estimated = [_estimate(sums, kinds, actions, path, LAST_ROUNDS) for sums in others]
    shares_S, tried_SF, likelihood_S = list(product(AVERAGES, INTERACTIONS)), [], []
    for shares in shares_S:
        scaled = [_scaled(actions, each, *shares) for each in estimated]
        tried = [_solve(sums, actions, each) for sums, each in zip(others, scaled, strict=True)]
        likelihood_S.append(sum(_likelihood(sums, actions, each) for sums, each in zip(by_fold, tried, strict=True)))
        tried_SF.append(tried)
    weight_S = softmax(likelihood_S)
    believed = np.flatnonzero(weight_S > LEAST_WEIGHT)
    everything = _added(by_fold)
    varied_SF = _with_variances(everything, actions, [shares_S[s] for s in believed], [tried_SF[s] for s in believed])
    return [_mixed(weight_S[believed], paths) for paths in zip(*varied_SF, strict=True)]


def _with_variances(
    sums: LikelihoodSums,
    actions: Actions,
    shares_S: Sequence[tuple[float, float]],
    paths_SF: Sequence[list[LinearPath]],
) -> list[list[LinearPath]]:
    """Of all folds, whose scales hardly differ: by those of the first. Points with the same share of the scales of averages, or of
    interactions, share the variances of these."""
    average, within = {}, {}
    for (of_averages, of_interactions), (path, *_) in zip(shares_S, paths_SF, strict=True):
        if of_averages not in average:
            average[of_averages] = _average_variance(sums, actions, path)
        if of_interactions not in within:
            within[of_interactions] = _within_variance(sums, actions, path)
    return [
        [replace(path, within_variance_A=within[i], average_variance_A=average[a]) for path in paths]
        for (a, i), paths in zip(shares_S, paths_SF, strict=True)
    ]


def _mixed(weight_S: np.ndarray, paths: Sequence[LinearPath]) -> LinearPath:
    """The weighted average of everything that paths hold."""
    share_S = weight_S / weight_S.sum()
    held = {each.name: np.stack([getattr(path, each.name) for path in paths]) for each in fields(LinearPath)}
    return LinearPath(**{name: np.tensordot(share_S, values, 1) for name, values in held.items()})


def _scaled(actions: Actions, path: LinearPath, of_averages: float, of_interactions: float) -> LinearPath:
    """The average that all contacts share keeps its prior, which was not estimated."""
    prior_MD = path.prior_MD * of_interactions
    prior_MD[:, 0] = path.prior_MD[:, 0] * np.where(actions.attribute_M == 0, 1.0, of_averages)
    return replace(path, prior_MD=np.maximum(prior_MD, SMALLEST))


def _likelihood(sums: LikelihoodSums, actions: Actions, path: LinearPath) -> float:
    """The log likelihood of the rows in the sums, to second order and up to a constant."""
    moved_BD = path.base_D + arms_of(actions, path.effect_MD) - sums.arm_BD
    return float((moved_BD * (sums.gradient_BD - 0.5 * sums.curved(moved_BD))).sum())


def scale(square: float, known: float) -> float:
    """A common variance from a sum of squared coefficients, of which the data tell so many."""
    return float(np.clip(square / max(known, 1e-9), SMALLEST, LARGEST))


def _solve(sums: LikelihoodSums, actions: Actions, path: LinearPath) -> LinearPath:
    """The most likely coefficients under the priors of `path`: conjugate gradients on the quadratic of the sums."""
    table_AM, prior_D, prior_MD = actions.exact_AM, path.prior_D, path.prior_MD
    values, width = prior_MD.shape
    target_BD, diagonal_BD = sums.target_BD, sums.diagonal_BD

    def joined(base_D: np.ndarray, effect_MD: np.ndarray) -> np.ndarray:
        return np.concatenate([base_D, effect_MD.ravel()])

    def times(x: np.ndarray) -> np.ndarray:
        base_D, effect_MD = x[:width], x[width:].reshape(values, width)
        arm_BD = arms_of(actions, effect_MD)
        arm_BD += base_D
        pull_BD = sums.curved(arm_BD)
        pulled = x / prior
        pulled[:width] += pull_BD.sum(0)
        pulled[width:] += (table_AM.T @ pull_BD[:-1]).ravel()
        return pulled

    prior = joined(prior_D, prior_MD)
    diagonal = joined(diagonal_BD.sum(0) + 1 / prior_D, actions.square_AM.T @ diagonal_BD[:-1] + 1 / prior_MD)
    shape = (len(diagonal), len(diagonal))
    x, _ = cg(
        LinearOperator(shape, times, dtype=np.float64),
        joined(target_BD.sum(0), table_AM.T @ target_BD[:-1]),
        x0=joined(path.base_D, path.effect_MD),
        rtol=TOLERANCE,
        maxiter=MOST_STEPS,
        M=LinearOperator(shape, lambda r: r / diagonal, dtype=np.float64),
    )
    return replace(path, base_D=x[:width], effect_MD=x[width:].reshape(values, width))


def _coefficient_variances(sums: LikelihoodSums, actions: Actions, path: LinearPath) -> tuple[np.ndarray, np.ndarray]:
    """Posterior variances of base [D] and of effects [M, D].

    Each feature on its own: those of a Gaussian process over the arms, or, where slates make these many, of as many coefficients.
    """
    if _many_arms(actions):
        variance_DT = np.maximum(np.einsum("dtt->dt", _covariances(sums, actions, path, slice(None))), 0.0)
        return variance_DT[:, 0], variance_DT[:, 1:].T
    told_D, told_MD = np.empty(path.prior_D.shape), np.empty(path.prior_MD.shape)
    for columns in _parts(0, len(told_D)):
        prior_DBB = _effects(actions, path.prior_MD[:, columns])
        prior_DBB += path.prior_D[columns, None, None]
        information_DBB = _information(sums, columns, prior_DBB)
        told_D[columns] = information_DBB.sum((1, 2))
        told_MD[:, columns] = actions.pairs_MBB @ information_DBB.reshape(len(information_DBB), -1).T
    variance_D = path.prior_D - path.prior_D**2 * told_D
    variance_MD = path.prior_MD - path.prior_MD**2 * told_MD
    return np.maximum(variance_D, 0.0), np.maximum(variance_MD, 0.0)


def _within_variance(sums: LikelihoodSums, actions: Actions, path: LinearPath) -> np.ndarray:
    """Posterior variances [A] of an action's interactions in all: features of x have deviation 1, so variances add up."""
    alone_AM = actions.exact_AM[: actions.count]
    if _many_arms(actions):
        variance_DMM = _covariances(sums, actions, path, slice(1, None))[:, 1:, 1:]
        action_DA = np.einsum("am,dmn,an->da", alone_AM, variance_DMM, alone_AM, optimize=True)
        return np.maximum(action_DA, 0.0).sum(0)
    action_DB = np.zeros((len(path.prior_D), len(actions.table_AM) + 1))
    for columns in _parts(1, len(action_DB)):
        effect_DBB = _effects(actions, path.prior_MD[:, columns])
        information_DBB = _information(sums, columns, effect_DBB + path.prior_D[columns, None, None])
        learned_DB = np.einsum("dbc,dbc->db", effect_DBB @ information_DBB, effect_DBB)
        action_DB[columns] = np.einsum("dbb->db", effect_DBB) - learned_DB
    return np.maximum(action_DB[1:, : len(alone_AM)], 0.0).sum(0)


def _average_variance(sums: LikelihoodSums, actions: Actions, path: LinearPath) -> np.ndarray:
    """Posterior variances [A] of an action's average, less that of all actions."""
    intercept, alone_AM = slice(0, 1), actions.exact_AM[: actions.count]
    if _many_arms(actions):
        return _distance(alone_AM @ _covariances(sums, actions, path, intercept)[0, 1:, 1:] @ alone_AM.T)
    effect_DBB = _effects(actions, path.prior_MD[:, intercept])
    information_DBB = _information(sums, intercept, effect_DBB + path.prior_D[0])
    average_BB = effect_DBB[0] - effect_DBB[0] @ information_DBB[0] @ effect_DBB[0]
    return _distance(average_BB[: len(alone_AM), : len(alone_AM)])


def _many_arms(actions: Actions) -> bool:
    return len(actions.table_AM) > len(actions.attribute_M)


def _parts(start: int, stop: int) -> list[slice]:
    return [slice(first, min(first + COLUMNS_AT_ONCE, stop)) for first in range(start, stop, COLUMNS_AT_ONCE)]


def _effects(actions: Actions, prior_MD: np.ndarray) -> np.ndarray:
    """Prior covariances [D, B, B] of the effects of every two arms."""
    arms = len(actions.table_AM) + 1
    return np.ascontiguousarray((actions.pairs_MBB.T @ prior_MD).T).reshape(-1, arms, arms)


def _information(sums: LikelihoodSums, columns: slice, prior_DBB: np.ndarray) -> np.ndarray:
    """What the rows of any two arms tell together [D, B, B], in a Gaussian process over the arms for each of some columns of x: the
    inverse of prior covariances and noise. The prior covariances are overwritten."""
    root_DB = np.sqrt(sums.diagonal_BD[:, columns].T)
    _rooted(prior_DBB, root_DB)
    np.einsum("dbb->db", prior_DBB)[...] += 1.0
    information_DBB = np.linalg.inv(prior_DBB)
    _rooted(information_DBB, root_DB)
    return information_DBB


def _rooted(each_DBB: np.ndarray, root_DB: np.ndarray) -> None:
    """Multiplies rows and columns of each matrix by roots, in place."""
    each_DBB *= root_DB[:, :, None]
    each_DBB *= root_DB[:, None, :]


def _covariances(sums: LikelihoodSums, actions: Actions, path: LinearPath, columns: slice) -> np.ndarray:
    """Posterior covariances [D, T, T] of the coefficients of each of some columns of x, from their precision."""
    values = len(path.prior_MD)
    table_BT = np.ones((len(actions.table_AM) + 1, 1 + values))  # T: base, then values
    table_BT[:, 1:] = np.vstack([actions.table_AM, np.zeros(values)])
    root_DT = np.sqrt(np.vstack([path.prior_D, path.prior_MD])[:, columns]).T
    information_DTT = np.stack(
        [(table_BT.T * curvature_B) @ table_BT for curvature_B in sums.diagonal_BD[:, columns].T]
    )
    scale_DTT = root_DT[:, :, None] * root_DT[:, None, :]
    return scale_DTT * np.linalg.inv(np.eye(1 + values) + scale_DTT * information_DTT)


def _distance(average_AA: np.ndarray) -> np.ndarray:
    """Variances [A] of averages less that of all actions, from their covariances."""
    return np.maximum(np.diag(average_AA) - 2 * average_AA.mean(0) + average_AA.mean(), 0.0)
