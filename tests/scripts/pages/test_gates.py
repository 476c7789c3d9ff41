"""What the terminal says of gates: figures as people write them, one line for whatever did not judge, and every refusal by itself."""

from scripts.formats.gates import OFF, PASSED, REFUSED, UNTOLD, GateFinding, GatesRecord, Status
from scripts.pages.gates import gate_rows, silent_gates


def finding(gate: str, status: Status, about: str | None = None, sentence: str = "", **figures: float) -> GateFinding:
    return GateFinding(gate=gate, about=about, unit="contacts", status=status, sentence=sentence, **figures)


def record(*findings: GateFinding) -> GatesRecord:
    return GatesRecord(run="now", week=None, findings=findings)


def test_figures_stand_with_their_unit_and_without_powers_of_ten() -> None:
    row = ("contacts", "", "37,772", "41,000", "0.8", "contacts", "passed")
    assert [*gate_rows(record(finding("contacts", PASSED, found=37_772.0, compared=41_000.0, limit=0.8)))] == [row]


def test_a_gate_without_figures_has_no_unit() -> None:
    assert [*gate_rows(record(finding("files", PASSED)))] == [("files", "", "", "", "", "", "passed")]


def test_what_passed_is_counted_and_what_is_refused_stands_by_itself() -> None:
    passed = record(finding("swing", PASSED, "a"), finding("swing", PASSED, "b"), finding("swing", UNTOLD, "c", "new"))
    assert [row[-1] for row in gate_rows(passed)] == ["2 passed, 1 not compared"]
    mixed = record(finding("swing", PASSED, "a"), finding("swing", REFUSED, "b", "too far", found=9.0))
    assert [*gate_rows(mixed)] == [("swing", "b", "9", "", "", "contacts", "refused")]


def test_gates_that_judged_nothing_share_a_line_for_each_reason() -> None:
    told = record(
        finding("value", UNTOLD, sentence="nothing was published before"),
        finding("guardrail", OFF),
        finding("gap", PASSED, found=0.0),
        finding("reach", UNTOLD, sentence="nothing was published before"),
    )
    assert [*silent_gates(told)] == [
        "Not compared (nothing was published before): value, reach",
        "Switched off: guardrail",
    ]
    assert [row[0] for row in gate_rows(told)] == ["gap"]
