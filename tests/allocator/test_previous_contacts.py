"""Churn and contacts of earlier days, against every slate of every user written out."""

import datetime
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from allocator.assign.fallback import assign_fallbacks
from allocator.assign.preassigned import preassign
from allocator.assign.propensity import counterfactual_slates
from allocator.infeasible.counting import preflight
from allocator.infeasible.diagnosis import diagnose
from allocator.policy.grammar import Policy
from allocator.solve.dual import evaluate_dual, slate_usage, value_of
from allocator.solve.near_ties import near_swaps, near_ties
from allocator.solve.prices import curvature, measure_scale
from allocator.solve.settings import SolveSettings
from allocator.solve.solution import Unsolvable
from allocator.solve.solver import solve
from allocator.users import FREE
from ranker.scores import InputError
from tests.allocator.instances import AS_OF, CONTACT, Case, catalogue, make_case
from tests.seeds import seeds

ACTIONS = catalogue().ids
TOMORROW = AS_OF + datetime.timedelta(1)
CHURN = "constraints:\n  - {{id: steady, kind: churn, max: {most}{more}}}\n"
DAYS = """contact:
  - {id: total, max: 2}
  - {id: month, max: 3, days: 28}
  - {id: product, max: 1, days: 7, each: product}
  - {id: picker, max: 1, where: {surface: plan_picker}}
"""


def earlier(path: Path, users: int, seed: int, *, unknown: bool = False) -> Path:
    """An allocation of up to two random contacts a user, some of them of an action that is gone, as bare rows."""
    generator = np.random.default_rng([seed, 3])
    rows = []
    for user in range(users):
        for action in generator.choice(len(ACTIONS), generator.integers(0, 3), replace=False):
            name = "gone/now" if unknown and generator.random() < 0.2 else ACTIONS[action]
            rows.append((user * 7 + 3, name))
    path.mkdir(parents=True)
    table = pa.table({"user_id": pa.array([u for u, _ in rows], pa.int64()), "action": [a for _, a in rows]})
    pq.write_table(table.take(pa.array(generator.permutation(len(rows)))), path / "part.parquet")
    return path


def contacts(users: int, seed: int, days: int = 40) -> pa.Table:
    """A random history: up to four contacts a user over some days, and one of an action that is gone."""
    generator = np.random.default_rng([seed, 5])
    user = np.repeat(np.arange(users) * 7 + 3, generator.integers(0, 5, users))
    action = [ACTIONS[a] for a in generator.integers(0, len(ACTIONS), len(user))]
    ages = generator.integers(0, days, len(user))
    dates = [AS_OF - datetime.timedelta(int(age)) for age in ages]
    return pa.table(
        {"user_id": pa.array([*user, 3], pa.int64()), "action": [*action, "gone/now"], "date": [*dates, AS_OF]}
    )


def slates(case: Case, user: int) -> list[tuple[int, ...]]:
    """Every slate that the contact rules and the history allow, found by trying all."""
    actions = case.scores.catalogue.actions
    shard = next(iter(case.scores.shards()))
    history = []
    folder = case.scores.path / "history"
    if folder.exists():
        mine = case.data.user_id[user]
        history = [
            (actions[ACTIONS.index(row["action"])], (AS_OF - row["date"]).days)
            for row in pq.read_table(folder / "part.parquet").to_pylist()
            if row["user_id"] == mine and row["action"] in ACTIONS
        ]
    found = []
    slots = list(dict.fromkeys(action["slot"] for action in actions))
    choices = [
        [None, *(a for a, x in enumerate(actions) if x["slot"] == slot and shard.eligible_UA[user, a])]
        for slot in slots
    ]
    for chosen in product(*choices):
        slate = tuple(a for a in chosen if a is not None)
        if all(_keeps(rule, [actions[a] for a in slate], history) for rule in case.policy.contact):
            found.append(slate)
    return found


def _keeps(rule, given: Sequence[dict], history: Sequence[tuple[dict, int]]) -> bool:
    new = [action for action in given if rule.where.matches(action)]
    old = [action for action, age in history if rule.where.matches(action) and rule.days and age < rule.days]
    if rule.each is None:
        return not new or len(new) + len(old) <= rule.max
    values = [action[rule.each] for action in [*new, *old]]
    return all(values.count(action[rule.each]) <= rule.max for action in new)


