"""What pip-audit reports of the pinned packages, and which advisories are accepted, why and until when."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Annotated

from pydantic import Field, Strict

from ranker.files import Document
from scripts.formats.document import Many, StrictDocument

ACCEPTED = "accepted_advisories.json"


class Advisory(Document):
    """One known weakness. fix_versions: in which it is gone."""

    id: str
    fix_versions: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        return frozenset((self.id, *self.aliases))


class AuditedPackage(Document):
    """skip_reason: why nothing is known of it; version is then absent."""

    name: str
    version: str | None = None
    skip_reason: str | None = None
    vulns: tuple[Advisory, ...] = ()


class AuditReport(Document):
    """What `pip-audit --format json` writes."""

    dependencies: tuple[AuditedPackage, ...]

    @property
    def unknown(self) -> list[str]:
        """Packages of which the database said nothing at all."""
        return [each.name for each in self.dependencies if each.skip_reason is not None]


class AcceptedAdvisory(StrictDocument):
    """An advisory that stands, because a person says why it does no harm here; until: the day on which that is asked again."""

    id: str = Field(min_length=1)
    reason: str = Field(min_length=10)
    until: Annotated[date, Strict(False)]


class AcceptedAdvisories(StrictDocument):
    """scripts/accepted_advisories.json."""

    accepted: Many[AcceptedAdvisory]

    def left(self, report: AuditReport, today: date) -> Iterator[str]:
        """A sentence for every advisory that nobody accepted, or whose day has come."""
        known = {each.id: each for each in self.accepted}
        for package in report.dependencies:
            for advisory in package.vulns:
                accepted = [known[name] for name in sorted(advisory.names & known.keys())]
                if not any(each.until >= today for each in accepted):
                    yield f"{package.name} {package.version}: {_said(advisory)}{_expired(accepted)}"

    def without_use(self, report: AuditReport) -> list[str]:
        """Accepted ids that no package has any more."""
        found = {name for package in report.dependencies for each in package.vulns for name in each.names}
        return [each.id for each in self.accepted if each.id not in found]


def _said(advisory: Advisory) -> str:
    fixed = f"fixed in {', '.join(advisory.fix_versions)}" if advisory.fix_versions else "no version fixes it"
    others = f" ({', '.join(advisory.aliases)})" if advisory.aliases else ""
    return f"{advisory.id}{others}; {fixed}"


def _expired(accepted: Sequence[AcceptedAdvisory]) -> str:
    return "".join(f"; was accepted until {each.until}: {each.reason}" for each in accepted)
