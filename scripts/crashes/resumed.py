"""What readers see in a state that a stop left behind, and what the next call makes of it."""

import contextlib
import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from allocator.report.collect import Report
from allocator.report.page import chart_groups
from ranker.evaluate.training import evaluated
from ranker.files import InputError
from ranker.logs import StoredLogs
from ranker.model.train import Trained, train
from scripts.crashes.records import FaultFound, Sort
from scripts.formats.pointer import HISTORY
from scripts.formats.summary import SUMMARY
from scripts.runs import digests
from scripts.runs.pointer import allocation_digest
from scripts.runs.published import current, published_before
from scripts.runs.summary import LOG

TIMED = ("seconds", "at", "finished_at", "inputs", "sha256", "bytes", "allocation_digest", "before", "own_digest")
"""Keys of JSON files that say when and how long, or are digests of files that do; those files are compared themselves."""
OF_THE_CALL = (HISTORY, SUMMARY, LOG)
"""Files that say what calls did: of a week that was called twice they say another thing."""
COMMAND, PAGE = "scripts.train", "allocator.report.page"
SCRIPTS = re.compile(r"<script.*?</script>", re.DOTALL)
FIGURES = re.compile(r"[^\s<>]*[0-9][^\s<>]*")
"""Of a page, which shows times and digests between others; its figures come from files that are compared."""


@dataclass(frozen=True)
class FinishedWeek:
    """What a run that nobody stopped leaves: file -> digest, of what they say of times left out, and the runs published."""

    files: Mapping[str, str]
    published: tuple[str, ...]

    @classmethod
    def of(cls, runs: Path) -> "FinishedWeek":
        files = {path.relative_to(runs).as_posix(): said_by(path) for path in sorted(runs.rglob("*")) if path.is_file()}
        return cls(files, tuple(pointer.run for pointer in published_before(runs)))


def said_by(path: Path) -> str:
    """The digest of a file, of what times and digests of timed files say left out; of a damaged one, of all of it."""
    if path.name in OF_THE_CALL:
        return ""
    try:
        if path.suffix == ".json":
            return digests.config_digest({"content": _timeless(json.loads(path.read_bytes()))})
        if path.suffix == ".html":
            return hashlib.sha256(FIGURES.sub("", SCRIPTS.sub("", path.read_text())).encode()).hexdigest()
    except ValueError:
        pass
    return digests.digest(path)


def _timeless(value: object) -> object:
    if isinstance(value, dict):
        return {key: _timeless(each) for key, each in value.items() if key not in TIMED}
    return [_timeless(each) for each in value] if isinstance(value, list) else value


@dataclass
class Resumed:
    """The check of one state. faults: what was wrong."""

    runs: Path
    faults: list[FaultFound] = field(default_factory=list)

    def check(self, again: Callable[[], object], whole: FinishedWeek) -> None:
        """Reads what is published, calls the week again, and compares what it leaves with a run that nobody stopped."""
        self.read(whole)
        with quiet():
            try:
                again()
            except Exception as error:
                self._add("other bytes", f"the next call fails: {type(error).__name__}: {error}")
                return
        self.read(whole)
        self.compare(whole)

    def compare(self, whole: FinishedWeek) -> None:
        found = FinishedWeek.of(self.runs)
        for name in sorted(whole.files.keys() - found.files.keys()):
            self._add("other bytes", f"{name}: is missing")
        for name in sorted(found.files.keys() - whole.files.keys()):
            self._add("left behind", f"{name}: is left behind")
        for name in sorted(whole.files.keys() & found.files.keys()):
            if whole.files[name] != found.files[name]:
                self._add("other bytes", f"{name}: has other bytes")
        if found.published != whole.published:
            self._add("lost or half published", f"published were {found.published} instead of {whole.published}")

    def read(self, whole: FinishedWeek) -> None:
        """As a service that shows the offers does: the pointer, and the allocation that it names."""
        try:
            pointer = current(self.runs)
        except InputError as error:
            self._add("lost or half published", f"the pointer cannot be read: {error}")
            return
        if pointer is None or pointer.run not in whole.published:
            self._add("lost or half published", "nothing is published that was published before")
        elif allocation_digest(self.runs / pointer.allocation) != pointer.allocation_digest:
            self._add("lost or half published", f"the published allocation of {pointer.run} is not whole")

    def _add(self, sort: Sort, sentence: str) -> None:
        self.faults.append(FaultFound(sort, sentence))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(None):
            yield
    finally:
        logging.disable(logging.NOTSET)


_kept: dict[object, object] = {}
"""Of this process."""


@contextlib.contextmanager
def arithmetic_kept() -> Iterator[None]:
    """Within it a model is learned once for the same logs, and the charts of a report are drawn once: every stop of a week would come to
    the same ones. They are written anew each time."""

    def learned(logs: StoredLogs, *given: Any, **named: Any) -> object:
        return _once(digests.digest(Path(logs.place)), lambda: train(logs, *given, **named))

    def judged(trained: Trained, *given: Any) -> object:
        return _once(id(trained), lambda: evaluated(trained, *given))

    def drawn(report: Report) -> object:
        held = report.certificate
        return _once((held.policy_digest, held.value, held.contacts), lambda: chart_groups(report))

    with (
        patch(f"{COMMAND}.train", learned),
        patch(f"{COMMAND}.evaluated", judged),
        patch(f"{PAGE}.chart_groups", drawn),
    ):
        yield


def _once(key: object, work: Callable[[], object]) -> object:
    if key not in _kept:
        _kept[key] = work()
    return _kept[key]
