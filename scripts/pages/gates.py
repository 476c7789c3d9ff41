"""What the gates found, in the terminal: a row for each that judged, one for each refusal or override, and which gates judged nothing."""

from collections.abc import Iterator
from itertools import groupby

from allocator.amounts import exact, number
from scripts.cli import entry
from scripts.formats.gates import OFF, OVERRIDDEN, PASSED, REFUSED, UNTOLD, GateFinding, GatesRecord
from scripts.runs.pointer import Refused

Row = tuple[str, str, str, str, str, str, str]


def show_gates(record: GatesRecord) -> None:
    """Prints them; which compared nothing, and who overrode what, is said below."""
    beside = "last week" if record.week is None else record.week
    entry.show_table(
        f"Gates of {record.run}", ("gate", "about", "this week", beside, "limit", "in", ""), [*gate_rows(record)]
    )
    for line in silent_gates(record):
        print(line)
    if record.override is not None:
        print(f"Published by {record.override.by} in spite of what is overridden: {record.override.reason}")


def show_refusal(error: Exception) -> None:
    """Prints what the gates found where the error is that one of them refused."""
    if isinstance(error, Refused) and error.gates is not None:
        show_gates(error.gates)


def gate_rows(record: GatesRecord) -> Iterator[Row]:
    """Of the gates that judged anything."""
    for gate, findings in _by_gate(record):
        told = [each for each in findings if each.status in (REFUSED, OVERRIDDEN)]
        yield from (_row(each) for each in told)
        if not told and any(each.status == PASSED for each in findings):
            yield _together(gate, findings)


def silent_gates(record: GatesRecord) -> Iterator[str]:
    """A line for each reason why gates judged nothing, with those gates."""
    silent: dict[str, list[str]] = {}
    for gate, findings in _by_gate(record):
        if {each.status for each in findings} <= {UNTOLD, OFF}:
            silent.setdefault(_why_silent(findings[0]), []).append(gate)
    yield from (f"{why}: {', '.join(gates)}" for why, gates in silent.items())


def _by_gate(record: GatesRecord) -> Iterator[tuple[str, tuple[GateFinding, ...]]]:
    for gate, found in groupby(record.findings, key=lambda each: each.gate):
        yield gate, tuple(found)


def _why_silent(finding: GateFinding) -> str:
    return "Switched off" if finding.status == OFF else f"Not compared ({finding.sentence})"


def _together(gate: str, findings: tuple[GateFinding, ...]) -> Row:
    if len(findings) == 1:
        return _row(findings[0])
    passed = sum(each.status == PASSED for each in findings)
    words = (
        f"all {passed} passed" if passed == len(findings) else f"{passed} passed, {len(findings) - passed} not compared"
    )
    return gate, "", "", "", "", "", words


def _row(finding: GateFinding) -> Row:
    found, compared = ("" if each is None else number(each) for each in (finding.found, finding.compared))
    limit = "" if finding.limit is None else exact(finding.limit)
    unit = finding.unit if found or limit else ""
    return finding.gate, finding.about or "", found, compared, limit, unit, finding.status
