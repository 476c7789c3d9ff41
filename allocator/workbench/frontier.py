"""What one thing costs in another: the best policies at bounds from the least to the most that the other rules allow.

Every point is the most valuable answer at its bound, on the sample, or of all users by a real allocation whose gap is told. In full, all
points share what was read of the scores, and each begins with the prices of its neighbour.

Axes: U users, R rows.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from allocator.amounts import number
from allocator.assign.preassigned import Preassigned, preassign
from allocator.certify.contacts import contact_values, tally_all
from allocator.chance_constraints import Refuted, prices_by_side, solve_with_margins
from allocator.policy.grammar import Policy
from allocator.policy.kinds.base import Side
from allocator.problem import Problem, build_problem
from allocator.solve.dual import value_of
from allocator.solve.settings import SolveSettings
from allocator.solve.solution import Unsolvable, relative_gap
from allocator.solve.solver import free_users, solve
from allocator.tally import Tally
from allocator.users import Data, load_data
from allocator.workbench.answers import Amount, Frontier, Point
from allocator.workbench.budget_path import budget_path, has_path
from allocator.workbench.measures import Measurand
from allocator.workbench.priced import SampledPolicy, Start, price_on_sample
from allocator.workbench.sample import everybody
from allocator.workbench.session import Session
from allocator.workbench.sweep import Ahead, Sweep, Way
from allocator.workbench.totals import value_estimate
from ranker.files import InputError

Change = Mapping[str, Mapping[str, Amount]]
"""Rule -> field -> value."""
Sides = tuple[float | None, float | None]
"""The bounds of a constraint."""
MOST_BREAKPOINTS = 5_000
STRAIGHT = 0.02
"""Of the spans: what is no farther from a straight line has no bend."""


def frontier(session: Session, base: Policy, x: str, y: str, points: int, full: bool = False) -> Frontier:
    """The trade-off of two measures under a policy.

    Args:
        session, base: as for a what-if.
        x, y: `value`, `contacts`, a metric, or the id of a constraint; the bound of x is what moves.
        points: how many bounds, two at least; those that the rules refuse are left out.
        full: from allocations of all users.

    Raises:
        Infeasible: the policy as it is contradicts itself.
        InputError: there is no such thing to measure, or nothing to move.
    """
    started = time.perf_counter()
    now = session.priced_or_diagnosed(base)
    across, up = Measurand.named(x, now, "x"), Measurand.named(y, now, "y")
    curve: tuple[tuple[float, float, float], ...] = ()
    made: Iterable[Point]
    if up.name == "value" and across.place(now) is not None and has_path(now):
        everybody_now = price_on_sample(everybody(session.scores), base, session.previous) if full else now
        curve, made = _whole_curve(everybody_now, across, points, session.gap)
    else:
        sweep = Sweep.over(across, now)
        ways = sweep.ways(session, base, points)
        made = _in_full(session, base, sweep, up, ways) if full else _sampled(session, base, sweep, up, ways)
    found = sorted(made, key=lambda point: (point.x, point.y))
    knee, current = _knee(found), next((place for place, point in enumerate(found) if not point.change), None)
    return Frontier(
        x=across.name,
        y=up.name,
        x_unit=across.unit(now),
        y_unit=up.unit(now),
        points=tuple(found),
        exact_curve=curve,
        knee=knee,
        current=current,
        sentence=_sentence(across, up, found, knee, current),
        users=session.scores.users,
        sample=session.scores.users if full else len(session.sample),
        full=full,
        seconds=time.perf_counter() - started,
    )


def _whole_curve(
    now: SampledPolicy, x: Measurand, points: int, gap: float
) -> tuple[tuple[tuple[float, float, float], ...], list[Point]]:
    """The exact curve of the only budget, thinned, and points at even distances on it with the policy as it is among them."""
    path = budget_path(now)
    kept = np.unique(np.linspace(0, len(path.spent_N) - 1, MOST_BREAKPOINTS).astype(int))
    price_N = np.append(path.price_N, 0.0)
    finite_N = np.where(np.isfinite(price_N), price_N, price_N[np.isfinite(price_N)].max(initial=0.0))
    curve = tuple((float(path.spent_N[n]), float(path.value_N[n]), float(finite_N[n])) for n in kept)
    error = value_estimate(now, gap).se
    achieved = x.of(now)[0] or 0.0
    budgets: list[tuple[float, Change]] = [(achieved, {})]
    for spent in np.linspace(path.spent_N[0], path.spent_N[-1], points):
        budgets.append((float(spent), {x.name: {"max": float(f"{spent:.10g}")}}))
    return curve, [
        Point(
            x=spent, y=path.at(spent), x_se=0.0, y_se=error, value=path.at(spent), value_se=error, gap=0.0,
            change=change,
        )
        for spent, change in budgets
    ]  # fmt: skip


def _sampled(session: Session, base: Policy, sweep: Sweep, up: Measurand, ways: Sequence[Way]) -> Iterator[Point]:
    yield _sampled_point(session, session.price(base), sweep, up, {})
    for way in ways:
        ahead = Ahead(way.free.prices)
        for position, bound in enumerate(way.bounds):
            session.tell(f"{way.side} {position + 1} of {len(way.bounds)}")
            with suppress(Unsolvable, InputError):
                found = sweep.priced(session, base, way.side, bound, way.free, ahead.prices)
                if sweep.is_broken(found):
                    break  # out of reach, as is everything behind it
                ahead.came_to(found.prices)
                change: Change = {sweep.rule: {way.side: sweep.written(base, bound)}}
                yield _sampled_point(session, found, sweep, up, change)


def _sampled_point(session: Session, found: SampledPolicy, sweep: Sweep, up: Measurand, change: Change) -> Point:
    (x, x_error), (y, y_error), value = sweep.x.of(found), up.of(found), value_estimate(found, session.gap)
    return Point(
        x=x or 0.0, y=y or 0.0, x_se=x_error, y_se=y_error, value=value.mean, value_se=value.se, gap=0.0, change=change
    )  # fmt: skip


@dataclass(frozen=True)
class _Everybody:
    """All users under the rules of a frontier: what is read once."""

    session: Session
    problem: Problem
    data: Data
    preassigned: Preassigned
    settings: SolveSettings


def _in_full(session: Session, base: Policy, sweep: Sweep, up: Measurand, ways: Sequence[Way]) -> Iterator[Point]:
    """Points from allocations of all users, each way until the rules contradict each other."""
    session.tell("reading the scores")
    settings = SolveSettings(gap=session.gap)
    way = ways[0] if ways[0].bounds else ways[1]
    first = sweep.policy(base, way.side, sweep.written(base, way.bounds[0]))
    problem = build_problem(session.scores, first, session.previous, more=session.scores.planes)
    data, preassigned = preassign(problem, load_data(problem, session.scores, settings.memory_gib))
    everybody = _Everybody(session, problem, data, preassigned, settings)
    now = session.price(base)
    place = next(place for place, each in enumerate(problem.measured) if each.rule.id == sweep.rule)
    own = sweep.x.place(now)
    as_it_is = (None, None) if own is None else (now.problem.measured[own].low, now.problem.measured[own].high)

    def at(change: Change, sides: Sides, start: Start) -> tuple[Point, Start] | None:
        measured = [*problem.measured]
        measured[place] = replace(measured[place], low=sides[0], high=sides[1])
        return _point(everybody, problem.with_measured(measured), (sweep.x, up), change, start)

    session.tell("the policy as it is, all users")
    if (made := at({}, as_it_is, now.prices)) is not None:
        yield made[0]
    for way in ways:
        ahead = Ahead(way.free.prices)
        for position, bound in enumerate(way.bounds):
            session.tell(f"{way.side} {position + 1} of {len(way.bounds)}, all users")
            written = sweep.written(base, bound)
            made = at({sweep.rule: {way.side: written}}, _sides(way.side, float(written)), ahead.prices)
            if made is None:
                break
            ahead.came_to(made[1])
            yield made[0]


def _sides(side: Side, bound: float) -> Sides:
    return (bound, None) if side == "min" else (None, bound)


def _point(
    everybody: _Everybody,
    problem: Problem,
    measures: tuple[Measurand, Measurand],
    change: Change,
    start: Start,
) -> tuple[Point, Start] | None:
    """One allocation, and its prices; None where the rules contradict each other."""
    data, fixed, settings = everybody.data, everybody.preassigned.fixed, everybody.settings
    try:
        problem, solution = solve_with_margins(
            problem, data, fixed, start, lambda stage, begin: solve(stage, data, fixed, settings, begin)
        )
    except Refuted:
        return None
    given = float(contact_values(problem, data, *fixed).sum())
    value = given + value_of(free_users(problem, data, fixed), solution.slate_UK)
    counted = tally_all(problem, data, fixed, solution.slate_UK)
    x, y = (_total(measure, problem, counted, value) for measure in measures)
    point = Point(
        x=x, y=y, x_se=0.0, y_se=0.0, value=value, value_se=0.0,
        gap=max(relative_gap(value, given + min(solution.dual, solution.whole_bound)), 0.0), change=change,
    )  # fmt: skip
    return point, prices_by_side(problem, solution.price_R)


def _total(measure: Measurand, problem: Problem, counted: Tally, value: float) -> float:
    """What an allocation gives of a measure."""
    ids = [each.rule.id for each in problem.measured]
    if measure.name in ids:
        top, below = problem.measured[ids.index(measure.name)].sums(counted)
        return top if below is None else top / below if below else 0.0
    if measure.name in ("value", "contacts"):
        return value if measure.name == "value" else float(counted.count_SA.sum())
    return float(counted.sum_SPA[:, problem.planes.index(("mean", measure.name))].sum())


def _knee(points: Sequence[Point]) -> int | None:
    """The point farthest from the straight line between the ends, both axes scaled to their spans; None on a straight line."""
    if len(points) < 3:
        return None
    at = np.array([(point.x, point.y) for point in points])
    span = at[-1] - at[0]
    if (span == 0).any():
        return None
    scaled = (at - at[0]) / span
    distance = scaled[:, 1] - scaled[:, 0]
    knee = int(np.abs(distance).argmax())
    return knee if abs(distance[knee]) > STRAIGHT else None


def _sentence(x: Measurand, y: Measurand, points: Sequence[Point], knee: int | None, current: int | None) -> str:
    if not points:
        return f"No bound of {x.name} leaves rules that can be kept."
    first, last = points[0], points[-1]
    told = (
        f"From {x.name} {number(first.x)} to {number(last.x)}, {y.name} goes from {number(first.y)} to {number(last.y)}"
    )
    if current is not None:
        told += f"; the policy as it is stands at {number(points[current].x)} with {number(points[current].y)}"
    if knee is not None:
        told += f"; the bend is at {number(points[knee].x)} with {number(points[knee].y)}"
    return f"{told}."
