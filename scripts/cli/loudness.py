"""How much a call tells on the console: `-q` warnings and errors alone, `-v` how it does what it does, `-vv` what libraries do as well."""

import contextlib
import logging
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ranker.files import InputError

OURS = "offermix"
PACKAGES = frozenset({OURS, "ranker", "allocator", "scripts", "__main__"})
QUIETER, LOUDER = ("-q", "--quiet"), ("-v", "--verbose")


@dataclass(frozen=True)
class Loudness:
    """What a call tells on the console. steps: -1 warnings and errors alone, 0 what it does, 1 how, 2 what libraries do as well."""

    steps: int = 0

    @property
    def quiet(self) -> bool:
        return self.steps < 0

    @property
    def level(self) -> int:
        return logging.WARNING if self.quiet else logging.DEBUG if self.steps else logging.INFO

    def shows(self, record: logging.LogRecord) -> bool:
        """Ours from the level on, of others what is serious; with -v their warnings, with -vv what they do."""
        if record.name.split(".")[0] in PACKAGES:
            return record.levelno >= self.level
        return record.levelno >= (logging.ERROR, logging.WARNING, logging.INFO)[max(self.steps, 0)]


def loudness_of(argv: Sequence[str]) -> tuple[Loudness, list[str]]:
    """How loud a command line asks to be, and its other words; InputError where it asks for both."""
    rest = [word for word in argv if _steps(word) == 0]
    louder = sum(max(_steps(word), 0) for word in argv)
    if any(_steps(word) < 0 for word in argv):
        if louder:
            raise InputError(["-q and -v: one asks for less and the other for more on the console; give one of them"])
        return Loudness(-1), rest
    return Loudness(min(louder, 2)), rest


def _steps(word: str) -> int:
    if word in QUIETER:
        return -1
    return 1 if word in LOUDER else len(word) - 1 if re.fullmatch(r"-v+", word) else 0


_asked = [Loudness()]
"""Of the call that is running."""


def ask(loudness: Loudness) -> None:
    """From now on the call is as loud as this."""
    _asked[-1] = loudness


def asked() -> Loudness:
    return _asked[-1]


@contextlib.contextmanager
def silent(loudness: Loudness) -> Iterator[None]:
    """Within it a quiet call prints no results either: they are in the files that it writes."""
    if not loudness.quiet:
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
