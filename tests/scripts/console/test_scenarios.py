"""Scenarios side by side: kept under names, twelve at most, sorted, with the run's own policy to compare with."""

from pathlib import Path

import pytest

from allocator.workbench.answers import DifferenceAnswer, MeanAndError, PolicyAnswer, WhatIf
from ranker.files import InputError
from scripts.console.scenarios import MOST, Scenarios, baseline, in_order, scenario


def answer(value: float, more: float) -> WhatIf:
    def policy(amount: float) -> PolicyAnswer:
        return PolicyAnswer(
            value=amount, value_se=0, value_model_se=None, contacts=10, contacts_se=0, metrics={"subs": 1.0},
            metrics_se={"subs": 0}, metrics_model_se={"subs": None}, constraints={},
        )  # fmt: skip

    change, nothing = MeanAndError(mean=more, se=0.5), MeanAndError(mean=0, se=0)
    difference = DifferenceAnswer(value=change, metrics={"subs": nothing}, contacts=nothing, users_moved=nothing)
    return WhatIf(
        users=9, sample=9, full=False, seconds=0, as_of=None, unit="EUR", headline="It is worth more.",
        base=policy(value), new=policy(value + more), difference=difference, edits=(), why=(), matrix=(),
    )  # fmt: skip


def test_a_scenario_keeps_the_policy_and_what_it_came_to(tmp_path: Path) -> None:
    kept = Scenarios(tmp_path).keep(" More push ", "Mira", "for December", "text", answer(100, 5))
    assert (kept.name, kept.owner, kept.note, kept.policy_text) == ("More push", "Mira", "for December", "text")
    assert [(each.name, each.amount, each.difference) for each in kept.figures] == [
        ("value", 105, 5), ("contacts", 10, 0), ("listeners moved", 0, 0), ("subs", 1, 0),
    ]  # fmt: skip
    assert Scenarios(tmp_path).get("More push") == kept


def test_the_baseline_differs_from_itself_by_nothing() -> None:
    first = baseline(answer(100, 5), "2026-W48")
    assert (first.figures[0].amount, first.figures[0].difference) == (100, 0)


def test_a_name_stands_once_and_twelve_are_enough(tmp_path: Path) -> None:
    scenarios = Scenarios(tmp_path)
    for number in range(MOST):
        scenarios.keep(f"s{number}", "Mira", "", "text", answer(1, 1))
    with pytest.raises(InputError) as caught:
        scenarios.keep("s3", "Mira", "", "text", answer(1, 1))
    assert len(caught.value.problems) == 2
    scenarios.take_away("s3")
    scenarios.keep("s3", "Olav", "", "text", answer(1, 1))
    assert len(scenarios.all()) == MOST
    with pytest.raises(InputError, match="name: is missing"):
        Scenarios(tmp_path / "other").keep("  ", "Mira", "", "text", answer(1, 1))


def test_notes_change_and_order_is_by_any_column(tmp_path: Path) -> None:
    scenarios = Scenarios(tmp_path)
    for name, more in (("b", 1.0), ("A", 3.0), ("c", 2.0)):
        scenarios.keep(name, "Mira", "", "text", answer(100, more))
    scenarios.annotate("A", "the one")
    assert scenarios.get("A").note == "the one"
    assert [each.name for each in in_order(scenarios.all(), "name", down=False)] == ["A", "b", "c"]
    assert [each.name for each in in_order(scenarios.all(), "value", down=True)] == ["A", "c", "b"]
    assert [scenario.name for scenario in in_order(scenarios.all(), "nothing such", down=False)] == ["b", "A", "c"]


def test_a_scenario_of_no_difference_is_one_too() -> None:
    assert scenario("s", "", "", "text", answer(0, 0)).figures[0].difference == 0
