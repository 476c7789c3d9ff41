"""The bounds that a frontier goes through: of the constraint asked about, or of one that is added for a metric."""

from collections.abc import Iterator
from dataclasses import dataclass

from allocator.policy.grammar import Policy
from allocator.policy.kinds.base import Side
from allocator.solve.solution import Unsolvable
from allocator.workbench.answers import Amount
from allocator.workbench.measures import Measurand
from allocator.workbench.priced import SampledPolicy
from allocator.workbench.session import Session
from ranker.files import InputError

ADDED = "frontier_x"
EDGE_STEPS = 5
"""Halvings towards the last bound that the other rules allow."""


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

    def policy(self, base: Policy, side: Side | None, bound: Amount | None) -> Policy:
        """The policy with this bound alone on the side; without a side, where nothing is asked of x."""
        words = base.to_json()
        rules = words["constraints"] if self.words is None else [*words["constraints"], dict(self.words)]
        words["constraints"] = [self._bounded(rule, side, bound) for rule in rules]
        return Policy.model_validate(words)

    def _bounded(self, rule: dict, side: Side | None, bound: Amount | None) -> dict:
        if rule["id"] != self.rule:
            return rule
        rest = {name: value for name, value in rule.items() if name not in ("min", "max", "strength")}
        return {**rest, "strength": "report_only"} if side is None else {**rest, side: bound}

    def bounds(self, session: Session, base: Policy, points: int) -> tuple[tuple[Side, float], ...]:
        """Sides and bounds from the least that the other rules allow to the most, none of them idle."""
        free = session.price(self.policy(base, None, None), base)
        level = self.x.of(free)[0]
        if level is None:
            raise InputError([f"x: {self.x.name}: nothing is in its scope"])
        low, high = self._edge(session, base, "max", level), self._edge(session, base, "min", level)
        below = round((points - 1) * (level - low) / (high - low)) if high > low else points - 1
        return (*_spaced("max", low, level, below), *_spaced("min", level, high, points - below))

    def _edge(self, session: Session, base: Policy, side: Side, level: float) -> float:
        """How far x can be pushed from where nothing is asked of it: with `max` down, with `min` up."""
        size = abs(level) or 1.0
        inside, outside = level, (level - size if side == "max" else level + size)
        for step in range(EDGE_STEPS + 1):
            middle = outside if step == 0 else (inside + outside) / 2
            session.tell(f"how far {self.x.name} can go")
            if self._holds(session, base, side, middle):
                inside = middle
                if step == 0:
                    break
            else:
                outside = middle
        return inside

    def _holds(self, session: Session, base: Policy, side: Side, bound: float) -> bool:
        try:
            session.price(self.policy(base, side, self.written(base, bound)), base)
        except (Unsolvable, InputError, ValueError):
            return False
        return True

    def written(self, base: Policy, bound: float) -> Amount:
        """A bound as the file would have it: counts whole."""
        kind = self.words["kind"] if self.words is not None else _kind(base, self.rule)
        return max(round(bound), 0) if kind in ("volume", "reach") else float(f"{bound:.10g}")


def _kind(base: Policy, rule: str) -> str:
    return next(each.kind for each in base.constraints if each.id == rule)


def _spaced(side: Side, low: float, high: float, count: int) -> Iterator[tuple[Side, float]]:
    """So many bounds between low and high, without the end that nothing is asked of: of `max` the upper, of `min` the lower one."""
    for position in range(count):
        part = (position if side == "max" else position + 1) / count
        yield side, low + (high - low) * part
