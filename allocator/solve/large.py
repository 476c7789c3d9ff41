"""The whole way by prices, one algorithm from hundreds of users to millions: samples, all users, core, rounding.

The value of what comes out is the dual value less the losses of the core, so the loop stops as soon as these are small enough.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from allocator.solve.core import Core, Relaxed, build_core, relax, round_core
from allocator.solve.passes import Pass, Users, sweep
from allocator.solve.prices import Scale, Step, find_prices, proves_contradiction, sample_users
from allocator.solve.settings import SolveSettings
from allocator.solve.solution import Unsolvable

SAMPLE_TOLERANCE = 1e-6
GROWTH = 10
LARGEST_SAMPLE = 500_000
MOST_ROUNDS = 6
CORE_EVERY = 1_000

Floor = Callable[[], float]
Tell = Callable[..., None]


@dataclass
class Trace:
    """What happened so far; `tell` passes a sentence, and how many users were swept for it, on to whoever watches."""

    steps: list[Step] = field(default_factory=list)
    tell: Tell = lambda sentence, swept=0: None

    def step(self, step: Step) -> None:
        """Keeps a sweep and says what it brought."""
        self.steps.append(step)
        left = f", perhaps {step.predicted:.0e} of it less" if step.predicted < 1 else ""
        self.tell(f"pass {len(self.steps)} over {step.users:,} users: value at most {step.dual:,.2f}{left}", step.users)


def price(users: Users, start_R: np.ndarray, scale: Scale, settings: SolveSettings, floor: Floor, trace: Trace) -> Pass:
    """Prices from a stratified sample, then ten times as many users, then all. Raises Unsolvable below `floor`."""
    generator = np.random.default_rng(settings.seed)
    price_R, radius, size = start_R, 1.0, settings.sample_users
    while size * 2 < len(users.data) and size <= LARGEST_SAMPLE:
        sample = sample_users(users, size, generator)
        found = find_prices(
            sample, price_R, scale, SAMPLE_TOLERANCE, settings.most_passes, generator, radius, floor, trace.step
        )
        price_R, radius, size = found.best.price_R, 0.1, size * GROWTH
        trace.tell(f"prices from {len(sample.data):,} users after {len(found.steps)} passes")
    found = find_prices(
        users, price_R, scale, settings.gap / 50, settings.most_passes, generator, radius, floor, trace.step
    )
    if proves_contradiction(found.best.dual, floor):
        raise Unsolvable("the prices grow without end", found.best.price_R)
    trace.tell(f"prices from all {len(users.data):,} users after {len(found.steps)} full passes")
    return found.best


@dataclass(frozen=True)
class Decided:
    """Integral slates, what they are worth with penalties paid, and the sweep whose prices prove the lowest bound."""

    slate_UK: np.ndarray
    value: float
    proof: Pass

    @property
    def gap(self) -> float:
        return (self.proof.dual - self.value) / max(abs(self.proof.dual), 1e-12)


def decide(users: Users, swept: Pass, scale: Scale, settings: SolveSettings, trace: Trace) -> Decided:
    """The core at the best prices, grown until it is feasible and its loss is small; then integers.

    Raises Unsolvable where even the largest core has no feasible point.
    """
    size, best = max(settings.core_users, len(users.data) // CORE_EVERY), None
    if not len(swept.price_R):
        return Decided(swept.slate_UK, swept.dual, swept)
    for _ in range(MOST_ROUNDS):
        core = build_core(users, swept, size, settings.core_slates, scale.usage_R)
        relaxed = relax(core, _elastic(core, scale), settings.seconds)
        if relaxed is not None and relaxed.violation <= 1e-7:
            swept, core, relaxed = _recentre(users, swept, core, relaxed, size, scale, settings)
            target = settings.gap * abs(swept.dual)
            rounded = round_core(core, relaxed, swept, target, settings)
            if rounded is not None:
                value = swept.dual - rounded.loss
                if best is None or value > best.value:
                    best = Decided(rounded.slate_UK, value, swept)
                best = replace(best, proof=swept)
                trace.tell(f"core of {len(core.who_U):,} users: gap {best.gap:.1e}")
                if best.gap <= settings.gap:
                    break
        if size >= int(np.isfinite(swept.margin_U).sum()):
            break
        size *= 3
    if best is None:
        raise Unsolvable("no allocation of whole contacts keeps every hard constraint", swept.price_R)
    return best


def _elastic(core: Core, scale: Scale) -> float:
    """A price of violation above any sensible price of a row."""
    return 1e3 * (scale.value + float((core.price_R * core.unit_R).max(initial=0.0)))


def _recentre(
    users: Users, swept: Pass, core: Core, relaxed: Relaxed, size: int, scale: Scale, settings: SolveSettings
) -> tuple[Pass, Core, Relaxed]:
    """Moves to the core's own prices where these prove a lower bound."""
    trial = sweep(users, relaxed.price_R)
    if not trial.dual < swept.dual:
        return swept, core, relaxed
    again = build_core(users, trial, size, settings.core_slates, scale.usage_R)
    answer = relax(again, _elastic(again, scale), settings.seconds)
    if (
        answer is None
        or answer.violation > 1e-7
        or trial.dual - answer.loss < swept.dual - relaxed.loss - 1e-12 * abs(swept.dual)
    ):
        return swept, core, relaxed
    return trial, again, answer
