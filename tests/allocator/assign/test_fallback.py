"""Fallbacks go to those who were chosen nothing, as far as the constraints allow, and the judge works them out again."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from allocator.policy.experiment import exploring, held_out
from scripts import allocate
from tests.allocator.assign.runs import failures_once_bent, policy_of, rows_of
from tests.allocator.instances import catalogue, write_scores

USERS = 400
IDS = catalogue().ids
BOOKS = """experiment:
  holdout: {share: 0.1, salt: h}
  exploration: {share: 0.1, salt: e}
eligibility: [{id: books, forbid: {not: {product: books, surface: [home, push]}}}]
contact: [{id: one, max: 1}]
"""
FALLBACK = """fallback: {action: [push_1/books, home_1/books], users: {market: [SE, NO]}}
"""


def test_a_fallback_goes_to_those_who_got_nothing_as_far_as_the_constraints_allow(
    tmp_path: Path, settings_for: Callable
) -> None:
    write_scores(tmp_path / "scores", USERS, 1)
    before = allocate.run(settings_for(tmp_path, BOOKS)).certificate
    without = rows_of(tmp_path / "out")
    pushes = int(without["action"].eq("push_1/books").sum())
    cap = f"constraints: [{{id: push, kind: volume, where: {{surface: push}}, max: {pushes + 3}}}]\n"
    result = allocate.run(settings_for(tmp_path, BOOKS + FALLBACK + cap))
    rows, users, policy = rows_of(tmp_path / "out"), rows_of(tmp_path / "scores"), policy_of(tmp_path)
    ids = users["user_id"].to_numpy()
    closed = set(ids[held_out(policy, ids) | exploring(policy, ids)]) | set(without["user_id"])
    wanted, left, room = [], 0, 3
    for user in users.itertuples():
        if user.user_id in closed or user.market == "DE":
            continue
        eligible = [name for name in ("push_1/books", "home_1/books") if user.eligible[IDS.index(name)]]
        fitting = [name for name in eligible if name != "push_1/books" or room]
        wanted += [(user.user_id, name) for name in fitting[:1]]
        room -= fitting[:1] == ["push_1/books"]
        left += not fitting
    fell = rows[rows["source"] == "fallback"]
    assert list(zip(fell["user_id"], fell["action"], strict=True)) == wanted
    assert room == 0 < left
    assert len(wanted) > 3
    told = result.certificate
    assert told.fallback is not None and told.fallback.content() == {
        "contacts": len(fell),
        "value": pytest.approx(fell["value"].sum()),
        "left_without": left,
    }
    assert told.value == pytest.approx(before.value + fell["value"].sum())
    assert (told.bound, told.constraints[0].slack) == (pytest.approx(before.bound), 0)
    assert result.audit.clean


def test_a_fallback_with_room_reaches_everyone_who_can_have_it(tmp_path: Path, settings_for: Callable) -> None:
    write_scores(tmp_path / "scores", USERS, 2)
    free = "objective: [{metric: opt_out, weight: -1.0}]\nfallback: {action: [home_1/books, push_1/duo]}\n"
    settings = settings_for(tmp_path, "")
    settings.paths.policy.write_text("version: 1\n" + free)
    result = allocate.run(settings)
    rows, users = rows_of(tmp_path / "out"), rows_of(tmp_path / "scores")
    for user in users.itertuples():
        got = rows[rows["user_id"] == user.user_id]["action"].tolist()
        wanted = [name for name in ("home_1/books", "push_1/duo") if user.eligible[IDS.index(name)]]
        assert got == wanted[:1]
    assert rows["source"].eq("fallback").all()
    assert result.certificate.value < 0 <= result.certificate.bound
    assert result.audit.clean


@pytest.mark.parametrize(
    ("bend", "named"),
    [
        (lambda rows: rows.assign(source=rows["source"].replace("optimised", "fallback")), "fallback"),
        (lambda rows: rows.drop(rows.index[rows["source"] == "fallback"]), "certificate fallback.contacts"),
        (lambda rows: rows.drop(rows.index[rows["source"] == "fallback"]), "certificate fallback.left_without"),
    ],
)
def test_the_judge_sees_a_bent_fallback(tmp_path: Path, settings_for: Callable, bend: Callable, named: str) -> None:
    write_scores(tmp_path / "scores", 120, 1)
    rules = """experiment: {holdout: {share: 0.05, salt: h}}
contact: [{id: one, max: 1}]
pinned: [{id: all, users: {market: SE}, action: push_1/duo}]
fallback: {action: home_1/books, users: {market: "NO"}}
constraints:
  - {id: few, kind: volume, where: {product: [duo, family]}, max: 40}
  - {id: books, kind: volume, where: {product: books, not: {surface: home}}, max: 5}
"""
    allocate.run(settings_for(tmp_path, rules))
    assert named in failures_once_bent(tmp_path, bend)
    assert json.loads((tmp_path / "out" / "certificate.json").read_text())["fallback"]["contacts"] > 0
