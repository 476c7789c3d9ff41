"""Which bounds, moved as little as can be, end a conflict: single ones, two that share it, or as many as it takes.

Constraints whose bounds may move are made soft at a price far above the value of any contact, and the problem is solved. What the
allocation then breaks is as little as can be, and where it stands is a bound that it keeps: so a repair is an allocation that was found,
and its bounds are as exact as the allocation. (An elastic programme: Chinneck, Feasibility and Infeasibility in Optimization, 2008.)

Axes: R rows, U users, K contacts of a slate.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from itertools import combinations

import numpy as np

from allocator.certify.contacts import tally_all
from allocator.chance_constraints import Refuted, solve_with_margins
from allocator.constraints import CompiledConstraint
from allocator.formats import Repair
from allocator.infeasible.counting import preflight
from allocator.policy.kinds.base import SIDES, Side
from allocator.problem import Problem
from allocator.solve.dual import value_of
from allocator.solve.prices import Scale
from allocator.solve.settings import SolveSettings
from allocator.solve.solution import TooLarge
from allocator.solve.solver import free_users, solve
from allocator.tally import Tally
from allocator.users import Data, UserActions

DEAR = 1e3
"""Times the value of a typical contact: what a contact too many or too few costs while bounds may move."""
ROUGH = 1e-4
"""The gap to which repairs are solved."""
MOST_REPAIRS = 4
MOST_SINGLE = 6
MOST_PAIRS = 3
MOST_SOLVES = 16
"""Problems that a search for repairs solves at most."""
DIGITS_OF_ESTIMATES = 3
"""Of one with a certainty, so that there is room for more than the one allocation that was found."""
MOST_STEPS = 50
DIGITS = 6
"""Of a bound that is no whole number: it is rounded outwards, so that what people read can be kept."""


@dataclass
class SolveBudget:
    """How many problems may still be solved; `tell` passes on what is being tried."""

    left: int = MOST_SOLVES
    tell: Callable[[str], None] = lambda sentence: None
    ended: bool = field(default=False, init=False)

    def spend(self, sentence: str) -> bool:
        """Whether there is work left for one more."""
        if self.left <= 0:
            self.ended = True
            return False
        self.left -= 1
        self.tell(sentence)
        return True


@dataclass(frozen=True)
class Conflict:
    """The problem that has no allocation, and the constraints that cannot hold together, by position."""

    problem: Problem
    data: Data
    fixed: UserActions
    settings: SolveSettings
    scale: Scale
    positions: Sequence[int]


Moves = dict[tuple[int, Side], float]


def find_repairs(conflict: Conflict, budget: SolveBudget) -> list[Repair]:
    """The cheapest first. Empty where nothing was found: because nothing is left to move, or because the work was at its end."""
    found: list[Moves] = []
    for positions in _to_try(conflict):
        if found and len(positions) > 2:
            break  # what moves everything is for when nothing less will do
        names = ", ".join(conflict.problem.measured[position].rule.id for position in positions)
        if not budget.spend(f"which change of {names} would do"):
            break
        moves = _eased(conflict, positions)
        if moves and all(set(moves) != set(other) for other in found):
            found.append(moves)
    shared = _shared(conflict, found, budget)
    found += [shared] if shared else []
    without = _without(conflict, found, budget)
    repairs = [_repair(conflict, moves, without, budget) for moves in found]
    return sorted(repairs, key=lambda repair: np.inf if repair.cost is None else repair.cost)[:MOST_REPAIRS]


def _to_try(conflict: Conflict) -> Iterator[tuple[int, ...]]:
    """Constraints whose bounds may move: each of the conflict alone, then two of it, then all that are hard."""
    singles = list(conflict.positions)[:MOST_SINGLE]
    yield from ((position,) for position in singles)
    if len(conflict.positions) > 2:
        yield from list(combinations(singles, 2))[:MOST_PAIRS]
    yield tuple(conflict.problem.hard)


def _shared(conflict: Conflict, found: Sequence[Moves], budget: SolveBudget) -> Moves | None:
    """Half of what one bound must move alone, and what another must move then: a compromise where two bounds can each end the conflict.

    None where there are no two, where the half does for nothing, or where a repair like that was found already.
    """
    alone = [next(iter(moves.items())) for moves in found if len(moves) == 1]
    if len(alone) < 2 or any(len(moves) == 2 for moves in found):
        return None
    (first, far), ((second, _), _) = alone[:2]
    near = conflict.problem.measured[first[0]].bound(first[1])
    half = (near + far) / 2
    if conflict.problem.measured[first[0]].whole:
        half = float(np.floor(half) if first[1] == "max" else np.ceil(half))
    if half == near or not budget.spend("whether two changes can share it"):
        return None
    others = _eased(_with_moves(conflict, {first: half}), [second])
    if not others or not budget.spend("how much less each must then change"):
        return None
    back = _eased(_with_moves(conflict, others), [first[0]])
    return {**back, **others} if back else None


def _with_moves(conflict: Conflict, moves: Moves) -> Conflict:
    """The same problem with these bounds moved."""
    measured = list(conflict.problem.measured)
    for (position, side), bound in moves.items():
        measured[position] = measured[position].with_bound(side, bound)
    return replace(conflict, problem=conflict.problem.with_measured(measured))


def _eased(conflict: Conflict, positions: Sequence[int]) -> Moves | None:
    """Where the bounds of these constraints must move to at least; None where that does not do."""
    rows, scale = conflict.problem.rows, conflict.scale
    measured = list(conflict.problem.measured)
    for position in positions:
        usage = float(scale.usage_R[rows.constraint_R == position].max())
        measured[position] = measured[position].softened(DEAR * scale.value / usage)
    problem = conflict.problem.with_measured(measured)
    if any(finding.hard for finding in preflight(problem, conflict.data, conflict.fixed)):
        return None
    slate_UK = _solved(conflict, problem)
    return None if slate_UK is None else _broken(conflict, slate_UK, positions)


def _solved(conflict: Conflict, problem: Problem) -> np.ndarray | None:
    rough = conflict.settings.model_copy(update={"gap": max(ROUGH, conflict.settings.gap)})
    data, fixed = conflict.data, conflict.fixed
    try:
        _, found = solve_with_margins(
            problem, data, fixed, None, lambda stage, start: solve(stage, data, fixed, rough, start)
        )
    except (Refuted, TooLarge):
        return None
    return found.slate_UK


def _broken(conflict: Conflict, slate_UK: np.ndarray, positions: Sequence[int]) -> Moves:
    """The bounds that this allocation does not keep, each moved to where it does."""
    counted = tally_all(conflict.problem, conflict.data, conflict.fixed, slate_UK)
    moves: Moves = {}
    for position in positions:
        measured = conflict.problem.measured[position]
        for side in SIDES:
            bound = _moved(measured, side, counted) if side in measured.sides else None
            if bound is not None:
                moves[position, side] = bound
    return moves


def _moved(measured: CompiledConstraint, side: Side, counted: Tally) -> float | None:
    """The bound that these sums keep, the margin of a certainty included; None where they keep the one there is."""
    outwards, bound = -1.0 if side == "min" else 1.0, measured.bound(side)
    kept = _kept(measured, side, counted)
    if kept is None or outwards * (kept - bound) <= 1e-9 * max(abs(bound), abs(kept)):
        return None
    if measured.whole:
        return float(round(kept))
    return outwards_rounded(kept, side, DIGITS if measured.margin is None else DIGITS_OF_ESTIMATES)


def _kept(measured: CompiledConstraint, side: Side, counted: Tally) -> float | None:
    """The tightest bound that these sums keep; the error of a ratio depends on its bound, so that is gone to step by step."""
    numerator, denominator = measured.sums(counted)
    if denominator is not None and not denominator > 0:
        return None
    if measured.margin is None:
        return numerator if denominator is None else numerator / denominator
    at = measured
    for _ in range(MOST_STEPS):
        over, size = at.beyond(side, counted)
        step = over / (denominator or 1.0)
        at = at.with_bound(side, at.bound(side) + (step if side == "max" else -step))
        if abs(over) <= 1e-12 * size:
            break
    return at.bound(side)


def outwards_rounded(amount: float, side: Side, most: int = DIGITS) -> float:
    """A bound of few digits on the safe side of the amount, which itself is kept to a billionth."""
    digits = most - 1 - (0 if amount == 0 else int(np.floor(np.log10(abs(amount)))))
    if abs(amount - round(amount, digits)) <= 1e-10 * abs(amount):
        return round(amount, digits)
    step = Decimal(1).scaleb(-digits)
    return float(Decimal(amount).quantize(step, rounding=ROUND_FLOOR if side == "min" else ROUND_CEILING))


def _without(conflict: Conflict, found: Sequence[Moves], budget: SolveBudget) -> float | None:
    """What the best allocation is worth without the constraints in the way, None where nothing was found or no work is left."""
    if not found or not budget.spend("what is given up"):
        return None
    away = set(conflict.positions).union(*({position for position, _ in moves} for moves in found))
    kept = [each for position, each in enumerate(conflict.problem.measured) if position not in away]
    return _worth(conflict, conflict.problem.with_measured(kept))


def _worth(conflict: Conflict, problem: Problem) -> float | None:
    slate_UK = _solved(conflict, problem)
    return None if slate_UK is None else value_of(free_users(problem, conflict.data, conflict.fixed), slate_UK)


def _repair(conflict: Conflict, moves: Moves, without: float | None, budget: SolveBudget) -> Repair:
    changes: dict[str, dict[str, float]] = {}
    for (position, side), bound in moves.items():
        changes.setdefault(conflict.problem.measured[position].rule.id, {})[side] = bound
    told = [_sentence(conflict.problem.measured[p], side, bound) for (p, side), bound in moves.items()]
    words = ", and ".join(_small(sentence) if position else sentence for position, sentence in enumerate(told))
    value = None
    if without is not None and budget.spend("what is left then"):
        moved = _with_moves(conflict, moves)
        value = _worth(moved, moved.problem)
    if without is None or value is None:
        return Repair(changes=changes, value=None, cost=None, sentence=words)
    cost = max(without - value, 0.0)
    return Repair(changes=changes, value=value, cost=cost, sentence=f"{words} (gives up {cost:,.4g} of value)")


def _sentence(measured: CompiledConstraint, side: Side, bound: float) -> str:
    verb = "Lower the minimum" if side == "min" else "Raise the maximum"
    return f"{verb} of {measured.rule.name} from {measured.bound(side):,.6g} to {_exact(bound)}"


def _small(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def _exact(bound: float) -> str:
    """All digits of a bound, since one less may not be enough."""
    return f"{bound:,.0f}" if bound == round(bound) else f"{bound:,.10g}"
