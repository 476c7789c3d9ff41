"""The prices: the dual of the allocation problem, minimised by trust-region Newton steps from small samples to all users.

    D(price) = limit . price + sum_u max over slates s of (value(s) - price . g(s)),   0 <= price <= penalty

is convex and, over many users, nearly smooth. An evaluation gives D and a subgradient exactly; its curvature is estimated from the users
who nearly tie: where a user swaps slate s for s' at a loss d, the demand jumps by g(s') - g(s) once prices move by d, so with a triangular
kernel of width h,  H = sum over near ties of (1/h)(1 - d/h) dg dg'  (a kernel estimate of the density of ties; compare the
generalised Hessian of LP duals in Mangasarian, A Newton method for linear programming, 2004).

Axes: R rows, U users, P planes, S user classes, Q asks, K contacts of a slate, T near ties, N slates or contacts.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from allocator.solve.dual import DualEvaluation, Users, evaluate_dual, slate_usage
from allocator.solve.near_ties import enumerate_slates, near_swaps, near_ties
from allocator.solve.usage import Exchanged, exchange_moments, typical_usage
from allocator.users import FREE, Data

MOST_TIES = 20_000
FEWEST_TIES_PER_ROW = 10
MOST_SLATES = 8
"""Of one user, where whole slates nearly tie."""


@dataclass(frozen=True)
class Priced:
    """The best prices found. steps: what each dual evaluation brought, for the certificate's trace; converged: stopped by the tolerance."""

    best: DualEvaluation
    steps: tuple["Step", ...]
    converged: bool


@dataclass(frozen=True)
class Step:
    """One dual evaluation: over how many users, the dual it found, and by how much the model said it could still fall (relative)."""

    users: int
    dual: float
    predicted: float
    radius: float