def before(path: Path, case: Case, user: int) -> set[str]:
    rows = pq.read_table(path / "part.parquet").to_pylist()
    return {row["action"] for row in rows if row["user_id"] == case.data.user_id[user]}


def value(case: Case, user: int, slate: tuple[int, ...]) -> float:
    planes = case.data.planes_UPA[user].astype(float)
    return float(sum((planes[:, a] * case.problem.value_PA[:, a]).sum() for a in slate))


def names(slate: Sequence[int]) -> set[str]:
    return {ACTIONS[a] for a in slate if a >= 0}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("price", [0.0, 0.05, 0.3])
def test_the_dual_weighs_keeping_against_every_slate(tmp_path: Path, seed: int, price: float) -> None:
    users = 12
    past = earlier(tmp_path / "before", users, seed, unknown=True)
    rules = DAYS + CHURN.format(most=0.5, more=", users: {market: [SE, NO]}")
    case = make_case(tmp_path, users, seed, rules, previous=past, history=contacts(users, seed))
    evaluated = evaluate_dual(case.users, np.array([price]))
    in_scope = case.problem.rows.member_RS[0, case.data.class_U] > 0
    total, kept = 0.0, 0
    for user in range(users):
        had = before(past, case, user)
        worth = {s: value(case, user, s) + price * (in_scope[user] and names(s) == had) for s in slates(case, user)}
        best = max(worth.values())
        total += best
        chosen = tuple(sorted(int(a) for a in evaluated.slate_UK[user] if a >= 0))
        assert worth[chosen] == pytest.approx(best, abs=1e-12)
        kept += in_scope[user] and names(chosen) == had
        runner_up = max(
            (w for s, w in worth.items() if s != chosen and _one_step(s, chosen, had, names)), default=-np.inf
        )
        assert evaluated.margin_U[user] == pytest.approx(best - runner_up, abs=1e-6)
    assert evaluated.dual == pytest.approx(total + price * case.users.limit_R[0], rel=1e-12)
    assert -evaluated.usage_R[0] == kept
    assert case.users.limit_R[0] == np.floor(0.5 * in_scope.sum()) - in_scope.sum()


def _one_step(slate: tuple[int, ...], chosen: tuple[int, ...], had: set[str], names) -> bool:
    """What a margin looks at: one exchange away from the chosen slate, or the earlier slate."""
    out, come = len(set(chosen) - set(slate)), len(set(slate) - set(chosen))
    kept_against_the_best = names(chosen) == had
    return (out <= 1 and come <= 1) or names(slate) == had or kept_against_the_best


@pytest.mark.parametrize("seed", range(8))
def test_small_problems_are_solved_to_the_best_of_all_allocations(tmp_path: Path, seed: int) -> None:
    users, most = 5, 2
    past = earlier(tmp_path / "before", users, seed, unknown=seed % 2 == 0)
    rules = (
        DAYS
        + CHURN.format(most=most / users, more="")
        + "  - {id: push, kind: volume, where: {surface: push}, max: 1}\n"
    )
    case = make_case(tmp_path, users, seed, rules, previous=past, history=contacts(users, seed, 20))
    options = [
        [
            (value(case, u, s), names(s) != before(past, case, u), sum(ACTIONS[a].startswith("push") for a in s))
            for s in slates(case, u)
        ]
        for u in range(users)
    ]
    reachable = {(0, 0): 0.0}
    for choices in options:  # the best value for each (users changed, push messages)
        following: dict[tuple[int, int], float] = {}
        for (changed, pushed), worth in reachable.items():
            for add, change, push in choices:
                key = (changed + change, pushed + push)
                if key[0] <= most and key[1] <= 1:
                    following[key] = max(following.get(key, -np.inf), worth + add)
        reachable = following
    findings = preflight(case.problem, case.data, case.explored[:2])
    if not reachable:
        assert [finding.ids for finding in findings if finding.hard] == [("steady",)]
        return
    assert not findings
    for method in ("exact", "prices"):
        solution = solve(case.problem, case.data, case.explored[:2], SolveSettings(method=method))
        found = value_of(case.users, solution.slate_UK)
        assert found == pytest.approx(max(reachable.values()), abs=1e-9)
        assert solution.dual >= found - 1e-9
        changed = sum(names(solution.slate_UK[u]) != before(past, case, u) for u in range(users))
        assert changed <= most


