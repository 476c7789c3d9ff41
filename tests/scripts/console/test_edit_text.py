"""One field of a text is changed and nothing else: comments, layout and order stay, and what has no place is said."""

import pytest

from allocator.policy import tree
from scripts.console.edit_text import CannotEdit, with_field, with_fields
from tests.scripts.console.weeks import POLICY


def value_at(text: str, *path: str | int) -> object:
    root, faults = tree.parse(text)
    assert root is not None and not faults
    node = root
    for step in path:
        found = node.child(step)
        assert found is not None, step
        node = found
    return node.plain()


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        ("push_cap.max", "35%", ("constraints", 0, "max")),
        ("push_cap.max", 1234, ("constraints", 0, "max")),
        ("push_cap.min", "5%", ("constraints", 0, "min")),
        ("books.min", 7, ("constraints", 1, "min")),
        ("books.max", 0.125, ("constraints", 1, "max")),
        ("total.max", 1, ("contact", 0, "max")),
        ("objective.subs.weight", 20.5, ("objective", 1, "weight")),
        ("holdout.share", "4%", ("experiment", "holdout", "share")),
        ("experiment.holdout.share", 0.05, ("experiment", "holdout", "share")),
    ],
)
def test_one_field_is_changed_where_it_stands(path: str, value: float | str, place: tuple) -> None:
    text = with_field(POLICY, path, value)
    assert value_at(text, *place) == value
    before, after = POLICY.splitlines(), text.splitlines()
    assert sum(line not in before for line in after) == 1, "one line is new or changed"
    assert [line.split("#")[1] for line in after if "#" in line] == [
        line.split("#")[1] for line in before if "#" in line
    ]


def test_several_fields_are_changed_one_after_the_other() -> None:
    text = with_fields(POLICY, {"push_cap.max": 80, "books.min": "1%"})
    assert value_at(text, "constraints", 0, "max") == 80
    assert value_at(text, "constraints", 1, "min") == "1%"


def test_quotes_and_words_of_other_scripts_are_kept() -> None:
    text = POLICY.replace("Push messages", "'Pushé: \U0001f600, \"quick\"'")
    changed = with_field(text, "push_cap.max", "25%")
    assert changed == text.replace("max: 20% ", "max: 25% ")


@pytest.mark.parametrize(
    ("path", "words"),
    [("nobody.max", "no such rule"), ("push_cap.per.times", "no place"), ("push_cap.where", "no single value")],
)
def test_what_has_no_place_is_said(path: str, words: str) -> None:
    with pytest.raises(CannotEdit, match=words):
        with_field(POLICY, path, 1)


@pytest.mark.parametrize("text", ["", "a: [", "- 1\n", "just words", "%", "\t"])
def test_what_is_no_policy_is_said(text: str) -> None:
    with pytest.raises(CannotEdit):
        with_field(text, "push_cap.max", 1)
