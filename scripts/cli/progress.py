"""How far an allocation is, how long each stage took, and how long it may still take.

Every stage handles all users, so often and at such a cost as it usually does: one reading of the scores, some four passes to price and
decide, one writing, one judging. Rich keeps the account of this work, and tells what is left at the speed of this run so far. A stage
that takes longer than usual has nothing left, never less.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from rich.progress import Progress

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
class _Place:
    """The stage, what it is doing, and how often it has handled every user."""

    stage: str
    note: str = ""
    turns: float = 0.0


class Pace(Stopwatch):
    """Follows one allocation through STAGES, and tells how long it may still take."""

    def __init__(self, now: Callable[[], float] = time.perf_counter):
        self._users, self._objectives, self._place = 1, 1, _Place("open")
        self._work = Progress(disable=True, get_time=now, speed_estimate_period=math.inf)
        self._task = self._work.add_task("", total=self._total)
        super().__init__(now)

    def expect(self, users: int, objectives: int = 1) -> None:
        """So many users will be handled, and decided about once per objective."""
        self._users, self._objectives = max(users, 1), objectives
        self._work.update(self._task, total=self._total)

    def begin(self, stage: str) -> None:
        """Ends the stage before."""
        super().begin(stage)
        self._set(_Place(stage))

    def advance(self, users: int, note: str = "") -> None:
        """So many more users have been handled in this stage."""
        place = self._place
        if users:
            self._set(_Place(place.stage, note or place.note, place.turns + users / self._users))
        else:
            self._place = replace(place, note=note)

    def handled(self, users: int) -> None:
        """The same for stages that see every user once: says how many of them."""
        done = round(self._place.turns * self._users) + users
        self.advance(users, f"{done:,} of {self._users:,} users")

    @property
    def left(self) -> float | None:
        """Seconds that are perhaps left, None where nothing can be said."""
        (work,) = self._work.tasks
        return None if work.completed < KNOWN * self._total else work.time_remaining

    def line(self) -> str:
        """Where it is, in words."""
        place, left = self._place, self.left
        said = STAGES[place.stage].said
        words = [f"{said}: {place.note}" if place.note else said]
        if left is not None and left >= SHORTEST:
            words.append(f"about {duration(left)} left")
        return f"{int(self.spent) // 60}:{int(self.spent) % 60:02d} {', '.join(words)}"

    @property
    def _total(self) -> float:
        return sum(map(self._cost, STAGES))

    def _cost(self, stage: str) -> float:
        """Of all its usual turns."""
        times = self._objectives if stage == "solve" else 1
        return times * STAGES[stage].turns * STAGES[stage].cost

    def _set(self, place: _Place) -> None:
        """The place is one assignment, since a display reads it from another thread."""
        names = list(STAGES)
        before = sum(map(self._cost, names[: names.index(place.stage)]))
        inside = min(place.turns * STAGES[place.stage].cost, self._cost(place.stage))
        self._place = place
        self._work.update(self._task, completed=before + inside)


def duration(seconds: float) -> str:
    """Seconds in words, to two digits or so: 7 s, 40 s, 4 min, 1 h 20 min."""
    if seconds < 10:
        return f"{seconds:.0f} s"
    if seconds < 95:
        return f"{5 * round(seconds / 5)} s"
    minutes = math.ceil(seconds / 60 - 0.5)
    hours, rest = minutes // 60, 10 * (minutes % 60 // 10)
    return f"{minutes} min" if not hours else f"{hours} h {rest} min" if rest else f"{hours} h"
