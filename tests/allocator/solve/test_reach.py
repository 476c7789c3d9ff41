"""Reach against brute force: every slate of every user is a column of a programme for SciPy's HiGHS, which shares nothing with the product.

Axes: U users, A actions, N slates, R rules.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from allocator.audit.slates import BestSlates
from allocator.solve.dual import evaluate_dual, slate_usage, value_of
from allocator.solve.settings import SolveSettings
from allocator.solve.slates import best_slate, compile_rules, count_from, credit, make_work, near_slates, second_value
from allocator.solve.solution import TooLarge, Unsolvable
from allocator.solve.solver import solve, worst_value
from allocator.users import FREE
from tests.allocator.instances import MARKETS, Case, make_case
from tests.seeds import seeds

Words = dict[str, str]


@dataclass(frozen=True)
class Rule:
    """One constraint of a random policy, as the policy writes it and as it is counted here."""

    kind: str
    where: Words
    market: str | None
    low: int | None
    high: int | None
    penalty: float | None

    def text(self, position: int) -> str:
        bounds = [f"{name}: {at}" for name, at in (("min", self.low), ("max", self.high)) if at is not None]
        users = [] if self.market is None else [f"users: {{market: {self.market}}}"]
        where = ", ".join(f"{key}: {value}" for key, value in self.where.items())
        soft = [] if self.penalty is None else [f"strength: {{soft: {self.penalty}}}"]
        parts = [f"id: r{position}", f"kind: {self.kind}", f"where: {{{where}}}", *users, *bounds, *soft]
        return f"  - {{{', '.join(parts)}}}\n"

    def counted(self, case: Case, slate: tuple[int, ...], user: int) -> float:
        """What a slate adds."""
        record = case.problem.classes.records[case.data.class_U[user]]
        if self.market is not None and record["market"] != self.market:
            return 0.0
        actions = case.problem.catalogue.actions
        inside = sum(all(actions[a][key] == value for key, value in self.where.items()) for a in slate)
        return float(min(inside, 1) if self.kind == "reach" else inside)


SCOPES: tuple[Words, ...] = (
    {"product": "duo"}, {"product": "books"}, {"surface": "plan_picker"}, {"surface_kind": "discovery"}, {"family": "plan"}, {},
)  # fmt: skip
CONTACTS = (
    "",
    "contact:\n  - {id: total, max: 2}\n",
    "contact:\n  - {id: total, max: 3}\n  - {id: each, max: 1, each: product}\n",
    "contact:\n  - {id: need, requires: {product: duo}, where: {product: books}}\n  - {id: total, max: 3}\n",
    "contact:\n  - {id: both, min: 2, max: 3, where: {product: family}}\n",
)
EXPERIMENT = "experiment:\n  holdout: {share: 0.15, salt: a}\n  exploration: {share: 0.15, salt: b}\n"


def random_rules(generator: np.random.Generator, users: int) -> list[Rule]:
    """One to four rules on reach, and up to two on contacts, that may or may not hold together."""
    rules = []
    for position in range(int(generator.integers(1, 5)) + int(generator.integers(0, 3))):
        kind = "reach" if position == 0 or generator.random() < 0.65 else "volume"
        where = SCOPES[int(generator.integers(len(SCOPES)))]
        market = None if generator.random() < 0.5 else MARKETS[int(generator.integers(3))]
        size = users if market is None else users / 3
        side = generator.random()
        low = int(size * generator.uniform(0.1, 0.7)) if side < 0.6 else None
        high = int(size * generator.uniform(0.1, 0.6)) if side > 0.5 else None
        if low is not None and high is not None and low > high:
            low, high = high, low
        penalty = float(f"{generator.uniform(0.01, 0.6):.3f}") if generator.random() < 0.3 else None
        rules.append(Rule(kind, where, market, low, high, penalty))
    return rules


def random_case(folder: Path, seed: int, users: int) -> tuple[Case, list[Rule]]:
    generator = np.random.default_rng([seed, 31])
    rules = random_rules(generator, users)
    words = CONTACTS[seed % len(CONTACTS)] + (EXPERIMENT if seed % 2 else "")
    written = "".join(rule.text(position) for position, rule in enumerate(rules))
    return make_case(folder, users, seed, f"{words}constraints:\n{written}"), rules


def slates_of(case: Case, user: int) -> Iterator[tuple[int, ...]]:
    """All that a free user may get."""
    data, contact = case.data, case.problem.contact
    by_slot = [
        [None, *np.flatnonzero(data.eligible_UA[user] & (contact.slot_A == slot)).tolist()]
        for slot in range(contact.slots)
    ]
    for picked in product(*by_slot):
        slate = tuple(action for action in picked if action is not None)
        got_UA = np.zeros((1, len(contact.slot_A)), bool)
        got_UA[0, list(slate)] = True
        if contact.keeps(got_UA, data.received_UC[[user]], data.class_U[[user]])[0]:
            yield slate


@dataclass(frozen=True)
class Brute:
    """The best value of whole slates, None where none keep the hard rules; and that of parts of slates."""

    whole: float | None
    parts: float | None


def brute_force(case: Case, rules: list[Rule]) -> Brute:
    """The optimum over a column per user and slate, soft rules with a variable for what breaks them."""
    data, problem = case.data, case.problem
    free = np.flatnonzero(data.group_U == FREE)
    columns = [(user, slate) for user in free.tolist() for slate in slates_of(case, user)]
    given: dict[int, tuple[int, ...]] = {}
    for user, action in zip(*case.explored[:2], strict=True):
        given[int(user)] = (*given.get(int(user), ()), int(action))
    worth_UA = problem.worth_of_all(data.planes_UPA.astype(float))
    value_N = np.array([sum(worth_UA[user, a] for a in slate) for user, slate in columns])
    sides = [(r, sign, at) for r in rules for sign, at in ((1, r.high), (-1, r.low)) if at is not None]
    count, soft = len(columns), [position for position, (r, *_) in enumerate(sides) if r.penalty is not None]
    used = [[sign * r.counted(case, slate, user) for user, slate in columns] for r, sign, _ in sides]
    left = [
        sign * at - sum(sign * r.counted(case, slate, user) for user, slate in given.items()) for r, sign, at in sides
    ]
    over = sparse.csr_matrix((-np.ones(len(soft)), (soft, np.arange(len(soft)))), shape=(len(sides), len(soft)))
    who = np.searchsorted(free, [user for user, _ in columns])
    one = sparse.csr_matrix((np.ones(count), (who, np.arange(count))), shape=(len(free), count + len(soft)))
    rows = sparse.vstack([sparse.hstack([sparse.csr_matrix(used), over]), one])
    cost = np.concatenate([-value_N, [sides[position][0].penalty for position in soft]])
    limits = LinearConstraint(
        rows,
        np.concatenate([np.full(len(sides), -np.inf), np.ones(len(free))]),
        np.concatenate([left, np.ones(len(free))]),
    )

    def best(integral: int) -> float | None:
        integrality = np.concatenate([np.full(count, integral), np.zeros(len(soft))])
        bounds = Bounds(0, np.concatenate([np.ones(count), np.full(len(soft), np.inf)]))
        found = milp(cost, constraints=limits, integrality=integrality, bounds=bounds, options={"mip_rel_gap": 1e-9})
        return None if found.x is None else -float(found.fun)

    return Brute(best(1), best(0))


def check_solution(folder: Path, seed: int, users: int, **settings: object) -> str:
    case, rules = random_case(folder, seed, users)
    brute = brute_force(case, rules)
    try:
        found = solve(case.problem, case.data, case.explored[:2], SolveSettings.model_validate(settings))
    except Unsolvable as refused:
        if brute.whole is None:
            return "refused"
        assert not refused.proven, "an allocation was called impossible that is there"
        return "not found"
    except TooLarge:
        return "too much work" if brute.whole is None else "not found"
    assert brute.whole is not None, "an allocation was found that keeps no rule"
    value = value_of(case.users, found.slate_UK)
    size = max(abs(brute.whole), 1.0)
    hard_R = ~np.isfinite(case.problem.rows.penalty_R)
    used_R = slate_usage(case.users, np.arange(len(case.data)), found.slate_UK).sum(axis=0)
    assert (used_R <= case.users.limit_R + 1e-9)[hard_R].all()
    assert value <= brute.whole + 1e-7 * size
    assert found.dual >= brute.whole - 1e-7 * size and found.whole_bound >= brute.whole - 1e-7 * size
    assert brute.parts is not None and found.dual >= brute.parts - 1e-6 * size
    return "best" if value >= brute.whole - 1e-6 * size else f"{(brute.whole - value) / size:.1e}"


@pytest.mark.parametrize("seed", seeds(30, quick=10))
def test_the_exact_way_finds_the_best_of_all_slates(tmp_path: Path, seed: int) -> None:
    assert check_solution(tmp_path, seed, 14, method="exact") in ("best", "refused", "too much work")


@pytest.mark.parametrize("seed", seeds(30, quick=10))
def test_the_way_by_prices_is_bounded_by_its_dual_and_ends_near_the_best(tmp_path: Path, seed: int) -> None:
    ended = check_solution(tmp_path, seed, 40, method="prices")
    assert ended in ("best", "refused", "not found") or float(ended) < 5e-3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30, 200))
def test_both_ways_on_many_more(tmp_path: Path, seed: int) -> None:
    assert check_solution(tmp_path / "exact", seed, 12, method="exact") in ("best", "refused", "too much work")
    ended = check_solution(tmp_path / "prices", seed, 60, method="prices")
    assert ended in ("best", "refused", "not found") or float(ended) < 5e-3


@dataclass(frozen=True)
class One:
    """A user's slates, all of them, with what each is worth: contacts, and rewards once per set."""

    net_A: np.ndarray
    reward_B: np.ndarray
    slates: list[tuple[int, ...]]
    value_N: np.ndarray


