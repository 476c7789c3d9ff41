"""How long a question of all listeners takes, from the seconds that the run's own allocation took."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from allocator.formats import CERTIFICATE, Certificate
from scripts.formats.manifest import read_manifest

ONCE, EACH = ("open", "read", "preflight"), ("solve", "certify")
"""Stages that a trade-off does once for all its points, and for each."""


@dataclass(frozen=True)
class FullTakes:
    """Seconds. compared: of two allocations, for a comparison or a search. begun, point: of a trade-off, before its points and for each."""

    compared: float
    begun: float
    point: float

    def frontier(self, points: int) -> float:
        return self.begun + points * self.point


def full_takes(allocation: Path) -> FullTakes:
    """An estimate; nothing of the wait for another question's turn."""
    seconds, manifest = Certificate.from_file(allocation / CERTIFICATE).seconds, read_manifest(allocation)
    once, each = _sum(seconds, ONCE), _sum(seconds, EACH)
    whole = once + each if manifest is None or manifest.seconds is None else manifest.seconds
    return FullTakes(2 * whole, once + each, each)


def _sum(seconds: Mapping[str, float], stages: tuple[str, ...]) -> float:
    return sum(seconds.get(stage, 0.0) for stage in stages)


def in_seconds(amount: float) -> str:
    """'about 40 s', 'about 3 minutes': no finer than such an estimate is."""
    if amount < 1:
        return "about a second"
    if amount < 90:
        return f"about {max(1, round(amount)) if amount < 10 else 5 * round(amount / 5)} s"
    return f"about {round(amount / 60)} minutes"
