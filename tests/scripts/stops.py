"""Watchers of writes that stop whoever writes: as an interrupt would, or as a disk that fails."""

import os
from dataclasses import dataclass

from ranker.disk import Act


@dataclass
class Stop:
    """Raises KeyboardInterrupt before the n-th act of a kind, counted from 1."""

    kind: str
    n: int = 1
    seen: int = 0

    def before(self, act: Act) -> None:
        self.seen += act.kind == self.kind
        if act.kind == self.kind and self.seen == self.n:
            raise KeyboardInterrupt

    def after(self, act: Act) -> None:
        pass


@dataclass
class Fail:
    """Raises an error of the system before each act of a kind whose path ends so."""

    kind: str
    ending: str
    error: int

    def before(self, act: Act) -> None:
        if act.kind == self.kind and act.path.as_posix().endswith(self.ending):
            raise OSError(self.error, os.strerror(self.error))

    def after(self, act: Act) -> None:
        pass
