"""The calibration of a model, and how it turns raw effects of an ensemble into a mean and a standard error.

    effect[u, a] = average[a] + steady * slope[a] * mean over members k of (raw[k, u, a] - center[k, a])

Axes: U users, A actions, K members.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Doubt:
    """How far raw effects on U users may be off. apart_UA: variance of what tells users apart, whatever was learned of it; members that
    agree may all be shrunk too far. average_UA: of what an action's average differs from that of all. steep_UA: by how much the
    outcome changes per unit of its link."""

    apart_UA: Tensor
    average_UA: Tensor
    steep_UA: Tensor


@dataclass(frozen=True)
class OutcomeCalibration:
    """Of one outcome, arrays of float64.

    average_A: effect of a contact on an average user. average_stderr_A: of what the calibration adds to the predicted averages, where
    the outcome is as steep as `steepness` on the scale of its link; where it is steeper, more is off. slope_A >= 0, slope_stderr_A: how
    much of the predicted difference between users is real, of one member. steady: by how much more of it is real in the mean over
    members, which varies less and tells the same. center_KA: each member's average effect. shift: correction of the outcome without
    contact. pooled_slope, pooled_slope_stderr: over all actions. An action never logged has
    level + level_slope * (predicted effect - level) + offset. between: standard deviation of what tells actions with the same
    attributes apart, for actions that were never logged.
    """

    average_A: np.ndarray
    average_stderr_A: np.ndarray
    slope_A: np.ndarray
    slope_stderr_A: np.ndarray
    steady: float
    steepness: float
    center_KA: np.ndarray
    shift: float
    pooled_slope: float
    pooled_slope_stderr: float
    level: float
    level_slope: float
    offset: float
    between: float

    def apply(
        self, members: Sequence[tuple[Tensor, Tensor]], doubt: Doubt
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """From each member's expectation without contact [U] and per action [U, A]: none_U, mean_UA, stderr_UA (float32)."""
        count = len(members)
        none_U = torch.stack([none for none, _ in members]).mean(0) + self.shift
        center_KA = torch.from_numpy(self.center_KA.astype(np.float32))
        apart_KUA = torch.stack([mean - none[:, None] for none, mean in members]) - center_KA[:, None, :]
        apart_UA = apart_KUA.mean(0)
        # Members differ by one fold each: the delete-a-group jackknife gives the variance of the mean.
        spread_UA = (apart_KUA - apart_UA).square_().sum(0) * ((count - 1) / count)
        slope_A, slope_var_A = _row(self.steady * self.slope_A), _row((self.steady * self.slope_stderr_A) ** 2)
        mean_UA = torch.addcmul(_row(self.average_A), slope_A, apart_UA)
        variance_UA = torch.maximum(spread_UA * slope_A.square(), doubt.apart_UA) + apart_UA.square() * slope_var_A
        variance_UA += self.level_slope**2 * doubt.average_UA
        variance_UA += _row((self.average_stderr_A / self.steepness) ** 2) * doubt.steep_UA.square()
        return none_U.numpy(), mean_UA.numpy(), variance_UA.sqrt_().numpy()

    def reindexed(self, known_A: np.ndarray, typical_KA: np.ndarray) -> "OutcomeCalibration":
        """For another catalogue. known_A: position of each action here, -1 if new. typical_KA: raw effect on an average user.

        A new action gets the effect that its attributes predict; it is at least as uncertain as any known action.
        """
        new_A = known_A < 0
        unsure = float(np.hypot(self.average_stderr_A.max(), self.between))

        def merged(known: np.ndarray, new: np.ndarray | float) -> np.ndarray:
            return np.where(new_A, new, known[..., np.where(new_A, 0, known_A)])

        return OutcomeCalibration(
            average_A=merged(
                self.average_A, self.level + self.level_slope * (typical_KA.mean(0) - self.level) + self.offset
            ),
            average_stderr_A=merged(self.average_stderr_A, unsure),
            slope_A=merged(self.slope_A, self.pooled_slope),
            slope_stderr_A=merged(self.slope_stderr_A, max(self.pooled_slope_stderr, float(self.slope_stderr_A.max()))),
            steady=self.steady,
            steepness=self.steepness,
            center_KA=merged(self.center_KA, typical_KA),
            shift=self.shift,
            pooled_slope=self.pooled_slope,
            pooled_slope_stderr=self.pooled_slope_stderr,
            level=self.level,
            level_slope=self.level_slope,
            offset=self.offset,
            between=self.between,
        )

    def to_json(self) -> dict:
        return {name: v.tolist() if isinstance(v, np.ndarray) else float(v) for name, v in vars(self).items()}

    @staticmethod
    def from_json(content: Mapping) -> "OutcomeCalibration":
        return OutcomeCalibration(
            **{name: np.array(v, np.float64) if isinstance(v, list) else float(v) for name, v in content.items()}
        )


@dataclass(frozen=True)
class Calibration:
    """Of every outcome, by name."""

    outcomes: Mapping[str, OutcomeCalibration]

    def of(self, outcome: str) -> OutcomeCalibration:
        return self.outcomes[outcome]

    def reindexed(self, known_A: np.ndarray, typical_KA: Mapping[str, np.ndarray]) -> "Calibration":
        return Calibration({name: c.reindexed(known_A, typical_KA[name]) for name, c in self.outcomes.items()})

    def to_json(self) -> dict:
        return {name: c.to_json() for name, c in self.outcomes.items()}

    @staticmethod
    def from_json(content: Mapping) -> "Calibration":
        return Calibration({name: OutcomeCalibration.from_json(c) for name, c in content.items()})


def _row(values_A: np.ndarray) -> Tensor:
    return torch.from_numpy(values_A.astype(np.float32))[None, :]
