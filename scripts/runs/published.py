"""What is published, and what was before: the pointer and its history, read. Who flips it is `pointer`."""

import contextlib
import json
import os
from pathlib import Path

from ranker.files import InputError, read_bytes, read_json_object
from scripts.formats.pointer import HISTORY, POINTER, Pointer, pointer_of

WORDS = ("run", "at", "allocation", "allocation_digest")
"""What every pointer says."""
MOST_HISTORY_BYTES = 64 << 20


def current(runs: Path) -> Pointer | None:
    """What is published, or None. InputError where the pointer cannot be read: guessing would be worse."""
    path = runs / POINTER
    if not os.path.lexists(path):
        return None
    pointer = pointer_of(read_json_object(path))
    if pointer is None:
        raise InputError([f"{path}: is no pointer to a run: {', '.join(WORDS)} must be there, and be text"])
    return pointer


def published_before(runs: Path) -> tuple[Pointer, ...]:
    """Every flip so far, in order; the pointer itself always counts."""
    found, now = flips_written(runs), current(runs)
    return found if now is None or now in found else (*found, now)


def flips_written(runs: Path) -> tuple[Pointer, ...]:
    """The flips that were written down; a line that a crash cut off is passed over."""
    path, found = runs / HISTORY, []
    if not os.path.lexists(path):
        return ()
    try:
        text = read_bytes(path, MOST_HISTORY_BYTES).decode()
    except UnicodeDecodeError as error:
        raise InputError([f"{path}: is not UTF-8 text from byte {error.start} on; put back what was written"]) from None
    for line in text.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            found.append(pointer_of(json.loads(line)))
    return tuple(pointer for pointer in found if pointer is not None)
