"""Each kind says in words what its bounds limit, over which contacts and for whom."""

import pytest

from allocator.policy.grammar import constraint_from_words
from allocator.policy.kinds.known import KINDS

PUSH, SWEDES = {"surface": "push"}, {"market": "SE"}
TOLD = {
    "volume": ({}, "contacts with surface push to users with market SE"),
    "total": ({"metric": "subs", "times": "price"}, "subs \u00d7 price, summed over contacts with surface push to users with market SE"),
    "share": ({"of": {"family": "plan"}}, "contacts with surface push as a part of contacts with family plan to users with market SE"),
    "average": ({"metric": "subs"}, "subs per contact, over contacts with surface push to users with market SE"),
    "ratio": (
        {"metric": "subs", "per": {"times": "price"}},
        "subs per price, over contacts with surface push to users with market SE",
    ),
    "reach": ({}, "users with market SE who get at least one of the contacts with surface push"),
    "change": (
        {},
        "change of the number of contacts with surface push to users with market SE against the allocation before",
    ),
    "churn": ({"where": None}, "users with market SE who get something else than in the allocation before"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TOLD)
def test_a_kind_says_what_it_is_about(kind: str) -> None:
    fields, words = TOLD[kind]
    rule = {"id": "rule", "kind": kind, "where": PUSH, "users": SWEDES, "max": 0.5, **fields}
    assert constraint_from_words({key: value for key, value in rule.items() if value is not None}).about == words


def test_every_kind_is_told() -> None:
    assert TOLD.keys() == KINDS.keys()


def test_without_filters_all_contacts_and_users_are_meant() -> None:
    def about(**rule: object) -> str:
        return constraint_from_words({"id": "rule", "max": 0.5, **rule}).about

    assert about(kind="volume") == "contacts"
    assert about(kind="share", where=PUSH) == "contacts with surface push as a part of all contacts"
    assert about(kind="reach") == "all users who get at least one contact"
    assert about(kind="total", times="price") == "price, summed over contacts"
