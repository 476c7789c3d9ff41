"""A proposed policy run and published: scores of the run it was tried on, allocated under the policy file, audited, then the pointer.

The way is that of the commands: `allocate`, `report`, `publish`, with every guardrail and refusal of theirs.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from allocator.workbench.priced import Tell
from ranker.files import InputError
from scripts import allocate, publish, report
from scripts.cli.progress import Pace
from scripts.cli.settings import (
    AllocatePaths,
    AllocateSettings,
    Paths,
    PublishSettings,
    ReportSettings,
    RunPaths,
    Settings,
)
from scripts.console.proposals import Proposals
from scripts.formats.console import ProposalRecord
from scripts.runs import stage
from scripts.runs.published import current
from scripts.runs.run_folder import link_stages

Kind = TypeVar("Kind", bound=Settings)
BEFORE_THE_POLICY = ("market", "logs", "model", "scores")
"""Stages of a run that no policy changes."""


@dataclass(frozen=True)
class PublishedPolicy:
    """run: the folder's name; moved: whether the pointer moved; value, gap: of the certificate."""

    run: str
    moved: bool
    value: float
    gap: float | None


def publish_proposal(settings: Settings, proposals: Proposals, name: str, tell: Tell) -> PublishedPolicy:
    """Allocates and publishes; the proposal is then published.

    Raises InputError, Infeasible, and Refused with every reason where a guardrail says no. Until the pointer moves nothing that was
    published is touched.
    """
    record = proposals.check_publishable(name)
    runs = settings.paths.runs
    source, folder = runs / record.run, runs / f"{record.run}-{record.name}"
    if not (source / "scores").is_dir():
        raise InputError([f"{source}: has no scores any more"])
    tell("preparing the run's folder")
    _prepare(source, folder)
    tell("allocating and auditing all listeners")
    made = allocate.run(_for(settings, AllocateSettings, _paths(settings, record, folder)), _TellingPace(tell))
    tell("writing the report")
    report.run(_for(settings, ReportSettings, RunPaths(run=folder, runs=runs)))
    tell("checking the guardrails")
    proposals.check_publishable(name)
    flip = publish.run(_for(settings, PublishSettings, RunPaths(run=folder, runs=runs)))
    proposals.published(name, folder.name)
    return PublishedPolicy(folder.name, flip.moved, made.certificate.value, made.certificate.gap)


def _paths(settings: Settings, record: ProposalRecord, folder: Path) -> AllocatePaths:
    """What the published allocation is compared with is what is published now, where the policy compares."""
    now = current(settings.paths.runs)
    text = Path(record.file).read_text(encoding="utf-8")
    compares = any(f"kind: {kind}" in text for kind in ("change", "churn"))
    previous = settings.paths.runs / now.allocation if now is not None and compares else None
    return AllocatePaths(
        scores=folder / "scores", policy=Path(record.file), out=folder / "allocation", previous=previous
    )


def _prepare(source: Path, folder: Path) -> None:
    """A folder of its own with hard links to what comes before the policy: what was published never changes."""
    if folder.exists():
        return
    with stage.locked(folder), stage.first_made(folder) as made:
        link_stages(source, made, BEFORE_THE_POLICY)
    if not (folder / "scores").is_dir():
        raise InputError(
            [f"{source / 'scores'}: has no manifest, so it is not known to be whole; score the users again"]
        )


class _TellingPace(Pace):
    """Tells whoever waits where the allocation is; what is told may end it."""

    def __init__(self, tell: Tell):
        self._tell = tell
        super().__init__()

    def begin(self, stage: str) -> None:
        super().begin(stage)
        self._tell(f"allocating: {self.line()}")

    def advance(self, users: int, note: str = "") -> None:
        super().advance(users, note)
        self._tell(f"allocating: {self.line()}")


def _for(settings: Settings, kind: type[Kind], paths: Paths) -> Kind:
    """The settings of one command; both were checked already."""
    held = {name: getattr(settings, name) for name in Settings.model_fields}
    made: Kind = kind.model_construct(**(held | {"paths": paths}))  # type: ignore[assignment]  # that of the week's stages
    return made
