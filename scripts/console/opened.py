"""A run that was opened: its scores, a sample that is drawn once, the policy that it ran under, and the session that answers questions."""

import hashlib
import os
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from allocator.certify.certificate import objective_terms, value_unit
from allocator.formats import POLICY, read_price_book
from allocator.policy.grammar import Policy
from allocator.policy.words import Filter
from allocator.workbench.answers import SAMPLE
from allocator.workbench.priced import Tell
from allocator.workbench.sample import draw_sample, everybody, open_sample
from allocator.workbench.session import Session
from ranker import disk
from ranker.catalogue import CATALOGUE_FILE
from ranker.files import read_json_object
from ranker.scores import Scores, open_scores
from scripts.console.drafts import Drafts
from scripts.console.policy_text import as_text, users_by_sample
from scripts.console.run_list import run_before
from scripts.formats.manifest import read_manifest

CONSOLE = "console"
"""The folder in which the console keeps what is its own, beside the runs."""
SEED = 1


@dataclass(frozen=True)
class OpenedRun:
    """turn: held by whoever asks the session. words: the policy that the run used, in the form of its file."""

    name: str
    folder: Path
    scores: Scores
    session: Session
    words: Mapping[str, Any]
    drafts: Drafts
    turn: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def base(self) -> Policy:
        """The run's policy, without the rules that did not hold on its day."""
        return self.session.read(self.words, {})

    @cached_property
    def text(self) -> str:
        """The run's policy as text: the file itself where that is still the same, with its comments."""
        return _source(self.folder / "allocation") or as_text(self.words)

    @cached_property
    def users(self) -> Callable[[Filter], int]:
        """How many listeners a filter has."""
        return users_by_sample(self.session.sample)

    @cached_property
    def before(self) -> str | None:
        """The name of last week's run, where its scores are still there."""
        return run_before(self.folder, self.scores.catalogue.as_of)

    @property
    def unit(self) -> str:
        """That of the value."""
        return value_unit(objective_terms(self.base.objective), self.scores.catalogue)

    def asked(self, tell: Tell) -> Session:
        """The session, telling its progress to whoever asks."""
        return replace(self.session, tell=tell)


def open_run(folder: Path, users: int, tell: Tell = lambda sentence: None) -> OpenedRun:
    """Opens a run's scores and its sample of about so many users; InputError where they or the policy cannot be read.

    tell: is told how far the sample is, where it is drawn, and may end that.
    """
    runs = folder.parent
    scores = open_scores(folder / "scores")
    words = read_json_object(folder / "allocation" / POLICY)
    kept = runs / CONSOLE / folder.name
    previous = (
        _previous(folder / "allocation")
        if any(rule.get("kind") in ("change", "churn") for rule in _constraints(words))
        else None
    )
    session = _session(scores, users, kept, previous, tell)
    session.start = read_price_book(folder / "allocation").prices
    return OpenedRun(folder.name, folder, scores, session, words, Drafts(kept / "drafts"))


def open_session(folder: Path, users: int, previous: Path | None, tell: Tell) -> Session:
    """A session over the scores of a run alone, with the sample that opening the run would draw. previous: as a session takes it."""
    return _session(open_scores(folder / "scores"), users, folder.parent / CONSOLE / folder.name, previous, tell)


def _session(scores: Scores, users: int, kept: Path, previous: Path | None, tell: Tell) -> Session:
    if scores.users <= users:
        return Session(scores, everybody(scores), previous)
    return Session(scores, open_sample(_sampled(scores, users, kept / "sample", tell)), previous)


def _constraints(words: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = words.get("constraints", [])
    return found if isinstance(found, list) else []


def _previous(allocation: Path) -> Path | None:
    """The allocation that the run compared with: the last of what the allocation was made from, after scores and policy."""
    manifest = read_manifest(allocation)
    inputs = [] if manifest is None else list(manifest.inputs or ())
    found = Path(os.path.normpath(allocation.parent / inputs[2])) if len(inputs) == 3 else None
    return found if found is not None and found.is_dir() else None


def _sampled(scores: Scores, users: int, kept: Path, tell: Tell) -> Path:
    """The folder of the sample, drawn where these scores have none yet; samples of other scores are removed."""
    folder = kept / _fingerprint(scores, users)
    if (folder / SAMPLE).is_file():
        return folder
    disk.make_folder(kept, parents=True, there=True)
    made = kept / f".{uuid.uuid4().hex[:8]}.new"
    try:
        disk.make_folder(made)
        read = 0

        def seen(more: int) -> None:
            nonlocal read
            read += more
            tell(f"drawing a sample, once: {read:,} of {scores.users:,} listeners read")

        tell("drawing a sample, once")
        draw_sample(scores, users, made, SEED, seen)
        for old in kept.iterdir():
            if old != made:
                disk.remove(old)
        disk.rename(made, folder)
    finally:
        disk.remove(made)
    return folder


def _fingerprint(scores: Scores, users: int) -> str:
    """Of the files of the scores as they lie there, and of the size of the sample."""
    files = [scores.path / CATALOGUE_FILE, *scores.files]
    states = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr((states, users, SEED)).encode()).hexdigest()[:16]


def _source(allocation: Path) -> str | None:
    """The text of the policy file that the allocation was made from, unless it changed or `set.` changed it."""
    manifest = read_manifest(allocation)
    if manifest is None or manifest.inputs is None or (manifest.config or {}).get("set"):
        return None
    for name, digest in manifest.inputs.items():
        path = Path(os.path.normpath(allocation.parent / name))
        if path.suffix in (".yaml", ".yml") and path.is_file():
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() == digest:
                return content.decode("utf-8")
    return None
