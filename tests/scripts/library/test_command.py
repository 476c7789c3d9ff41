"""`offermix NAME` is every command, and says in one line each what they are."""

from collections.abc import Callable

import pytest

from scripts.cli.keys import AT_ONCE, KEYS
from scripts.library import command
from tests.conftest import Called

FACADE = "scripts/library/facade/offermix.py"


def test_every_command_stands_in_one_group() -> None:
    listed = [name for names in command.GROUPS.values() for name in names]
    assert sorted(listed) == sorted([*KEYS, *AT_ONCE])


def test_each_has_a_line() -> None:
    lines = command.overview().splitlines()
    for name in (*KEYS, *AT_ONCE):
        assert sum(line.startswith(f"  {name} ") for line in lines) == 1
    assert max(map(len, lines)) < 150


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["--version"], 0, "offermix "),
        (["wekly"], 2, "wekly: there is no such command; did you mean 'weekly'?"),
        ([], 2, "Every week:"),
        (["check_policy", "policy=default"], 0, "Nothing is wrong"),
        (["check_policy", "policy=nowhere.yaml"], 2, "nowhere.yaml: there is no such file"),
    ],
)
def test_a_call_ends_as_its_command_does(call: Callable[..., Called], words: list[str], status: int, told: str) -> None:
    called = call(FACADE, *words)
    assert called.returncode == status, called.stderr
    assert told in called.stdout + called.stderr
