"""The schema for editors takes what the reader takes, and refuses what a schema can know to be wrong."""

import pytest
from hypothesis import given, settings

from allocator.policy import tree
from allocator.policy.check import World
from allocator.policy.grammar import Policy
from allocator.policy.schema import keys, policy_schema
from tests.allocator.policy.broken import RULES, SECTIONS, Broken
from tests.allocator.policy.json_schema import why_not
from tests.allocator.policy.test_differences import policies
from tests.allocator.policy.test_reader import CATALOGUE, SEGMENTS
from tests.conftest import ROOT

SCHEMA = policy_schema()
WORLD = World(CATALOGUE, SEGMENTS)
BEYOND = {
    "key twice", "one salt for both", "more than everybody", "ids twice", "one tier",
    "no bound", "minimum above maximum", "negative", "per cent of a total", "share above one", "churn above one",
    "churn with a minimum", "change below nothing", "no such day", "ends before it begins", "filters at odds", "more than slots",
    "empty objective", "nothing", "blank", "comments",
}  # fmt: skip
"""What takes arithmetic, a calendar or a second look at the file."""


@pytest.mark.parametrize("file", sorted((ROOT / "conf" / "policy").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_policy_of_the_project_is_valid(file: str) -> None:
    root, _ = tree.parse(tree.read_text(file))
    assert root is not None
    assert why_not(SCHEMA, root.plain()) is None


@given(policies())
@settings(max_examples=60, deadline=None)
def test_every_policy_as_the_program_writes_it_is_valid(policy: Policy) -> None:
    assert why_not(SCHEMA, policy.to_json()) is None


@pytest.mark.parametrize("broken", [*SECTIONS, *RULES], ids=lambda broken: broken.name)
def test_what_a_schema_can_know_to_be_wrong_is_refused(broken: Broken) -> None:
    root, _ = tree.parse(broken.content.decode())
    if root is not None and broken.name not in BEYOND:
        assert why_not(policy_schema(WORLD), root.plain()) is not None


@pytest.mark.parametrize("schema", [SCHEMA, policy_schema(WORLD)], ids=["alone", "of scores"])
def test_an_editor_has_something_to_show_of_every_key(schema: dict) -> None:
    known = dict(keys(schema))
    assert {"soft", "not", "where"} <= known.keys()
    for key, told in keys(schema):
        assert told.get("description"), key


def test_what_a_key_means_depends_on_its_rule() -> None:
    """A reach counts listeners; one contact rule's maximum is of one listener."""
    told = {name: record["properties"]["max"]["description"] for name, record in SCHEMA["$defs"].items()
            if "max" in record.get("properties", {})}  # fmt: skip
    assert (
        "listeners with a contact" in told["UserReach"]
        and "one listener" in told["ContactRule"]
        and "contacts" in told["Volume"]
    )


def test_words_of_the_scores_are_offered() -> None:
    schema = policy_schema(WORLD)
    assert schema["$defs"]["Term"]["properties"]["metric"]["anyOf"][0] == {"enum": ["subs", "revenue", "opt_outs"]}
    assert "premium_duo" in schema["$defs"]["offers"]["properties"]["product"]["anyOf"][0]["enum"]
    market = schema["$defs"]["listeners"]["properties"]["market"]
    assert market["description"] == "A segment of listeners, like DE, NO, SE."
    assert market["anyOf"][0]["enum"] == ["DE", "NO", "SE"]
