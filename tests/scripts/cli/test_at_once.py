"""Words of a command line are read as Hydra reads them, without Hydra."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from ranker.files import InputError
from scripts.cli.at_once import given, help_text, value_of
from scripts.cli.keys import AT_ONCE, KEYS

VALUES = [
    "5", "-5", "+5", "0", "400000", "1_000", "010", "5.0", "-0.5", ".5", "5.", "1e3", "1.5e-3", "5%", "15.5%", "true", "False",
    "null", "NULL", "report_only", "push", "2026-12-31", "home_1/family/trial", "[SE,NO]", "{surface:push}", "{soft:0.05}",
    "'5'", '"a b"', "[push,home]", "{market:[SE,NO]}", "a.b-c",
]  # fmt: skip


@pytest.mark.parametrize("text", VALUES)
def test_values_are_what_hydra_takes_them_for(text: str) -> None:
    wanted = OverridesParser.create().parse_override(f"key={text}").value()
    found = value_of(text)
    assert (type(found), found) == (type(wanted), wanted) or str(found) == str(wanted)


def test_text_that_hydra_cannot_read_is_text() -> None:
    assert value_of("1,2") == "1,2"
    assert value_of("a: [") == "a: ["


def test_fields_are_gathered_by_path() -> None:
    words = ["set.push.max=5%", "set.objective.revenue.weight=2", "set.books=null", "json=true"]
    found = given("check_policy", words)
    assert found.set == {"push.max": "5%", "objective.revenue.weight": 2, "books": None}
    assert found.yes == {"json"}


def test_a_row_of_a_rule_is_not_set_by_itself() -> None:
    with pytest.raises(InputError, match=r"is one row of the rule 'books'; set\.books\.max changes all its rows"):
        given("check_policy", ["set.books@SE.max=10%"])


def test_a_policy_goes_by_its_name() -> None:
    assert str(given("check_policy", ["policy=default"]).path("policy")) == "conf/policy/default.yaml"


def test_every_command_has_one_home_and_its_help() -> None:
    assert not AT_ONCE.keys() & KEYS.keys()
    for name, (_, keys) in AT_ONCE.items():
        assert all(key.meaning in help_text(name) for key in keys)
