"""A week as gates see it: what its folder tells of itself, each file read once and None where it is missing or cannot be read."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

from allocator.formats import AUDIT, CERTIFICATE, POLICY, SaidByAudit, SaidOfWeek
from allocator.policy.grammar import Policy
from allocator.report.policy_used import policy_beside
from ranker.evaluate.records import EVALUATION, ModelEvaluation
from ranker.files import InputError
from ranker.log_schema import SCHEMA_FILE, LogSchema, read_schema
from ranker.profiles.records import PROFILE, Profile, TableProfile
from scripts.formats.console import PROPOSAL, ProposalRecord
from scripts.formats.gates import GATES, GatesRecord, PartitionCount
from scripts.formats.manifest import read_manifest
from scripts.gates.listeners import Partitions, partitions

PROPOSALS = "console/proposals"
"""Where the console keeps them, beside the runs."""


@dataclass(frozen=True)
class WeekSeen:
    """name: of the run; folder: of the run, which is the allocation's own where that stands alone."""

    name: str
    folder: Path
    allocation: Path

    @cached_property
    def said(self) -> SaidOfWeek | None:
        return SaidOfWeek.from_file_if_sound(self.allocation / CERTIFICATE)

    @cached_property
    def audit(self) -> SaidByAudit | None:
        return SaidByAudit.from_file_if_sound(self.allocation / AUDIT)

    @cached_property
    def policy(self) -> Policy | None:
        try:
            return policy_beside(self.allocation / POLICY)
        except InputError:
            return None

    @cached_property
    def day(self) -> date | None:
        """Of its scores."""
        told = None if self.said is None else self.said.as_of
        try:
            return None if told is None else date.fromisoformat(told)
        except ValueError:
            return None

    @cached_property
    def evaluation(self) -> ModelEvaluation | None:
        return ModelEvaluation.from_file_if_sound(self.folder / "model" / EVALUATION)

    @cached_property
    def profiles(self) -> Mapping[str, TableProfile]:
        """By name, of the tables, logs, scored users and scores; empty where its stages kept none."""
        return {table.name: table for each in self._kept for table in each.tables}

    @property
    def left_out(self) -> Mapping[str, int]:
        """What its stages did not use, by its words, counted."""
        return {what: count for each in self._kept for what, count in each.left_out.items()}

    @cached_property
    def _kept(self) -> tuple[Profile, ...]:
        found = (Profile.from_file_if_sound(self.folder / stage / PROFILE) for stage in ("logs", "scores"))
        return tuple(each for each in found if each is not None)

    @cached_property
    def schema(self) -> LogSchema | None:
        """Of its logs."""
        try:
            return read_schema(self.folder / "logs" / SCHEMA_FILE)
        except InputError:
            return None

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Of its logs."""
        return () if self.schema is None else tuple(outcome.name for outcome in self.schema.outcomes)

    @property
    def contact_features(self) -> tuple[str, ...]:
        """Features of its logs that tell of earlier contacts."""
        return () if self.schema is None or self.schema.history is None else self.schema.history.columns

    @cached_property
    def partitions(self) -> Partitions | None:
        """As its gates kept them when it was published, or counted."""
        kept = GatesRecord.from_file_if_sound(self.folder / GATES)
        if kept is not None and kept.partitions is not None and kept.run == self.name:
            return kept.partitions
        return self.counted

    @cached_property
    def counted(self) -> Mapping[str, Mapping[str, PartitionCount]] | None:
        """Counted from its files; None where there are no scores beside the allocation."""
        return partitions(self.allocation, self.folder / "scores") if (self.folder / "scores").is_dir() else None

    @cached_property
    def proposal(self) -> ProposalRecord | None:
        """By which its policy file was put forward, if anyone did."""
        manifest = read_manifest(self.allocation)
        made_from = set() if manifest is None or manifest.inputs is None else set(manifest.inputs.values())
        found = (ProposalRecord.from_file_if_sound(path) for path in self._proposals)
        return next((each for each in found if each is not None and each.sha256 in made_from), None)

    @property
    def _proposals(self) -> list[Path]:
        return sorted((self.folder.parent / PROPOSALS).glob(f"*/{PROPOSAL}"))
