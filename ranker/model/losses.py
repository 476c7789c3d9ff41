"""Link functions and losses per kind of outcome: binary, count, amount (zero-inflated lognormal), real.

Each outcome has channels, the numbers its base and uplift heads produce: one for binary (log odds), count (log rate) and real
(standardised value), two for an amount (log odds of being positive, log of the size). Axes: R rows, C channels of one outcome,
`...` any leading axes.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

LARGEST_LOG = 12.0  # e^12: beyond any believable ratio to the average; keeps exp finite
CHANNELS = {"binary": 1, "count": 1, "amount": 2, "real": 1}


@dataclass(frozen=True)
class Target:
    """How one outcome is learned.

    center, scale: real is learned as (y - center) / scale, an amount as y / scale. start: value of the base heads before
    training. noise: dispersion; the variance of a count over its mean, the variance of the log of a positive amount, else 1.
    contact: what all contacts add to each channel, before training.
    """

    name: str
    kind: str
    unit: str
    center: float
    scale: float
    start: tuple[float, ...]
    noise: float
    contact: tuple[float, ...] = ()

    @property
    def channels(self) -> int:
        return CHANNELS[self.kind]

    def mean(self, link_C: Tensor) -> Tensor:
        """[..., C] -> [...]: the expected outcome in its natural unit."""
        if self.kind == "binary":
            return torch.sigmoid(link_C[..., 0])
        if self.kind == "count":
            return torch.exp(link_C[..., 0].clamp(max=LARGEST_LOG))
        if self.kind == "real":
            return self.center + self.scale * link_C[..., 0]
        # E[y] = P(y > 0) exp(mu + sigma^2 / 2) (Wang, Liu and Miao 2019, arXiv 1912.07753), sigma being one number.
        size = torch.exp((link_C[..., 1] + self.noise / 2).clamp(max=LARGEST_LOG))
        return self.scale * torch.sigmoid(link_C[..., 0]) * size

    def per_link(self, mean: float) -> float:
        """By how much the expected outcome changes per unit of the first channel, where it is `mean`."""
        if self.kind == "real":
            return self.scale
        return max(mean * (1 - mean) if self.kind == "binary" else mean, 1e-9)

    def loss(self, link_RC: Tensor, outcome_R: Tensor) -> Tensor:
        """[R]: negative log likelihood, up to a constant; a quasi-likelihood for counts (divided by the dispersion)."""
        if self.kind == "binary":
            return F.binary_cross_entropy_with_logits(link_RC[:, 0], outcome_R, reduction="none")
        if self.kind == "count":
            log_rate_R = link_RC[:, 0].clamp(max=LARGEST_LOG)
            return (torch.exp(log_rate_R) - outcome_R * log_rate_R) / self.noise
        if self.kind == "real":
            return 0.5 * (link_RC[:, 0] - (outcome_R - self.center) / self.scale) ** 2
        positive_R = (outcome_R > 0).float()
        log_size_R = torch.log(torch.where(outcome_R > 0, outcome_R / self.scale, 1.0))
        spread_R = 0.5 * (link_RC[:, 1] - log_size_R) ** 2 / self.noise
        return F.binary_cross_entropy_with_logits(link_RC[:, 0], positive_R, reduction="none") + positive_R * spread_R


def fit_target(name: str, kind: str, unit: str, outcome_R: np.ndarray) -> Target:
    """Scales and starting values from training outcomes [R]."""
    if kind == "binary":
        return Target(name, kind, unit, 0.0, 1.0, (_log_odds(outcome_R),), 1.0)
    if kind == "count":
        average = float(outcome_R.mean())
        dispersion = float(np.clip(outcome_R.var() / average, 0.2, 100.0)) if average > 0 else 1.0
        return Target(name, kind, unit, 0.0, 1.0, (float(np.log(max(average, 1e-4))),), dispersion)
    if kind == "real":
        spread = float(outcome_R.std())
        return Target(name, kind, unit, float(outcome_R.mean()), spread if spread > 0 else 1.0, (0.0,), 1.0)
    if kind == "amount":
        positive = outcome_R[outcome_R > 0]
        scale = float(np.exp(np.log(positive).mean())) if len(positive) else 1.0
        variance = float(np.clip(np.log(positive).var(), 0.05, 4.0)) if len(positive) > 1 else 1.0
        return Target(name, kind, unit, 0.0, scale, (_log_odds(outcome_R > 0), 0.0), variance)
    raise ValueError(f"outcome {name} has kind {kind}; known kinds are {', '.join(CHANNELS)}")


def with_contact(
    target: Target, outcome_R: np.ndarray, contacted_R: np.ndarray, weight_R: np.ndarray, sd: float
) -> Target:
    """The target with the effect that contacts have in common as its start, drawn to 0 by its prior of deviation `sd`.

    Rare outcomes give steps too noisy to find it from 0. weight_R: inverse propensities, average 1.
    """
    share = float((weight_R * contacted_R).sum() / weight_R.sum())
    none = (0.0,) * target.channels
    if not 0 < share < 1:
        return replace(target, contact=none)
    links, variances = zip(
        *(_link_of(target, outcome_R[side], weight_R[side]) for side in (~contacted_R, contacted_R)), strict=True
    )
    effect = (links[1] - links[0]) * sd**2 / (sd**2 + sum(variances))
    start = (target.start[0] - share * effect, *target.start[1:])
    return replace(target, start=start, contact=(float(effect), *none[1:]))


def _link_of(target: Target, outcome_R: np.ndarray, weight_R: np.ndarray) -> tuple[float, float]:
    """First channel of the weighted mean, and its variance to first order."""
    inflation = float((weight_R**2).mean() / weight_R.mean() ** 2) / len(outcome_R)
    value_R = (outcome_R - target.center) / target.scale if target.kind == "real" else outcome_R
    value_R = (outcome_R > 0).astype(float) if target.kind == "amount" else value_R
    mean = float((weight_R * value_R).sum() / weight_R.sum())
    if target.kind == "real":
        return mean, inflation
    mean = max(mean, 0.5 / len(outcome_R))
    if target.kind == "count":
        return float(np.log(mean)), inflation * target.noise / mean
    mean = min(mean, 1 - 0.5 / len(outcome_R))
    return float(np.log(mean / (1 - mean))), inflation / (mean * (1 - mean))


def _log_odds(happened_R: np.ndarray) -> float:
    events, rows = float(happened_R.sum()), len(happened_R)
    return float(np.log((events + 0.5) / (rows - events + 0.5)))
