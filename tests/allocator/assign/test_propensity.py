"""Marginal propensities are the frequencies with which users get contacts when holdout and exploration are drawn again and again."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from allocator.allocation import ContactRows, assemble
from allocator.assign.fallback import assign_fallbacks
from allocator.assign.preassigned import preassign
from allocator.assign.propensity import CounterfactualSlates, counterfactual_slates
from allocator.certify.contacts import SOURCES
from allocator.policy.grammar import Experiment, Share
from allocator.problem import Problem
from allocator.solve.settings import SolveSettings
from allocator.solve.slates import NONE
from allocator.solve.solver import free_users, solve
from allocator.users import EXPLORATION, FREE, HOLDOUT, Data, group_of
from tests.allocator.instances import CONTACT, Case, make_case

HELD, EXPLORES = 0.1, 0.3
ROUGH = SolveSettings(gap=1e-2, method="prices", core_users=200)


@dataclass(frozen=True)
class Drawn:
    """An allocation under salts of its own, and who is in which group."""

    group_U: np.ndarray
    allocation: ContactRows

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        return self.allocation.contacts.user_N, self.allocation.contacts.action_N

    @property
    def explored_N(self) -> np.ndarray:
        return self.allocation.contacts.source_N == SOURCES.index("exploration")


def drawn_again(case: Case, times: int) -> Iterator[Drawn]:
    """Allocations of the same users under other salts, all else being equal."""
    for time in range(times):
        shares = {"holdout": (HELD, f"h{time}"), "exploration": (EXPLORES, f"e{time}")}
        experiment = Experiment(**{name: Share(share=share, salt=salt) for name, (share, salt) in shares.items()})
        policy = case.policy.model_copy(update={"experiment": experiment})
        yield allocated(replace(case.problem, policy=policy), case.data)


def allocated(problem: Problem, data: Data) -> Drawn:
    data, preassigned = preassign(problem, replace(data, group_U=group_of(problem.policy, data.user_id)))
    solution = solve(problem, data, preassigned.fixed, ROUGH)
    users = free_users(problem, data, preassigned.fixed)
    fallbacks = assign_fallbacks(
        problem, data, preassigned, solution.slate_UK, counterfactual_slates(users, solution.price_R)
    )
    return Drawn(data.group_U, assemble(users, solution.price_R, preassigned, fallbacks))


def test_where_no_constraint_binds_contacts_are_as_frequent_as_is_said(tmp_path: Path) -> None:
    users, times = 50, 200
    rules = """risk: {z: 3.1}
pinned: [{id: welcome, users: {market: "NO"}, action: push_1/duo}]
fallback: {action: [home_1/books, push_1/books], users: {market: SE}}
"""
    case = make_case(tmp_path, users, 1, rules + CONTACT, stderr=True)
    eligible_UA = case.data.eligible_UA
    count_UA, chance_UA = np.zeros(eligible_UA.shape), np.full(eligible_UA.shape, np.nan)
    pinned_UA, sources = np.zeros(eligible_UA.shape, bool), np.zeros(len(SOURCES), int)
    for drawn in drawn_again(case, times):
        known_N = count_UA[drawn.pairs] > 0
        assert (chance_UA[drawn.pairs][known_N] == drawn.allocation.marginal_N[known_N]).all(), "whatever the draw"
        chance_UA[drawn.pairs] = drawn.allocation.marginal_N
        count_UA[drawn.pairs] += 1
        source_N = drawn.allocation.contacts.source_N
        pinned_UA[tuple(each[source_N == SOURCES.index("pinned")] for each in drawn.pairs)] = True
        sources += np.bincount(source_N, minlength=len(SOURCES))
    assert (sources > 100).all()
    assert chance_UA[pinned_UA] == pytest.approx(0.9)
    explored_UA = np.broadcast_to(0.9 * 0.3 / (eligible_UA.sum(axis=1, keepdims=True) + 1), eligible_UA.shape)
    others_UA = eligible_UA & ~pinned_UA.any(axis=1, keepdims=True)
    chance_UA = np.where(others_UA & np.isnan(chance_UA), explored_UA, chance_UA)  # a few were never drawn
    over_UA = chance_UA - explored_UA
    assert (np.isclose(over_UA, 0.9 * 0.7) | np.isclose(over_UA, 0.0))[others_UA].all()
    possible_UA = others_UA | pinned_UA
    assert (count_UA[~possible_UA] == 0).all()
    chance_N, count_N = chance_UA[possible_UA], count_UA[possible_UA]
    z_N = (count_N - times * chance_N) / np.sqrt(times * chance_N * (1 - chance_N))
    assert np.abs(z_N).max() < 4
    assert (z_N**2).mean() == pytest.approx(1, abs=0.2)


def test_where_constraints_bind_inverse_chances_find_what_is_there(tmp_path: Path) -> None:
    """Weighted by inverse chances, contacts count the eligible pairs; chances within the arm that was drawn do not."""
    users, times = 2_000, 12
    rules = """constraints:
  - {id: push_cap, kind: volume, where: {surface: push}, max: 15%}
  - {id: budget, kind: total, metric: subs, times: discount_eur, max: 40}