@pytest.mark.parametrize("seed", seeds(3, quick=1))
def test_both_methods_agree_and_keep_the_limit(tmp_path: Path, seed: int) -> None:
    users = 400
    past = earlier(tmp_path / "before", users, seed)
    rules = DAYS + CHURN.format(most="60%", more="") + "  - {id: calm, kind: churn, users: {market: SE}, max: 0.55}\n"
    rules += "  - {id: push, kind: volume, where: {surface: push}, max: 10%}\n"
    case = make_case(tmp_path, users, seed, rules, previous=past, history=contacts(users, seed))
    values = {}
    for method in ("exact", "prices"):
        solution = solve(case.problem, case.data, case.explored[:2], SolveSettings(method=method, most_cells=10**6))
        values[method] = value_of(case.users, solution.slate_UK)
        changed = np.array([names(solution.slate_UK[u]) != before(past, case, u) for u in range(users)])
        assert changed.sum() <= 240
        swedes = case.problem.measured[1].numerator.member_S[case.data.class_U]
        assert changed[swedes].sum() <= np.floor(0.55 * swedes.sum())
        assert changed.sum() >= 230  # the limit is worth having
        assert values[method] <= solution.dual + 1e-9
        assert solution.dual - values[method] <= 1e-3 * abs(solution.dual)
    assert values["prices"] == pytest.approx(values["exact"], rel=1e-3)


def test_curvature_knows_what_keeping_changes(tmp_path: Path) -> None:
    """The near ties say how many users stop keeping their slates when the price moves: as many as two dual evaluations count."""
    users = 20_000
    past = earlier(tmp_path / "before", users, 1)
    case = make_case(tmp_path, users, 1, CONTACT + CHURN.format(most=0.5, more=""), previous=past)
    price, step = np.array([0.1]), 0.02
    evaluated = evaluate_dual(case.users, price)
    low, high = evaluate_dual(case.users, price - step), evaluate_dual(case.users, price + step)
    counted = (low.usage_R[0] - high.usage_R[0]) / (2 * step)
    scale = measure_scale(case.users, np.random.default_rng(0))
    estimated = curvature(case.users, evaluated, 2 * step, scale, np.random.default_rng(0))[0, 0]
    assert estimated == pytest.approx(counted, rel=0.05)
    everyone = np.arange(users)
    swaps = near_swaps(case.users, evaluated, everyone, 0.05)
    change = slate_usage(case.users, swaps.user_T, swaps.to_TK) - slate_usage(case.users, swaps.user_T, swaps.from_TK)
    assert (np.abs(change[:, 0]) == 1).all()
    assert (near_ties(case.users, evaluated, everyone, 0.05).loss_T >= 0).all()


def test_given_and_held_out_users_count_as_changed_or_kept(tmp_path: Path) -> None:
    users = 600
    past = earlier(tmp_path / "before", users, 4)
    rules = (
        "experiment:\n  holdout: {share: 0.2, salt: a}\n  exploration: {share: 0.3, salt: b}\n"
        + f"pinned:\n  - {{id: pin, users: {{market: DE}}, action: {ACTIONS[0]}}}\n"
        + f"fallback: {{action: [{ACTIONS[2]}]}}\n"
        + CONTACT
        + CHURN.format(most=0.8, more="")
    )
    case = make_case(tmp_path, users, 4, rules, previous=past)
    data, preassigned = preassign(case.problem, case.data)
    solution = solve(case.problem, data, preassigned.fixed, SolveSettings())
    counterfactual = counterfactual_slates(case.users, solution.price_R)
    whole_UK = assign_fallbacks(case.problem, data, preassigned, solution.slate_UK, counterfactual).slate_UK.copy()
    preassigned.place(whole_UK)
    changed = sum(names(whole_UK[u]) != before(past, case, u) for u in range(users))
    assert changed <= 480
    others = np.flatnonzero(data.group_U != FREE)
    kept = sum(names(whole_UK[u]) == before(past, case, u) for u in others)
    member = case.problem.rows.member_RS
    assert data.kept_by_class(*preassigned.fixed, data.group_U != FREE, member.shape[1]).sum() == kept
    assert kept > 10


