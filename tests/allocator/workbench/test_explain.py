"""Explanations against the allocation: what is given is what the rows say, each stage is true of it, and what would change it does."""

from pathlib import Path

import numpy as np
import pytest

from allocator.allocate import allocate
from allocator.policy.words import filter_from_words
from allocator.reopened import policy_of
from allocator.saved import SavedAllocation, read_allocation
from allocator.workbench.answers import EXPLAIN, Explanation
from allocator.workbench.explain import explain
from allocator.workbench.product import explain_offers
from allocator.workbench.session import Session
from allocator.workbench.wider import Wider
from ranker.files import InputError
from ranker.scores import Scores, open_scores
from tests.allocator.instances import CONTACT, OBJECTIVE, write_scores

USERS = 600
RULES = (
    OBJECTIVE
    + CONTACT
    + """eligibility:
  - {id: no_family, forbid: {product: family}, users: {market: SE}}
constraints:
  - {id: push_cap, kind: volume, where: {surface: push}, max: 10%}
  - {id: budget, kind: total, metric: subs, times: discount_eur, max: 30}
experiment:
  holdout: {share: 0.05, salt: h}
  exploration: {share: 0.05, salt: e}
"""
)


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Scores:
    return open_scores(write_scores(tmp_path_factory.mktemp("explain") / "scores", USERS, 3))


@pytest.fixture(scope="module")
def allocation(scores: Scores, tmp_path_factory: pytest.TempPathFactory) -> SavedAllocation:
    folder = tmp_path_factory.mktemp("explain") / "allocation"
    folder.mkdir()
    policy = folder.parent / "policy.yaml"
    policy.write_text(RULES)
    allocate(scores, policy, folder=folder)
    return read_allocation(folder)


@pytest.fixture(scope="module")
def explained(scores: Scores, allocation: SavedAllocation) -> list[Explanation]:
    ids = next(iter(scores.shards())).user_id.to_pylist()
    return [explain(scores, allocation, str(user)) for user in ids[:40]]


def test_what_is_given_is_what_the_rows_say(explained: list[Explanation], allocation: SavedAllocation) -> None:
    rows = allocation.contacts().groupby("user_id")["action"].agg(list)
    for answer in explained:
        assert list(answer.contacts) == rows.get(answer.user, [])
        offers = [offer for slot in answer.slots for offer in slot.offers]
        assert {offer.action for offer in offers if offer.stage == "chosen"} == set(answer.contacts)
        assert len(offers) == 12
        assert all(offer.net == pytest.approx(offer.value - offer.price) for offer in offers)


def test_values_are_those_of_the_rows(explained: list[Explanation], allocation: SavedAllocation) -> None:
    rows = allocation.contacts().set_index(["user_id", "action"])["value"]
    for answer in explained:
        for slot in answer.slots:
            for offer in slot.offers:
                if offer.stage == "chosen":
                    assert offer.value == pytest.approx(rows[answer.user, offer.action])


def test_each_stage_is_true(explained: list[Explanation], scores: Scores) -> None:
    shard = next(iter(scores.shards()))
    eligible = dict(zip(shard.user_id.to_pylist(), shard.eligible_UA, strict=True))
    market = dict(zip(shard.user_id.to_pylist(), shard.segments["market"], strict=True))
    sweden = scores.vocabulary["market"].index("SE")
    seen = set()
    for answer in explained:
        for slot in answer.slots:
            for offer in slot.offers:
                seen.add((offer.stage, offer.rule))
                position = scores.catalogue.ids.index(offer.action)
                forbidden = market[answer.user] == sweden and "family" in offer.action
                may = eligible[answer.user][position] and not forbidden
                assert (offer.stage == "ineligible") == (not may)
                if offer.stage == "ineligible" and eligible[answer.user][position]:
                    assert offer.rule == "no_family"
                if offer.stage == "priced_out":
                    assert offer.net <= 1e-9
                if offer.stage == "beaten" and answer.group == "optimised":
                    assert offer.beaten_by in answer.contacts
    stages = {stage for stage, _ in seen}
    assert stages == {"ineligible", "rule", "priced_out", "beaten", "chosen"}
    assert ("rule", "once_each") in seen or ("rule", "total") in seen


