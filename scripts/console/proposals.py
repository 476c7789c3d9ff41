"""Policies put forward: saved as a new file with reason and author, proposed, approved by somebody else where that is asked for.

A policy file is never written over, and a file that changed after it was proposed is not approved or published.
"""

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ranker import disk
from ranker.files import InputError
from scripts.console.drafts import NAME, held
from scripts.formats.console import PROPOSAL, ProposalRecord

MOST_REASON = 400


@dataclass(frozen=True)
class Proposals:
    """policies: the folder of policy files; folder: that of the proposals. approver_required: whether another person must approve."""

    folder: Path
    policies: Path
    approver_required: bool
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def all(self) -> list[ProposalRecord]:
        """The latest first."""
        found = [ProposalRecord.from_file(path) for path in self.folder.glob(f"*/{PROPOSAL}")]
        return sorted(found, key=lambda record: record.at, reverse=True)

    def get(self, name: str) -> ProposalRecord:
        path = self.folder / name / PROPOSAL
        if NAME.fullmatch(name) is None or not path.is_file():
            raise InputError([f"{name[:40]}: there is no such proposal"])
        return ProposalRecord.from_file(path)

    def propose(self, name: str, text: str, run: str, reason: str, author: str) -> ProposalRecord:
        """Saves the text as a new policy file and proposes it; InputError with everything that is missing."""
        name, reason, author = name.strip(), " ".join(reason.split()), " ".join(author.split())
        faults = _faults(name, reason, author)
        path = self.policies / f"{name}.yaml"
        if not faults and path.exists():
            faults.append(f"file: {path} is there already and is not written over; choose another name")
        if faults:
            raise InputError(faults)
        at = self._at()
        content = f"# {reason}\n# Written by {author}, {at[:10]}, as a change of the policy of {run}.\n{text}"
        disk.make_folder(self.policies, parents=True, there=True)
        disk.make_folder(self.folder / name, parents=True, there=True)
        record = ProposalRecord(
            name=name, file=str(path), sha256=_sha256(content), run=run, reason=reason, author=author, at=at
        )
        with held(self.folder / name / PROPOSAL):
            _write_new(path, content)
            self._write(record)
        return record

    def approve(self, name: str, approver: str) -> ProposalRecord:
        """InputError where the author approves what another person must, or the file changed."""
        approver = " ".join(approver.split())
        with self._held(name):
            record = self.get(name)
            faults = self._changed(record)
            if not approver:
                faults.append("your name: is missing; give it at the top of the page")
            if record.state != "proposed":
                faults.append(f"{name}: is {record.state} already")
            if self.approver_required and approver.casefold() == record.author.casefold():
                faults.append(f"{name}: was proposed by {record.author}; another person must approve it")
            if faults:
                raise InputError(faults)
            return self._write(
                record.model_copy(update={"state": "approved", "approver": approver, "approved_at": self._at()})
            )

    def check_publishable(self, name: str) -> ProposalRecord:
        """The proposal, if it may be published now; InputError with every reason where not."""
        record = self.get(name)
        faults = self._changed(record)
        if record.state == "published":
            faults.append(f"{name}: is published already, as {record.published_run}")
        if self.approver_required and record.state == "proposed":
            faults.append(f"{name}: another person than {record.author} must approve it first")
        if faults:
            raise InputError(faults)
        return record

    def published(self, name: str, run: str) -> ProposalRecord:
        """Writes down that it was published, as which run."""
        with self._held(name):
            told = {"state": "published", "published_run": run, "published_at": self._at()}
            return self._write(self.get(name).model_copy(update=told))

    def _changed(self, record: ProposalRecord) -> list[str]:
        path = Path(record.file)
        if not path.is_file():
            return [f"{path}: is not there any more"]
        if hashlib.sha256(path.read_bytes()).hexdigest() != record.sha256:
            return [f"{path}: was changed after it was proposed; propose it again under another name"]
        return []

    def _held(self, name: str) -> AbstractContextManager[None]:
        self.get(name)
        return held(self.folder / name / PROPOSAL)

    def _write(self, record: ProposalRecord) -> ProposalRecord:
        disk.replace_whole(self.folder / record.name / PROPOSAL, record.text())
        return record

    def _at(self) -> str:
        return self.now().isoformat(timespec="seconds")


def _faults(name: str, reason: str, author: str) -> list[str]:
    faults = []
    if NAME.fullmatch(name) is None:
        faults.append("file: letters, digits, - and _, 40 at most, without .yaml")
    if not 0 < len(reason) <= MOST_REASON:
        faults.append(f"reason: say why, in at most {MOST_REASON} characters")
    if not author:
        faults.append("your name: is missing; give it at the top of the page")
    return faults


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _write_new(path: Path, text: str) -> None:
    try:
        disk.write_new(path, text)
    except FileExistsError:
        raise InputError([f"file: {path} is there already and is not written over; choose another name"]) from None
