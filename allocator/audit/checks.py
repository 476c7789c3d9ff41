"""What is told about each thing that was recounted: passed or failed, and what was found, in a sentence."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from allocator.formats import AuditRecord, CheckRecord
from ranker import disk

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Check:
    """One thing that was recounted. status: PASS or FAIL; detail: what was found, in a sentence."""

    name: str
    status: str
    detail: str

    @property
    def passed(self) -> bool:
        return self.status == "PASS"


@dataclass(frozen=True)
class Audit:
    """Everything that was recounted about one allocation. Nothing checked is not clean."""

    checks: tuple[Check, ...]

    @property
    def clean(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.passed)


def write_audit(path: Path, result: Audit) -> None:
    checks = tuple(CheckRecord(name=each.name, status=each.status, detail=each.detail) for each in result.checks)
    disk.write_text(path, AuditRecord(clean=result.clean, checks=checks).text())


def verdict(name: str, wrong: Sequence[str], right: str) -> Check:
    """Failed with everything that is wrong, or passed with what is right."""
    return Check(name, "FAIL" if wrong else "PASS", "; ".join(wrong) if wrong else right)


def none_of(name: str, count: int, what: str) -> Check:
    """Passed where the count is 0."""
    return Check(name, "FAIL" if count else "PASS", f"{count:,} {what}")


def equal(name: str, claimed: object, recounted: float, slip: float) -> Check:
    """Passed where what the certificate claims is the number recounted, to within `slip`."""
    found = number(claimed)
    wrong = found is None or not abs(found - recounted) <= slip
    return verdict(
        name,
        [f"the certificate says {told(claimed)}, the recount {recounted:.12g}"] if wrong else [],
        f"{recounted:.12g}",
    )


def number(value: object) -> float | None:
    """A finite number of the certificate; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def told(value: object) -> str:
    """A value of the certificate as a sentence has it."""
    return "nothing" if value is None else f"{value:.12g}" if isinstance(value, float) else str(value)
