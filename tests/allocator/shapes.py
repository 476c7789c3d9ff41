"""Random instances of awkward shapes, each with its best value by another solver: ties, whole numbers, equalities, lumps, caps by branch.

The rules are kept twice, as the policy's text and as arrays, so that the exact solver (SciPy's HiGHS) shares nothing with the product.

Axes: U users, A actions.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from ranker.catalogue import Catalogue, Metric
from ranker.scores import ScoresWriter

Generator = np.random.Generator


@dataclass(frozen=True)
class Rule:
    """One constraint: its text, and low <= sum(amount) <= high over contacts, or for a share of sum(base)."""

    text: str
    amount_UA: np.ndarray
    low: Fraction | float | None
    high: Fraction | float | None
    base_UA: np.ndarray | None = None


@dataclass
class Instance:
    """Scores as arrays, rules, and how many contacts a user may get in all."""

    value_UA: np.ndarray
    cost_UA: np.ndarray
    segment_U: np.ndarray
    slot_A: np.ndarray
    most: int | None = None
    eligible_UA: np.ndarray | None = None
    rules: list[Rule] = field(default_factory=list)

    @property
    def actions(self) -> list[dict]:
        return [{"id": f"a{a}", "slot": f"s{slot}", "code": f"c{a}"} for a, slot in enumerate(self.slot_A)]

    @property
    def policy(self) -> str:
        contact = "" if self.most is None else f"contact:\n  - {{id: most, max: {self.most}}}\n"
        rules = "".join(f"  - {rule.text}\n" for rule in self.rules)
        head = "version: 1\nobjective:\n  - {metric: value, weight: 1}\n"
        return head + contact + (f"constraints:\n{rules}" if rules else "")

    def write(self, folder: Path) -> tuple[Path, Path]:
        """(scores, policy)."""
        scores, policy = folder / "scores", folder / "policy.yaml"
        scores.mkdir(parents=True, exist_ok=True)
        head = Catalogue(tuple(self.actions), (Metric("value", "EUR"), Metric("cost", "EUR")), ("segment",), "m", None)
        eligible = np.ones(self.value_UA.shape, bool) if self.eligible_UA is None else self.eligible_UA
        means = {"value": self.value_UA.astype(np.float32), "cost": self.cost_UA.astype(np.float32)}
        with ScoresWriter(scores, head) as writer:
            writer.write(
                pa.array(np.arange(len(self.value_UA))), {"segment": pa.array(self.segment_U)}, means, None, eligible
            )
        policy.write_text(self.policy)
        return scores, policy

    def volume(self, actions: list[int], low: float | None, high: float | None, segment: str | None = None) -> None:
        """Contacts of these actions, in one segment or in all."""
        users = "" if segment is None else f"users: {{segment: {segment}}}, "
        where = f"where: {{id: [{', '.join(f'a{a}' for a in actions)}]}}, "
        text = f"{{id: v{len(self.rules)}, kind: volume, {where}{users}{_bounds(low, high)}}}"
        self.rules.append(Rule(text, self._scope(actions, segment), low, high))

    def total(self, low: float | None, high: float | None) -> None:
        text = f"{{id: t{len(self.rules)}, kind: total, metric: cost, {_bounds(low, high)}}}"
        self.rules.append(Rule(text, self.cost_UA.astype(np.float32).astype(float), low, high))

    def share(self, actions: list[int], low: Fraction | None, high: Fraction | None) -> None:
        """These actions among all contacts."""
        where = f"where: {{id: [{', '.join(f'a{a}' for a in actions)}]}}, "
        words = _bounds(*(None if bound is None else f"{float(bound) * 100:.10g}%" for bound in (low, high)))
        text = f"{{id: q{len(self.rules)}, kind: share, {where}of: {{}}, {words}}}"
        self.rules.append(Rule(text, self._scope(actions, None), low, high, np.ones(self.value_UA.shape)))

    def average(self, low: Fraction | None, high: Fraction | None) -> None:
        """Cost per contact."""
        words = _bounds(*(None if bound is None else f"{float(bound):.10g}" for bound in (low, high)))
        text = f"{{id: m{len(self.rules)}, kind: average, metric: cost, {words}}}"
        cost_UA = self.cost_UA.astype(np.float32).astype(float)
        self.rules.append(Rule(text, cost_UA, low, high, np.ones(self.value_UA.shape)))

    def _scope(self, actions: list[int], segment: str | None) -> np.ndarray:
        inside_UA = np.zeros(self.value_UA.shape)
        inside_UA[:, actions] = 1.0
        return inside_UA if segment is None else inside_UA * (self.segment_U == segment)[:, None]

    def some_allocation(self, generator: Generator) -> np.ndarray:
        """bool[U, A]: a random allocation that keeps the rules of every user."""
        users = len(self.value_UA)
        taken_UA = np.zeros(self.value_UA.shape, bool)
        wanted = generator.uniform(0.3, 0.9)
        for slot in generator.permutation(np.unique(self.slot_A)):
            actions = np.flatnonzero(self.slot_A == slot)
            pick_U = actions[generator.integers(len(actions), size=users)]
            give_U = generator.random(users) < wanted
            if self.most is not None:
                give_U &= taken_UA.sum(axis=1) < self.most
            if self.eligible_UA is not None:
                give_U &= self.eligible_UA[np.arange(users), pick_U]
            taken_UA[np.flatnonzero(give_U), pick_U[give_U]] = True
        return taken_UA


def _bounds(low: object, high: object) -> str:
    return ", ".join(f"{name}: {bound}" for name, bound in (("min", low), ("max", high)) if bound is not None)


@dataclass(frozen=True)
class Best:
    """What an exact solver says: the best value found and a bound on it; None where nothing can keep the rules."""

    value: float | None
    bound: float


def best(instance: Instance, seconds: float = 60.0) -> Best:
    """The optimum by SciPy's HiGHS over user-action pairs, to a relative gap of 1e-6 or what it has after `seconds`."""
    users, actions = instance.value_UA.shape
    value = instance.value_UA.astype(np.float32).astype(float).ravel()
    pair = np.arange(users * actions)
    user, action = pair // actions, pair % actions
    slots = int(instance.slot_A.max()) + 1
    blocks = [sparse.csr_matrix((np.ones(len(pair)), (user * slots + instance.slot_A[action], pair)))]
    lows, highs = [np.full(blocks[0].shape[0], -np.inf)], [np.ones(blocks[0].shape[0])]
    if instance.most is not None:
        blocks.append(sparse.csr_matrix((np.ones(len(pair)), (user, pair))))
        lows, highs = [*lows, np.full(users, -np.inf)], [*highs, np.full(users, float(instance.most))]
    for rule in instance.rules:
        for bound, sign in ((rule.high, 1), (rule.low, -1)):
            if bound is None:
                continue
            row = rule.amount_UA.astype(float)
            limit = float(bound)
            if rule.base_UA is not None:
                fraction = Fraction(bound).limit_denominator(10**9)
                row, limit = row * fraction.denominator - rule.base_UA * fraction.numerator, 0.0
            size = max(float(np.abs(row).max()), 1e-300)  # HiGHS takes feasible rows of 1e17 for contradictions
            blocks.append(sparse.csr_matrix(sign * row.ravel() / size))
            lows, highs = [*lows, [-np.inf]], [*highs, [sign * limit / size]]
    upper = np.ones(len(pair)) if instance.eligible_UA is None else instance.eligible_UA.ravel().astype(float)
    constraints = LinearConstraint(sparse.vstack(blocks, format="csr"), np.concatenate(lows), np.concatenate(highs))
    options = {"time_limit": seconds, "mip_rel_gap": 1e-6}
    found = milp(
        -value, constraints=constraints, integrality=np.ones(len(pair)), bounds=Bounds(0, upper), options=options
    )
    if found.status == 2:
        return Best(None, -np.inf)
    bound = np.inf if found.mip_dual_bound is None else -found.mip_dual_bound
    return Best(None if found.x is None else float(value @ np.round(found.x)), bound)


