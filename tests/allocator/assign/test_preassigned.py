"""Pinned contacts are exactly those of the rules, count in every constraint, and the judge works them out again."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from allocator.infeasible.diagnosis import Infeasible
from allocator.policy.experiment import exploring, held_out
from allocator.policy.grammar import Policy
from scripts import allocate
from tests.allocator.assign.runs import failures_once_bent, policy_of, rows_of
from tests.allocator.instances import catalogue, random_rules, write_scores

USERS = 400
IDS = catalogue().ids
EXPERIMENT = """experiment:
  holdout: {share: 0.1, salt: h}
  exploration: {share: 0.1, salt: e}
"""
PINNED = """pinned:
  - {id: welcome, users: {market: SE}, action: push_1/duo}
  - {id: second_push, users: {market: [SE, DE]}, action: push_1/books}
  - {id: same_product, users: {market: SE}, action: home_1/duo}
  - {id: more, users: {market: SE}, action: home_1/books, label: books on home}
  - {id: one_too_many, users: {market: SE}, action: picker_1/family}
"""


def expected(users: pd.DataFrame, policy: Policy) -> Iterator[tuple[int, str]]:
    """The pinned contacts by plain loops: one action per slot, one per product, at most two, none for those held out."""
    held_U = held_out(policy, users["user_id"].to_numpy())
    for user, held in zip(users.itertuples(), held_U, strict=True):
        got: list[str] = []
        for rule in policy.pinned:
            slot, product = rule.action.split("/")
            taken = any(slot in other.split("/") or product in other.split("/") for other in got)
            eligible = user.eligible[IDS.index(rule.action)]
            if rule.users.matches({"market": user.market}) and eligible and not (held or taken or len(got) == 2):
                got.append(rule.action)
        yield from ((user.user_id, action) for action in got)


@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (0, 3, 5, 6))])
def test_pinned_contacts_are_those_of_the_rules_and_nothing_else_for_their_users(
    tmp_path: Path, settings_for: Callable, seed: int
) -> None:
    write_scores(tmp_path / "scores", USERS, seed)
    drawn = [line for line in random_rules(seed, USERS).splitlines() if "push_cap" not in line]  # pins would break it
    rules = EXPERIMENT + PINNED + "\n".join(drawn) + "\n"
    method = "prices" if seed % 2 else "exact"
    result = allocate.run(settings_for(tmp_path, rules, method=method))
    policy, users = policy_of(tmp_path), rows_of(tmp_path / "scores")
    rows = rows_of(tmp_path / "out")
    pinned = rows[rows["source"] == "pinned"]
    wanted = sorted(expected(users, policy))
    assert sorted(zip(pinned["user_id"], pinned["action"], strict=True)) == wanted
    assert pinned["propensity"].eq(1.0).all()
    assert rows[rows["user_id"].isin(pinned["user_id"])]["source"].eq("pinned").all()
    explores = users["user_id"][exploring(policy, users["user_id"].to_numpy())]
    assert rows[rows["source"] == "exploration"]["user_id"].isin(set(explores) - set(pinned["user_id"])).all()
    assert result.audit.clean
    assert result.certificate.value <= result.certificate.bound + 1e-9
    assert sum(each.contacts for each in result.certificate.pinned) == len(wanted) > 0


def test_what_is_pinned_counts_in_every_constraint(tmp_path: Path, settings_for: Callable) -> None:
    write_scores(tmp_path / "scores", USERS, 1)
    pin = "pinned: [{id: all, users: {market: SE}, action: push_1/duo}]\n"
    allocate.run(settings_for(tmp_path, pin))
    count = int((rows_of(tmp_path / "out")["source"] == "pinned").sum())
    cap = "constraints: [{{id: cap, kind: volume, where: {{surface: push}}, max: {most}}}]\n"
    result = allocate.run(settings_for(tmp_path, pin + cap.format(most=count + 5), method="prices"))
    assert result.certificate.constraints[0].achieved == count + 5
    with pytest.raises(Infeasible) as caught:
        allocate.run(settings_for(tmp_path, pin + cap.format(most=count - 1), method="prices"))
    assert "cap" in caught.value.diagnosis.conflict


@pytest.mark.parametrize(
    ("bend", "named"),
    [
        (lambda rows: rows.drop(rows.index[rows["source"] == "pinned"][0]), "pinned"),
        (lambda rows: rows.assign(source=rows["source"].replace("pinned", "optimised")), "pinned"),
        (lambda rows: rows.assign(source=rows["source"].replace("optimised", "pinned")), "pinned"),
        (lambda rows: rows.assign(marginal_propensity=rows["propensity"]), "marginal_propensity"),
    ],
)
def test_the_judge_sees_what_was_bent(tmp_path: Path, settings_for: Callable, bend: Callable, named: str) -> None:
    write_scores(tmp_path / "scores", 120, 1)
    rules = """experiment: {holdout: {share: 0.05, salt: h}}
contact: [{id: one, max: 1}]
pinned: [{id: all, users: {market: SE}, action: push_1/duo}]
constraints: [{id: few, kind: volume, where: {product: [duo, family]}, max: 40}]
"""
    allocate.run(settings_for(tmp_path, rules))
    assert named in failures_once_bent(tmp_path, bend)