def test_who_is_outside_the_optimiser_is_told_so(scores: Scores, allocation: SavedAllocation) -> None:
    ids = next(iter(scores.shards())).user_id.to_pylist()
    groups = {}
    for user in ids:
        answer = explain(scores, allocation, str(user)) if len(groups) < 3 else None
        if answer is None:
            break
        groups.setdefault(answer.group, answer)
    assert groups.keys() == {"optimised", "held out", "explores"}
    held = groups["held out"]
    assert held.contacts == held.counterfactuals == ()
    assert {offer.rule for slot in held.slots for offer in slot.offers if offer.stage == "rule"} == {
        "experiment.holdout"
    }


def test_an_offer_that_is_worth_so_much_more_is_given(explained: list[Explanation], scores: Scores) -> None:
    """By enumeration of all slates of a listener at the prices: the best with the offer is worth exactly that much less."""
    slots = scores.catalogue.slots
    ids = scores.catalogue.ids
    products = [action["product"] for action in scores.catalogue.actions]
    checked = 0
    for answer in explained:
        offers = {offer.action: offer for slot in answer.slots for offer in slot.offers}
        may = [name for name in ids if offers[name].stage != "ineligible"]

        def allowed(slate: tuple[int, ...]) -> bool:
            apart = len({slots[a] for a in slate}) == len(slate) == len({products[a] for a in slate})
            return apart and len(slate) <= 2 and sum("push" in ids[a] for a in slate) <= 1

        singles = [ids.index(name) for name in may]
        pairs = [(a, b) for a in singles for b in singles if a < b]
        slates = [(), *((a,) for a in singles), *pairs]
        net = {slate: sum(offers[ids[a]].net for a in slate) for slate in slates if allowed(slate)}
        best = max(net.values())
        for found in answer.counterfactuals:
            position = ids.index(found.action)
            with_it = max(value for slate, value in net.items() if position in slate)
            assert found.value_more == pytest.approx(best - with_it, abs=1e-6)
            checked += 1
    assert checked > 50


def test_a_wider_bound_is_tried_before_it_is_told(scores: Scores, allocation: SavedAllocation) -> None:
    policy = policy_of(allocation.folder)
    ids = next(iter(scores.shards())).user_id.to_pylist()
    with Session.open(scores, USERS) as session:
        wider = Wider(session, policy)
        answers = [explain(scores, allocation, str(user), wider) for user in ids[:25]]
        told = [found for answer in answers for found in answer.counterfactuals if found.change is not None]
        assert told
        for found in told:
            ((rule, bound),) = found.change.items()
            assert rule in {"push_cap", "budget"}
            assert f"the max of {rule} were" in found.sentence
            assert bound.keys() == {"max"}


def test_offers_that_few_get_are_explained_and_all_listeners_are_accounted_for(
    scores: Scores, allocation: SavedAllocation
) -> None:
    with Session.open(scores, USERS) as session:
        found = session.price(policy_of(allocation.folder))
        answer = explain_offers(found, filter_from_words({"product": "family"}))
        assert answer.users == USERS
        assert answer.get + sum(cause.users for cause in answer.causes) == pytest.approx(USERS)
        kept = {cause.cause: cause.users for cause in answer.causes if cause.cause != "beaten"}
        swedes = next(iter(scores.shards())).segments["market"] == scores.vocabulary["market"].index("SE")
        assert kept["ineligible"] >= 0.9 * np.sum(swedes)
        with pytest.raises(InputError, match="matches no action"):
            explain_offers(found, filter_from_words({"product": "piano"}))


def test_what_is_written_is_read_back(explained: list[Explanation], tmp_path: Path) -> None:
    (tmp_path / EXPLAIN).write_text(explained[0].text())
    assert Explanation.from_file(tmp_path / EXPLAIN) == explained[0]


def test_a_listener_who_is_not_there_is_told_without_the_id(scores: Scores, allocation: SavedAllocation) -> None:
    with pytest.raises(InputError, match="user: is not among the 600 users") as raised:
        explain(scores, allocation, "987654")
    assert "987654" not in str(raised.value)
    with pytest.raises(InputError, match="user: is no number"):
        explain(scores, allocation, "anna")