def test_churn_that_cannot_be_is_found_by_counting(tmp_path: Path) -> None:
    users = 40
    past = earlier(tmp_path / "before", users, 2, unknown=True)
    case = make_case(tmp_path, users, 2, CONTACT + CHURN.format(most="5%", more=""), previous=past)
    finding = preflight(case.problem, case.data, case.explored[:2])[0]
    lost = sum(
        names_of not in [names(s) for s in slates(case, u)]
        for u in range(users)
        if (names_of := before(past, case, u)) is not None
    )
    assert finding.hard
    assert finding.ids == ("steady",)
    assert f"lets 2 of 40 users get something else than before, but {lost} cannot get what they had" in finding.sentence


@pytest.mark.parametrize(
    ("history", "as_of", "wanted"),
    [
        (None, True, ["has no *.parquet files"]),
        (pa.table({"user_id": [3], "action": [ACTIONS[0]]}), True, ["column date: is missing"]),
        (pa.table({"user_id": ["3"], "action": [ACTIONS[0]], "date": [AS_OF]}), True, ["column user_id: has type string"]),
        (pa.table({"user_id": [3], "action": [ACTIONS[0]], "date": ["2026-11-01"]}), True, ["column date: has type string"]),
        (
            pa.table({"user_id": [3, 3, None], "action": [ACTIONS[0], None, ACTIONS[0]], "date": [TOMORROW, AS_OF, AS_OF]}),
            True,
            ["column user_id: 1 rows are missing", "column action: 1 rows are missing", "column date: 1 rows are later"],
        ),
    ],
)  # fmt: skip
def test_a_faulty_history_is_refused_with_every_fault(tmp_path: Path, history, as_of, wanted) -> None:
    with pytest.raises(InputError) as error:
        make_case(tmp_path, 10, 0, DAYS, history=history)
    for part in wanted:
        assert part in str(error.value)


def test_days_are_counted_from_the_date_of_the_scores(tmp_path: Path) -> None:
    """A contact of 27 days ago counts for 28 days and one of 28 days ago no more."""
    days = [AS_OF - datetime.timedelta(age) for age in (27, 28)]
    history = pa.table({"user_id": [3, 10], "action": [ACTIONS[0], ACTIONS[0]], "date": days})
    case = make_case(tmp_path, 2, 0, "contact:\n  - {id: month, max: 1, days: 28}\n", history=history)
    assert case.data.received_UC.tolist() == [[1], [0]]
    assert not case.data.eligible_UA[0].any()
    assert case.data.eligible_UA[1].any()


def test_a_policy_without_days_reads_no_history(tmp_path: Path) -> None:
    case = make_case(tmp_path, 10, 0, CONTACT, history=pa.table({"nonsense": [1]}))
    assert case.data.received_UC.shape == (10, 0)
    assert isinstance(case.policy, Policy)


def test_churn_against_a_minimum_is_diagnosed_and_repaired(tmp_path: Path) -> None:
    """Nobody had a push message, so a tenth of the users may get one, and a third must."""
    users = 120
    (tmp_path / "before").mkdir()
    pq.write_table(pa.table({"user_id": [3], "action": [ACTIONS[0]]}), tmp_path / "before" / "part.parquet")
    floor = "  - {id: pushes, kind: volume, where: {surface: push}, min: 40}\n"
    rules = CONTACT + CHURN.format(most="10%", more="") + floor
    case = make_case(tmp_path, users, 0, rules, previous=tmp_path / "before")
    assert not preflight(case.problem, case.data, case.explored[:2])
    settings = SolveSettings(method="prices")
    with pytest.raises(Unsolvable) as error:
        solve(case.problem, case.data, case.explored[:2], settings)
    found = diagnose(case.problem, case.data, case.explored[:2], settings, error.value, case.scores)
    assert set(found.conflict) == {"steady", "pushes"}
    changes = [repair.changes for repair in found.repairs]
    assert {"pushes": {"min": 12.0}} in changes
    assert {"steady": {"max": 40.0}} in changes
    assert not any(cause.constraint == "steady" for cause in found.causes)