def one_user(case: Case, user: int, reach_BA: np.ndarray, generator: np.random.Generator) -> One:
    actions = len(case.problem.catalogue.actions)
    net_A = np.where(case.data.eligible_UA[user], generator.normal(0.1, 1.0, actions), -np.inf)
    reward_B = generator.normal(0.2, 1.5, len(reach_BA)) * (generator.random(len(reach_BA)) < 0.8)
    slates = list(slates_of(case, user))
    value_N = [sum(net_A[a] for a in slate) + reward_B @ reach_BA[:, list(slate)].any(axis=1) for slate in slates]
    return One(net_A, reward_B, slates, np.array(value_N))


@pytest.mark.parametrize("seed", seeds(25, quick=10))
def test_slates_with_rewards_are_those_of_brute_force(tmp_path: Path, seed: int) -> None:
    generator = np.random.default_rng([seed, 32])
    case = make_case(tmp_path, 12, seed, CONTACTS[seed % len(CONTACTS)])
    contact, actions = case.problem.contact, len(case.problem.catalogue.actions)
    reach_BA = generator.random((int(generator.integers(1, 5)), actions)) < generator.uniform(0.1, 0.5)
    rules = compile_rules(contact, reach_BA)
    work, slate_K = make_work(rules), np.empty(max(rules.most, 1), np.int64)
    found_NK, value_N = np.empty((4_000, rules.most), np.int16), np.empty(4_000)
    for user in range(len(case.data)):
        one = one_user(case, user, reach_BA, generator)
        work.net_A[:actions] = one.net_A
        count_from(rules, work, case.data.received_UC[user], int(case.data.class_U[user]))
        credit(rules, work, one.reward_B)
        count, value = best_slate(rules, work, slate_K)
        ranked = np.sort(one.value_N)[::-1]
        assert value == pytest.approx(ranked[0], abs=1e-12)
        assert tuple(sorted(slate_K[:count].tolist())) in one.slates, "a slate that may be given, without markers"
        second = second_value(rules, work, slate_K, count)
        assert second == pytest.approx(ranked[1] if len(ranked) > 1 else -np.inf, abs=1e-12)
        least = float(ranked[0] - generator.uniform(0.1, 4.0))
        found = near_slates(rules, work, least, found_NK, value_N)
        wanted = {slate: worth for slate, worth in zip(one.slates, one.value_N, strict=True) if worth > least}
        told = {tuple(sorted(a for a in found_NK[n].tolist() if a >= 0)): value_N[n] for n in range(found)}
        assert len(told) == found and told == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("seed", seeds(25, quick=10))
