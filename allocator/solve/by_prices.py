"""The whole way by prices, one algorithm from hundreds of users to millions: samples, all users, core, rounding.

The value of what comes out is the dual value less the losses of the core, so the loop stops as soon as these are small enough.

Axes: N eligible pairs, U users, A actions, P planes, R rows, K contacts of a slate.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from allocator.solve.alike import GroupSlates
from allocator.solve.core import (
    NO_GROUP_SLATES,
    WHOLE,
    Core,
    Relaxed,
    Rounded,
    build_core,
    relax,
    round_core,
    round_whole,
)
from allocator.solve.dual import DualEvaluation, Users, evaluate_dual, total_usage, value_of
from allocator.solve.greedy import MOST_USERS, greedy
from allocator.solve.mathprog import SolveOutcome
from allocator.solve.prices import Scale, Step, find_prices, proves_contradiction, sample_users
from allocator.solve.settings import SolveSettings
from allocator.solve.solution import ROUNDING, Unsolvable, relative_gap
from allocator.solve.steps import step_of
from allocator.users import FREE, NONE

SAMPLE_PART = 4
SMALLEST_SAMPLE = 100
SAMPLE_TOLERANCE = 2e-3
"""Times rows per sampled user: a third of what the best prices of a sample were seen to lose over all users, relative to the value."""
GROWTH = 10
LARGEST_SAMPLE = 500_000
FULL_EVALUATIONS = 6
"""After so many dual evaluations over all users prices that are nearly right will do: the core's linear programme finds the rest sooner."""
NEARLY = 1e-4
"""Of the dual, or one user's part of it where that is more: what these prices may still lose."""
USERS_PER_ROW = 20
"""With fewer, no sample knows all rows, and a step of the prices costs more than the core's linear programme."""
ROUGHLY = 1e-2
ROUGH_EVALUATIONS = 4
MOST_ROUNDS = 6
MOST_EVALUATIONS = 11
"""Over all users, in all, where these are many; one more states the proof."""
MANY_USERS = 200_000
CENTRING_EVALUATIONS = 30
"""With fewer users, after the prices were found: a dual evaluation costs little then beside a linear programme."""
CENTRED = 0.25
"""Of the wanted gap: a loss of the core's linear programme that better prices need not make smaller."""
ROOM = 0.3
"""Of the wanted gap: what the linear programme may lose at most, so that whole slates can still reach it."""
NEAR = 10
"""Times the wanted gap: what will do where a larger core does not help."""
CORE_EVERY = 1_000
CORE_GROWTH = 3
STEP_USERS = 50_000
LOOK_AT = 1_000
MOST_ENTRIES = 600_000
"""Of the matrix of an integer programme over everybody: what is larger takes minutes, and seldom ends better."""
SLATES = 20
"""Entries that a user brings at least, where that many users are too many at once."""
LARGE = 1e6
"""Times the value of a typical contact: no slate loses more."""

Floor = Callable[[], float]


class Tell(Protocol):
    """Is told what happens, and over how many users the dual was evaluated for it."""

    def __call__(self, sentence: str, users: int = 0, /) -> None: ...


@dataclass
class Trace:
    """What happened so far; `tell` hands a sentence, and over how many users the dual was evaluated, to whoever watches."""

    users: int = 0
    steps: list[Step] = field(default_factory=list)
    tell: Tell = lambda sentence, users=0: None

    @property
    def full_evaluations(self) -> int:
        return sum(step.users >= self.users for step in self.steps)

    def step(self, step: Step) -> None:
        """Keeps a dual evaluation and says what it brought."""
        self.steps.append(step)
        left = f", perhaps {step.predicted:.0e} of it less" if step.predicted < 1 else ""
        self.tell(f"pass {len(self.steps)} over {step.users:,} users: value at most {step.dual:,.2f}{left}", step.users)


