"""The greedy baselines against a plain loop over sorted contacts."""

from pathlib import Path

import numpy as np
import pytest

from allocator.solve.dual import slate_usage
from allocator.solve.exact import eligible_pairs
from allocator.solve.greedy import greedy
from allocator.solve.prices import measure_scale
from tests.allocator.instances import CONTACT, Case, make_case

RULES = (
    CONTACT
    + """constraints:
  - {id: push_cap, kind: volume, where: {surface: push}, max: 20%}
  - {id: budget, kind: total, metric: subs, times: discount_eur, max: 3.0}
  - {id: plans, kind: share, where: {family: plan}, of: {surface_kind: discovery}, max: 0.9}
"""
)


def by_hand(case: Case) -> dict[int, set[int]]:
    """Best contact first; a contact is skipped where it breaks a contact rule or an upper bound of a volume or total."""
    users = case.users
    pairs, contact = eligible_pairs(users), case.problem.contact
    capped = [
        r
        for r in range(len(users.limit_R))
        if case.problem.measured[case.problem.rows.constraint_R[r]].denominator is None
    ]
    left_R, slates = users.limit_R.copy(), {u: set() for u in range(len(users.data))}
    for n in np.argsort(-pairs.value_N.astype(np.float32), kind="stable"):
        user, action = int(pairs.user_N[n]), int(pairs.action_N[n])
        wanted = slates[user] | {action}
        chosen = np.isin(np.arange(len(contact.slot_A)), list(wanted))
        slots_apart = len({contact.slot_A[a] for a in wanted}) == len(wanted)
        keeps = slots_apart and ((contact.member_CA & chosen).sum(axis=1) <= contact.capacity_C).all()
        if pairs.value_N[n] > 0 and keeps and (pairs.usage_NR[n, capped] <= left_R[capped] + 1e-12).all():
            slates[user] = wanted
            left_R -= pairs.usage_NR[n]
    return slates


@pytest.mark.parametrize("seed", range(4))
def test_greedy_takes_the_best_contact_that_fits(tmp_path: Path, seed: int) -> None:
    case = make_case(tmp_path, 80, seed, RULES)
    taken = greedy(case.users, measure_scale(case.users, np.random.default_rng(0)))
    assert {u: {int(a) for a in slate if a >= 0} for u, slate in enumerate(taken.slate_UK)} == by_hand(case)
    used_R = slate_usage(case.users, np.arange(80), taken.slate_UK).sum(axis=0)
    assert taken.feasible == bool((used_R <= case.users.limit_R + 1e-9).all())


def test_value_per_cost_prefers_contacts_that_leave_room(tmp_path: Path) -> None:
    case = make_case(tmp_path, 300, 9, RULES)
    scale = measure_scale(case.users, np.random.default_rng(0))
    plain, thrifty = greedy(case.users, scale), greedy(case.users, scale, per_cost=True)
    spent = [slate_usage(case.users, np.arange(300), g.slate_UK).sum(axis=0)[1] for g in (plain, thrifty)]
    contacts = [(g.slate_UK >= 0).sum() for g in (plain, thrifty)]
    assert contacts[1] / spent[1] > contacts[0] / spent[0]
