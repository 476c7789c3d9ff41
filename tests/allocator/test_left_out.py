"""Who is left out, against a plain loop over users and actions."""

import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from allocator.allocate import Allocation, allocate
from allocator.formats import LEFT_OUT, LeftOutRecord
from allocator.left_out import MOST_OFFERS, who_is_left_out, write_left_out
from allocator.report.collect import Sources, collect
from allocator.report.page import render
from ranker.scores import Scores, open_scores
from scripts import left_out
from scripts.cli.settings import LeftOutPaths, LeftOutSettings
from tests.allocator.instances import AS_OF, OBJECTIVE, write_scores

USERS = 300
RULES = """experiment:
  holdout: {share: 0.1, salt: a}
eligibility:
  - {id: no_plans, forbid: {family: plan}, users: {market: NO}}
contact:
  - {id: total, max: 2}
  - {id: quiet, max: 0, where: {surface: [push, plan_picker]}, users: {market: [NO, DE]}}
  - {id: once, max: 1, where: {surface: home}, days: 28}
constraints:
  - {id: cap, kind: volume, where: {product: duo}, max: 10%}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scores, Allocation]:
    folder = tmp_path_factory.mktemp("left_out")
    scores = open_scores(write_scores(folder / "scores", USERS, 9))
    ids = pq.read_table(scores.files[0], columns=["user_id"])["user_id"].to_numpy()[::3]
    history = {"user_id": ids, "action": ["home_1/duo"] * len(ids), "date": [AS_OF] * len(ids)}
    (folder / "scores" / "history").mkdir()
    pq.write_table(pa.table(history), folder / "scores" / "history" / "part.parquet")
    (folder / "policy.yaml").write_text(OBJECTIVE + RULES)
    return scores, allocate(scores, folder / "policy.yaml")


def by_hand(scores: Scores, made: Allocation) -> dict[str, object]:
    """Loops over users and actions."""
    (shard,) = scores.shards()
    actions = scores.catalogue.actions
    market = [scores.vocabulary["market"][code] for code in shard.segments["market"]]
    price = made.prices().set_index("constraint")["multiplier"]["cap"]
    got = made.contacts().groupby("user_id").size()
    found: dict[str, object] = {name: 0 for name in ("nothing", "weak", "priced_out", "reached")}
    offers, worthy = np.zeros((2, MOST_OFFERS + 1), int)
    taken = {name: [0, 0] for name in ("scores", "no_plans", "quiet", "once")}
    for user, identity in enumerate(shard.user_id.to_pylist()):
        possible = []
        only: dict[str, int] = {}
        for position, action in enumerate(actions):
            why = [
                name
                for name, holds in {
                    "scores": not shard.eligible_UA[user, position],
                    "no_plans": market[user] == "NO" and action["family"] == "plan",
                    "quiet": market[user] in ("NO", "DE") and action["surface"] in ("push", "plan_picker"),
                    "once": user % 3 == 0 and action["surface"] == "home",
                }.items()
                if holds
            ]
            for name in why:
                taken[name][0] += name == "scores" or bool(shard.eligible_UA[user, position])
            if len(why) == 1:
                only[why[0]] = 1
            if not why:
                possible.append(position)
        for name in only if not possible else ():
            taken[name][1] += 1
        worth = [
            float(shard.mean["revenue"][user, a])
            + 12 * float(shard.mean["subs"][user, a])
            - 25 * float(shard.mean["opt_out"][user, a])
            for a in possible
        ]
        net = [each - price * (actions[a]["product"] == "duo") for each, a in zip(worth, possible, strict=True)]
        offers[min(len(possible), MOST_OFFERS)] += 1
        worthy[min(sum(each > 0 for each in worth), MOST_OFFERS)] += 1
        found["nothing"] += not possible
        found["weak"] += bool(possible) and max(worth) <= 0
        found["priced_out"] += bool(possible) and max(worth) > 0 and max(net) <= 0
        found["reached"] += identity in got.index
    return found | {"offers": offers.tolist(), "worthy": worthy.tolist(), "taken": taken}


def test_counts_are_those_of_a_loop(made: tuple[Scores, Allocation]) -> None:
    scores, allocation = made
    found, wanted = who_is_left_out(allocation.folder, scores), by_hand(*made)
    assert found.users == USERS and 0 < found.held_out < USERS / 5
    for name in ("nothing", "weak", "priced_out", "reached"):
        assert getattr(found, name) == wanted[name], name
    assert found.nothing and found.weak and found.priced_out
    assert [each.users for each in found.offers] == wanted["offers"]
    assert [each.users_worth_more_than_nothing for each in found.offers] == wanted["worthy"]
    told = {each.rule or each.kind: [each.offers, each.users] for each in found.removals}
    assert told == wanted["taken"]


def test_segments_add_up_and_parity_is_the_lowest_over_the_highest(made: tuple[Scores, Allocation]) -> None:
    scores, allocation = made
    found = who_is_left_out(allocation.folder, scores)
    assert sum(each.users for each in found.segments) == USERS
    assert sum(each.contacts for each in found.segments) == allocation.certificate.contacts
    assert sum(each.nothing for each in found.segments) == found.nothing
    (parity,) = found.parity
    shares = {each.value: each.reached / each.users for each in found.segments}
    assert parity.reached_ratio == pytest.approx(min(shares.values()) / max(shares.values()))
    assert parity.reached_least == min(shares, key=lambda value: shares[value]) == "NO"
    assert any(sentence.startswith("By market, ") for sentence in found.sentences)


def test_it_does_not_depend_on_how_the_users_are_cut(
    made: tuple[Scores, Allocation], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, allocation = made
    whole = who_is_left_out(allocation.folder, scores)
    monkeypatch.setattr("allocator.left_out.USERS_PER_STEP", 37)
    assert who_is_left_out(allocation.folder, scores) == whole


def test_it_is_written_and_read_back(made: tuple[Scores, Allocation], tmp_path: Path) -> None:
    scores, allocation = made
    found = write_left_out(allocation.folder, scores, tmp_path)
    assert LeftOutRecord.from_file(tmp_path / LEFT_OUT) == found
    assert found.sentences[0].startswith(f"Of {USERS} users {found.nothing} (")


def test_the_report_has_a_section_of_it(made: tuple[Scores, Allocation]) -> None:
    scores, allocation = made
    found = who_is_left_out(allocation.folder, scores)
    text = " ".join(re.sub(r"<[^>]+>", " ", render(collect(Sources(allocation.folder, scores.path)))).split())
    assert "Who is left out" in text and " ".join(found.sentences[0].split()) in text
    norway = next(each for each in found.segments if each.value == "NO")
    assert f"market NO {norway.users} {norway.nothing} {norway.weak} {norway.priced_out} " in text
    assert all(each.sentence in text for each in found.removals)


def test_a_report_without_prices_goes_without_it(made: tuple[Scores, Allocation], tmp_path: Path) -> None:
    scores, allocation = made
    shutil.copytree(allocation.folder, tmp_path / "allocation")
    (tmp_path / "allocation" / "prices.json").unlink()
    page = render(collect(Sources(tmp_path / "allocation", scores.path)))
    assert "Exposure, lowest against highest" not in page
    assert "Users without an offer" in page, "what the allocation alone tells"


def test_the_command_writes_it_whole_and_says_it(
    made: tuple[Scores, Allocation], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, allocation = made
    paths = LeftOutPaths(allocation=allocation.folder, scores=scores.path, out=tmp_path / "left_out")
    left_out.main(LeftOutSettings.model_construct(paths=paths))
    found = LeftOutRecord.from_file(tmp_path / "left_out" / LEFT_OUT)
    assert capsys.readouterr().out.splitlines() == list(found.sentences)
    assert found == who_is_left_out(allocation.folder, scores)
