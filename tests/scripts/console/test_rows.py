"""What can be changed by number and slider, read from a text as it stands, right or wrong."""

import pytest

from scripts.console.rows import path_value, row_groups
from tests.scripts.console.weeks import POLICY


def test_every_bound_weight_and_share_is_a_knob() -> None:
    knobs = {knob.path: knob for group in row_groups(POLICY) for row in group.rows for knob in row.knobs}
    assert list(knobs) == [
        "push_cap.max", "books.min", "budget.max", "total.max", "once_each.max",
        "objective.revenue.weight", "objective.subs.weight", "objective.opt_out.weight", "holdout.share",
    ]  # fmt: skip
    assert (knobs["push_cap.max"].value, knobs["push_cap.max"].suffix) == (20.0, "%")
    assert (knobs["objective.opt_out.weight"].low, knobs["objective.opt_out.weight"].high) == (-75.0, 0.0)
    assert all(knob.low <= knob.value <= knob.high and knob.step > 0 for knob in knobs.values())


def test_rules_are_called_by_their_labels_with_what_people_say_of_them() -> None:
    text = POLICY + "  - {id: x, kind: volume, max: 3, owner: live, valid_to: 2026-12-31, strength: {soft: 0.5}}\n"
    rows = {row.id: row for row in row_groups(text)[0].rows}
    assert rows["books"].name == "Books in the North"
    assert rows["x"].notes == ("soft: 0.5 of value per unit missed", "holds until 2026-12-31", "owner: live")


@pytest.mark.parametrize("text", ["", "a: [", "constraints: 3\ncontact: {}\nobjective: [1, null]\nexperiment: 2"])
def test_texts_that_are_no_policy_have_no_rows(text: str) -> None:
    assert row_groups(text) == ()


@pytest.mark.parametrize(
    ("suffix", "typed", "value"),
    [("%", "12.5", "12.5%"), ("%", "30 %", "30%"), ("", "1,400", 1400), ("", "0.25", 0.25), ("", "-3", -3)],
)
def test_numbers_are_written_as_the_file_has_them(suffix: str, typed: str, value: object) -> None:
    assert path_value(suffix, typed) == value


@pytest.mark.parametrize("typed", ["", "x", "nan", "inf", "1e999", "1 2"])
def test_what_is_no_number_is_refused(typed: str) -> None:
    with pytest.raises(ValueError):
        path_value("", typed)
