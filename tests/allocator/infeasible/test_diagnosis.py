"""Contradictions: the conflict named is smallest, and each repair makes the constraints hold together."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from allocator.formats import Repair
from allocator.infeasible.counting import preflight
from allocator.infeasible.diagnosis import Diagnosis, contradiction, diagnose
from allocator.infeasible.repairs import outwards_rounded
from allocator.policy.reader import policy_for
from allocator.problem import Problem, build_problem
from allocator.solve.exact import eligible_pairs, solve_exact
from allocator.solve.settings import SolveSettings
from allocator.solve.solution import Unsolvable
from allocator.solve.solver import free_users, solve
from allocator.users import load_data
from ranker.scores import open_scores
from tests.allocator.instances import CONTACT, Case, make_case
from tests.allocator.shapes import Instance
from tests.seeds import seeds

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


def mended(case: Case, repair: Repair) -> Problem:
    """The problem with all bounds of the repair changed."""
    changed = [(each, repair.changes.get(each.rule.id, {})) for each in case.problem.measured]
    return case.problem.with_measured(
        [replace(each, low=new.get("min", each.low), high=new.get("max", each.high)) for each, new in changed]
    )


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
        assert can_hold(case, mended(case, repair)), repair.sentence


@pytest.mark.parametrize("seed", seeds(5, quick=2))
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
    repairs = [dict(repair.changes) for repair in explained(case).repairs]
    singles = [changes for changes in repairs if len(changes) == 1]
    assert sorted(singles, key=str) == [{"push_cap": {"max": low.low}}, {"push_floor": {"min": high.high}}]
    (shared,) = (changes for changes in repairs if len(changes) == 2)
    assert high.high < shared["push_cap"]["max"] == shared["push_floor"]["min"] < low.low, "they meet half-way"


def test_rules_for_one_user_are_causes(tmp_path: Path) -> None:
    rules = """experiment:
  holdout: {share: 0.2, salt: h}
eligibility:
  - {id: germans, forbid: {product: books}, users: {market: DE}}
  - {id: norwegians, forbid: {product: duo}, users: {market: "NO"}}
contact:
  - {id: one, max: 1, where: {product: books}}
  - {id: none_in_push, max: 0, where: {surface: push}}
  - {id: total, max: 3}
constraints:
  - {id: goal, kind: volume, where: {product: books}, min: 85}
  - {id: idle, kind: volume, where: {surface: home}, max: 80}
"""
    case = make_case(tmp_path, USERS, 3, rules)
    findings = preflight(case.problem, case.data, case.explored[:2])
    diagnosis = contradiction(case.problem, case.data, case.explored[:2], SETTINGS, findings, case.scores)
    causes = {(cause.kind, cause.rule): cause for cause in diagnosis.causes}
    assert diagnosis.conflict == ("goal",) and diagnosis.proven_by == "simple counting"
    assert {
        ("reach", None),
        ("contact", "one"),
        ("holdout", None),
        ("scores", None),
        ("eligibility", "germans"),
    } <= set(causes)
    assert ("eligibility", "norwegians") not in causes and ("contact", "total") not in causes
    germans = "  - {id: germans, forbid: {product: books}, users: {market: DE}}\n"
    freed = make_case(tmp_path / "freed", USERS, 3, rules.replace(germans, ""))
    books_A = np.array([action["product"] == "books" for action in case.scores.catalogue.actions])
    free_U = freed.data.group_U == 0
    eligible = int(freed.data.eligible_UA[free_U][:, books_A].any(axis=1).sum())
    assert causes["eligibility", "germans"].without == eligible
    assert "eligibility rule germans" in diagnosis.in_words() and "Behind it" in diagnosis.in_words()
    assert [repair.changes for repair in diagnosis.repairs] == [
        {"goal": {"min": float(causes["reach", None].contacts)}}
    ]


def test_exploration_that_breaks_a_ratio_is_named(tmp_path: Path) -> None:
    rules = """experiment:
  exploration: {share: 0.4, salt: e}
contact:
  - {id: home_only, max: 0, where: {surface: push}}
constraints:
  - {id: plans, kind: share, where: {family: plan}, of: {surface: home}, min: 0.95}
  - {id: cap, kind: volume, where: {family: plan}, max: 12}
"""
    case = make_case(tmp_path, USERS, 1, rules)
    diagnosis = explained(case)
    said = [cause.sentence for cause in diagnosis.causes if cause.kind == "exploration"]
    assert any("random on purpose" in sentence for sentence in said)
    assert "Without the exploration contacts, which are random on purpose, they hold together" in said


def test_two_conflicts_at_once_are_repaired_together(tmp_path: Path) -> None:
    rules = """constraints:
  - {id: push_cap, kind: volume, where: {surface: push}, max: 10}
  - {id: push_floor, kind: volume, where: {surface: push}, min: 20}
  - {id: home_cap, kind: volume, where: {surface: home}, max: 10}
  - {id: home_floor, kind: volume, where: {surface: home}, min: 20}
"""
    case = make_case(tmp_path, USERS, 1, CONTACT + rules)
    [repair] = explained(case).repairs
    assert len(repair.changes) == 2
    assert can_hold(case, mended(case, repair)), repair.sentence


def test_the_side_in_the_way_is_found_without_prices(tmp_path: Path) -> None:
    rules = """constraints:
  - {id: band, kind: volume, where: {surface: push}, min: 20, max: 40}
  - {id: cap, kind: volume, max: 10}
