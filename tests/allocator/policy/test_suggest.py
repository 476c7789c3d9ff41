"""What was probably meant is found among few words and many, and thousands of unknown words do not take minutes."""

import time
from pathlib import Path

import pytest

from allocator.policy import suggest
from allocator.policy.reader import read_policy
from allocator.policy.suggest import hint, likely
from ranker.files import InputError
from tests.allocator.instances import OBJECTIVE, catalogue

MANY = frozenset(f"place {number:05d}" for number in range(10_000))


def test_few_words_are_all_compared() -> None:
    assert likely("PSUH", ["email", "push"]) == "push"
    assert likely("Xush", ["email", "Push"]) == "Push"
    assert hint("7", [1, "b"]) == "; there is 1, b"
    assert hint("7", [True, "b"]) == "; there is True, b"
    assert hint("anything", []) == ""


def test_of_many_words_the_next_in_the_alphabet_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    extract = suggest.process.extractOne

    def counted(word: str, choices: list[str], **options: object) -> object:
        compared.append(len(choices))
        return extract(word, choices, **options)

    monkeypatch.setattr(suggest.process, "extractOne", counted)
    assert likely("Place 04711x", MANY) == "place 04711"
    assert likely("place", MANY) is not None
    assert compared == [suggest.MOST_COMPARED] * 2
    assert hint("?", MANY).endswith("place 00011 and 9988 more")


def test_thousands_of_unknown_values_are_told_in_seconds(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    values = ", ".join(f"'place {number:05d}x'" for number in range(1_500))
    policy.write_text(OBJECTIVE + f"constraints:\n  - {{id: a, kind: volume, max: 5, users: {{market: [{values}]}}}}\n")
    started = time.process_time()
    with pytest.raises(InputError) as raised:
        read_policy(policy, {}, catalogue(), {"market": MANY, "lifecycle": frozenset({"new"})})
    assert time.process_time() - started < 8
    assert len(raised.value.problems) == 1_500
    assert raised.value.problems[7].endswith("no user has market 'place 00007x'; did you mean 'place 00007'?")
