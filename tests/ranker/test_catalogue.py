"""A catalogue comes back as it was written, byte for byte, and all that is wrong in one is told at once."""

import json
from datetime import date
from pathlib import Path

import pytest

from ranker.catalogue import (
    NEVER_SHOWN,
    Catalogue,
    Interference,
    Kept,
    Metric,
    Pair,
    Unidentified,
    read_catalogue,
    write_catalogue,
)
from tests.ranker.wrong_files import problems_of

ACTIONS = (
    {"slot": "home", "id": "home/duo", "eur": 2.0, "days": 3, "first": True, "gift": None},
    {"id": "push/duo", "slot": "push", "label": "två för en"},
)
PAIR = Pair({"slot": "home"}, {"slot": "push"}, Kept(0.4, 0.1), "history")


@pytest.mark.parametrize(
    "catalogue",
    [
        Catalogue(ACTIONS),
        Catalogue(ACTIONS, (Metric("subs", "subscribers"),), ("market",), "m", date(2026, 11, 23)),
        Catalogue(ACTIONS, interference=Interference(28, Kept(0.8, 0.02), (PAIR,))),
        Catalogue(ACTIONS, interference=Interference(7, None, ()), unidentified=(Unidentified("a", NEVER_SHOWN),)),
    ],
)
def test_a_catalogue_is_written_as_it_is_read(tmp_path: Path, catalogue: Catalogue) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    write_catalogue(first, catalogue)
    assert read_catalogue(first) == catalogue
    write_catalogue(second, read_catalogue(first))
    assert first.read_bytes() == second.read_bytes()
    assert [list(action) for action in json.loads(second.read_text())["actions"]] == [*map(list, ACTIONS)]


def test_keys_stand_in_their_order_and_absent_ones_are_not_written(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.json"
    action = {"id": "a", "slot": "s", "n": float("nan")}
    write_catalogue(file, Catalogue((action,), interference=Interference(28, Kept(1, 0), (PAIR,))))
    assert json.dumps(json.loads(file.read_text())) == (
        '{"actions": [{"id": "a", "slot": "s", "n": NaN}], "metrics": [], "segments": [], "model_id": "", "as_of": null, '
        '"interference": {"days": 28, "fatigue": {"kept": 1, "stderr": 0}, "pairs": [{"where": {"slot": "home"}, '
        '"beside": {"slot": "push"}, "kept": 0.4, "stderr": 0.1, "basis": "history"}]}}'
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"actions": {}}, ["actions: must be a list with at least one action"]),
        ({"actions": []}, ["actions: must be a list with at least one action"]),
        ({"actions": ["a"]}, ["actions[0]: must be an object"]),
        (
            {"actions": [{"id": "", "n": [1], "x": float("inf"), "y": 10**40}, {"id": "a", "slot": "s"}]},
            [
                "actions[0].n: must be a string, a number, true or false",
                "actions[0].x: must be a finite number",
                "actions[0].y: must be a number of at most 1e+30",
                "actions[0].id: must be a non-empty string",
                "actions[0].slot: must be a non-empty string",
            ],
        ),
        ({"actions": [{"id": "a", "slot": "s"}] * 2}, ["actions: the id 'a' stands 2 times"]),
        (
            {"metrics": [{"unit": "EUR"}]},
            ['metrics: must be a list of objects like {"name": "subs", "unit": "subscribers"}'],
        ),
        (
            {"metrics": [{"name": "eur", "unit": 1}, {"name": "eur"}]},
            ["metrics: the unit of 'eur' must be text", "metrics: 'eur' stands 2 times"],
        ),
        (
            {"segments": ["eligible", ""]},
            [
                "segments: must be a list of column names",
                "segments: 'eligible' is the name of another column of the scores",
            ],
        ),
        ({"as_of": 20261123}, ["as_of: '20261123' is not a date like 2026-11-23"]),
        ({"as_of": {}}, ["as_of: '{}' is not a date like 2026-11-23"]),
        ({"interference": []}, ['interference: must be an object like {"days": 28, "pairs": []}']),
        (
            {"interference": {"days": True, "pairs": {}}},
            ["interference.days: must be a whole number of at least 1", "interference.pairs: must be a list"],
        ),
        (
            {"unidentified": [{"action": "a"}]},
            ['unidentified[0]: must be an object like {"action": "push/books", "why": "never shown"}'],
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, change: dict, told: list[str]) -> None:
    assert problems_of(read_catalogue, tmp_path / "catalogue.json", {"actions": list(ACTIONS)} | change) == told
