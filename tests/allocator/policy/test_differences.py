"""The edits between two policies lead from one to the other, whichever of them are chosen."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from allocator.policy import check
from allocator.policy.differences import Edit, differences, with_edits
from allocator.policy.grammar import RULE_OF, Policy
from allocator.policy.words import RULES
from tests.allocator.policy.test_reader import HEAD, read

NAMES = ("a", "b", "a.max", "order", "objective", "tiers", "böcker")
ABSENT = st.none()
WORDS = st.sampled_from(["SE", "NO", 1, 1.0, True, False])
FILTERS = st.dictionaries(st.sampled_from(["market", "product", "id"]), WORDS | st.lists(WORDS, min_size=1), max_size=2)
TEXTS = ABSENT | st.sampled_from(["Push", "owner"])
DAYS = ABSENT | st.sampled_from([str(date(2026, 12, day)) for day in (1, 15, 31)])
BOUNDS = ABSENT | st.sampled_from([0.1, 0.25, 1, 400, "5%", "30%"])
SHARED = {"label": TEXTS, "reason": TEXTS, "valid_from": DAYS, "valid_to": DAYS}
SCOPE = {"where": FILTERS, "users": FILTERS}
STRENGTH = {"strength": st.sampled_from(["hard", "report_only", {"soft": 0.05}])}
LIMITS = {"min": BOUNDS, "max": BOUNDS}
METRIC = {"metric": ABSENT | st.sampled_from(["revenue", "subs"]), "times": ABSENT | st.just("price")}


def records(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Records with the fields that were not drawn absent."""
    return st.fixed_dictionaries(dict(fields)).map(
        lambda words: {name: value for name, value in words.items() if value is not None}
    )


RULE = {
    "eligibility": records(**SHARED, forbid=FILTERS, users=FILTERS),
    "pinned": records(**SHARED, action=st.sampled_from(["x", "y"]), users=FILTERS),
    "contact": records(
        **SHARED,
        max=ABSENT | st.integers(0, 3),
        min=ABSENT | st.integers(1, 3),
        where=FILTERS,
        each=ABSENT | st.just("product"),
        days=ABSENT | st.integers(1, 28),
        requires=ABSENT | FILTERS,
        spoils=ABSENT | st.just(0.5),
    ),
    "constraints": st.one_of(
        records(**SHARED, **SCOPE, **LIMITS, **STRENGTH, kind=st.just("volume")),
        records(**SHARED, **SCOPE, **LIMITS, **STRENGTH, **METRIC, kind=st.just("total")),
        records(**SHARED, **SCOPE, **LIMITS, **STRENGTH, of=FILTERS, kind=st.just("share")),
    ),
}
TERM = records(**METRIC, weight=st.sampled_from([-25.0, 1.0, 6.0])).filter(lambda term: {"metric", "times"} & set(term))
TERMS = st.lists(TERM, min_size=1, max_size=4)
SHARE = ABSENT | st.fixed_dictionaries({"share": st.sampled_from([0.02, 0.03]), "salt": st.sampled_from(["q", "w"])})
GOALS = st.one_of(
    records(objective=TERMS),
    records(objective=TERMS),
    records(tiers=st.lists(records(objective=TERMS, give_up=st.sampled_from(["1%", "2%"])), min_size=2, max_size=3)),
)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Policies whose rules are well formed each by itself."""
    words: dict[str, Any] = {**draw(GOALS), "risk": {"z": draw(st.sampled_from([0.0, 0.5]))}}
    words["experiment"] = draw(records(holdout=SHARE, exploration=SHARE))
    if draw(st.booleans()):
        words["fallback"] = {"action": draw(st.sampled_from(["x", ["x", "y"]])), "users": draw(FILTERS)}
    for name in draw(st.permutations(NAMES))[: draw(st.integers(0, len(NAMES)))]:
        section = draw(st.sampled_from(RULES))
        rule = {"id": name, **draw(RULE[section])}
        if is_well_formed(section, rule):
            words.setdefault(section, []).append(rule)
    return Policy.model_validate(words)


def is_well_formed(section: str, rule: Mapping[str, Any]) -> bool:
    try:
        return not any(check.alone(RULE_OF[section].validate_python(rule)))
    except ValidationError:
        return False


@given(policies(), policies())
@settings(max_examples=60, deadline=None)
def test_all_edits_lead_to_the_new_policy(base: Policy, new: Policy) -> None:
    edits = differences(base, new)
    assert with_edits(base, edits).to_json() == new.to_json()
    assert with_edits(base, edits[::-1]).digest == new.digest
    assert with_edits(base, []).digest == base.digest
    assert bool(edits) == (base.digest != new.digest)
    assert all(edit.sentence.endswith(".") for edit in edits)


@given(policies(), policies(), st.data())
@settings(max_examples=60, deadline=None)
def test_any_choice_of_edits_is_well_formed(base: Policy, new: Policy, data: st.DataObject) -> None:
    edits = differences(base, new)
    chosen = [edit for edit in edits if data.draw(st.booleans())]
    policy = with_edits(base, chosen)
    assert policy.terms
    for section in RULES:
        assert not any(fault for rule in getattr(policy, section) for fault in check.alone(rule))
    ids = [rule.id for section in RULES for rule in getattr(policy, section)]
    assert len(ids) == len(set(ids))


def edit_of(before: str, after: str) -> Edit:
    (edit,) = differences(read(before), read(after))
    return edit


RULES_BEFORE = f"""{HEAD}risk: {{z: 0.5}}
experiment: {{holdout: {{share: 2%, salt: q}}}}
constraints:
  - {{id: push, label: Push, kind: volume, where: {{surface: push}}, max: 400}}
  - {{id: books, kind: volume, where: {{product: audiobooks}}, users: {{market: [SE, NO]}}, min: 5%}}
