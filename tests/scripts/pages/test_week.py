"""What the terminal says of rules: the count is that of the report, and amounts have the digits that people read."""

from allocator.formats import ConstraintRecord
from scripts.pages.allocation import _cells
from scripts.pages.week import _rules
from tests.allocator.report.test_report_sentences import certificate
from tests.allocator.reporting import constraint, every_constraint


def test_rules_that_are_measured_only_are_not_counted_as_enforced():
    records = [ConstraintRecord.model_validate(each) for each in every_constraint()]
    watched = sum(record.strength.kind == "report_only" for record in records)
    said = _rules(certificate(constraints=every_constraint()))
    assert watched == 1 and said.startswith(
        f"{len(records) - 1} enforced, 1 more measured only; at their limit: push_capacity, "
    )
    assert _rules(certificate()) == "0 enforced; at their limit: none"


def test_an_average_has_three_digits_and_its_bound_all_that_it_was_given():
    record = constraint(
        kind="average",
        unit="opt-outs per contact",
        achieved=0.00143217,
        max=0.0020125,
        denominator=10.0,
        price=0.0,
        binding=None,
    )
    assert _cells(ConstraintRecord.model_validate(record))[1:4] == ("", "0.0020125", "0.00143")
