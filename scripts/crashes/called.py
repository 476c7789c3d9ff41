"""A week called as its command calls it: with which status it ends, and what it says."""

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from scripts.cli import statuses
from scripts.cli.loudness import Loudness
from scripts.cli.statuses import DONE, guarded
from scripts.crashes.records import FaultFound

QUIET = Loudness(-1)
TRACEBACK = "a traceback of the program"


@dataclass(frozen=True)
class Called:
    """status: the exit status; said: the message on stderr and the warnings."""

    status: int
    said: str

    def faults(self, statuses: tuple[int, ...], *names: str) -> list[FaultFound]:
        """What is wrong with it where it should end with one of these, and name one of `names`, without a traceback."""
        found = []
        if self.status not in statuses:
            found.append(f"ends in {self.status} instead of {' or '.join(map(str, statuses))}: {self.said.strip()}")
        if TRACEBACK in self.said:
            found.append(f"shows a traceback: {self.said.strip()}")
        if names and not any(name in self.said for name in names):
            found.append(f"says nothing of {' or '.join(names)}: {self.said.strip()}")
        return [FaultFound("not told", sentence) for sentence in found]


def called(job: Callable[[], object]) -> Called:
    """Calls a week; what it prints of its results goes nowhere."""
    said = io.StringIO()
    untold = patch.object(statuses, "_write_traceback", lambda name, error: Path(TRACEBACK))
    with _warnings_to(said), contextlib.redirect_stderr(said), contextlib.redirect_stdout(None), untold:
        status = guarded("weekly", lambda: _done(job))
    return Called(status, said.getvalue())


def _done(job: Callable[[], object]) -> int:
    job()
    return DONE


@contextlib.contextmanager
def _warnings_to(said: io.StringIO) -> Iterator[None]:
    """Log lines of warnings are said, others are not: as a quiet call says them."""
    root, handler = logging.getLogger(), logging.StreamHandler(said)
    handler.setLevel(logging.WARNING)
    handler.addFilter(QUIET.shows)
    others, level = list(root.handlers), root.level
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.handlers = others
        root.setLevel(level)
