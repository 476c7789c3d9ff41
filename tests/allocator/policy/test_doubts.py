"""What is right as it stands and yet seldom meant is told, and nothing else is."""

from datetime import date

import pytest

from allocator.policy.check import World
from allocator.policy.doubts import Crowd, doubts
from tests.allocator.policy.test_reader import CATALOGUE, HEAD, SEGMENTS, read

DAY = date(2026, 11, 23)
CROWD = Crowd(World(CATALOGUE, SEGMENTS), lambda users: 20_000 if users.is_empty else 5_000)
"""Two slots: home and push."""


def told(rules: str, crowd: Crowd = CROWD, day: date | None = DAY) -> list[tuple[str, str]]:
    return [(doubt.kind, doubt.sentence) for doubt in doubts(read(HEAD + rules, previous=True), day, crowd)]


def of(fields: str, **given: object) -> list[tuple[str, str]]:
    return told(f"constraints: [{{id: cap, {fields}}}]\n", **given)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            "min: 0.15",
            "cap.min: 0.15 is a number of contacts, so at least one; did you mean 15%, a share of the users?",
        ),
        ("max: 0.1", "cap.max: 0.1 is a number of contacts, so none at all; did you mean 10%, a share of the users?"),
        (
            "max: 20",
            "cap.max: 20 is a number of contacts, next to nothing for 20,000 users; did you mean 20%, which is 4,000?",
        ),
        (
            "min: 5, users: {market: SE}",
            "cap.min: 5 is a number of contacts, next to nothing for 5,000 users; did you mean 5%, which is 250?",
        ),
    ],
)
def test_a_number_that_can_only_be_per_cent_is_told_with_both_readings(fields: str, sentence: str) -> None:
    assert of(f"kind: volume, {fields}") == [("percent_forgotten", sentence)]


@pytest.mark.parametrize("fields", ["max: 5%", "max: 400", "max: 20.5", "max: 100, users: {market: SE}", "min: 1%"])
def test_a_number_that_may_be_meant_is_not_doubted(fields: str) -> None:
    assert of(f"kind: volume, {fields}") == []


def test_without_users_a_whole_number_is_taken_as_it_is() -> None:
    assert of("kind: volume, max: 20", crowd=Crowd()) == []
    assert [kind for kind, _ in of("kind: volume, max: 0.2", crowd=Crowd())] == ["percent_forgotten"]


@pytest.mark.parametrize(
    ("dates", "kind", "sentence"),
    [
        ("valid_to: 2026-11-22", "off", "cap (volume; max 10%) is off on 2026-11-23: its valid_to is 2026-11-22"),
        ("valid_from: 2026-11-24", "off", "cap (volume; max 10%) is off on 2026-11-23: its valid_from is 2026-11-24"),
        ("valid_to: 2026-11-23", "ends", "cap ends on 2026-11-23, before the next run (2026-11-30)"),
        ("valid_to: 2026-11-29", "ends", "cap ends on 2026-11-29, before the next run (2026-11-30)"),
    ],
)
def test_a_rule_whose_days_are_over_or_nearly_so_is_told(dates: str, kind: str, sentence: str) -> None:
    assert of(f"kind: volume, max: 10%, {dates}") == [(kind, sentence)]
    assert of(f"kind: volume, max: 10%, {dates}", day=None) == []


def test_a_rule_that_holds_in_the_next_run_too_is_not_told() -> None:
    assert of("kind: volume, max: 10%, valid_from: 2026-11-23, valid_to: 2026-11-30") == []


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            "kind: volume, where: {surface: push}, max: 100%",
            "cap.max: limits nothing: one user can get at most 1 contact in its scope",
        ),
        ("kind: volume, max: 40000", "cap.max: limits nothing: one user can get at most 2 contacts in its scope"),
        ("kind: volume, min: 0", "cap.min: asks for nothing"),
        ("kind: share, where: {surface: push}, max: 100%", "cap.max: limits nothing: a share is never above 100 %"),
        ("kind: share, where: {surface: push}, min: 0", "cap.min: asks for nothing"),
        ("kind: churn, max: 100%", "cap.max: limits nothing: more than all users never change"),
    ],
)
def test_a_constraint_that_cannot_bind_is_told(fields: str, sentence: str) -> None:
    assert of(fields) == [("cannot_bind", sentence)]
    assert of(f"{fields}, strength: report_only") == []


@pytest.mark.parametrize("fields", ["where: {surface: push}, max: 99%", "max: 199%", "max: 39999"])
def test_a_constraint_that_can_bind_is_not_told(fields: str) -> None:
    assert of(f"kind: volume, {fields}") == []


def test_caps_of_the_contact_rules_count_for_what_can_be_given() -> None:
    one_each = "contact: [{id: one, max: 1}]\nconstraints: [{id: cap, kind: volume, max: 100%}]\n"
    assert told(one_each) == [
        ("cannot_bind", "cap.max: limits nothing: one user can get at most 1 contact in its scope")
    ]
    of_some = "contact: [{id: one, max: 1, users: {market: SE}}]\nconstraints: [{id: cap, kind: volume, max: 100%}]\n"
    assert told(of_some) == []


@pytest.mark.parametrize(
    ("rules", "idle"),
    [
        ("{id: a, max: 2}", "a.max: never limits anybody: the offers in scope are of 2 slots"),
        ("{id: a, max: 1, where: {surface: push}}", "a.max: never limits anybody: the offers in scope are of 1 slot"),
        ("{id: total, max: 1}, {id: a, max: 1, where: {tier: 1}}", "a.max: never limits anybody: total allows at most 1 already"),
        ("{id: total, max: 1}, {id: a, max: 1}", "a.max: never limits anybody: total allows at most 1 already"),
        ("{id: total, max: 1}, {id: a, max: 1, each: product}", "a.max: never limits anybody: total allows at most 1 already"),
    ],
)  # fmt: skip
def test_a_contact_rule_that_limits_nobody_is_told(rules: str, idle: str) -> None:
    assert told(f"contact: [{rules}]\n") == [("cannot_bind", idle)]


@pytest.mark.parametrize(
    "rules",
    [
        "{id: a, max: 1}",
        "{id: a, max: 1, each: product}",
        "{id: a, max: 2, days: 7}",
        "{id: a, min: 2, max: 2}",
        "{id: a, max: 1, users: {market: SE}}, {id: b, max: 1, where: {product: audiobooks}}",
    ],
)
def test_a_contact_rule_that_can_limit_somebody_is_not_told(rules: str) -> None:
    assert told(f"contact: [{rules}]\n") == []
