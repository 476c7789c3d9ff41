"""What follows an allocation through its stages: seconds of each, and for whoever watches how far it is."""

import time
from collections.abc import Callable, Mapping
from typing import Protocol

PARTS = {"solve": ("price", "decide")}
"""Stages whose parts are timed as well: these seconds are among the stage's own."""


def times_in_words(seconds: Mapping[str, float]) -> str:
    """Seconds by stage, those of a stage's parts behind it: read 0.4, solve 12.8 (of which price 7.2, decide 5.6)."""
    inner = {part for stage, parts in PARTS.items() if stage in seconds for part in parts}
    return ", ".join(_time(stage, seconds) for stage in seconds if stage not in inner)


def _time(stage: str, seconds: Mapping[str, float]) -> str:
    parts = ", ".join(f"{part} {seconds[part]:.1f}" for part in PARTS.get(stage, ()) if part in seconds)
    return f"{stage} {seconds[stage]:.1f}" + (f" (of which {parts})" if parts else "")


class Progress(Protocol):
    """Told by `allocate` where it is. Stages: open, read, preflight, solve, write, certify, ranges, audit, digest, diagnose."""

    @property
    def spent(self) -> float:
        """Seconds since the beginning."""
        ...

    @property
    def seconds(self) -> Mapping[str, float]:
        """Seconds by stage, the one under way so far."""
        ...

    def expect(self, users: int, objectives: int = 1) -> None:
        """So many users will be handled, and decided about once per objective."""

    def begin(self, stage: str) -> None:
        """Ends the stage before."""

    def advance(self, users: int, note: str = "") -> None:
        """So many more users have been handled in this stage; note: what is being done."""

    def handled(self, users: int) -> None:
        """The same for stages that see every user once."""


class Stopwatch:
    """A progress that nobody watches: it knows the seconds of each stage alone."""

    def __init__(self, now: Callable[[], float] = time.perf_counter):
        self._now, self._start = now, now()
        self._began: dict[str, float] = {}
        self.begin("open")

    @property
    def spent(self) -> float:
        return self._now() - self._start

    @property
    def seconds(self) -> Mapping[str, float]:
        times = [*self._began.values(), self._now()]
        return {stage: after - began for stage, began, after in zip(self._began, times[:-1], times[1:], strict=True)}

    def expect(self, users: int, objectives: int = 1) -> None:
        pass

    def begin(self, stage: str) -> None:
        self._began[stage] = self._now()

    def advance(self, users: int, note: str = "") -> None:
        pass

    def handled(self, users: int) -> None:
        pass
