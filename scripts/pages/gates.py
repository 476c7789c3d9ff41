"""What the gates found as a table in the terminal: one row for each gate, and one for whatever was refused or overridden."""

from collections.abc import Iterator
from itertools import groupby

from scripts.cli import entry
from scripts.formats.gates import OFF, OVERRIDDEN, PASSED, REFUSED, UNTOLD, GateFinding, GatesRecord
from scripts.runs.pointer import Refused

Row = tuple[str, str, str, str, str, str]


def show_gates(record: GatesRecord) -> None:
    """Prints them; who overrode what is said below."""
    beside = "last week" if record.week is None else record.week
    entry.show_table(
        f"Gates of {record.run}", ("gate", "about", "this week", beside, "limit", ""), [*gate_rows(record)]
    )
    if record.override is not None:
        print(f"Published by {record.override.by} in spite of what is overridden: {record.override.reason}")


def show_refusal(error: Exception) -> None:
    """Prints what the gates found where the error is that one of them refused."""
    if isinstance(error, Refused) and error.gates is not None:
        show_gates(error.gates)


def gate_rows(record: GatesRecord) -> Iterator[Row]:
    for gate, found in groupby(record.findings, key=lambda each: each.gate):
        findings = tuple(found)
        told = [each for each in findings if each.status in (REFUSED, OVERRIDDEN)]
        yield from (_row(each, each.status) for each in told)
        if not told:
            yield _together(gate, findings)


def _together(gate: str, findings: tuple[GateFinding, ...]) -> Row:
    passed = [each for each in findings if each.status == PASSED]
    untold = [each for each in findings if each.status == UNTOLD]
    if len(findings) == 1:
        return _row(findings[0], _verdict(findings[0]))
    words = f"all {len(passed)} passed" if not untold else f"{len(passed)} passed, {len(untold)} not compared"
    return gate, "", "", "", "", words


def _verdict(finding: GateFinding) -> str:
    if finding.status == UNTOLD:
        return f"not compared: {finding.sentence}"
    return "switched off" if finding.status == OFF else finding.status


def _row(finding: GateFinding, verdict: str) -> Row:
    figures = (finding.found, finding.compared, finding.limit)
    return finding.gate, finding.about or "", *("" if each is None else f"{each:,.4g}" for each in figures), verdict  # type: ignore[return-value]
