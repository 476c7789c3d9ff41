"""Allocations of all users that tell whoever asked where they are, and end where the answer is not wanted any more."""

from collections.abc import Callable

from allocator.progress import Stopwatch

WORDS = {
    "read": "reading the scores of all users",
    "preflight": "counting what is possible",
    "solve": "solving for all users",
    "diagnose": "looking for the conflict and what would end it",
    "write": "writing down who gets what",
    "audit": "auditing",
}
"""Stage -> what is being done."""


class TellingStopwatch(Stopwatch):
    """tell: is told what is being done, and may raise `allocator.workbench.priced.Cancelled`."""

    def __init__(self, tell: Callable[[str], None]):
        self._tell, self._stage = tell, ""
        super().__init__()

    def begin(self, stage: str) -> None:
        super().begin(stage)
        self._stage = WORDS.get(stage, self._stage)
        if self._stage:
            self._tell(self._stage)

    def advance(self, users: int, note: str = "") -> None:
        self._tell(f"{self._stage}: {note}" if note else self._stage)

    def handled(self, users: int) -> None:
        self._tell(self._stage)
