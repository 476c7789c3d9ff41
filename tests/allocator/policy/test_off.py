"""Rules that do not hold on the day are named, with their dates and scopes."""

from datetime import date

import pytest

from allocator.policy.grammar import Policy
from allocator.policy.off import off

DAY = date(2026, 11, 23)
DATED = {
    "id": "books",
    "kind": "volume",
    "where": {"product": "audiobooks"},
    "users": {"market": ["SE", "NO"]},
    "min": "5%",
}


def said(section: str, rule: dict) -> list[tuple[str, str]]:
    words = {"objective": [{"metric": "revenue", "weight": 1.0}], section: [rule]}
    return list(off(Policy.model_validate(words), DAY))


def test_rules_that_hold_are_not_named() -> None:
    assert said("constraints", DATED) == []
    assert said("constraints", DATED | {"valid_from": "2026-11-23", "valid_to": "2026-11-23"}) == []


def test_a_rule_whose_last_day_is_over_is_named_with_its_date_and_scope() -> None:
    ((name, sentence),) = said("constraints", DATED | {"valid_to": "2026-11-22", "label": "Books goal"})
    assert name == "books"
    assert sentence == (
        "Books goal (volume; where product audiobooks; users market SE or NO; min 5%) is off on 2026-11-23: "
        "its valid_to is 2026-11-22"
    )


@pytest.mark.parametrize(
    ("dates", "ending"),
    [
        ({"valid_to": "2025-11-23"}, "its valid_to is 2025-11-23"),
        ({"valid_to": "2025-11-22"}, "its valid_to is 2025-11-22, more than a year ago; wrong year?"),
        ({"valid_from": "2026-12-01"}, "its valid_from is 2026-12-01"),
        ({"valid_from": "2028-01-01"}, "its valid_from is 2028-01-01, more than a year ahead; wrong year?"),
    ],
)
def test_a_date_more_than_a_year_away_may_have_the_wrong_year(dates: dict, ending: str) -> None:
    ((_, sentence),) = said("constraints", DATED | dates)
    assert sentence.endswith(ending)


@pytest.mark.parametrize(
    ("section", "rule", "called"),
    [
        ("contact", {"id": "calm", "max": 1, "where": {"surface": "push"}}, "calm (contact rule; where surface push; max 1)"),
        ("eligibility", {"id": "young", "forbid": {"product": "duo"}}, "young (eligibility rule; forbid product duo)"),
        ("pinned", {"id": "hello", "action": "push/duo"}, "hello (pinned contact; action push/duo)"),
    ],
)  # fmt: skip
def test_every_section_is_looked_at(section: str, rule: dict, called: str) -> None:
    ((_, sentence),) = said(section, rule | {"valid_to": "2026-01-01"})
    assert sentence.startswith(f"{called} is off on 2026-11-23")


def test_without_a_day_every_rule_holds() -> None:
    words = {"objective": [{"metric": "revenue", "weight": 1.0}], "constraints": [DATED | {"valid_to": "2020-01-01"}]}
    assert list(off(Policy.model_validate(words), None)) == []