def price(
    users: Users, start_R: np.ndarray, scale: Scale, settings: SolveSettings, floor: Floor, trace: Trace
) -> DualEvaluation:
    """Prices from a stratified sample, then ten times as many users, then all. Raises Unsolvable below `floor`."""
    generator, everybody = np.random.default_rng(settings.seed), len(users.data)
    price_R, radius = start_R, 1.0
    if len(start_R) * USERS_PER_ROW > everybody:
        return _rough_prices(users, start_R, scale, settings, floor, trace)
    size = min(settings.sample_users, max(everybody // SAMPLE_PART, SMALLEST_SAMPLE))
    while size * 2 < everybody and size <= LARGEST_SAMPLE:
        sample = sample_users(users, size, generator)
        tolerance = max(settings.gap / 50, min(SAMPLE_TOLERANCE * len(start_R) / size, 1e-3))
        found = find_prices(
            sample, price_R, scale, tolerance, settings.most_passes, generator, radius, floor, trace.step
        )
        price_R, radius, size = found.best.price_R, 0.1, size * GROWTH
        trace.tell(f"prices from {len(sample.data):,} users after {len(found.steps)} passes")
    found = find_prices(
        users, price_R, scale, settings.gap / 50, settings.most_passes, generator, radius, floor, trace.step,
        few=FULL_EVALUATIONS, nearly=max(NEARLY, 1 / max(everybody, 1)),
    )  # fmt: skip
    if proves_contradiction(found.best.dual, floor):
        raise Unsolvable("the prices grow without end", found.best.price_R)
    trace.tell(f"prices from all {everybody:,} users after {len(found.steps)} full passes")
    return found.best


def _rough_prices(
    users: Users, start_R: np.ndarray, scale: Scale, settings: SolveSettings, floor: Floor, trace: Trace
) -> DualEvaluation:
    """Prices from a few dual evaluations: with a rule for every few users the core's linear programme finds the rest far sooner."""
    most, generator = min(ROUGH_EVALUATIONS, settings.most_passes), np.random.default_rng(settings.seed)
    found = find_prices(users, start_R, scale, ROUGHLY, most, generator, 1.0, floor, trace.step)
    if proves_contradiction(found.best.dual, floor):
        raise Unsolvable("the prices grow without end", found.best.price_R)
    trace.tell(f"first prices from all {len(users.data):,} users after {len(found.steps)} passes")
    return found.best


@dataclass(frozen=True)
class Decided:
    """Integral slates, what they are worth with penalties paid, and the dual evaluation whose prices prove the lowest bound.

    counts: of users who stand for many. whole_bound: no allocation of whole contacts is worth more, by an integer programme.
    """

    slate_UK: np.ndarray
    value: float
    proof: DualEvaluation
    counts: GroupSlates = NO_GROUP_SLATES
    whole_bound: float = np.inf

    @property
    def bound(self) -> float:
        """The lowest that is at hand."""
        return min(self.proof.dual, self.whole_bound)

    @property
    def gap(self) -> float:
        return relative_gap(self.value, self.bound)


def first_core(everybody: int, settings: SolveSettings) -> int:
    """How many users the first core has."""
    return max(settings.core_users, everybody // CORE_EVERY)


def decide(users: Users, evaluated: DualEvaluation, scale: Scale, settings: SolveSettings, trace: Trace) -> Decided:
    """The core at the best prices, grown until it is feasible and its loss is small; then integers.

    Where no core gives integers that keep every hard row, the best of some plain allocations that do. Raises Unsolvable, as not
    proven, where none of them does either.
    """
    size, best = first_core(len(users.data), settings), None
    value_step = step_of_values(users)
    if not len(evaluated.price_R):
        return Decided(evaluated.slate_UK, evaluated.dual, evaluated)
    everybody = int(np.isfinite(evaluated.margin_U).sum())
    for turn in range(MOST_ROUNDS):
        last = size >= everybody or turn == MOST_ROUNDS - 1
        trace.tell(f"deciding about the {min(size, everybody):,} users who are nearest to another choice")
        centred, proof = _centre(users, evaluated, size, scale, settings, trace)
        evaluated, target = proof, settings.gap * abs(proof.dual)
        if value_step > 0:  # no whole slates can lose less
            target = max(target, proof.dual - whole_steps(proof.dual, value_step) + ROUNDING * abs(proof.dual))
        if centred is not None and (last or centred.relaxed.loss <= ROOM * target):
            rounded = round_core(centred.core, centred.relaxed, centred.evaluated, target, settings)
            before = None if best is None else best.gap
            best = _better(best, rounded, centred.evaluated, proof, value_step)
            if best is not None:
                trace.tell(f"core of {len(centred.core.who_U):,} users: gap {best.gap:.1e}")
                largest = CORE_GROWTH * size >= everybody
                if _good_enough(best.gap, before, settings.gap, largest):
                    break
        if last:
            break
        size *= CORE_GROWTH
    if best is None or best.gap > (1 if len(users.many_U) else NEAR) * settings.gap:
        best = _whole(users, evaluated, best, scale, settings, trace, value_step)
    return best or _plain(users, evaluated, scale)


def _whole(
    users: Users,
    evaluated: DualEvaluation,
    best: Decided | None,
    scale: Scale,
    settings: SolveSettings,
    trace: Trace,
    value_step: float,
) -> Decided | None:
    """Everybody decided by one integer programme over all slates that may still be better, where these are not too many.

    Raises Unsolvable where it proves that no whole slates keep the hard rows.
    """
    if np.isfinite(evaluated.margin_U).sum() > MOST_ENTRIES // SLATES:
        return best
    lost = np.inf if best is None else evaluated.dual - best.value
    width = LARGE * scale.value if best is None else lost * (1 + 1e-9)
    core = build_core(users, evaluated, len(users.data), settings.core_slates, scale, width)
    if len(core.user_N) + np.count_nonzero(core.usage_NR) > MOST_ENTRIES:
        return best
    trace.tell(f"one integer programme over {len(core.user_N):,} slates of {len(core.who_U):,} users")
    rounded, outcome = round_whole(core, evaluated, settings.gap * abs(evaluated.dual), settings)
    if best is None and outcome is SolveOutcome.INFEASIBLE and np.isposinf(core.width):
        raise Unsolvable("no whole number of contacts keeps every hard constraint", evaluated.price_R)
    return _better(best, rounded, evaluated, evaluated, value_step)


def step_of_values(users: Users) -> float:
    """What the value of every allocation is a multiple of; 0 where there is no such step, or too many users to look for one."""
    data, problem = users.data, users.problem
    if len(data) > STEP_USERS or np.isfinite(problem.rows.penalty_R).any():
        return 0.0
    user_N, action_N = np.nonzero(data.eligible_UA & (data.group_U == FREE)[:, None])
    first = slice(0, LOOK_AT)
    for part in (first, slice(None)):
        plane_NP = data.planes_UPA[user_N[part], :, action_N[part]].astype(float)
        value_N = (plane_NP * problem.value_PA[:, action_N[part]].T).sum(axis=1)
        step = step_of(value_N)
        if step == 0:
            break
    return step


def _plain(users: Users, evaluated: DualEvaluation, scale: Scale) -> Decided:
    """Everyone's best slate at the prices, the best contacts first, or nothing at all: the best that keeps every hard row."""
    hard_R = ~np.isfinite(users.problem.rows.penalty_R)
    plain = [evaluated.slate_UK, np.full_like(evaluated.slate_UK, NONE)]
    if len(users.data) <= MOST_USERS and not len(users.many_U):
        plain.append(greedy(users, scale).slate_UK)
    found = [
        Decided(slate_UK, value_of(users, slate_UK), evaluated)
        for slate_UK in plain
        if (total_usage(users, slate_UK) <= users.limit_R)[hard_R].all()
    ]
    if not found:
        words = "no allocation of whole contacts was found that keeps every hard constraint"
        raise Unsolvable(words, evaluated.price_R, proven=False)
    return max(found, key=lambda decided: decided.value)


def whole_steps(bound: float, value_step: float) -> float:
    """The most whole steps of value below a bound; infinite where value comes in none."""
    if value_step <= 0:
        return np.inf
    steps = bound / value_step
    return math.floor(steps + ROUNDING * (1.0 + abs(steps))) * value_step


def _better(
    best: Decided | None, rounded: Rounded | None, evaluated: DualEvaluation, proof: DualEvaluation, value_step: float
) -> Decided | None:
    """The more valuable of what was there and what was found at the prices of `evaluated`, with the lowest bounds."""
    if rounded is None:
        return None if best is None else replace(best, proof=proof)
    bound = np.inf if best is None else best.whole_bound
    if rounded.least > 0:
        bound = min(bound, evaluated.dual - rounded.least)
    bound = min(bound, whole_steps(proof.dual, value_step))
    if best is None or evaluated.dual - rounded.loss > best.value:
        best = Decided(rounded.slate_UK, evaluated.dual - rounded.loss, proof, rounded.counts)
    if abs(bound - best.value) <= ROUNDING * max(abs(evaluated.dual), abs(proof.dual)):
        bound = best.value
    return replace(best, proof=proof, whole_bound=bound)


def _good_enough(gap: float, before: float | None, wanted: float, largest: bool) -> bool:
    """Reached, or near it and a larger core has not brought it much nearer, or would be everybody: much work for little then."""
    return gap <= wanted or (gap <= NEAR * wanted and (largest or (before is not None and gap > 0.5 * before)))


@dataclass(frozen=True)
class Centred:
    """A core at the prices of a dual evaluation, and its linear programme solved, which keeps every hard row."""

    evaluated: DualEvaluation
    core: Core
    relaxed: Relaxed


def _centre(
    users: Users, evaluated: DualEvaluation, size: int, scale: Scale, settings: SolveSettings, trace: Trace
) -> tuple[Centred | None, DualEvaluation]:
    """The core at prices at which its own linear programme loses little, and the dual evaluation of the lowest bound.

    A step of column generation: the linear programme's prices are exact for the slates in the core, an evaluation at these prices tells
    which other slates nearly tie there, and these make the next core. Prices that prove no lower bound have gone too far for what the
    core knows: the next ones stay in a box, the smaller the worse that went. Ends where the loss is a part of the wanted gap.
    """
    found, proof, box = _relaxed(users, evaluated, size, scale, settings), evaluated, np.inf
    most = MOST_EVALUATIONS if users.people > MANY_USERS else trace.full_evaluations + CENTRING_EVALUATIONS
    while found is not None and found.relaxed.loss > CENTRED * settings.gap * abs(proof.dual):
        price_R = found.relaxed.price_R if np.isinf(box) else _boxed(found.core, box * scale.price_R, settings)
        if price_R is None or trace.full_evaluations >= most:
            break
        trial = evaluate_dual(users, price_R)
        trace.step(Step(users.people, trial.dual, found.relaxed.loss / max(abs(proof.dual), 1e-12), box))
        if not trial.dual < proof.dual:
            length = float((np.abs(price_R - proof.price_R) / scale.price_R).max())
            part = found.relaxed.loss / (found.relaxed.loss + trial.dual - proof.dual)
            box = length * min(max(3.0 * part, 2e-3), 0.3)
            continue
        proof = trial
        again = _relaxed(users, trial, size, scale, settings)
        if again is None or again.relaxed.loss >= found.relaxed.loss:
            break
        found = again
    return found, proof


def _boxed(core: Core, box_R: np.ndarray, settings: SolveSettings) -> np.ndarray | None:
    """The prices of the core's linear programme no further than box_R from those of the core."""
    relaxed = relax(core, settings.seconds, box_R)
    return None if relaxed is None else relaxed.price_R


def _relaxed(
    users: Users, evaluated: DualEvaluation, size: int, scale: Scale, settings: SolveSettings
) -> Centred | None:
    core = build_core(users, evaluated, size, settings.core_slates, scale)
    relaxed = relax(core, settings.seconds)
    return Centred(evaluated, core, relaxed) if relaxed is not None and relaxed.violation <= WHOLE else None
