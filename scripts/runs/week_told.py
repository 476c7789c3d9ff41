"""What a call of `weekly` tells of itself: its log and its summary, written however it ends, in the run's folder once there is one."""

import contextlib
import logging
import os
import platform
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ranker import disk
from ranker.files import InputError, sha256_of
from scripts.cli.logs import run_log
from scripts.cli.settings import WeeklySettings
from scripts.cli.statuses import DONE, foreseen, status_of
from scripts.formats.summary import SUMMARY, PolicyOfRun, StageOfRun
from scripts.runs import clock, digests
from scripts.runs.published import current
from scripts.runs.run_folder import week_of
from scripts.runs.summary import LOG, Ended, WeekCalled, summary_of
from scripts.runs.week import Ran, WeekStep, run_step

MOST_WARNINGS = 50
"""Different ones; of a program that has gone astray the first are the ones to read."""
log = logging.getLogger("offermix.weekly")


class CountedWarnings(logging.Handler):
    """Counts warnings by their words."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.times: dict[str, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.split(".")[0] != "offermix" or record.levelno > logging.WARNING:
            return
        text = record.getMessage()
        if text in self.times or len(self.times) < MOST_WARNINGS:
            self.times[text] = self.times.get(text, 0) + 1


@dataclass
class WeekTold:
    """The stages of one call as they end. tell: writes an error to its log; unpublished: why it publishes nothing, or None."""

    call: WeekCalled
    counted: CountedWarnings
    tell: Callable[[str], None]
    unpublished: str | None = None
    started: float = field(default_factory=time.perf_counter)
    at: str | None = None
    ran: list[Ran] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    def run(self, step: WeekStep) -> None:
        """Runs one stage."""
        self.at = command = step.module.removeprefix("scripts.")
        ran = run_step(step)
        self.ran.append(ran)
        self.call.stages.append(StageOfRun(stage=command, seconds=round(ran.seconds, 3), skipped=ran.skipped))
        self.at = None

    def write(self, ended: Ended) -> None:
        """A summary that cannot be written is a warning: the week itself is what matters."""
        try:
            summary = summary_of(self.call, ended, self.counted.times)
            disk.replace_whole(self.call.folder / SUMMARY, summary.text())
        except (OSError, InputError) as error:
            log.warning("%s: cannot be written (%s)", self.call.folder / SUMMARY, type(error).__name__)

    def end(self, error: BaseException | None) -> None:
        status = DONE if error is None else status_of(error)
        if error is not None:
            self.tell(_words(error, status))
        log.debug("Ends with status %d after %.1f s", status, self.seconds)
        self.write(
            Ended(
                exit_status=status,
                finished_at=_now(),
                seconds=round(self.seconds, 3),
                errors=() if error is None else _errors(error),
                stopped_at=self.at,
                unpublished=self.unpublished,
            )
        )


@contextlib.contextmanager
def told(settings: WeeklySettings, folder: Path, unpublished: str | None) -> Iterator[WeekTold]:
    """Within it everything that is said stands in the run's log too; however it ends, the folder holds a summary of the call.

    folder: of the run, there already, its lock held. unpublished: why the call publishes nothing, or None.
    """
    counted = CountedWarnings()
    logging.getLogger().addHandler(counted)
    try:
        with run_log(folder / LOG) as tell:
            week = WeekTold(_called(settings, folder), counted, tell, unpublished)
            _tell_call(settings, week.call)
            week.write(Ended(unpublished=unpublished))
            try:
                yield week
            except BaseException as error:
                week.end(error)
                raise
            week.end(None)
    finally:
        logging.getLogger().removeHandler(counted)


def _called(settings: WeeklySettings, folder: Path) -> WeekCalled:
    pointer = current(settings.paths.runs)
    policy = PolicyOfRun(
        name=settings.weekly.policy.stem,
        file_sha256=sha256_of(settings.weekly.policy),
        digest=None,
        changes=tuple(sorted(f"set.{rule}" for rule in settings.set)),
    )
    before = None if pointer is None else pointer.run
    return WeekCalled(folder, week_of(settings), policy, before, _now(), settings.publish.store)


def _tell_call(settings: WeeklySettings, call: WeekCalled) -> None:
    log.debug("Begins: run %s, week %s, policy %s", call.folder.name, call.week, settings.weekly.policy)
    log.debug("offermix %s, Python %s, %s cores", digests.code_version(), platform.python_version(), os.cpu_count())
    log.debug("Settings %s; published is %s", digests.config_digest(settings)[:16], call.before or "nothing")


def _words(error: BaseException, status: int) -> str:
    words = foreseen(error)
    if words is not None:
        return f"exit status {status}: {words}"
    frames = "".join(f"\n{frame.filename}:{frame.lineno} in {frame.name}" for frame in _frames(error))
    return f"exit status {status}: failed: {type(error).__name__}, at{frames}"


def _errors(error: BaseException) -> tuple[str, ...]:
    if isinstance(error, InputError):
        return error.problems
    if (reasons := getattr(error, "reasons", None)) is not None:
        return tuple(reasons)
    words = foreseen(error)
    if words is not None:
        return (words,)
    last = _frames(error)[-1:]
    return (" at ".join([type(error).__name__, *(f"{Path(f.filename).name}:{f.lineno} in {f.name}" for f in last)]),)


def _frames(error: BaseException) -> traceback.StackSummary:
    return traceback.extract_tb(error.__traceback__)


def _now() -> str:
    return clock.now().isoformat(timespec="seconds")