"""


@pytest.mark.parametrize(
    ("was", "now", "edit", "sentence"),
    [
        (
            "max: 400",
            "max: 450",
            Edit("push.max", 400.0, 450.0),
            "The maximum of Push (push) rises from 400 to 450 contacts.",
        ),
        (
            "max: 400",
            "max: 3%",
            Edit("push.max", 400.0, "3%"),
            "The maximum of Push (push) is 3 % of all users now (was 400 contacts).",
        ),
        (
            "min: 5%",
            "min: 4%",
            Edit("books.min", "5%", "4%"),
            "The minimum of books falls from 5 % to 4 % of users with market SE or NO.",
        ),
        (
            "market: [SE, NO]",
            "market: SE",
            Edit("books.users", {"market": ["SE", "NO"]}, {"market": "SE"}),
            "The listeners in scope of books: users with market SE now (was users with market SE or NO).",
        ),
        (
            "share: 2%",
            "share: 3%",
            Edit("experiment.holdout.share", 0.02, 0.03),
            "The share of holdout rises from 2 % to 3 %.",
        ),
        ("z: 0.5", "z: 0", Edit("risk.z", 0.5, 0.0), "The z of risk falls from 0.5 to 0."),
        (
            "weight: 1.0",
            "weight: 2",
            Edit("objective.revenue.weight", 1.0, 2.0),
            "The weight of revenue rises from 1 to 2.",
        ),
        ("min: 5%", "min: 5%, owner: books", Edit("books.owner", None, "books"), "books has a new owner: books."),
        (
            "min: 5%",
            "min: 5%, valid_to: 2026-12-31",
            Edit("books.valid_to", None, "2026-12-31"),
            "books has a new last day: 2026-12-31.",
        ),
    ],
)
def test_each_edit_has_its_path_its_values_and_a_sentence(was: str, now: str, edit: Edit, sentence: str) -> None:
    found = edit_of(RULES_BEFORE, RULES_BEFORE.replace(was, now))
    assert found == edit
    assert found.sentence == sentence
    assert read(RULES_BEFORE, {found.path: found.after}) == read(RULES_BEFORE.replace(was, now)), (
        "the path is what `set.` takes"
    )


def test_a_rule_that_is_added_or_taken_away_is_one_edit() -> None:
    more = RULES_BEFORE + "  - {id: cap, kind: volume, max: 1}\n"
    words = {"id": "cap", "kind": "volume", "max": 1.0, "where": {}, "users": {}, "strength": "hard"}
    added, gone = edit_of(RULES_BEFORE, more), edit_of(more, RULES_BEFORE)
    assert added == Edit("cap", None, words)
    assert added.sentence == "Added: volume constraint cap (maximum 1 contact)."
    assert gone == Edit("cap", words, None)
    assert gone.sentence == "Taken away: volume constraint cap (maximum 1 contact)."


def test_bounds_that_only_make_sense_together_are_one_edit_of_the_rule() -> None:
    edit = edit_of(
        RULES_BEFORE.replace("max: 400", "min: 10, max: 20"), RULES_BEFORE.replace("max: 400", "min: 30, max: 40")
    )
    assert edit.path == "push"
    assert edit.sentence == (
        "The minimum of Push (push) rises from 10 to 30 contacts. The maximum of Push (push) rises from 20 to 40 contacts."
    )
