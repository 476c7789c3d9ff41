"""A kind of constraint that only this file knows: a metric per user in scope, spent on few or on many.

It is solved, certified, audited, diagnosed, put into words and refused when wrong, with nothing changed elsewhere.
"""

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import pytest

from allocator.allocate import allocate
from allocator.audit.judge import audit
from allocator.audit.kinds import AUDITED, AuditedKind, Parts, Side
from allocator.audit.scope import actions_in
from allocator.audit.sums import Part
from allocator.infeasible.diagnosis import Infeasible
from allocator.policy.grammar import Policy
from allocator.policy.kinds.base import Constraint, ContactConstraint, ContactSum, Level, UnitWords
from allocator.policy.kinds.known import KINDS
from allocator.policy.tree import Fault
from allocator.policy.words import Bound, Text, people, shown
from allocator.report.collect import Sources, collect
from allocator.report.page import render
from ranker.catalogue import Catalogue
from ranker.files import InputError
from ranker.scores import Scores, write_frame

USERS = 60
CATALOGUE = {
    "actions": [
        {"id": "mail/duo", "slot": "mail", "channel": "mail"},
        {"id": "call/duo", "slot": "call", "channel": "call"},
    ],
    "metrics": [{"name": "revenue", "unit": "EUR"}, {"name": "minutes", "unit": "minutes"}],
    "segments": ["market"],
    "model_id": "by hand",
    "as_of": "2026-11-23",
}


class PerUser(ContactConstraint):
    """The sum of a metric over the contacts in scope, per user in `users`, whether they get a contact or not."""

    grows_with_users: ClassVar[bool] = True

    kind: Literal["per_user"] = "per_user"
    metric: Text

    @property
    def numerator(self) -> ContactSum:
        return ContactSum((self.where,), self.metric)

    def limits(self, users: int, before: int) -> tuple[Fraction | None, Fraction | None]:
        low, high = (None if bound is None else bound.exact(0) * users for bound in (self.min, self.max))
        return low, high

    def unit(self, words: UnitWords) -> str:
        return words(self.metric, None)

    def bound_fault(self, key: Literal["min", "max"], bound: Bound) -> Iterator[Fault]:
        if bound.percent or bound.amount < 0:
            yield Fault((key,), f"an amount per user is at least 0, not {shown(bound.to_json())}")

    @classmethod
    def stands(cls, level: Level, rule: Constraint | None) -> str:
        about = "all in scope" if rule is None else people(rule.users)
        return f"{cls.amount(level.achieved)} {level.unit} spent on {about}"


def _parts(rule: Any, catalogue: Catalogue) -> Parts:
    return Part(actions_in(rule.where, catalogue).astype(float), rule.metric), None


def _bound(rule: Any, side: Side, users: int, before: int) -> Fraction | None:
    bound = getattr(rule, side)
    return None if bound is None else Fraction(repr(bound.amount)) * users


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "per_user", PerUser)
    monkeypatch.setitem(AUDITED, "per_user", AuditedKind(_parts, _bound))


@pytest.fixture
def scores(tmp_path: Path) -> Scores:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"user_id": np.arange(USERS), "market": ["SE", "NO", "NO"] * (USERS // 3)})
    frame["mean_revenue"] = list(generator.gamma(1.0, 1.0, (USERS, 2)).astype(np.float32))
    frame["mean_minutes"] = list(np.tile(np.float32([1.0, 4.0]), (USERS, 1)))
    (tmp_path / "scores").mkdir()
    return write_frame(tmp_path / "scores", CATALOGUE, frame)


def policy(**rule: object) -> dict:
    told = {"id": "care", "kind": "per_user", "metric": "minutes", "users": {"market": "NO"}, **rule}
    return {"version": 1, "objective": [{"metric": "revenue", "weight": 1.0}], "constraints": [told]}


def most_by_hand(scores: Scores, minutes: int) -> float:
    """A knapsack over the Norwegians by dynamic programming; Swedes get everything."""
    (shard,) = scores.shards()
    value_UA, norwegian_U = shard.mean["revenue"].astype(float), np.arange(USERS) % 3 > 0
    best_M = np.zeros(minutes + 1)
    for mail, call in value_UA[norwegian_U]:
        for worth, takes in ((mail, 1), (call, 4)):
            best_M[takes:] = np.maximum(best_M[takes:], best_M[:-takes] + worth)
    return float(best_M[-1] + value_UA[~norwegian_U].sum())


def test_it_is_solved_to_the_optimum_certified_and_audited(scores: Scores) -> None:
    made = allocate(scores, policy(max=1.5))
    assert made.certificate.value == pytest.approx(most_by_hand(scores, 60), rel=1e-6)
    (care,) = json.loads((made.folder / "certificate.json").read_text())["constraints"]
    assert (care["kind"], care["unit"], care["max"], care["binding"]) == ("per_user", "minutes", 60.0, "max")
    assert care["achieved"] == 60.0 and care["price"] > 0 and made.audit.clean
    assert "constraint care" in [check.name for check in made.audit.checks]


def test_it_comes_back_from_the_file_that_was_written(scores: Scores) -> None:
    made = allocate(scores, policy(max=1.5))
    again = Policy.model_validate(json.loads((made.folder / "policy.json").read_text()))
    assert again == made.policy and isinstance(again.constraints[0], PerUser)


def test_the_audit_recounts_it_for_itself(scores: Scores) -> None:
    made = allocate(scores, policy(max=1.5))
    tighter = Policy.model_validate(policy(max=1.0))
    failed = [check.name for check in audit(scores.path, tighter, made.folder).failures]
    assert "constraint care" in failed


def test_it_is_held_for_every_value_of_a_segment(scores: Scores) -> None:
    made = allocate(scores, policy(max=1.0, users={}, each="market"))
    found = {row["id"]: row["max"] for row in made.constraints().to_dict("records")}
    assert found == {"care@NO": 40.0, "care@SE": 20.0} and made.audit.clean


def test_what_cannot_be_is_diagnosed_by_its_name(scores: Scores) -> None:
    with pytest.raises(Infeasible) as raised:
        allocate(scores, policy(min=6.0))
    assert "care" in str(raised.value) and "200" in str(raised.value), "5 minutes for each of 40 are all there are"


def test_its_own_words_are_in_the_report(scores: Scores) -> None:
    made = allocate(scores, policy(max=1.5))
    page = render(collect(Sources(made.folder, scores.path)))
    assert "Care: 60 minutes spent on users with market NO - binding." in page


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"max": -1}, "max: an amount per user is at least 0, not -1"),
        ({"max": "5%"}, "max: an amount per user is at least 0, not '5%'"),
        ({"max": 1, "metric": "minute"}, "metric: the scores have no metric 'minute'; did you mean 'minutes'?"),
        ({"max": 1, "of": {"channel": "mail"}}, "of: 'of' is for share; a constraint of kind per_user has no such key"),
        ({"max": 1, "kind": "per_use"}, "kind: 'per_use' is no kind of constraint; did you mean 'per_user'?"),
        ({}, "has neither min nor max"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(scores: Scores, rule: dict, said: str) -> None:
    with pytest.raises(InputError) as raised:
        allocate(scores, policy(**rule))
    assert said in str(raised.value) and "constraints" in str(raised.value)
