"""Long work in the background: one question of a run at a time, with what it is doing now, and a way to stop it."""

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from allocator.infeasible.diagnosis import Infeasible
from allocator.workbench.priced import Cancelled, Tell
from ranker.files import InputError

KEPT = 128
"""Jobs whose answers are kept for the next time that they are asked for."""
State = Literal["running", "done", "contradiction", "wrong", "stopped", "failed"]


@dataclass
class Job:
    """One piece of work. answer: when it is done; problems: what was wrong, in words."""

    id: str
    title: str
    state: State = "running"
    doing: str = "waiting for its turn"
    told: int = 0
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    answer: object = None
    infeasible: Infeasible | None = None
    problems: tuple[str, ...] = ()
    asked_to_stop: bool = False
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def seconds(self) -> float:
        return (time.monotonic() if self.ended is None else self.ended) - self.started

    def tell(self, sentence: str) -> None:
        """What is being done now; raises Cancelled where it is not wanted any more."""
        self.doing, self.told = sentence, self.told + 1
        if self.asked_to_stop:
            raise Cancelled


Work = Callable[[Tell], object]


class Jobs:
    """All work of one process. A key names a question: asked again, it has its answer already."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._keys: dict[str, str] = {}
        self._last: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def ask(self, key: str, title: str, turn: threading.Lock, work: Work, instead: str | None = None) -> Job:
        """Starts the work, or finds it under way or done.

        turn: held while it is done. instead: whose earlier work this takes the place of; that is stopped.
        """
        with self._lock:
            if (known := self._known(key)) is None:
                known = Job(str(next(self._numbers)), title)
                self._jobs[known.id], self._keys[key] = known, known.id
                self._forget()
                run = partial(copy_context().run, _run, known, turn, work)
                threading.Thread(target=run, name=f"job-{known.id}", daemon=True).start()
            if instead is not None:
                before = self._jobs.get(self._last.get(instead, ""))
                if before is not None and before is not known:
                    before.asked_to_stop = True
                self._last[instead] = known.id
        return known

    def get(self, job: str) -> Job | None:
        with self._lock:
            return self._jobs.get(job)

    def stop(self, job: str) -> Job | None:
        """Asks it to stop; it does so when it next tells what it is doing."""
        found = self.get(job)
        if found is not None:
            found.asked_to_stop = True
        return found

    def _known(self, key: str) -> Job | None:
        found = self._jobs.get(self._keys.get(key, ""))
        keep = found is not None and found.state not in ("failed", "stopped") and not found.asked_to_stop
        return found if keep else None

    def _forget(self) -> None:
        ended = [job.id for job in self._jobs.values() if job.over.is_set()]
        for job in ended[: max(len(self._jobs) - KEPT, 0)]:
            del self._jobs[job]


def _run(job: Job, turn: threading.Lock, work: Work) -> None:
    try:
        while not turn.acquire(timeout=0.05):
            job.tell("waiting for its turn")
        try:
            job.started = time.monotonic()
            job.tell("beginning")
            job.answer, job.state = work(job.tell), "done"
        finally:
            turn.release()
    except Cancelled:
        job.state = "stopped"
    except Infeasible as error:
        job.infeasible, job.state = error, "contradiction"
    except InputError as error:
        job.problems, job.state = error.problems, "wrong"
    except Exception as error:
        job.problems, job.state = (_in_words(error),), "failed"
    finally:
        job.ended = time.monotonic()
        job.over.set()


def _in_words(error: Exception) -> str:
    reasons = getattr(error, "reasons", None)
    if reasons:
        return "; ".join(str(reason) for reason in reasons)
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no words'}"