def sample_users(everyone: Users, size: int, generator: np.random.Generator) -> Users:
    """A stratified sample: of every user class its share, but at least thirty (fewer where there are many classes) or all of it,
    weighted back to the class. Who stands for more users than a sampled one would is always in it."""
    data, classes = everyone.data, len(everyone.problem.classes)
    large_U = (data.group_U == FREE) & (everyone.many() > max(everyone.people / size, 1.0))
    free_U = np.flatnonzero((data.group_U == FREE) & ~large_U)
    order = free_U[np.argsort(generator.random(len(free_U)), kind="stable")]
    class_N = data.class_U[order]
    sizes_S = np.bincount(class_N, minlength=classes)
    least = min(30, max(3, size // max(int((sizes_S > 0).sum()), 1)))
    wanted_S = np.minimum(sizes_S, np.maximum(least, np.ceil(size * sizes_S / max(len(free_U), 1)).astype(np.int64)))
    by_class = np.argsort(class_N, kind="stable")
    rank_N = np.empty(len(order), np.int64)
    rank_N[by_class] = np.arange(len(order)) - np.repeat(np.cumsum(sizes_S) - sizes_S, sizes_S)
    chosen = np.sort(np.concatenate([order[rank_N < wanted_S[class_N]], np.flatnonzero(large_U)]))
    weight_S = np.where(wanted_S > 0, sizes_S / np.maximum(wanted_S, 1), 1.0)
    sample = replace(everyone.take(chosen), weight_S=weight_S)
    if not len(sample.many_U):
        return sample
    for_itself_U = np.where(large_U[chosen], 1.0 / weight_S[sample.data.class_U], 1.0)
    return replace(sample, many_U=sample.many_U * for_itself_U)


@dataclass(frozen=True)
class Scale:
    """Sizes that make rows comparable: value of a typical contact, and per row what a typical contact in scope uses."""

    value: float
    usage_R: np.ndarray

    @property
    def price_R(self) -> np.ndarray:
        return self.value / self.usage_R


def measure_scale(users: Users, generator: np.random.Generator) -> Scale:
    """From at most 2,000 users: the median best contact, and per row the root mean square usage of an eligible contact."""
    data, problem = users.data, users.problem
    size = min(2_000, len(data))
    part = data.take(np.sort(generator.choice(len(data), size, replace=False)))
    user_N, action_N = np.nonzero(part.eligible_UA)
    plane_NP = part.planes_UPA[user_N, :, action_N].astype(float)
    value_N = problem.worth(action_N, plane_NP)
    positive = value_N[value_N > 0]
    value = float(np.median(positive)) if len(positive) else 1.0
    usage_R = typical_usage(problem.rows, part.class_U[user_N], action_N, plane_NP)
    return Scale(value or 1.0, np.where(usage_R > 0, usage_R, 1.0))


def find_prices(
    users: Users,
    start_R: np.ndarray,
    scale: Scale,
    tolerance: float,
    most_evaluations: int,
    generator: np.random.Generator,
    radius: float = 1.0,
    floor: Callable[[], float] = lambda: -np.inf,
    progress: Callable[[Step], None] | None = None,
    least: float = 1e-12,
    few: int | None = None,
    nearly: float = 0.0,
) -> Priced:
    """Minimises the dual over these users from start_R.

    Stops when the model of the dual predicts a relative decrease below `tolerance`, after most_evaluations, or when the dual falls
    below `floor` (no feasible allocation is worth less, so the constraints contradict each other). least: decreases are relative to
    the dual, or to this where it is larger. After `few` evaluations a predicted decrease below `nearly` will do.
    """
    penalty_R = users.problem.rows.penalty_R
    best = evaluate_dual(users, np.clip(start_R, 0.0, penalty_R))
    steps = [Step(users.people, best.dual, np.inf, radius)]
    if progress is not None:
        progress(steps[0])
    if not len(start_R):
        return Priced(best, tuple(steps), True)
    hessian = curvature(users, best, radius * scale.value, scale, generator)
    converged = False
    while len(steps) < most_evaluations and not proves_contradiction(best.dual, floor):
        gradient_R = users.limit_R - best.usage_R
        box_R = radius * scale.price_R
        low_R = np.maximum(-box_R, -best.price_R)
        high_R = np.minimum(box_R, penalty_R - best.price_R)
        step_R, decrease = newton_step(gradient_R, hessian, low_R, high_R, scale)
        relative = decrease / max(abs(best.dual), least)
        if relative < tolerance or (few is not None and len(steps) >= few and relative < nearly):
            converged = True
            break
        trial = evaluate_dual(users, best.price_R + step_R)
        ratio = (best.dual - trial.dual) / decrease
        length = float((np.abs(step_R) / scale.price_R).max())
        if ratio < 0.25:
            radius = 0.4 * length
        elif ratio > 0.75:
            radius = max(radius, min(2.5 * length, 1e6))
        if ratio > 1e-4:
            best = trial
        steps.append(Step(users.people, best.dual, relative, radius))
        if progress is not None:
            progress(steps[-1])
        hessian = curvature(users, best, radius * scale.value, scale, generator)
    return Priced(best, tuple(steps), converged)


def proves_contradiction(dual: float, floor: Callable[[], float]) -> bool:
    """Whether no allocation can keep the hard rows: all would be worth less than the floor, which is never above zero."""
    return dual < 0 and dual < floor()


def curvature(
    users: Users, evaluated: DualEvaluation, width: float, scale: Scale, generator: np.random.Generator
) -> np.ndarray:
    """[R, R]: the kernel estimate of the dual's curvature over a width in value, from a random part of the near ties.

    The width shrinks where there are more ties than are needed, and a tiny ridge keeps rows that no tie moves bounded.
    """
    rows = users.problem.rows
    margin_U = evaluated.margin_U
    near_U = np.flatnonzero(margin_U < width)
    enough = FEWEST_TIES_PER_ROW * (len(rows) + 10)
    if len(near_U) < enough:
        finite = np.sort(margin_U[np.isfinite(margin_U)])
        width = max(width, float(finite[min(enough, len(finite)) - 1]) * 1.01) if len(finite) else width
        near_U = np.flatnonzero(margin_U < width)
    thinned = kept_part = 1.0
    if len(near_U) > MOST_TIES:
        thinned = kept_part = len(near_U) / MOST_TIES
        near_U = np.sort(generator.choice(near_U, MOST_TIES, replace=False))
    hessian = np.zeros((len(rows), len(rows)))
    if len(near_U):
        near = users.take(near_U)
        there = replace(evaluated, slate_UK=evaluated.slate_UK[near_U], margin_U=margin_U[near_U])
        if users.rules.joint:
            hessian = thinned * _curvature_of_slates(near, there, width)
            return hessian + np.diag(_ridge(users, scale, hessian))
        ties = near_ties(near, there, np.arange(len(near_U)), width)
        if len(ties.user_T) > MOST_TIES:
            thinned *= len(ties.user_T) / MOST_TIES
            ties = ties.take(np.sort(generator.choice(len(ties.user_T), MOST_TIES, replace=False)))
        class_T = near.data.class_U[ties.user_T]
        weight_T = thinned * near.weight_S[class_T] * near.many(ties.user_T) * (1.0 - ties.loss_T / width) / width
        comes, goes = (_contacts(near.data, ties.user_T, action_T) for action_T in (ties.in_T, ties.out_T))
        hessian = exchange_moments(rows, class_T, comes, goes, ties.kept_T, weight_T)
        if near.data.remembers:
            hessian += _curvature_of_keeping(near, there, width, kept_part)
    return hessian + np.diag(_ridge(users, scale, hessian))


def _ridge(users: Users, scale: Scale, hessian: np.ndarray) -> np.ndarray:
    return np.maximum(1e-9 * users.people * scale.usage_R**2 / scale.value, 1e-6 * np.diag(hessian))


def _curvature_of_slates(users: Users, evaluated: DualEvaluation, width: float) -> np.ndarray:
    """[R, R]: of whole slates that nearly tie with the best, where contacts change together, or count together."""
    everyone = np.arange(len(users.data))
    choices = enumerate_slates(users, evaluated.price_R, everyone, width, MOST_SLATES)
    best_U = np.full(len(everyone), -np.inf)
    np.maximum.at(best_U, choices.user_N, choices.net_N)
    loss_N = best_U[choices.user_N] - choices.net_N
    other = np.flatnonzero((loss_N < width) & (loss_N > 0))
    user_T = choices.user_N[other]
    change_TR = slate_usage(users, user_T, choices.slate_NK[other]) - slate_usage(
        users, user_T, evaluated.slate_UK[user_T]
    )
    stands_for_T = users.weight_S[users.data.class_U[user_T]] * users.many(user_T)
    weight_T = stands_for_T * (1.0 - loss_N[other] / width) / width
    return change_TR.T @ (change_TR * weight_T[:, None])


def _curvature_of_keeping(users: Users, evaluated: DualEvaluation, width: float, thinned: float) -> np.ndarray:
    """[R, R]: what the near ties between earlier and best slates add."""
    swaps = near_swaps(users, evaluated, np.arange(len(users.data)), width)
    change_TR = slate_usage(users, swaps.user_T, swaps.to_TK) - slate_usage(users, swaps.user_T, swaps.from_TK)
    stands_for_T = users.weight_S[users.data.class_U[swaps.user_T]] * users.many(swaps.user_T)
    weight_T = stands_for_T * (1.0 - swaps.loss_T / width) / width
    return thinned * change_TR.T @ (change_TR * weight_T[:, None])


def _contacts(data: Data, user_T: np.ndarray, action_T: np.ndarray) -> Exchanged:
    return Exchanged(action_T, data.planes_UPA[user_T, :, np.maximum(action_T, 0)].astype(float))


def newton_step(
    gradient_R: np.ndarray, hessian: np.ndarray, low_R: np.ndarray, high_R: np.ndarray, scale: Scale
) -> tuple[np.ndarray, float]:
    """The step in the box that minimises gradient . step + step' H step / 2, and how much that is below zero."""
    unit_R = 1.0 / np.sqrt(np.diag(hessian))
    scaled = hessian * np.outer(unit_R, unit_R)
    slope_R = gradient_R * unit_R
    size = max(float(np.abs(slope_R).max()), 1e-300)

    def model(y_R: np.ndarray) -> tuple[float, np.ndarray]:
        curved = scaled @ y_R
        return float(slope_R @ y_R / size + 0.5 * y_R @ curved / size), slope_R / size + curved / size

    found = minimize(
        model,
        np.zeros_like(gradient_R),
        jac=True,
        method="L-BFGS-B",
        bounds=np.column_stack([low_R / unit_R, high_R / unit_R]),
        options={"maxiter": 500, "maxfun": 2_000, "ftol": 1e-15, "gtol": 1e-10, "maxcor": 30},
    )
    step_R = np.clip(found.x * unit_R, low_R, high_R)
    decrease = -float(gradient_R @ step_R + 0.5 * step_R @ hessian @ step_R)
    return step_R, max(decrease, 0.0)