LARGEST = 5_000


def _people(generator: Generator, least: int = 10, most: int = LARGEST) -> int:
    """Half of them large, the others of any size."""
    most = max(most, least)
    low = max(least, most // 4) if generator.random() < 0.5 else least
    return int(np.exp(generator.uniform(np.log(low), np.log(most + 1))))


def _slots(generator: Generator, actions: int) -> np.ndarray:
    slots = int(generator.integers(1, min(actions, 4) + 1))
    return np.sort(np.concatenate([np.arange(slots), generator.integers(slots, size=actions - slots)]))


def _plain(generator: Generator, value_UA: np.ndarray, cost_UA: np.ndarray, segment_U: np.ndarray) -> Instance:
    slot_A = _slots(generator, value_UA.shape[1])
    most = None if generator.random() < 0.4 else int(generator.integers(1, int(slot_A.max()) + 2))
    return Instance(value_UA, cost_UA, segment_U, slot_A, most)


def _segments(generator: Generator, users: int, count: int) -> np.ndarray:
    return np.array([f"g{k:03d}" for k in generator.integers(count, size=users)])


def _around(instance: Instance, generator: Generator, equal: float = 0.0) -> None:
    """A budget, floors and caps that a random allocation keeps, some of them as equalities."""
    taken_UA = instance.some_allocation(generator)
    for action in range(taken_UA.shape[1]):
        if generator.random() < 0.6:
            count = int(taken_UA[:, action].sum())
            if generator.random() < equal:
                instance.volume([action], count, count)
            elif generator.random() < 0.5:
                instance.volume([action], int(count * generator.uniform(0.6, 1.0)), None)
            else:
                instance.volume([action], None, int(np.ceil(count * generator.uniform(1.0, 1.3))))
    if generator.random() < 0.8:
        spent = float((taken_UA * instance.cost_UA.astype(np.float32).astype(float)).sum())
        instance.total(None, float(f"{spent * generator.uniform(1.0, 1.2):.6g}") * 1.001)


def one_segment(generator: Generator, most: int) -> Instance:
    """Everybody has the same scores."""
    users, actions = _people(generator, most=most), int(generator.integers(2, 7))
    value_A = np.round(generator.gamma(1.0, 0.2, actions), 2)
    cost_A = np.round(generator.choice([0, 1, 5, 100, 500], actions) * generator.uniform(0.5, 2), 1)
    instance = _plain(
        generator, np.tile(value_A, (users, 1)), np.tile(cost_A, (users, 1)), _segments(generator, users, 1)
    )
    _around(instance, generator)
    return instance


def averages(generator: Generator, most: int, noise: float = 0.0) -> Instance:
    """Averages per segment."""
    users, actions, kinds = _people(generator, most=most), int(generator.integers(2, 9)), int(generator.integers(2, 40))
    segment_U = _segments(generator, users, kinds)
    kind_U = np.unique(segment_U, return_inverse=True)[1]
    value_UA = generator.normal(0.2, 0.4, (kinds, actions))[kind_U]
    cost_UA = generator.gamma(1.0, 2.0, (kinds, actions))[kind_U]
    value_UA = value_UA + noise * generator.normal(size=value_UA.shape)
    instance = _plain(generator, value_UA, cost_UA, segment_U)
    _around(instance, generator)
    return instance


def nearly_equal(generator: Generator, most: int) -> Instance:
    """Averages per segment that differ between users in the sixth digit."""
    return averages(generator, most, 10 ** generator.uniform(-7, -4))


def whole_numbers(generator: Generator, most: int) -> Instance:
    """Small whole values and costs, so that most users tie."""
    users, actions = _people(generator, most=min(most, 3_000)), int(generator.integers(2, 7))
    value_UA, cost_UA = generator.integers(0, 4, (users, actions)), generator.integers(0, 6, (users, actions))
    instance = _plain(generator, value_UA.astype(float), cost_UA.astype(float), _segments(generator, users, 3))
    _around(instance, generator, equal=0.2)
    return instance


def mostly_nothing(generator: Generator, most: int) -> Instance:
    """Degenerate: nearly all values are zero, and floors ask for contacts that are worth nothing."""
    users, actions = _people(generator, most=most), int(generator.integers(2, 7))
    value_UA = generator.gamma(1.0, 1.0, (users, actions)) * (generator.random((users, actions)) < 0.1)
    cost_UA = np.round(generator.gamma(1.0, 1.0, (users, actions)), 1) * (generator.random((users, actions)) < 0.3)
    instance = _plain(generator, value_UA, cost_UA, _segments(generator, users, 4))
    _around(instance, generator)
    return instance


def everybody_one(generator: Generator, most: int) -> Instance:
    """Every user gets exactly one contact, of actions with limited stock."""
    users, actions = _people(generator, most=min(most, 3_000)), int(generator.integers(2, 9))
    tied = generator.random() < 0.5
    value_UA = generator.integers(0, 5, (users, actions)) if tied else generator.normal(0, 1, (users, actions))
    cost_UA = np.ones((users, actions))
    instance = Instance(value_UA.astype(float), cost_UA, _segments(generator, users, 2), _slots(generator, actions), 1)
    instance.volume(list(range(actions)), users, users)
    for action in range(actions):
        instance.volume([action], None, int(np.ceil(users / actions * generator.uniform(1.0, 1.4))))
    return instance


def exact_share(generator: Generator, most: int) -> Instance:
    """One offer is exactly a given part of all contacts, or within a hair of it."""
    users, actions = _people(generator, most=most), int(generator.integers(2, 6))
    instance = _plain(
        generator, generator.normal(0.2, 1, (users, actions)), np.ones((users, actions)), _segments(generator, users, 3)
    )
    digits = int(generator.choice([1, 10]))
    part = Fraction(int(generator.integers(5 * digits, 60 * digits)), 100 * digits)
    width = generator.choice([0, 0, 1]) * Fraction(1, 1000)
    instance.share([0], part, part + width)
    if generator.random() < 0.4:
        instance.volume([actions - 1], None, int(users * generator.uniform(0.1, 0.6)))
    return instance


def exact_average(generator: Generator, most: int) -> Instance:
    """What a contact costs on average is a given number, or within a hair of it; costs are whole."""
    users, actions = _people(generator, most=min(most, 3_000)), int(generator.integers(2, 6))
    instance = _plain(
        generator, generator.normal(0.2, 1, (users, actions)), generator.integers(1, 6, (users, actions)).astype(float),
        _segments(generator, users, 3),
    )  # fmt: skip
    middle = Fraction(int(generator.integers(20, 40)), 10)
    width = generator.choice([0, 1]) * Fraction(1, 100)
    instance.average(middle, middle + width)
    return instance


def coupon_week(generator: Generator, most: int) -> Instance:
    """Sixteen segments with the same scores in each, prices in yen, and some fifty rules."""
    users, kinds, actions = _people(generator, 500, most), 16, 6
    segment_U = _segments(generator, users, kinds)
    kind_U = np.unique(segment_U, return_inverse=True)[1]
    value_UA = np.round(generator.gamma(1.0, 0.1, (kinds, actions)), 3)[kind_U]
    cost_UA = np.tile([0.0, 50.0, 100.0, 200.0, 300.0, 500.0], (users, 1))
    instance = Instance(value_UA, cost_UA, segment_U, np.zeros(actions, int), 1)
    taken_UA = instance.some_allocation(generator)
    for name in np.unique(segment_U):
        inside_U = segment_U == name
        for action in generator.choice(actions, 3, replace=False):
            count = int(taken_UA[inside_U, action].sum())
            if generator.random() < 0.5:
                instance.volume([int(action)], int(0.8 * count), None, str(name))
            else:
                instance.volume([int(action)], None, int(1.2 * count) + 1, str(name))
    instance.total(None, float(np.ceil((taken_UA * cost_UA).sum())))
    return instance


def branches(generator: Generator, most: int) -> Instance:
    """Every branch can make a few calls."""
    users, actions = _people(generator, 200, most), int(generator.integers(2, 7))
    count = int(generator.integers(5, 200))
    segment_U = _segments(generator, users, count)
    tied = generator.random() < 0.5
    value_UA = generator.integers(0, 5, (users, actions)) if tied else generator.gamma(1, 1, (users, actions))
    instance = Instance(value_UA.astype(float), np.ones((users, actions)), segment_U, _slots(generator, actions), 1)
    calls = int(generator.integers(1, 4))
    for name in np.unique(segment_U):
        instance.volume([0], None, calls, str(name))
    instance.volume([actions - 1], None, max(users // 5, 1))
    return instance


def two_worlds(generator: Generator, most: int) -> Instance:
    """Half of the users have scores of their own, the others averages."""
    users, actions = _people(generator, 20, most), int(generator.integers(2, 7))
    value_UA = generator.normal(0.2, 0.5, (users, actions))
    cost_UA = generator.gamma(1.0, 1.0, (users, actions))
    half = users // 2
    value_UA[:half], cost_UA[:half] = value_UA[0], cost_UA[0]
    instance = _plain(generator, value_UA, cost_UA, _segments(generator, users, 3))
    _around(instance, generator, equal=0.3)
    return instance


def far_apart(generator: Generator, most: int) -> Instance:
    """Values (and costs) of users that are up to twelve powers of ten apart, in euros or in Rupiah."""
    users, actions = _people(generator, 50, most), int(generator.integers(2, 7))
    powers = generator.choice([6.0, 9.0, 12.0])
    size_U = 10 ** (generator.uniform(0, powers, users) - generator.choice([0.0, powers]))
    value_UA = generator.gamma(1.0, 1.0, (users, actions)) * size_U[:, None]
    cost_UA = generator.gamma(1.0, 1.0, (users, actions)) * (size_U[:, None] if generator.random() < 0.5 else 1.0)
    cost_UA = cost_UA * 10 ** generator.choice([0.0, 4.0])
    instance = _plain(generator, value_UA, cost_UA, _segments(generator, users, 3))
    _around(instance, generator)
    return instance


SHAPES: tuple[Callable[[Generator, int], Instance], ...] = (
    one_segment, averages, nearly_equal, whole_numbers, mostly_nothing, everybody_one, exact_share, exact_average, coupon_week,
    branches, two_worlds,
)  # fmt: skip


def make(seed: int, largest: int = LARGEST) -> tuple[str, Instance]:
    """The instance with this number, of at most so many users: shapes take turns."""
    shape = SHAPES[seed % len(SHAPES)]
    return shape.__name__, shape(np.random.default_rng([seed, 5]), largest)


def make_far_apart(seed: int, largest: int = LARGEST) -> Instance:
    return far_apart(np.random.default_rng([seed, 6]), largest)


def third(share: str, users: int = 150) -> Instance:
    """Four offers in two slots; the first is a given part of all contacts."""
    generator = np.random.default_rng(0)
    values = generator.normal(0.2, 1.0, (users, 4))
    instance = Instance(values, np.ones((users, 4)), np.full(users, "g"), np.array([0, 0, 1, 1]))
    instance.share([0], Fraction(share), Fraction(share))
    return instance
