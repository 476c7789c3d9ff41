"""Link functions per kind of outcome: binary, count, amount (zero-inflated lognormal), real; and the loss of each channel.

An outcome has channels, the numbers that the network produces for it: one for binary (log odds), count (log rate; or, where many
rows reach its largest value, as days of a week do, log odds of the share of it) and real (standardised value). An amount has two for
each way in which it comes about: log odds of being positive, log of the size. Where a binary outcome hardly ever comes without the
amount (who subscribes also pays), the amount with it and the amount without it are two ways: what moves the one rarely moves the
other.

Axes: R rows, O outcomes, C channels, N ways (in which an amount comes about). `...` stands for any leading axes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

LOGIT, SHARE, LOG, IDENTITY, SIZE = "logit", "share", "log", "identity", "size"
LARGEST_LOG = 12.0  # e^12: beyond any believable ratio to the average; keeps exp finite
BRINGS = 0.9  # of the rows with the binary outcome must have the amount, for the two to be one event
AT_TOP = 0.01  # of the rows have a count's largest value, for it to be a bound
FEWEST = 30  # rows of either way, for an amount to be split
LEAST_ROOM = 0.05  # for the chance of an amount to rise: who is expected to pay much need not be sure to pay


@dataclass(frozen=True)
class Target:
    """How one outcome is learned; column: its position among the outcomes.

    center, scale: real is learned as (y - center) / scale, an amount and a bounded count as y / scale. start: value of each channel
    before training. noise: per way of an amount the variance of the log of its size, else one number. beside: column of the binary
    outcome that splits an amount, -1 if none does.
    """

    name: str
    kind: str
    unit: str
    column: int
    center: float
    scale: float
    start: tuple[float, ...]
    noise: tuple[float, ...]
    beside: int = -1

    @property
    def channels(self) -> int:
        return len(self.start)

    @property
    def bounded(self) -> bool:
        return self.kind == "count" and self.scale > 1

    def mean(self, link_C: Tensor) -> Tensor:
        """[..., C] -> [...]: the expected outcome in its natural unit."""
        if self.kind == "binary" or self.bounded:
            return self.scale * torch.sigmoid(link_C[..., 0])
        if self.kind == "count":
            return torch.exp(link_C[..., 0].clamp(max=LARGEST_LOG))
        if self.kind == "real":
            return self.center + self.scale * link_C[..., 0]
        # E[y] = P(y > 0) exp(mu + sigma^2 / 2) (Wang, Liu and Miao 2019, arXiv 1912.07753), sigma being one number; summed over ways.
        ways = [
            torch.sigmoid(link_C[..., 2 * way])
            * torch.exp((link_C[..., 2 * way + 1] + noise / 2).clamp(max=LARGEST_LOG))
            for way, noise in enumerate(self.noise)
        ]
        return self.scale * sum(ways)

    def variance(self, link_C: Tensor, doubt_C: Tensor) -> Tensor:
        """[..., C] and [..., C] -> [...]: of the expected outcome, to first order, where the channels have variances doubt_C."""
        if self.kind == "real":
            return self.scale**2 * doubt_C[..., 0]
        if self.kind == "count" and not self.bounded:
            return self.mean(link_C).square() * doubt_C[..., 0]
        chance_N = torch.sigmoid(link_C[..., 0::2])
        moved_N = (chance_N * (1 - chance_N)).square() * doubt_C[..., 0::2]
        if self.kind == "binary" or self.bounded:
            return self.scale**2 * moved_N[..., 0]
        size_N = torch.exp((link_C[..., 1::2] + torch.tensor(self.noise) / 2).clamp(max=LARGEST_LOG))
        return ((self.scale * size_N).square() * (moved_N + chance_N.square() * doubt_C[..., 1::2])).sum(-1)

    def per_link(self, mean: Tensor) -> Tensor:
        """By how much the expected outcome changes per unit of its links, those of sizes left alone, where it is `mean`. An amount
        is taken to come about more or less often than at the start, by all ways alike."""
        if self.kind == "real":
            return torch.full_like(mean, self.scale)
        if self.kind == "binary" or self.bounded:
            return (mean * (1 - mean / self.scale)).clamp(min=1e-9)
        if self.kind == "count":
            return mean.clamp(min=1e-9)
        chance_N, size_N = torch.sigmoid(torch.tensor(self.start[0::2])), torch.tensor(self.start[1::2])
        paid_N = self.scale * chance_N * torch.exp(size_N + torch.tensor(self.noise) / 2)
        chance = (paid_N @ chance_N) / paid_N.sum() * mean / paid_N.sum()
        return (mean * (1 - chance).clamp(min=LEAST_ROOM)).clamp(min=1e-9)


@dataclass(frozen=True)
class Channel:
    """What one channel learns from. link: LOGIT, SHARE, LOG, IDENTITY, or SIZE, the identity for the log of an amount. y_R: float32.
    used_R: bool, rows that tell something. weight_R: float32, how much each of them tells; None: all alike."""

    link: str
    y_R: np.ndarray
    used_R: np.ndarray
    weight_R: np.ndarray | None = None

    def information_R(self) -> np.ndarray:
        """float32[R]: the weight, 0 where a row tells nothing."""
        used_R = self.used_R.astype(np.float32)
        return used_R if self.weight_R is None else used_R * self.weight_R


def channels_of(target: Target, outcome_RO: np.ndarray) -> list[Channel]:
    """The channels of a target on rows with these outcomes, NaN where they are not known."""
    known_R = _known(outcome_RO, target.column, target.beside)
    y_R = np.where(known_R, outcome_RO[:, target.column], 0.0)
    if target.kind != "amount":
        link = {"binary": LOGIT, "count": SHARE if target.bounded else LOG, "real": IDENTITY}[target.kind]
        return [Channel(link, ((y_R - target.center) / target.scale).astype(np.float32), known_R)]
    channels = []
    size_R = np.log(np.where(y_R > 0, y_R / target.scale, 1.0)).astype(np.float32)
    for came_R in ways_of(target, outcome_RO):
        channels += [Channel(LOGIT, came_R.astype(np.float32), known_R), Channel(SIZE, size_R, came_R & known_R)]
    return channels


def ways_of(target: Target, outcome_RO: np.ndarray) -> list[np.ndarray]:
    """bool[R] per way in which an outcome comes about, false where that is not known; one way where it is no amount."""
    return (
        _ways(outcome_RO, target.column, target.beside) if target.kind == "amount" else [np.ones(len(outcome_RO), bool)]
    )


def fit_targets(names: Sequence[tuple[str, str, str]], outcome_RO: np.ndarray) -> tuple[Target, ...]:
    """The targets of outcomes given as (name, kind, unit): scales and starting values from the training rows that know them."""
    binary = [column for column, (_, kind, _) in enumerate(names) if kind == "binary"]
    return tuple(_fit(column, *name, outcome_RO, binary) for column, name in enumerate(names))


def _fit(column: int, name: str, kind: str, unit: str, outcome_RO: np.ndarray, binary: Sequence[int]) -> Target:
    outcome_RO = outcome_RO[_known(outcome_RO, column)]
    y_R = outcome_RO[:, column]
    if kind == "binary":
        return Target(name, kind, unit, column, 0.0, 1.0, (_log_odds(y_R),), (1.0,))
    if kind == "count" and y_R.max(initial=0.0) > 1 and (y_R == y_R.max()).mean() >= AT_TOP:
        share = min(max(float(y_R.mean() / y_R.max()), 1e-4), 1 - 1e-4)
        return Target(name, kind, unit, column, 0.0, float(y_R.max()), (float(np.log(share / (1 - share))),), (1.0,))
    if kind == "count":
        return Target(name, kind, unit, column, 0.0, 1.0, (float(np.log(max(y_R.mean(), 1e-4))),), (1.0,))
    if kind == "real":
        spread = float(y_R.std())
        return Target(name, kind, unit, column, float(y_R.mean()), spread if spread > 0 else 1.0, (0.0,), (1.0,))
    if kind != "amount":
        raise ValueError(f"outcome {name} has kind {kind}; known kinds are binary, count, amount and real")
    positive = y_R[y_R > 0]
    scale = float(np.exp(np.log(positive).mean())) if len(positive) else 1.0
    beside = next((other for other in binary if _splits(outcome_RO, column, other)), -1)
    start, noise = [], []
    outcome_RO = outcome_RO[_known(outcome_RO, column, beside)]
    for came_R in _ways(outcome_RO, column, beside):
        size = np.log(outcome_RO[came_R, column] / scale)
        start += [_log_odds(came_R), float(size.mean()) if len(size) else 0.0]
        noise.append(float(np.clip(size.var(), 0.05, 4.0)) if len(size) > 1 else 1.0)
    return Target(name, kind, unit, column, 0.0, scale, tuple(start), tuple(noise), beside)


def _splits(outcome_RO: np.ndarray, column: int, other: int) -> bool:
    """Whether the binary outcome brings the amount, and the amount comes both with it and without it."""
    outcome_RO = outcome_RO[_known(outcome_RO, column, other)]
    positive_R, with_R = outcome_RO[:, column] > 0, outcome_RO[:, other] > 0
    both = int((positive_R & with_R).sum())
    return both >= max(FEWEST, BRINGS * int(with_R.sum())) and int(positive_R.sum()) - both >= FEWEST


def _known(outcome_RO: np.ndarray, column: int, beside: int = -1) -> np.ndarray:
    """bool[R]: whether the outcome, and what splits it, is known."""
    return np.isfinite(outcome_RO[:, [column, beside] if beside >= 0 else [column]]).all(1)


def _ways(outcome_RO: np.ndarray, column: int, beside: int) -> list[np.ndarray]:
    """bool[R] per way in which the amount comes about."""
    positive_R = outcome_RO[:, column] > 0
    if beside < 0:
        return [positive_R]
    with_R = outcome_RO[:, beside] > 0
    return [positive_R & with_R, positive_R & ~with_R]


def channel_losses(links: Sequence[str], link_RC: Tensor, y_RC: Tensor, information_RC: Tensor) -> Tensor:
    """[R, C]: negative log likelihood of every channel, up to a constant and a dispersion, times what a row tells."""
    losses = []
    for c, link in enumerate(links):
        eta_R, y_R = link_RC[:, c], y_RC[:, c]
        if link in (LOGIT, SHARE):
            losses.append(F.binary_cross_entropy_with_logits(eta_R, y_R, reduction="none"))
        elif link == LOG:
            log_rate_R = eta_R.clamp(max=LARGEST_LOG)
            losses.append(torch.exp(log_rate_R) - y_R * log_rate_R)
        else:
            losses.append(0.5 * (eta_R - y_R) ** 2)
    return torch.stack(losses, dim=1) * information_RC


def _log_odds(happened_R: np.ndarray) -> float:
    events, rows = float(happened_R.sum()), len(happened_R)
    return float(np.log((events + 0.5) / (rows - events + 0.5)))
