"""Drafts of policies, saved as one goes: a file each, with every state so far, and a version that a save must know.

Whoever saves an old version gets a conflict with both texts, and nobody's text is lost.
"""

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import SequenceMatcher
from pathlib import Path

from ranker import disk
from ranker.files import InputError
from scripts.formats.console import DRAFT, DraftRecord, DraftState
from scripts.runs.locks import Held, lock

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
"""What drafts and policy files may be called."""
MOST_STATES = 200
MOST_CHARACTERS = 1 << 20
TYPING = "typed"
TYPING_SECONDS = 20
"""What one person types within so short a time is one step back."""


class DraftConflict(Exception):
    """Somebody else saved meanwhile. theirs: the draft as it is; mine: the text that was not saved."""

    def __init__(self, theirs: "Draft", mine: str):
        super().__init__(f"{theirs.name}: was changed by {theirs.state.by} meanwhile")
        self.theirs, self.mine = theirs, mine

    def lines(self) -> tuple[list["ComparedLine"], list["ComparedLine"]]:
        """Their lines and mine, each with whether the other text lacks it there."""
        theirs, mine = self.theirs.text.splitlines(), self.mine.splitlines()
        same = SequenceMatcher(None, theirs, mine, autojunk=False).get_matching_blocks()
        kept = [(range(each.a, each.a + each.size), range(each.b, each.b + each.size)) for each in same]
        told = []
        for side, lines in enumerate((theirs, mine)):
            known = {number for ranges in kept for number in ranges[side]}
            told.append([ComparedLine(line, number not in known) for number, line in enumerate(lines)])
        return told[0], told[1]


@dataclass(frozen=True)
class ComparedLine:
    """A line of one text. alone: the other text does not have it there."""

    line: str
    alone: bool


@dataclass(frozen=True)
class Draft:
    """One draft as it stands."""

    name: str
    record: DraftRecord

    @property
    def state(self) -> DraftState:
        return self.record.states[self.record.position]

    @property
    def text(self) -> str:
        return self.state.policy_text

    @property
    def version(self) -> int:
        return self.record.version

    @property
    def undoes(self) -> str | None:
        """What one step back takes away, in words."""
        return self.state.what if self.record.position > 0 else None

    @property
    def redoes(self) -> str | None:
        after = self.record.states[self.record.position + 1 :]
        return after[0].what if after else None


@dataclass(frozen=True)
class Drafts:
    """The drafts of one run, in a folder. now: the time."""

    folder: Path
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def names(self) -> list[str]:
        return sorted(path.parent.name for path in self.folder.glob(f"*/{DRAFT}"))

    def get(self, name: str, start: Callable[[], str]) -> Draft:
        """The draft of that name; a new one begins with the text of `start`."""
        path = self._path(name)
        with self._locked(path):
            if not path.exists():
                self._write(
                    path, DraftRecord(version=1, position=0, states=(self._state(start(), "", "as in the run"),))
                )
            return Draft(name, DraftRecord.from_file(path))

    def save(self, name: str, version: int, text: str, by: str, what: str) -> Draft:
        """Saves a new state on top of the version; DraftConflict where the draft has gone on from there."""
        text = _as_kept(text)

        def saved(record: DraftRecord) -> DraftRecord:
            kept = record.states[: record.position + 1]
            if kept[-1].policy_text == text:
                return record
            state = self._state(text, by, what)
            if len(kept) > 1 and self._goes_on(kept[-1], state):
                state, kept = state.model_copy(update={"at": kept[-1].at}), kept[:-1]
            states = (*kept, state)[-MOST_STATES:]
            return DraftRecord(version=record.version + 1, position=len(states) - 1, states=states)

        return self._changed(name, version, saved, text)

    def step(self, name: str, version: int, steps: int) -> Draft:
        """One step back (-1) or forth (1), where there is one."""

        def stepped(record: DraftRecord) -> DraftRecord:
            position = min(max(record.position + steps, 0), len(record.states) - 1)
            return record.model_copy(update={"version": record.version + 1, "position": position})

        return self._changed(name, version, stepped, "")

    def _changed(self, name: str, version: int, change: Callable[[DraftRecord], DraftRecord], mine: str) -> Draft:
        path = self._path(name)
        with self._locked(path):
            if not path.exists():
                raise InputError([f"{name}: there is no such draft"])
            record = DraftRecord.from_file(path)
            if record.version != version:
                theirs = Draft(name, record)
                if mine and theirs.text == mine:
                    return theirs
                raise DraftConflict(theirs, mine)
            changed = change(record)
            if changed != record:
                self._write(path, changed)
            return Draft(name, changed)

    def _goes_on(self, before: DraftState, after: DraftState) -> bool:
        if (before.what, before.by) != (TYPING, after.by) or after.what != TYPING:
            return False
        apart = datetime.fromisoformat(after.at) - datetime.fromisoformat(before.at)
        return apart.total_seconds() < TYPING_SECONDS

    def _state(self, text: str, by: str, what: str) -> DraftState:
        return DraftState(policy_text=text, by=by, at=self.now().isoformat(timespec="seconds"), what=what)

    def _path(self, name: str) -> Path:
        if NAME.fullmatch(name) is None:
            raise InputError([f"draft: '{name[:40]}' is no name: letters, digits, - and _, 40 at most"])
        return self.folder / name / DRAFT

    @contextlib.contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        disk.make_folder(path.parent, parents=True, there=True)
        with held(path):
            yield

    def _write(self, path: Path, record: DraftRecord) -> None:
        disk.replace_whole(path, record.text())


def _as_kept(text: str) -> str:
    """Lines end as in files; browsers send them otherwise."""
    if len(text) > MOST_CHARACTERS:
        raise InputError(["draft: is longer than 1 MiB, the most a policy may have"])
    text = text.replace("\r\n", "\n")
    return text if text.endswith("\n") or not text else f"{text}\n"


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """One process at a time at a file of the console; InputError where another one does not let go."""
    try:
        with lock(path.parent / f".{path.name}.lock", wait=10):
            yield
    except Held:
        raise InputError([f"{path.name}: another process is writing it; try again"]) from None