"""
    case = make_case(tmp_path, USERS, 1, CONTACT + rules)
    nothing = Unsolvable("the linear relaxation has no feasible point", np.zeros(len(case.problem.rows)))
    repairs = diagnose(case.problem, case.data, case.explored[:2], SETTINGS, nothing).repairs
    assert {name: tuple(change) for repair in repairs for name, change in repair.changes.items()} == {
        "band": ("min",), "cap": ("max",),
    }  # fmt: skip


def test_a_conflict_of_whole_contacts_alone_is_smallest_and_repaired(tmp_path: Path) -> None:
    bands = "constraints:\n  - {{id: amount, kind: total, metric: subs, min: {low}, max: {high}}}\n"
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    case = make_case(tmp_path / "before", 25, 1, CONTACT + bands.format(low=0.0, high=1.0))
    amount_N = np.sort(eligible_pairs(free_users(case.problem, case.data, case.explored[:2])).usage_NR[:, 0])
    widest = int(np.argmax(np.diff(amount_N)))
    low, high = amount_N[widest : widest + 2]
    assert low < high / 1.01, "no contact alone is worth an amount between these"
    middle = f"{0.9 * low + 0.1 * high!s}", f"{0.1 * low + 0.9 * high!s}"
    few = """  - {id: few, kind: volume, max: 1}
  - {id: idle_cap, kind: volume, where: {surface: push}, max: 20}
"""
    case = make_case(tmp_path / "after", 25, 1, CONTACT + bands.format(low=middle[0], high=middle[1]) + few)
    check(case)


def test_what_was_not_found_is_not_called_a_contradiction(tmp_path: Path) -> None:
    case = make_case(tmp_path, USERS, 1, CONTACT + "constraints:\n  - {id: cap, kind: volume, max: 10}\n")
    unproven = Unsolvable("nothing was found", np.zeros(len(case.problem.rows)), proven=False)
    diagnosis = diagnose(case.problem, case.data, case.explored[:2], SETTINGS, unproven)
    assert not diagnosis.proven and diagnosis.conflict == ("cap",)
    assert "contradict" not in diagnosis.in_words()


def ten_customers(budget: float) -> Instance:
    """Two offers of each of two products to ten customers, one at most for each; the least cost of four is 116 (by brute force below)."""
    instance = Instance(10 * COSTS, COSTS, np.full(10, "g"), np.zeros(2, int))
    instance.total(None, budget)
    instance.volume([0], 2, None)
    instance.volume([1], 2, None)
    return instance


COSTS = np.array(
    [[41, 21], [38, 18], [40, 20], [43, 23], [37, 17], [61, 41], [58, 38], [63, 43], [62, 42], [59, 39]], float
)


def diagnosed(path: Path, instance: Instance) -> Diagnosis:
    scores_path, policy_path = instance.write(path)
    scores = open_scores(scores_path)
    problem = build_problem(scores, policy_for(policy_path, {}, scores))
    data, nobody = load_data(problem, scores), (np.empty(0, np.int64), np.empty(0, np.int64))
    with pytest.raises(Unsolvable) as caught:
        solve(problem, data, nobody, SolveSettings())
    return diagnose(problem, data, nobody, SolveSettings(), caught.value)


def test_a_repair_is_exact(tmp_path: Path) -> None:
    least = min(
        COSTS[list(first), 0].sum() + COSTS[list(second), 1].sum()
        for first in combinations(range(10), 2)
        for second in combinations(set(range(10)) - set(first), 2)
    )
    assert least == 116
    repairs = [dict(repair.changes) for repair in diagnosed(tmp_path, ten_customers(40.0)).repairs]
    assert {"t0": {"max": 116.0}} in repairs


def test_two_bounds_may_share_a_change(tmp_path: Path) -> None:
    """With one of the first product instead of two, the least cost lies between: no less would do."""
    least = min(
        COSTS[one, 0] + COSTS[list(two), 1].sum()
        for one in range(10)
        for two in combinations(set(range(10)) - {one}, 2)
    )
    repairs = diagnosed(tmp_path, ten_customers(40.0)).repairs
    (shared,) = (repair for repair in repairs if len(repair.changes) == 2)
    assert shared.changes == {"t0": {"max": least}, "v1": {"min": 1.0}}
    assert shared.sentence.startswith(
        f"Raise the maximum of t0 from 40 to {least:.0f}, and lower the minimum of v1 from 2 to 1"
    )
    assert [repair.cost for repair in repairs] == sorted(repair.cost or 0.0 for repair in repairs)


def test_a_search_that_ends_at_its_limit_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("allocator.infeasible.diagnosis.MOST_SOLVES", 0)
    diagnosis = diagnosed(tmp_path, ten_customers(40.0))
    assert not diagnosis.repairs and diagnosis.stopped
    assert "stopped at its limit of work" in diagnosis.in_words() and "No change of bounds" not in diagnosis.in_words()


@pytest.mark.parametrize(
    ("amount", "side", "bound"),
    [(116.0, "max", 116.0), (1 / 3, "max", 0.333334), (1 / 3, "min", 0.333333), (123456.71, "max", 123457.0), (0.0, "min", 0.0)],
)  # fmt: skip
def test_bounds_are_rounded_to_the_safe_side(amount: float, side: str, bound: float) -> None:
    assert outwards_rounded(amount, side) == pytest.approx(bound, abs=1e-12)
