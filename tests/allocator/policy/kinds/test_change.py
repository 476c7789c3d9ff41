"""A change is limited against what an earlier allocation gave to users who are still there, and the judge recounts it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from allocator.audit.judge import audit
from allocator.policy.kinds.change import Change
from allocator.policy.reader import policy_for
from allocator.previous_contacts import contacts_before, read_previous
from ranker.scores import InputError, open_scores
from scripts import allocate
from tests.allocator.instances import CONTACT, OBJECTIVE, write_scores

USERS = 400
STEADY = (
    CONTACT
    + """constraints:
  - {id: steady, kind: change, where: {surface: push}, users: {market: [SE, NO]}, max: 20%}
"""
)


def pushes(folder: Path, scores: Path) -> int:
    """Contacts by push of users of SE and NO who are in the scores, by joining tables."""
    rows = pd.concat(pd.read_parquet(file) for file in folder.glob("*.parquet"))
    people = pd.concat(pd.read_parquet(file, columns=["user_id", "market"]) for file in scores.glob("*.parquet"))
    joined = rows.merge(people, on="user_id")
    return int((joined["action"].str.startswith("push") & joined["market"].isin(["SE", "NO"])).sum())


@pytest.mark.parametrize("part", [0.0, 0.2, 2.0])
@pytest.mark.parametrize("before", [0, 1, 7, 100])
def test_the_limits_are_the_whole_numbers_inside(before: int, part: float) -> None:
    low, high = Change(id="c", max=part).limits(0, before)
    inside = [n for n in range(400) if before * (1 - part) - 1e-9 <= n <= before * (1 + part) + 1e-9]
    assert (low, high) == (inside[0], inside[-1])


@pytest.mark.parametrize("words", [False, True])
def test_a_volume_changes_by_no_more_than_was_allowed(tmp_path: Path, settings_for: Callable, words: bool) -> None:
    write_scores(tmp_path / "scores", USERS, 1, words=words)
    rules = CONTACT + "constraints:\n  - {id: few, kind: volume, where: {surface: push}, max: 60}\n"
    allocate.run(settings_for(tmp_path, rules))
    (tmp_path / "out").rename(tmp_path / "earlier")
    before = pushes(tmp_path / "earlier", tmp_path / "scores")
    assert before > 5
    result = allocate.run(settings_for(tmp_path, STEADY, previous=tmp_path / "earlier"))
    record = result.certificate.constraints[0]
    assert (record.kind, record.min, record.max) == ("change", np.ceil(before * 0.8), np.floor(before * 1.2))
    assert record.achieved == pushes(tmp_path / "out", tmp_path / "scores") == record.max
    assert result.audit.clean


def test_users_and_actions_that_are_gone_count_out(tmp_path: Path) -> None:
    scores = open_scores(write_scores(tmp_path / "scores", 10, 1))
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    rows = [(3, "push_1/duo"), (10, "push_1/duo"), (10, "home_1/duo"), (17, "push_1/gone"), (4, "push_1/duo")]
    pd.DataFrame(rows, columns=["user_id", "action"]).to_parquet(earlier / "part-0.parquet")
    count_SA = contacts_before(read_previous(scores, earlier), scores, lambda shard: np.zeros(len(shard), np.int32), 1)
    counted = {scores.catalogue.ids[a]: int(n) for a, n in enumerate(count_SA[0]) if n}
    assert counted == {"push_1/duo": 2, "home_1/duo": 1}


def test_without_an_earlier_allocation_it_is_refused(tmp_path: Path, settings_for: Callable) -> None:
    write_scores(tmp_path / "scores", USERS, 1)
    with pytest.raises(
        InputError, match=r"steady\.kind: 'change' compares with an earlier allocation: it needs previous="
    ):
        allocate.run(settings_for(tmp_path, STEADY))
    (tmp_path / "earlier").mkdir()
    (tmp_path / "earlier" / "prices.json").write_text('{"rows": []}')
    with pytest.raises(InputError, match=r"earlier: there are no \*\.parquet files"):
        allocate.run(settings_for(tmp_path, STEADY, previous=tmp_path / "earlier"))


def test_the_judge_compares_with_the_allocation_it_is_given(tmp_path: Path, settings_for: Callable) -> None:
    write_scores(tmp_path / "scores", USERS, 1)
    allocate.run(settings_for(tmp_path, CONTACT))
    (tmp_path / "out").rename(tmp_path / "earlier")
    allocate.run(settings_for(tmp_path, STEADY, previous=tmp_path / "earlier"))
    scores = open_scores(tmp_path / "scores")
    (tmp_path / "policy.yaml").write_text(OBJECTIVE + STEADY)
    policy = policy_for(tmp_path / "policy.yaml", {}, scores, previous=True)
    fewer = tmp_path / "fewer"
    fewer.mkdir()
    rows = pd.concat(pd.read_parquet(file) for file in (tmp_path / "earlier").glob("*.parquet"))
    rows[::3].to_parquet(fewer / "part-0.parquet")
    judged = {path: audit(scores.path, policy, tmp_path / "out", path) for path in (tmp_path / "earlier", fewer, None)}
    assert judged[tmp_path / "earlier"].clean
    assert "constraint steady" in {check.name for check in judged[fewer].failures}
    assert "none to read" in judged[None].failures[0].detail
    assert json.loads((tmp_path / "out" / "audit.json").read_text())["clean"]
