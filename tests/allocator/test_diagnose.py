"""Contradictions: the conflict named is smallest, and each repair makes the constraints hold together."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from allocator.diagnose import Diagnosis, diagnose
from allocator.problem import Problem
from allocator.solve.exact import solve_exact
from allocator.solve.settings import SolveSettings
from allocator.solve.solution import Unsolvable
from allocator.solve.solver import free_users, solve
from tests.allocator.instances import CONTACT, Case, make_case

USERS = 90
SETTINGS = SolveSettings(method="prices", gap=1e-3, nodes=100, core_users=50)


def seeded_conflict(path: Path, seed: int) -> Case:
    """One of several ways for constraints to contradict each other, among others that do not matter."""
    generator = np.random.default_rng([seed, 5])
    low, high = int(generator.integers(30, 45)), int(generator.integers(10, 25))
    ways = [
        f"""  - {{id: push_cap, kind: volume, where: {{surface: push}}, max: {high}}}
  - {{id: push_floor, kind: volume, where: {{surface: push}}, min: {low}}}
""",
        f"""  - {{id: push_cap, kind: volume, where: {{surface: push}}, max: {high}}}
  - {{id: books, kind: volume, where: {{surface: push, product: books}}, min: {high - 3}}}
  - {{id: duo, kind: volume, where: {{surface: push, product: duo}}, min: {high - 3}}}
""",
        f"""  - {{id: plans, kind: share, where: {{family: plan}}, of: {{surface_kind: discovery}}, max: 0.2}}
  - {{id: home_duo, kind: volume, where: {{surface: home, product: duo}}, min: {low}}}
  - {{id: home_cap, kind: volume, where: {{surface: home}}, max: {low + 5}}}
""",
        f"""  - {{id: budget, kind: total, metric: subs, times: discount_eur, max: 0.05}}
  - {{id: family, kind: volume, where: {{product: family}}, min: {low + 10}}}
""",
        f"  - {{id: too_many, kind: volume, where: {{product: books}}, users: {{market: SE}}, min: {2 * USERS}}}\n",
    ]
    others = """  - {id: idle_cap, kind: volume, where: {surface: plan_picker}, max: 80}
  - {id: idle_soft, kind: volume, where: {product: duo}, min: 50, strength: {soft: 0.01}}
"""
    return make_case(path, USERS, seed, CONTACT + "constraints:\n" + ways[seed % len(ways)] + others)


def explained(case: Case) -> Diagnosis:
    with pytest.raises(Unsolvable) as caught:
        solve(case.problem, case.data, case.explored[:2], SETTINGS)
    return diagnose(case.problem, case.data, case.explored[:2], SETTINGS, caught.value)


def can_hold(case: Case, problem: Problem) -> bool:
    """The oracle: an integer programme over all pairs."""
    users = free_users(problem, case.data, case.explored[:2])
    try:
        solve_exact(users, SolveSettings(nodes=20_000), np.ones(len(problem.rows)))
    except Unsolvable:
        return False
    return True


def check(case: Case) -> None:
    diagnosis = explained(case)
    conflict = [m for m in case.problem.measured if m.rule.id in diagnosis.conflict]
    assert len(conflict) == len(diagnosis.conflict) > 0
    assert not can_hold(case, case.problem.with_measured(conflict)), "the conflict is one"
    for left_out in conflict:
        rest = [m for m in conflict if m is not left_out]
        assert can_hold(case, case.problem.with_measured(rest)), f"without {left_out.rule.id} the rest holds"
    assert diagnosis.repairs, "there is a way out"
    for repair in diagnosis.repairs:
        (name, change), *_ = repair.changes.items()
        mended = [
            replace(m, low=change.get("min", m.low), high=change.get("max", m.high)) if m.rule.id == name else m
            for m in case.problem.measured
        ]
        assert can_hold(case, case.problem.with_measured(mended)), repair.sentence


@pytest.mark.parametrize("seed", range(5))
def test_conflicts_are_smallest_and_repairs_work(tmp_path: Path, seed: int) -> None:
    check(seeded_conflict(tmp_path, seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5, 50))
def test_forty_five_more_conflicts(tmp_path: Path, seed: int) -> None:
    check(seeded_conflict(tmp_path, seed))


def test_the_least_change_is_the_least(tmp_path: Path) -> None:
    case = seeded_conflict(tmp_path, 0)
    by_id = {measured.rule.id: measured for measured in case.problem.measured}
    low, high = by_id["push_floor"], by_id["push_cap"]
    changes = {name: change for repair in explained(case).repairs for name, change in repair.changes.items()}
    assert changes == {"push_floor": {"min": high.high}, "push_cap": {"max": low.low}}