def test_the_judge_works_out_the_same_slates_its_own_way(tmp_path: Path, seed: int) -> None:
    generator = np.random.default_rng([seed, 33])
    case = make_case(tmp_path, 12, seed, CONTACTS[seed % 3])
    contact, actions = case.problem.contact, len(case.problem.catalogue.actions)
    reach_BA = generator.random((int(generator.integers(1, 5)), actions)) < generator.uniform(0.1, 0.5)
    judge = BestSlates(contact.slot_A, list(contact.member_CA), reached=list(reach_BA))
    users = [one_user(case, user, reach_BA, generator) for user in range(len(case.data))]
    room_UC = np.tile(contact.capacity_C, (len(users), 1))
    found_U = judge.best(
        np.stack([one.net_A for one in users]), room_UC, reward_UB=np.stack([one.reward_B for one in users])
    )
    assert found_U == pytest.approx([one.value_N.max() for one in users], abs=1e-12)


def test_no_allocation_is_worth_less_than_the_floor_that_contradictions_are_told_by(tmp_path: Path) -> None:
    rules = """constraints:
  - {id: many, kind: reach, where: {product: duo}, min: 30, strength: {soft: 2.0}}
  - {id: few, kind: reach, where: {family: plan}, max: 3, strength: {soft: 1.5}}
"""
    case = make_case(tmp_path, 40, 5, rules)
    worst = worst_value(case.users)
    for price_R in ([0.0, 0.0], [2.0, 1.5], [0.0, 1.5]):
        assert worst <= value_of(case.users, evaluate_dual(case.users, np.array(price_R)).slate_UK)
    everything = np.full((40, case.users.rules.most), -1, np.int16)
    for user in range(40):
        slate = max(slates_of(case, user), key=len)
        everything[user, : len(slate)] = slate
    assert worst <= value_of(case.users, everything)
