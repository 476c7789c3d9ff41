"""A schema of logs comes back as it was written, byte for byte, and all that is wrong in one is told at once."""

import json
from pathlib import Path

import pytest

from ranker.contact_history import HistoryColumns, Since
from ranker.log_schema import Early, LogSchema, Outcome, read_schema, write_schema
from tests.ranker.wrong_files import problems_of

OUTCOMES = (Outcome("visit", "binary", "visits"), Outcome("spend", "amount", "EUR"))
HISTORY = HistoryColumns(28, "contacts_28d", (Since("age", {"product": "books", "days": 7}, 7),))
CONTENT = {
    "features": {"numeric": ["age", "contacts_28d"], "categorical": ["market"]},
    "outcomes": [{"name": "visit", "kind": "binary"}],
}


@pytest.mark.parametrize(
    "schema",
    [
        LogSchema((), (), OUTCOMES[:1], "nothing"),
        LogSchema(("age", "contacts_28d"), ("mårket",), OUTCOMES, "none", (Early("spend_7d", "spend", 7),), HISTORY),
        LogSchema(("age",), (), OUTCOMES, "none", (), HistoryColumns(7)),
    ],
)
def test_a_schema_is_written_as_it_is_read(tmp_path: Path, schema: LogSchema) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    write_schema(first, schema)
    assert read_schema(first) == schema
    write_schema(second, read_schema(first))
    assert first.read_bytes() == second.read_bytes()


def test_keys_stand_in_their_order_and_absent_ones_are_not_written(tmp_path: Path) -> None:
    write_schema(tmp_path / "schema.json", LogSchema((), (), OUTCOMES[:1], "none", (), HistoryColumns(28)))
    assert json.dumps(json.loads((tmp_path / "schema.json").read_text())) == (
        '{"features": {"numeric": [], "categorical": []}, "outcomes": [{"name": "visit", "kind": "binary", "unit": "visits"}], '
        '"none": "none", "history": {"days": 28, "since": []}}'
    )


def test_all_that_is_wrong_with_the_history_of_a_schema_is_told(tmp_path: Path) -> None:
    history = {
        "days": 0,
        "contacts": "gone",
        "since": [{"column": "age", "where": {}, "days": 7}, {"column": "age"}],
        "more": 1,
    }
    assert sorted(problems_of(read_schema, tmp_path / "schema.json", CONTENT | {"history": history})) == [
        "history.contacts: 'gone' is none of the numeric features",
        "history.days: must be a whole number of days",
        "history.more: is not known; the keys are days, contacts and since",
        'history.since[0].where: must be an object like {"product": "books"}',
        'history.since[1]: must be an object like {"column": "weeks_since_books", "where": {"product": "books"}, "days": 7}',
    ]
    for nothing in ([], None):
        assert problems_of(read_schema, tmp_path / "schema.json", CONTENT | {"history": nothing}) == [
            'history: must be an object like {"days": 28, "contacts": "contacts_28d"}'
        ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"features": None}, 'features: must be an object like {"numeric": ["age"], "categorical": ["market"]}'),
        ({"features": {"numeric": ["age", 3]}}, "features.numeric: must be a list of column names"),
        ({"features": {"colours": []}}, "features.colours: is not known; the kinds are numeric and categorical"),
        ({"outcomes": []}, 'outcomes: must be a list of objects like {"name": "visit", "kind": "binary"}'),
        ({"outcomes": ["visit"]}, "outcomes[0]: must be an object with a name and a kind"),
        ({"outcomes": [{"name": "visit"}]}, "outcomes[0].kind: 'None' is not one of binary, count, amount, real"),
        (
            {"outcomes": [{"name": "visit", "kind": "real", "unit": None}]},
            "outcomes[0].unit: must be a string",
        ),
        ({"early": {}}, "early: must be a list"),
        (
            {"early": [{"name": "age_7d", "outcome": "age", "days": 7}]},
            "early[0]: must be an object with a name, an outcome of those named, and days",
        ),
        (
            {"early": [{"name": "visit_7d", "outcome": "visit", "days": 7.0}]},
            "early[0].days: must be a whole number of days after the decision",
        ),
        ({"none": ""}, "none: must be the action id that stands for showing nothing"),
        (
            {"features": {"numeric": ["as_of"]}},
            "'as_of' is the name of another column of the logs and can be no feature or outcome",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, change: dict, told: str) -> None:
    assert problems_of(read_schema, tmp_path / "schema.json", CONTENT | change) == [told]


def test_a_name_that_stands_twice_is_told_beside_what_else_is_wrong(tmp_path: Path) -> None:
    outcomes = [{"name": "age", "kind": "maybe"}, {"kind": "binary"}]
    assert problems_of(read_schema, tmp_path / "schema.json", CONTENT | {"outcomes": outcomes}) == [
        "outcomes[0].kind: 'maybe' is not one of binary, count, amount, real",
        "outcomes[1]: must be an object with a name and a kind",
        "'age' stands 2 times among features and outcomes",
    ]
