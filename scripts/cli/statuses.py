"""What a job came to: an exit status, and one message where something went wrong."""

import contextlib
import errno
import os
import select
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TypeGuard

from ranker import disk
from ranker.files import OF_THE_MACHINE, InputError

DONE, FAILED, WRONG_INPUT, INFEASIBLE, REFUSED, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 4, 130, 143
STOPPED = "stopped; nothing half-written is left"
QUOTING = (ValueError, LookupError, TypeError)
"""Errors, of libraries that work on data above all, whose text may quote a value of it: a listener's id among others."""
OF_THE_INPUT = (
    errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EROFS,
)  # fmt: skip
"""What the system says of a path that was named wrong, or that this user may not read or write."""


_stops: list[int] = []
"""Signals that told this process to end."""


def guarded(name: str, job: Callable[[], int]) -> int:
    """The status of a job; its exceptions become one message on stderr."""
    try:
        return job()
    except SystemExit as stop:
        return status_of(stop)
    except KeyboardInterrupt as interrupt:
        _say(f"{name}: {STOPPED}.")
        return status_of(interrupt)
    except BrokenPipeError as error:
        return DONE if reader_left() else _explain(name, error)
    except Exception as error:
        if _stops:  # what was raised in the middle of somebody else's code may come out as another error
            _say(f"{name}: stopped; nothing half-written is left.")
            return TERMINATED
        return _explain(name, error)


def status_of(error: BaseException) -> int:
    """The exit status of a command that this ends."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else FAILED
    if isinstance(error, KeyboardInterrupt):
        return TERMINATED if error.args else INTERRUPTED
    if isinstance(error, InputError) or _is_of_the_input(error):
        return WRONG_INPUT
    if _is(error, "allocator.infeasible.diagnosis", "Infeasible"):
        return INFEASIBLE
    refused = _is(error, "scripts.runs.pointer", "Refused") or _is(error, "scripts.runs.published", "BrokenChain")
    return REFUSED if refused else FAILED


def foreseen(error: BaseException) -> str | None:
    """What is said of an error whose words were chosen for people; None of one that nobody foresaw, whose message may hold anything."""
    if isinstance(error, KeyboardInterrupt):
        return STOPPED
    if _is_of_the_input(error):
        return str(InputError([f"{_shortened(str(error.filename))}: {error.strerror}"]))
    if isinstance(error, OSError) and error.errno in OF_THE_MACHINE and error.filename is not None:
        return f"failed: {first_line(error)}"
    if _is(error, "scripts.stores.objects", "StoreFailed"):
        return f"failed: {error}"
    return str(error) if status_of(error) in (WRONG_INPUT, INFEASIBLE, REFUSED) else None


@contextlib.contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Within it SIGTERM unwinds like Ctrl-C, so that what is half-written is removed."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        _stops.append(number)
        raise KeyboardInterrupt(number)

    try:
        kept = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread, as in tests
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, kept)
        _stops.clear()


def heed_stop() -> None:
    """Ends what was told to end while code ran that lets no exception out, such as a compiler's."""
    if _stops:
        raise KeyboardInterrupt(*_stops)


def reader_left() -> bool:
    """Whether whoever read what is printed has left (`| head`): results are written by then, and what is printed later goes nowhere."""
    if sys.stdout is None:  # closed by whoever called: nothing is printed
        return False
    errors = select.poll()
    errors.register(sys.stdout.fileno(), 0)
    try:
        sys.stdout.flush()
        left = bool(errors.poll(0))
    except BrokenPipeError:
        left = True
    if left:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return left


def _explain(name: str, error: Exception) -> int:
    told = foreseen(error)
    if told is None:
        text = "" if isinstance(error, QUOTING) else f": {first_line(error)}"
        told = f"failed: {type(error).__name__}{text} (details: {_write_traceback(name, error)})"
    _say(f"{name}: {told}")
    return status_of(error)


def _is_of_the_input(error: BaseException) -> TypeGuard[OSError]:
    return isinstance(error, OSError) and error.errno in OF_THE_INPUT and error.filename is not None


def _shortened(path: str) -> str:
    return path if len(path) <= 200 else f"{path[:150]}...{path[-40:]}"


def _is(error: BaseException, module: str, name: str) -> bool:
    """isinstance without importing the module: an error of a module that was never imported cannot be."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(error, kind)


def _write_traceback(name: str, error: BaseException) -> Path:
    text = "".join(traceback.format_exception(error))
    file_name = f"{datetime.now():%Y-%m-%dT%H-%M-%S}-{name}-{os.getpid()}.log"
    for folder in (Path("runs") / "errors", Path(tempfile.gettempdir())):
        try:
            disk.make_folder(folder, parents=True, there=True)
            disk.write_for_owner(folder / file_name, text)
            return folder / file_name
        except OSError:
            continue
    sys.stderr.write(text)
    return Path("above")


def _say(message: str) -> None:
    sys.stderr.write(message.rstrip() + "\n")


def first_line(error: BaseException) -> str:
    """The first line that says something."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
