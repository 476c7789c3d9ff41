"""What is published, and what was before: the pointer, its history and their chain, read. Who flips it is `pointer`."""

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ranker.files import InputError, read_bytes, read_json_object
from scripts.formats.pointer import HISTORY, POINTER, Pointer, digest_of, pointer_of

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
    return tuple(entry.pointer for entry in entries(runs))


@dataclass(frozen=True)
class Entry:
    """One entry of a chain. place: where it stands, for people; digest: sha256 of its bytes."""

    place: str
    pointer: Pointer
    digest: str


def entries(runs: Path) -> tuple[Entry, ...]:
    """The lines of the history that can be read, in order."""
    path = runs / HISTORY
    if not os.path.lexists(path):
        return ()
    try:
        text = read_bytes(path, MOST_HISTORY_BYTES).decode()
    except UnicodeDecodeError as error:
        raise InputError([f"{path}: is not UTF-8 text from byte {error.start} on; put back what was written"]) from None
    return tuple(_readable(text))


def _readable(text: str) -> Iterator[Entry]:
    for number, line in enumerate(text.splitlines(), 1):
        with contextlib.suppress(ValueError, RecursionError):
            if (pointer := pointer_of(json.loads(line))) is not None:
                yield Entry(f"line {number}", pointer, digest_of(line))


def next_link(written: Sequence[Entry]) -> tuple[int, str | None]:
    """(number, before) of the entry that comes after these."""
    return (len(written) + 1, None) if not written else (_number(written, len(written) - 1) + 1, written[-1].digest)


def _number(written: Sequence[Entry], position: int) -> int:
    """Of the entry at this position; those without one were written before there was a chain, and are counted."""
    number = written[position].pointer.number
    return position + 1 if number is None else number


def breaks(written: Sequence[Entry]) -> Iterator[str]:
    """Where the chain was broken, in sentences that open with a place. Entries of before there was a chain are not told apart."""
    if written and (first := written[0].pointer).number is not None and (first.number != 1 or first.before is not None):
        yield f"{written[0].place}: is entry {first.number}, and nothing stands before it: earlier entries are missing"
    for position in range(1, len(written)):
        yield from _break(written[position - 1], _number(written, position - 1), written[position])


def _break(before: Entry, number: int, here: Entry) -> Iterator[str]:
    """number: of the entry before."""
    own = here.pointer.number
    if own is None:
        if before.pointer.number is not None:
            yield f"{here.place}: has no number, and stands after entry {number}: it was put there or changed"
    elif own > number + 1:
        missing = f"entry {number + 1} is" if own == number + 2 else f"entries {number + 1} to {own - 1} are"
        yield f"{here.place}: is entry {own}, and {missing} missing before it"
    elif own <= number:
        yield f"{here.place}: is entry {own}, and stands after entry {number}: it was moved or put there"
    elif here.pointer.before != before.digest:
        yield f"{before.place}: is entry {number}, and was changed after entry {own} was written ({here.place})"


def head_break(now: Pointer | None, written: Sequence[Entry]) -> str | None:
    """Why the pointer is not the chain's last entry. One that died before its line was written is: the next call writes that line."""
    last = written[-1].pointer if written else None
    if now == last:
        return None
    if now is None:
        return f"{POINTER}: is not there, and {written[-1].place} names {written[-1].pointer.run}"
    chained = any(entry.pointer.number is not None for entry in written)
    link = next_link(written) if chained or now.number is not None else (None, None)
    if now not in [entry.pointer for entry in written] and (now.number, now.before) == link:
        return None
    told = "nothing" if last is None else f"{last.run}, published {last.at}"
    return f"{POINTER}: names {now.run}, published {now.at}, and the last entry names {told}"


@dataclass(frozen=True)
class Chain:
    """Every entry there is, in order. place: of the chain, for people; broken: where it does not hold, in sentences.

    aside: entries that never took effect, as a publisher leaves them that lost a race or died.
    """

    place: str
    entries: tuple[Entry, ...]
    broken: tuple[str, ...]
    aside: tuple[str, ...] = ()

    @property
    def unchained(self) -> int:
        """Entries of before there was a chain."""
        return sum(each.pointer.number is None for each in self.entries)


class BrokenChain(Exception):
    """What was written of publications is not what stands there. `faults` has a sentence for each place."""

    def __init__(self, faults: Sequence[str]):
        self.faults = tuple(faults)
        lines = "\n".join(f"  - {fault}" for fault in self.faults)
        super().__init__(f"what was published was changed, taken out or moved:\n{lines}")


def chain_of(runs: Path) -> Chain:
    """Of a folder of runs, verified."""
    written = entries(runs)
    broken, head = tuple(breaks(written)), head_break(current(runs), written)
    return Chain(str(runs / HISTORY), written, broken if head is None else (*broken, head))
