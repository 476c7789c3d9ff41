"""One process at a time at a file or folder: a lock file that the system lets go of however its holder ends."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout


class Held(Exception):
    """Another process holds the lock."""


@contextlib.contextmanager
def lock(path: Path, wait: float = 0.0) -> Iterator[None]:
    """Holds the lock file `path`, which is there only as long as somebody does.

    wait: for how many seconds. Raises Held where another process has it still, OSError where the file cannot be made.
    """
    holder = FileLock(path, timeout=wait)
    try:
        holder.acquire()
    except Timeout:
        raise Held(path) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # while it is held: whoever waits for it sees that the file is gone, and makes a new one
        holder.release()
