"""Which value of a field reaches a goal: a search over policies on the sample, each from the prices of the last.

What a bound or a weight reaches need not move steadily, so the search keeps a bracket and halves it or interpolates within (the Illinois
rule: Dowell and Jarratt, A modified regula falsi method, 1971).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from allocator.amounts import number
from allocator.policy.grammar import Policy
from allocator.solve.solution import Unsolvable
from allocator.workbench.answers import Amount, MeanAndError, OutOfReach, Seek, Tried
from allocator.workbench.in_full import solved_in_full
from allocator.workbench.measures import Measurand
from allocator.workbench.priced import SampledPolicy
from allocator.workbench.sentences import causes_of, signed
from allocator.workbench.session import Session
from allocator.workbench.totals import Compared, value_estimate
from ranker.files import InputError

REACHES = (0.0, 1 / 64, 1 / 8, 1 / 2, 2.0, 8.0, 64.0, 1e4)
"""Times the present value: where a goal is looked for first, outwards."""
MOST_STEPS = 30
EDGE_STEPS = 8
NEAR = 1e-4
"""Of the goal, or of the field: what will do."""


@dataclass(frozen=True)
class PolicyField:
    """A field of a policy that is a number, or a number of per cent. at: the policy with the field at a value. now: its value."""

    name: str
    now: Amount | None
    whole: bool
    at: Callable[[Amount], Policy]

    @property
    def percent(self) -> bool:
        return isinstance(self.now, str) and self.now.strip().endswith("%")

    @property
    def number(self) -> float | None:
        """Its value, of per cent the number before the sign."""
        if self.now is None:
            return None
        return float(self.now.strip().rstrip("%").strip()) if isinstance(self.now, str) else float(self.now)

    def written(self, value: float) -> Amount:
        """As the file would have it."""
        if self.percent:
            return f"{value:.7g}%"
        return round(value) if self.whole else float(f"{value:.7g}")


@dataclass
class _Search:
    """What was tried so far: value of the field -> the policy priced there, or None where it contradicts itself."""

    session: Session
    base: Policy
    knob: PolicyField
    measure: Measurand
    target: float
    found: dict[float, SampledPolicy | None] = field(default_factory=dict)

    def reached(self, value: float) -> float | None:
        """By how much the goal is missed there (positive: above); None where nothing can be said."""
        if value not in self.found:
            self.session.tell(f"trying {self.knob.name} = {self.knob.written(value)}")
            try:
                self.found[value] = self.session.price(self.knob.at(self.knob.written(value)), self.base)
            except (Unsolvable, InputError):
                self.found[value] = None
        found = self.found[value]
        achieved = None if found is None else self.measure.of(found)[0]
        return None if achieved is None else achieved - self.target

    def is_near(self, missed: float) -> bool:
        return abs(missed) <= NEAR * max(abs(self.target), 1e-9)

    def bracket(self, start: float) -> tuple[float, float] | None:
        """Two neighbouring values between which the goal lies."""
        values = [start]
        for reach in sorted(REACHES, key=lambda reach: abs(reach - 1) if reach < 1 else reach):
            value = reach * start
            value = min(value, 100.0) if self.knob.percent else round(value) if self.knob.whole else value
            if value not in values:
                values.append(value)
            if (pair := self._around(values)) is not None:
                return pair
        return self._at_the_edge(values)

    def _around(self, values: list[float]) -> tuple[float, float] | None:
        known = [(value, missed) for value in sorted(values) if (missed := self.reached(value)) is not None]
        for (low, below), (high, above) in pairwise(known):
            if below == 0 or above == 0 or (below < 0) != (above < 0):
                return low, high
        return None

    def _at_the_edge(self, values: list[float]) -> tuple[float, float] | None:
        """The same where one end is among values that contradict the other rules: the last one that does not is looked for."""
        known = {value: missed for value in values if (missed := self.reached(value)) is not None}
        if not known:
            return None
        inside = min(known, key=lambda value: abs(known[value]))
        for direction in (1, -1):
            outside = [value for value in values if (value - inside) * direction > 0 and value not in known]
            if not outside:
                continue
            here, there = inside, min(outside, key=lambda value: abs(value - inside))
            for _ in range(EDGE_STEPS):
                if self.knob.whole and abs(there - here) <= 1:
                    break
                middle = (here + there) / 2
                values.append(middle)
                if self.reached(middle) is None:
                    there = middle
                else:
                    here = middle
                if (pair := self._around(values)) is not None:
                    return pair
        return None

    def close(self, low: float, high: float) -> float:
        """The value in the bracket that comes nearest."""
        below, above = self.reached(low), self.reached(high)
        if below is None or above is None:
            raise ValueError("the ends of a bracket are known")
        side = 0
        for _ in range(MOST_STEPS):
            best = low if abs(below) <= abs(above) else high
            apart = 1.0 if self.knob.whole else NEAR * max(abs(low), abs(high))
            if self.is_near(min(abs(below), abs(above))) or abs(high - low) <= apart:
                return best
            middle = (low * above - high * below) / (above - below) if abs(side) < 2 else (low + high) / 2
            middle = min(max(round(middle), low + 1), high - 1) if self.knob.whole else middle
            missed = self.reached(middle)
            if missed is None:
                return best
            if (missed < 0) == (below < 0):
                low, below, side = middle, missed, max(side, 0) + 1
            else:
                high, above, side = middle, missed, min(side, 0) - 1
        return low if abs(below) <= abs(above) else high


def seek(
    session: Session, base: Policy, field: PolicyField, measure: Measurand, target: float, full: bool = False
) -> Seek:
    """The value of the field at which the measure comes to the target; full: what it gives is counted in an allocation of all users.

    Raises Unsolvable where the policy as it is contradicts itself.
    """
    started = time.perf_counter()
    now = session.price(base)
    search = _Search(session, base, field, measure, target)
    begin = field.number if field.number else measure.scale(now, field.percent)
    pair = search.bracket(begin)
    value = search.close(*pair) if pair is not None else _nearest(search)
    found = search.found[value]
    if found is None:
        raise InputError([f"by: {field.name}: no value of it leaves a policy that can be kept"])
    achieved, error = measure.of(found)
    missed = (achieved or 0.0) - target
    reached = pair is not None and (search.is_near(missed) or abs(missed) <= _rounding(measure, target))
    cost = Compared(now, found).of(("value", ""), session.gap)
    out = None if reached else _out_of_reach(search, value, found, missed)
    answer = Seek(
        want=f"{measure.name}={number(target)}",
        by=field.name,
        target=target,
        now=field.now,
        achieved_now=measure.of(now)[0],
        bound=field.written(value),
        achieved=achieved or 0.0,
        achieved_se=error,
        value=found.value,
        value_se=value_estimate(found, session.gap).se,
        cost=-cost.mean,
        cost_se=cost.se,
        out_of_reach=out,
        sentence=_sentence(field, measure, field.written(value), achieved, cost, out),
        tried=tuple(_tried(field, measure, value, found) for value, found in sorted(search.found.items())),
        users=session.scores.users,
        sample=len(session.sample),
        full=False,
        seconds=time.perf_counter() - started,
    )
    if not full:
        return answer
    return _in_full(session, base, field.at(answer.bound), measure, answer, started)


def _in_full(session: Session, base: Policy, new: Policy, measure: Measurand, answer: Seek, started: float) -> Seek:
    """The answer with what allocations of all users give of it."""
    before, after = solved_in_full(session, base).answer(), solved_in_full(session, new).answer()
    achieved, cost = measure.stated(after), before.value - after.value
    lost = MeanAndError(mean=-cost, se=0.0)
    return answer.model_copy(
        update={
            "achieved_now": measure.stated(before),
            "achieved": achieved or 0.0,
            "achieved_se": 0.0,
            "value": after.value,
            "value_se": 0.0,
            "cost": cost,
            "cost_se": 0.0,
            "sentence": f"{_told(answer.by, measure, answer.bound, achieved, lost)} (An allocation of all users.)",
            "sample": session.scores.users,
            "full": True,
            "seconds": time.perf_counter() - started,
        }
    )


def _rounding(measure: Measurand, target: float) -> float:
    """What whole contacts may miss by: half a per mille."""
    return 5e-4 * abs(target)


def _nearest(search: _Search) -> float:
    known = {value: abs(missed) for value in search.found if (missed := search.reached(value)) is not None}
    if not known:
        raise InputError([f"by: {search.knob.name}: no value of it leaves a policy that can be kept"])
    return min(known, key=lambda value: (known[value], abs(value)))


def _tried(field: PolicyField, measure: Measurand, value: float, found: SampledPolicy | None) -> Tried:
    achieved = None if found is None else measure.of(found)[0]
    return Tried(bound=field.written(value), achieved=achieved, value=None if found is None else found.value)


def _out_of_reach(search: _Search, value: float, found: SampledPolicy, missed: float) -> OutOfReach:
    reason = _across(search, value) or f"{_edge(search, value)}{_in_the_way(search, found, missed)}"
    nearest = search.measure.of(found)[0] or 0.0
    return OutOfReach(nearest=nearest, bound=search.knob.written(value), reason=reason)


def _across(search: _Search, value: float) -> str:
    """The value next to it on the other side of the goal, where the field goes in steps."""
    missed = search.reached(value) or 0.0
    other_side = {
        other: found
        for other, found in search.found.items()
        if found is not None and (away := search.reached(other)) is not None and away * missed < 0
    }
    if not other_side:
        return ""
    other = min(other_side, key=lambda each: abs(each - value))
    return f"The next value, {search.knob.written(other)}, gives {number(search.measure.of(other_side[other])[0])}."


def _edge(search: _Search, value: float) -> str:
    """Where the rules contradict each other."""
    refused = [other for other, known in search.found.items() if known is None]
    if not refused:
        return ""
    nearest = search.knob.written(min(refused, key=lambda other: abs(other - value)))
    return f"At {nearest} the rules contradict each other. "


def _in_the_way(search: _Search, found: SampledPolicy, missed: float) -> str:
    if missed >= 0:
        return "No value that was tried gives less."
    return causes_of(found, search.measure.scope(found))


def _sentence(
    field: PolicyField,
    measure: Measurand,
    bound: Amount,
    achieved: float | None,
    cost: MeanAndError,
    out: OutOfReach | None,
) -> str:
    if out is None:
        return _told(field.name, measure, bound, achieved, cost)
    return f"Out of reach: {field.name} comes nearest at {bound}, with {measure.name} of {number(out.nearest)}. {out.reason}"


def _told(name: str, measure: Measurand, bound: Amount, achieved: float | None, cost: MeanAndError) -> str:
    changed = f"value changes by {signed(cost, '')}" if cost.seen else "no effect on value is seen"
    return f"{name} = {bound} gives {measure.name} of {number(achieved)}; {changed}."


def changes_of(path: str, value: Amount) -> Mapping[str, object]:
    """A dotted path and a value as `Session.read` takes changes."""
    first, *rest = path.split(".")
    inner: object = value
    for step in reversed(rest):
        inner = {step: inner}
    return {first: inner}
