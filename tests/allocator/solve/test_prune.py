"""What is worth nothing is not sent beyond what a rule asks for, and what is there for a rule alone is told."""

from pathlib import Path

import numpy as np
import pytest

from allocator.solve.dual import total_usage, value_of
from allocator.solve.prune import prune
from allocator.solve.solver import free_users
from tests.allocator.instances import Case, make_case

USERS = 60


def everybody_in_two_slots(case: Case) -> np.ndarray:
    """Every user gets the first eligible action of the first slot and of the second."""
    slate_UK = np.full((USERS, case.users.rules.most), -1, np.int16)
    slot_A = case.problem.contact.slot_A
    for user in range(USERS):
        chosen = [
            np.flatnonzero(case.data.eligible_UA[user] & (slot_A == slot))[:1] for slot in (0, 1)
        ]  # fmt: skip
        actions = np.concatenate(chosen)
        slate_UK[user, : len(actions)] = actions
    return slate_UK


def worthless(case: Case, slate_UK: np.ndarray) -> int:
    user_N, k_N = np.nonzero(slate_UK >= 0)
    action_N = slate_UK[user_N, k_N].astype(int)
    value_N = (case.data.planes_UPA[user_N, :, action_N] * case.problem.value_PA[:, action_N].T).sum(axis=1)
    return int((value_N <= 0).sum())


def test_without_rules_nothing_worthless_stays(tmp_path: Path) -> None:
    case = make_case(tmp_path, USERS, 1, "contact:\n  - {id: total, max: 2}\n")
    before = everybody_in_two_slots(case)
    after = prune(case.users, before)
    assert worthless(case, before) > 5 and worthless(case, after) == 0
    assert value_of(case.users, after) > value_of(case.users, before)
    assert ((after >= 0).sum(axis=1) <= (before >= 0).sum(axis=1)).all()
    assert (np.sort(after >= 0, axis=1)[:, ::-1] == (after >= 0)).all(), "slates have no holes"


@pytest.mark.parametrize("floor", [80, 100])
def test_a_floor_keeps_as_many_as_it_asks_for(tmp_path: Path, floor: int) -> None:
    rules = f"contact:\n  - {{id: total, max: 2}}\nconstraints:\n  - {{id: floor, kind: volume, min: {floor}}}\n"
    case = make_case(tmp_path, USERS, 1, rules)
    before = everybody_in_two_slots(case)
    after = prune(case.users, before)
    positive = int((before >= 0).sum()) - worthless(case, before)
    assert (after >= 0).sum() == max(floor, positive)
    assert (total_usage(case.users, after) <= free_users(case.problem, case.data, case.explored[:2]).limit_R).all()


def test_a_soft_floor_keeps_what_its_penalty_pays_for(tmp_path: Path) -> None:
    rules = "constraints:\n  - {id: floor, kind: volume, min: 200, strength: {soft: PENALTY}}\n"
    for penalty, kept in (("1000.0", True), ("0.0", False)):
        path = tmp_path / penalty
        path.mkdir()
        case = make_case(path, USERS, 1, "contact:\n  - {id: total, max: 2}\n" + rules.replace("PENALTY", penalty))
        before = everybody_in_two_slots(case)
        assert (worthless(case, prune(case.users, before)) == worthless(case, before)) is kept
