"""How far an allocation is, how long each stage took, and how long it may still take.

Every stage handles all users, so often and at such a cost as it usually does: one reading of the scores, some four passes to price and
decide, one writing, one judging. What is left is told at the speed of this run so far. A stage that takes longer than usual has
nothing left, never less.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from allocator.progress import Stopwatch


@dataclass(frozen=True)
class Stage:
    """said: what is being done. turns: how often it usually handles every user. cost: of a turn, relative to other stages' turns."""

    said: str
    turns: float
    cost: float


STAGES: Mapping[str, Stage] = MappingProxyType(
    {
        "open": Stage("fingerprinting what is read", 1.0, 1.0),
        "read": Stage("reading the scores", 1.0, 2.0),
        "preflight": Stage("counting what is possible", 1.0, 1.0),
        "solve": Stage("pricing and deciding", 4.0, 2.0),
        "write": Stage("writing rows", 1.0, 4.0),
        "certify": Stage("counting what was reached", 1.0, 0.5),
        "ranges": Stage("trying other bounds", 1.0, 0.5),
        "audit": Stage("judging what was written", 1.0, 7.0),
        "digest": Stage("fingerprinting what was written", 1.0, 0.2),
        "diagnose": Stage("looking for the conflict and what would end it", 0.0, 0.0),
    }
)
KNOWN = 0.02
"""Of all work: what must be done before anything can be said of the rest."""
SHORTEST = 3.0
"""Seconds below which what is left is not worth telling."""


@dataclass(frozen=True)
class _Mark:
    """What was known when a stage began or went on: seconds left of the stage and of all after it, None while that is unknown."""

    at: float
    stage: str
    note: str
    turns: float
    rest: float | None
    later: float


class Pace(Stopwatch):
    """Follows one allocation through STAGES, and tells how long it may still take."""

    def __init__(self, now: Callable[[], float] = time.perf_counter):
        self._users, self._objectives = 1, 1
        self._mark: _Mark
        super().__init__(now)

    def expect(self, users: int, objectives: int = 1) -> None:
        """So many users will be handled, and decided about once per objective."""
        self._users, self._objectives = max(users, 1), objectives

    def begin(self, stage: str) -> None:
        """Ends the stage before."""
        super().begin(stage)
        self._set(stage, "", 0.0)

    def advance(self, users: int, note: str = "") -> None:
        """So many more users have been handled in this stage."""
        mark = self._mark
        if users:
            self._set(mark.stage, note or mark.note, mark.turns + users / self._users)
        else:
            self._mark = replace(mark, note=note)

    def handled(self, users: int) -> None:
        """The same for stages that see every user once: says how many of them."""
        done = round(self._mark.turns * self._users) + users
        self.advance(users, f"{done:,} of {self._users:,} users")

    @property
    def left(self) -> float | None:
        """Seconds that are perhaps left, None where nothing can be said."""
        mark = self._mark
        if mark.rest is None:
            return None
        return max(mark.rest - (self._now() - mark.at), 0.0) + mark.later

    def line(self) -> str:
        """Where it is, in words."""
        mark, left = self._mark, self.left
        said = STAGES[mark.stage].said
        words = [f"{said}: {mark.note}" if mark.note else said]
        if left is not None and left >= SHORTEST:
            words.append(f"about {duration(left)} left")
        return f"{int(self.spent) // 60}:{int(self.spent) % 60:02d} {', '.join(words)}"

    def _set(self, stage: str, note: str, turns: float) -> None:
        """A new mark; it is one assignment, since a display reads it from another thread."""
        now, names = self._now(), list(STAGES)
        costs = {name: each.turns * each.cost for name, each in STAGES.items()}
        costs["solve"] *= self._objectives
        before = sum(costs[name] for name in names[: names.index(stage)])
        inside = min(turns * STAGES[stage].cost, costs[stage])
        later = sum(costs[name] for name in names[names.index(stage) + 1 :])
        rest = None
        if before + inside >= KNOWN * sum(costs.values()):
            pace = (now - self._start) / (before + inside)
            rest, later = (costs[stage] - inside) * pace, later * pace
        self._mark = _Mark(now, stage, note, turns, rest, later)


def duration(seconds: float) -> str:
    """Seconds in words, to two digits or so: 7 s, 40 s, 4 min, 1 h 20 min."""
    if seconds < 10:
        return f"{seconds:.0f} s"
    if seconds < 95:
        return f"{5 * round(seconds / 5)} s"
    minutes = math.ceil(seconds / 60 - 0.5)
    hours, rest = minutes // 60, 10 * (minutes % 60 // 10)
    return f"{minutes} min" if not hours else f"{hours} h {rest} min" if rest else f"{hours} h"