"""
    case = make_case(tmp_path, users, 1, CONTACT + rules)
    count_T, within_T, told = [], [], []
    chosen_UA, free_U = np.zeros(case.data.eligible_UA.shape), np.zeros(users)
    for drawn in drawn_again(case, times):
        marginal_N, explored_N = drawn.allocation.marginal_N, drawn.explored_N
        count_T.append((1 / marginal_N).sum())
        within_T.append((1 / drawn.allocation.propensity_N).sum())
        user_N, action_N = drawn.pairs
        chosen_UA[user_N[~explored_N], action_N[~explored_N]] += 1
        free_U += drawn.group_U == FREE
        told.append((user_N[explored_N], action_N[explored_N], marginal_N[explored_N] > 0.5))
    error = np.std(count_T, ddof=1) / np.sqrt(times)
    pairs = case.data.eligible_UA.sum()
    assert np.mean(count_T) == pytest.approx(pairs, abs=2.5 * error)
    assert error < 0.01 * pairs
    assert np.mean(within_T) < pairs - 10 * error
    user_N, action_N, told_N = (np.concatenate(each) for each in zip(*told, strict=True))
    often_N = chosen_UA[user_N, action_N] / free_U[user_N]
    assert often_N[told_N].mean() > 0.9, (
        "counterfactual slates of users who explore are theirs when free, but near ties"
    )
    assert often_N[~told_N].mean() < 0.02


def test_whoever_explores_is_asked_in_turn_what_it_would_fall_back_on(tmp_path: Path) -> None:
    rules = """experiment:
  holdout: {share: 0.1, salt: h}
  exploration: {share: 0.3, salt: e}
fallback: {action: [push_1/duo, home_1/books], users: {market: [SE, DE]}}
constraints: [{id: push_cap, kind: volume, where: {surface: push}, max: 60}]
"""
    case = make_case(tmp_path, 400, 2, rules)
    data, preassigned = preassign(case.problem, case.data)
    ids, slots = case.problem.catalogue.ids, case.problem.catalogue.slots
    nothing_UK = np.full((400, 4), NONE, np.int16)
    user_E = np.flatnonzero(data.group_U == EXPLORATION)
    fallbacks = assign_fallbacks(
        case.problem, data, preassigned, nothing_UK, CounterfactualSlates(user_E, nothing_UK[user_E])
    )
    room = 60 - sum(slots[action] == "push_1" for action in preassigned.action_N)
    markets = [case.problem.classes.records[klass]["market"] for klass in data.class_U]
    got, turned_away = np.full(400, NONE), 0
    for user in range(400):
        if markets[user] == "NO" or data.group_U[user] == HOLDOUT:
            continue
        for name in ("push_1/duo", "home_1/books"):
            full = name == "push_1/duo" and room == 0
            turned_away += full and data.group_U[user] == EXPLORATION
            if data.eligible_UA[user, ids.index(name)] and not full:
                got[user] = ids.index(name)
                room -= name == "push_1/duo" and data.group_U[user] == FREE
                break
    free_U = data.group_U == FREE
    np.testing.assert_array_equal(fallbacks.slate_UK[:, 0], np.where(free_U, got, NONE))
    np.testing.assert_array_equal(fallbacks.counterfactual.slate_EK[:, 0], got[user_E])
    assert (room, fallbacks.left_without) == (0, (free_U & (got == NONE) & (np.array(markets) != "NO")).sum())
    assert turned_away > 10
    assert (got[user_E] == ids.index("push_1/duo")).sum() > 5
