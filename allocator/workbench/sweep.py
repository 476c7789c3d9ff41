"""The bounds that a frontier goes through: of the constraint asked about, or of one that is added for a metric."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from allocator.policy.grammar import Policy
from allocator.policy.kinds.base import Side
from allocator.policy.words import Strength
from allocator.solve.dual import Users
from allocator.solve.prices import measure_scale
from allocator.workbench.answers import Amount
from allocator.workbench.measures import Measurand
from allocator.workbench.priced import SampledPolicy, Start, price_on_sample
from allocator.workbench.session import Session
from ranker.files import InputError

ADDED = "frontier_x"
HARD = Strength("hard")
DEAREST = 10.0
"""What a unit of x may cost, in typical prices: value of a typical contact per what a typical contact in scope uses."""


@dataclass(frozen=True)
class Sweep:
    """A constraint whose bound is moved. x: what it measures. rule: its id; words: in the form of the file, where it is added."""

    x: Measurand
    rule: str
    words: dict[str, object] | None = None

    @classmethod
    def over(cls, x: Measurand, found: SampledPolicy) -> "Sweep":
        """Raises InputError where there is no bound to move."""
        if x.place(found) is not None:
            return cls(x, x.name)
        if x.name == "value":
            raise InputError(
                ["x: is the value, which is what is made as large as can be; name a metric or a constraint"]
            )
        kind: dict[str, object] = {"kind": "volume"} if x.name == "contacts" else {"kind": "total", "metric": x.name}
        return cls(x, ADDED, {"id": ADDED, **kind})

    def policy(self, base: Policy, side: Side | None, bound: Amount | None, strength: Strength = HARD) -> Policy:
        """The policy with this bound alone on the side; without a side, where nothing is asked of x."""
        words = base.to_json()
        rules = words["constraints"] if self.words is None else [*words["constraints"], dict(self.words)]
        words["constraints"] = [self._bounded(rule, side, bound, strength) for rule in rules]
        return Policy.model_validate(words)

    def _bounded(self, rule: dict, side: Side | None, bound: Amount | None, strength: Strength) -> dict:
        if rule["id"] != self.rule:
            return rule
        rest = {name: value for name, value in rule.items() if name not in ("min", "max", "strength")}
        return (
            {**rest, "strength": "report_only"}
            if side is None
            else {**rest, side: bound, "strength": strength.to_json()}
        )

    def ways(self, session: Session, base: Policy, points: int) -> tuple["Way", ...]:
        """From where nothing is asked of x down to the least and up to the most that the other rules allow; no bound is idle."""
        free = session.price(self.policy(base, None, None), base)
        level = self.x.of(free)[0]
        if level is None:
            raise InputError([f"x: {self.x.name}: nothing is in its scope"])
        session.tell(f"how far {self.x.name} can go")
        low, high = self._edge(session, base, "max", level, free), self._edge(session, base, "min", level, free)
        below = round((points - 1) * (level - low) / (high - low)) if high > low else points - 1
        return (
            Way("max", tuple(_from(level, low, below)), free),
            Way("min", tuple(_from(level, high, points - below)), free),
        )

    def _edge(self, session: Session, base: Policy, side: Side, level: float, free: SampledPolicy) -> float:
        """How far x can be pushed from where nothing is asked of it: with `max` down to nothing, with `min` up to twice as much."""
        size = abs(level) or 1.0
        asked = level - size if side == "max" else level + size
        reached = self.x.of(self.priced(session, base, side, asked, free, free.prices, roughly=True))[0]
        if reached is None:
            return level
        return max(asked, reached) if side == "max" else min(asked, reached)

    def priced(
        self,
        session: Session,
        base: Policy,
        side: Side,
        bound: float,
        free: SampledPolicy,
        start: Start,
        roughly: bool = False,
    ) -> SampledPolicy:
        """At a bound that is kept as long as a unit of it costs less than counts as out of reach, so that no bound contradicts the other
        rules. free: where nothing is asked of x. start: prices to begin with. Raises Unsolvable."""
        strength = Strength("soft", self._dearest(free, side, bound))
        asked = self.policy(base, side, self.written(base, bound), strength)
        return price_on_sample(session.sample, asked, session.previous, start, session.tell, roughly)

    def is_broken(self, found: SampledPolicy) -> bool:
        """Whether a bound that a policy was priced at is not kept, every unit of it being worth its whole penalty."""
        rows = found.problem.rows
        of_x_R = np.array([found.problem.measured[place].rule.id == self.rule for place in rows.constraint_R], bool)
        return bool((found.price_R[of_x_R] >= rows.penalty_R[of_x_R]).any())

    def _dearest(self, free: SampledPolicy, side: Side, bound: float) -> float:
        """The price of a unit of x from which on it counts as out of reach."""
        place = next(place for place, each in enumerate(free.problem.measured) if each.rule.id == self.rule)
        measured = [*free.problem.measured]
        measured[place] = measured[place].softened(1.0).with_bound(side, bound)
        problem = free.problem.with_measured(measured)
        price_R = measure_scale(Users.of(problem, free.data), np.random.default_rng(0)).price_R
        return float(f"{DEAREST * price_R[problem.rows.constraint_R == place].max():.6g}")

    def written(self, base: Policy, bound: float) -> Amount:
        """A bound as the file would have it: counts whole."""
        kind = self.words["kind"] if self.words is not None else _kind(base, self.rule)
        return max(round(bound), 0) if kind in ("volume", "reach") else float(f"{bound:.10g}")


def _kind(base: Policy, rule: str) -> str:
    return next(each.kind for each in base.constraints if each.id == rule)


def _from(level: float, edge: float, count: int) -> Iterator[float]:
    """So many bounds towards the edge, without the level itself."""
    for position in range(count):
        yield level + (edge - level) * (position + 1) / count


@dataclass(frozen=True)
class Way:
    """Bounds on one side of where nothing is asked of x, the nearest first. free: the policy there, whose prices the first begins with."""

    side: Side
    bounds: tuple[float, ...]
    free: SampledPolicy


@dataclass
class Ahead:
    """Prices at the next of bounds at even distances: as far from the last ones as these from those before."""

    prices: Start
    last: Start | None = None

    def came_to(self, found: Start) -> None:
        """The prices that the next bound led to."""
        if self.last is None:
            self.prices = found
        else:
            steps = {side: 2 * found.get(side, 0.0) - self.last.get(side, 0.0) for side in {**found, **self.last}}
            self.prices = {side: price for side, price in steps.items() if price > 0}
        self.last = found
