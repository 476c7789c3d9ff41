"""The calibration of a model, and how it turns raw effects of an ensemble into a mean and a standard error.

    effect[u, a] = average[a] + attenuation_ratio * slope[a] * mean over members k of (raw[k, u, a] - center[k, a])

Axes: U users, A actions, K members.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

KEYS: Mapping[str, str] = MappingProxyType({"attenuation_ratio": "steady", "link_slope": "steepness"})
"""What fields are called in model.json, where that is another name."""


@dataclass(frozen=True)
class EffectVariance:
    """How far raw effects on U users may be off. within_UA: posterior variance of a user's deviation from the action's average; members
    that agree may all be shrunk too far. average_UA: of an action's average less that of all actions. slope_UA: by how much the outcome
    changes per unit of its link."""

    within_UA: Tensor
    average_UA: Tensor
    slope_UA: Tensor


@dataclass(frozen=True)
class OutcomeCalibration:
    """The calibration of one outcome; arrays are float64.

    average_A: effect of a contact on an average user.
    average_stderr_A: standard error of what the calibration adds to the predicted average, where the outcome's slope in its link is
        `link_slope`; it grows in proportion to the slope.
    slope_A, slope_stderr_A: slope >= 0 of the true on the predicted within-action deviation of one member.
    attenuation_ratio: slope on the mean over members, as a multiple of the slope on one member: the mean has less noise.
    link_slope: change of the outcome per unit of its link, averaged over users and the actions that they may get.
    center_KA: each member's average effect.
    shift: correction of the outcome without contact.
    pooled_slope, pooled_slope_stderr: over all actions.
    level, level_slope, offset: an action never logged has the average level + level_slope * (predicted effect - level) + offset.
    between: standard deviation between actions with the same attributes.
    common_stderr: the part of average_stderr_A that is the same error for all actions, that of the outcome without contact.
    error_correlation: of the errors of different actions, by that part of their variance; 0 in models that were made before it was known.
    """

    average_A: np.ndarray
    average_stderr_A: np.ndarray
    slope_A: np.ndarray
    slope_stderr_A: np.ndarray
    attenuation_ratio: float
    link_slope: float
    center_KA: np.ndarray
    shift: float
    pooled_slope: float
    pooled_slope_stderr: float
    level: float
    level_slope: float
    offset: float
    between: float
    common_stderr: float = 0.0
    error_correlation: float = 0.0

    def apply(
        self, members: Sequence[tuple[Tensor, Tensor]], variance: EffectVariance
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """From each member's expectation without contact [U] and per action [U, A]: none_U, mean_UA, stderr_UA (float32)."""
        count = len(members)
        none_U = torch.stack([none for none, _ in members]).mean(0) + self.shift
        center_KA = torch.from_numpy(self.center_KA.astype(np.float32))
        deviation_KUA = torch.stack([mean - none[:, None] for none, mean in members]) - center_KA[:, None, :]
        deviation_UA = deviation_KUA.mean(0)
        # Members differ by one fold each: the delete-a-group jackknife gives the variance of the mean.
        spread_UA = (deviation_KUA - deviation_UA).square_().sum(0) * ((count - 1) / count)
        slope_A, slope_var_A = (
            _row(self.attenuation_ratio * self.slope_A),
            _row((self.attenuation_ratio * self.slope_stderr_A) ** 2),
        )
        mean_UA = torch.addcmul(_row(self.average_A), slope_A, deviation_UA)
        variance_UA = (
            torch.maximum(spread_UA * slope_A.square(), variance.within_UA) + deviation_UA.square() * slope_var_A
        )
        variance_UA += self.level_slope**2 * variance.average_UA
        variance_UA += _row((self.average_stderr_A / self.link_slope) ** 2) * variance.slope_UA.square()
        return none_U.numpy(), mean_UA.numpy(), variance_UA.sqrt_().numpy()

    def reindexed(self, known_A: np.ndarray, at_mean_KA: np.ndarray) -> "OutcomeCalibration":
        """For another catalogue. known_A: position of each action here, -1 if new. at_mean_KA: raw effect on an average user.

        A new action gets the effect that its attributes predict; it is at least as uncertain as any known action.
        """
        new_A = known_A < 0
        unsure = float(np.hypot(self.average_stderr_A.max(), self.between))

        def merged(known: np.ndarray, new: np.ndarray | float) -> np.ndarray:
            return np.where(new_A, new, known[..., np.where(new_A, 0, known_A)])

        return OutcomeCalibration(
            average_A=merged(
                self.average_A, self.level + self.level_slope * (at_mean_KA.mean(0) - self.level) + self.offset
            ),
            average_stderr_A=merged(self.average_stderr_A, unsure),
            slope_A=merged(self.slope_A, self.pooled_slope),
            slope_stderr_A=merged(self.slope_stderr_A, max(self.pooled_slope_stderr, float(self.slope_stderr_A.max()))),
            attenuation_ratio=self.attenuation_ratio,
            link_slope=self.link_slope,
            center_KA=merged(self.center_KA, at_mean_KA),
            shift=self.shift,
            pooled_slope=self.pooled_slope,
            pooled_slope_stderr=self.pooled_slope_stderr,
            level=self.level,
            level_slope=self.level_slope,
            offset=self.offset,
            between=self.between,
            common_stderr=self.common_stderr,
            error_correlation=self.error_correlation,
        )

    def to_json(self) -> dict:
        """By the keys of model.json."""
        held = {KEYS.get(name, name): value for name, value in vars(self).items()}
        return {name: v.tolist() if isinstance(v, np.ndarray) else float(v) for name, v in held.items()}

    @staticmethod
    def from_json(content: Mapping) -> "OutcomeCalibration":
        names = {key: name for name, key in KEYS.items()}
        held = {
            name: float(v) if isinstance(v, int | float) else np.array(v, np.float64) for name, v in content.items()
        }
        return OutcomeCalibration(**{names.get(key, key): value for key, value in held.items()})


@dataclass(frozen=True)
class Calibration:
    """Of every outcome, by name."""

    outcomes: Mapping[str, OutcomeCalibration]

    def of(self, outcome: str) -> OutcomeCalibration:
        return self.outcomes[outcome]

    def reindexed(self, known_A: np.ndarray, at_mean_KA: Mapping[str, np.ndarray]) -> "Calibration":
        return Calibration({name: c.reindexed(known_A, at_mean_KA[name]) for name, c in self.outcomes.items()})

    def to_json(self) -> dict:
        return {name: c.to_json() for name, c in self.outcomes.items()}

    @staticmethod
    def from_json(content: Mapping) -> "Calibration":
        return Calibration({name: OutcomeCalibration.from_json(c) for name, c in content.items()})


def _row(values_A: np.ndarray) -> Tensor:
    return torch.from_numpy(values_A.astype(np.float32))[None, :]
