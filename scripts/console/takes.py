"""How long a question of all listeners takes, from the seconds that the run's own allocation took."""

from collections.abc import Mapping
from dataclasses import dataclass

from allocator.formats import Certificate

ONCE = ("open", "read", "preflight")
"""Stages that a trade-off does once for all its points."""
EACH = ("solve", "certify")
WARM = 0.25
"""Of a solve: one that begins with the prices of its neighbour."""


@dataclass(frozen=True)
class FullTakes:
    """Seconds. compared: of two allocations, for a comparison or a search. begun, point: of a trade-off, before its points and for each."""

    compared: float
    begun: float
    point: float

    def frontier(self, points: int) -> float:
        return self.begun + points * self.point


def full_takes(certificate: Certificate) -> FullTakes:
    """An estimate; nothing of the wait for another question's turn."""
    once, each = _sum(certificate.seconds, ONCE), _sum(certificate.seconds, EACH)
    return FullTakes(2 * (once + each), once + each, WARM * each)


def _sum(seconds: Mapping[str, float], stages: tuple[str, ...]) -> float:
    return sum(seconds.get(stage, 0.0) for stage in stages)


def in_seconds(amount: float) -> str:
    """'about 40 s', 'about 3 minutes': no finer than such an estimate is."""
    if amount < 1:
        return "about a second"
    if amount < 90:
        return f"about {max(1, round(amount)) if amount < 10 else 5 * round(amount / 5)} s"
    return f"about {round(amount / 60)} minutes"
