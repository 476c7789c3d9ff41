"""What is logged, and where: lines on the console as loud as was asked for, and everything in a run's own log, which stays small.

A run's log says what its console says, and what is told at DEBUG, with time, level and logger; a call that resumes a run appends to it.
It is no output of a stage: nothing becomes stale by it. No user id stands in it, since none is logged anywhere.
"""

import contextlib
import logging
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from io import TextIOBase
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.logging import RichHandler

from scripts.cli.loudness import OURS, PACKAGES, Loudness, ask, asked

AS_USUAL = Loudness()
MOST_BYTES = 4 << 20
"""Of one file of a run's log; there are two, the second being what was written before."""
LONGEST = 20_000
"""Characters of one message in it."""
COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class OfOffermix:
    """Marks a handler of a call, so that a later call in the same process takes it away."""


class _Lines(OfOffermix, logging.StreamHandler):
    """Plain lines with the time of day, for files and pipes: to what is stderr when they are written."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr


class _InTerminal(OfOffermix, RichHandler):
    """Lines for people in a terminal."""


def set_up_logging(console: Console, loudness: Loudness = AS_USUAL) -> None:
    """Log lines go to stderr: for people in a terminal, plain with the time of day elsewhere. Python's warnings are log lines too."""
    ask(loudness)
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, OfOffermix)]:
        root.removeHandler(old)
    handler = _handler(console)
    handler.addFilter(loudness.shows)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger(OURS).setLevel(logging.DEBUG)
    if not sys.warnoptions and "PYTEST_CURRENT_TEST" not in os.environ:
        logging.captureWarnings(True)
        warnings.simplefilter("default")  # of other people: told in a run's log, and on the console with -v


def _handler(console: Console) -> logging.Handler:
    if console.is_terminal:
        rich = _InTerminal(console=console, show_path=False, show_level=False, markup=False)
        rich.setFormatter(logging.Formatter("%(message)s", datefmt="%H:%M:%S"))
        return rich
    plain = _Lines()
    plain.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    return plain


class RunLog(RotatingFileHandler):
    """The log of a run. A disk that is full, or a folder that is gone, ends the log and never the run."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=MOST_BYTES, backupCount=1, encoding="utf-8")
        self.setFormatter(_OneRecord("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
        self.addFilter(_kept)

    def handleError(self, record: logging.LogRecord) -> None:
        logging.getLogger().removeHandler(self)
        logging.getLogger(f"{OURS}.log").warning("%s: cannot be written any more", self.baseFilename)


def _kept(record: logging.LogRecord) -> bool:
    return record.name.split(".")[0] in PACKAGES or record.levelno >= logging.WARNING or asked().shows(record)


class _OneRecord(logging.Formatter):
    """UTC to the millisecond; what a message has after its first line is indented, so that no message looks like another record."""

    converter = time.gmtime  # type: ignore[assignment]
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        told = logging.makeLogRecord({**record.__dict__, "exc_info": None, "exc_text": None, "stack_info": None})
        text = COLOURS.sub("", super().format(told)).rstrip()
        cut = text if len(text) <= LONGEST else f"{text[:LONGEST]} ... and {len(text) - LONGEST:,} characters more"
        return "\n    ".join(line.rstrip() for line in cut.splitlines())


@contextlib.contextmanager
def run_log(path: Path) -> Iterator[Callable[[str], None]]:
    """Within it what is logged and printed stands in the file too, which is appended to. Yields what writes an error there alone."""
    try:
        handler = RunLog(path)
    except OSError as error:
        logging.getLogger(f"{OURS}.log").warning("%s: cannot be written (%s)", path, error.strerror)
        yield lambda text: None
        return
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        with _printed_too(handler):
            yield partial(_alone, handler)
    finally:
        root.removeHandler(handler)
        with contextlib.suppress(OSError, ValueError):  # the last lines, where the disk is full
            handler.close()


@contextlib.contextmanager
def _printed_too(handler: logging.Handler) -> Iterator[None]:
    if sys.stdout is None:  # closed by whoever called
        yield
        return
    both = _Both(sys.stdout, handler)
    try:
        with contextlib.redirect_stdout(both):
            yield
    finally:
        both.told()


def _alone(handler: logging.Handler, text: str) -> None:
    handler.handle(_record(logging.ERROR, text))


def _record(level: int, text: str) -> logging.LogRecord:
    return logging.LogRecord(f"{OURS}.console", level, "", 0, "%s", (text,), None)


class _Both(TextIOBase):
    """What is printed goes where it always goes, and by blocks to a log."""

    def __init__(self, printed: TextIO, handler: logging.Handler) -> None:
        self._printed, self._log, self._held = printed, handler, ""

    def write(self, text: str, /) -> int:
        self._held += text
        return self._printed.write(text)

    def flush(self) -> None:
        self._printed.flush()

    def told(self) -> None:
        held, self._held = self._held.strip("\n"), ""
        if held.strip():
            self._log.handle(_record(logging.INFO, f"\n{held}"))

    def fileno(self) -> int:
        return self._printed.fileno()

    def isatty(self) -> bool:
        return self._printed.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._printed.encoding
