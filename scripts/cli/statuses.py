"""What a job came to: an exit status, and one message where something went wrong."""

import errno
import os
import select
import sys
import tempfile
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from ranker import disk
from ranker.files import FULL, InputError

DONE, FAILED, WRONG_INPUT, INFEASIBLE, REFUSED, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 4, 130, 143
QUOTING = (ValueError, LookupError, TypeError)
"""Errors, of libraries that work on data above all, whose text may quote a value of it: a listener's id among others."""
OF_THE_INPUT = (
    errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EROFS,
)  # fmt: skip
"""What the system says of a path that was named wrong, or that this user may not read or write."""


def guarded(name: str, job: Callable[[], int]) -> int:
    """The status of a job; its exceptions become one message on stderr."""
    try:
        return job()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else FAILED
    except KeyboardInterrupt as interrupt:
        terminated = bool(interrupt.args)
        _say(f"{name}: stopped; nothing half-written is left.")
        return TERMINATED if terminated else INTERRUPTED
    except BrokenPipeError as error:
        return DONE if reader_left() else _explain(name, error)
    except Exception as error:
        return _explain(name, error)


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
    if isinstance(error, InputError):
        _say(f"{name}: {error}")
        return WRONG_INPUT
    if _is(error, "allocator.infeasible.diagnosis", "Infeasible"):
        _say(f"{name}: {error}")
        return INFEASIBLE
    if _is(error, "scripts.runs.pointer", "Refused"):
        _say(f"{name}: {error}")
        return REFUSED
    if isinstance(error, OSError) and error.errno in FULL:
        _say(f"{name}: failed: {first_line(error)}")
        return FAILED
    if isinstance(error, OSError) and error.errno in OF_THE_INPUT and error.filename is not None:
        _say(f"{name}: {InputError([f'{_shortened(str(error.filename))}: {error.strerror}'])}")
        return WRONG_INPUT
    where = _write_traceback(name, error)
    told = "" if isinstance(error, QUOTING) else f": {first_line(error)}"
    _say(f"{name}: failed: {type(error).__name__}{told} (details: {where})")
    return FAILED


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
