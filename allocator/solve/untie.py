"""Many users who tie exactly are told apart by a little noise on values, made smaller step by step.

Whole-numbered or coarse scores make a large part of all users indifferent at the best prices. All of them then choose alike, the dual
has a kink there, and no small core can make up for it. With noise of a size e on every value the dual is smooth at that size: prices
are found for a large e first, then for smaller ones, each from those before. The last noise is far below the wanted gap (what an
allocation loses by it is at most its size per contact), and bound and value are stated without it. (Perturbation against degeneracy:
Charnes 1952; a homotopy in its size.)

Axes: U users, P planes, A actions, R rows.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from allocator.problem import Problem
from allocator.solve.alike import content_hashes
from allocator.solve.dual import DualEvaluation, Users
from allocator.solve.prices import Scale, Step, find_prices
from allocator.solve.settings import SolveSettings

TIED = 1e-9
"""Of the value of a typical contact: margins below it are ties."""
SIZES = (1e-2, 1e-3, 1e-4, 1e-5)
"""Of the value of a typical contact, as long as they are larger than the last."""
LAST = 0.2
"""Of the wanted gap, and of the value of a typical contact: the last noise."""
SHARP = 1e-3
"""Of the noise: what prices may still lose, relative to the dual."""
EVALUATIONS = 12
MIX = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Untied:
    """The users with noise on their values, and the dual evaluation at the prices found for them."""

    users: Users
    evaluated: DualEvaluation


def ties(evaluated: DualEvaluation, scale: Scale) -> int:
    """How many users are indifferent between two slates."""
    return int((evaluated.margin_U <= TIED * scale.value).sum())


def untie(
    users: Users, evaluated: DualEvaluation, scale: Scale, settings: SolveSettings, progress: Callable[[Step], None]
) -> Untied:
    """Prices for users whose values hold a noise far below the wanted gap, from prices at which many tie."""
    noisy = replace(users, data=replace(users.data, planes_UPA=_with_noise(users)))
    last, generator = LAST * settings.gap, np.random.default_rng(settings.seed)
    price_R = evaluated.price_R
    for size in [*(size for size in SIZES if size > last), last]:
        noisy = replace(noisy, problem=_noisy_problem(users, size * scale.value))
        found = find_prices(noisy, price_R, scale, SHARP * size, EVALUATIONS, generator, size, progress=progress)
        price_R = found.best.price_R
    return Untied(noisy, found.best)


def _noisy_problem(users: Users, size: float) -> Problem:
    """The same problem with one more plane, whose value is the noise and which no constraint uses."""
    problem, rows = users.problem, users.problem.rows
    actions = problem.value_PA.shape[1]
    return replace(
        problem,
        planes=(*problem.planes, ("noise", "")),
        value_PA=np.concatenate([problem.value_PA, np.full((1, actions), size)]),
        rows=replace(rows, plane_RPA=np.concatenate([rows.plane_RPA, np.zeros((len(rows), 1, actions))], axis=1)),
    )


def _with_noise(users: Users) -> np.ndarray:
    """float32[U, P + 1, A]: the planes, and numbers in [0, 1) that depend on what counts about a user and on the action alone."""
    planes_UPA = users.data.planes_UPA
    noise_UA = np.empty((len(planes_UPA), 1, planes_UPA.shape[2]), np.float32)
    hash_U = content_hashes(users.data, np.arange(len(users.data)))
    for action in range(planes_UPA.shape[2]):
        mixed_U = (hash_U ^ np.uint64((action + 1) * MIX % 2**64)) * np.uint64(MIX)
        mixed_U ^= mixed_U >> np.uint64(32)
        noise_UA[:, 0, action] = (mixed_U * np.uint64(MIX) >> np.uint64(40)).astype(np.float32) / np.float32(2**24)
    return np.concatenate([planes_UPA, noise_UA], axis=1)
