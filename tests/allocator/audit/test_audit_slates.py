"""The judge's best slates agree with enumeration, whatever the caps and whatever each user has left of them."""

import itertools

import numpy as np
import pytest

from allocator.audit.slates import BestSlates

SLOT_A = np.array([0, 0, 0, 1, 1, 2, 2, 3, 3])
USERS = 60


def enumerated(net_A: np.ndarray, scopes: list[np.ndarray], room_C: np.ndarray) -> float:
    """The best value of all slates that may be."""
    return max(
        sum(net_A[list(slate)])
        for count in range(5)
        for slate in itertools.combinations(np.flatnonzero(np.isfinite(net_A)), count)
        if possible(list(slate), scopes, room_C)
    )


def possible(slate: list[int], scopes: list[np.ndarray], room_C: np.ndarray) -> bool:
    return len(set(SLOT_A[slate])) == len(slate) and all(
        scope_A[slate].sum() <= room for scope_A, room in zip(scopes, room_C, strict=True)
    )


def draw(seed: int, caps: int) -> tuple[np.random.Generator, list[np.ndarray], np.ndarray]:
    """Random overlapping caps, and values of 9 actions in 4 slots, some of them not allowed."""
    rng = np.random.default_rng(seed)
    scopes = [rng.random(9) < 0.5 for _ in range(caps)]
    return rng, scopes, np.where(rng.random((USERS, 9)) < 0.2, -np.inf, rng.normal(0.3, 1.0, (USERS, 9)))


@pytest.mark.parametrize("caps", [0, 1, 4])
@pytest.mark.parametrize("seed", range(5))
def test_the_best_slates_where_caps_leave_all_users_the_same(seed: int, caps: int) -> None:
    rng, scopes, net_UA = draw(seed, caps)
    room_UC = np.broadcast_to(rng.integers(0, 3, caps), (USERS, caps))
    found_U = BestSlates(SLOT_A, scopes).best(net_UA, room_UC)
    wanted = [enumerated(net_A, scopes, room_C) for net_A, room_C in zip(net_UA, room_UC, strict=True)]
    assert found_U == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_the_best_slates_where_each_user_has_something_else_left(seed: int) -> None:
    rng, scopes, net_UA = draw(seed, 4)
    room_UC = rng.integers(0, 6, (USERS, 4))
    slates = BestSlates(SLOT_A, scopes)
    found_U = slates.best(net_UA, room_UC)
    wanted = [enumerated(net_A, scopes, room_C) for net_A, room_C in zip(net_UA, room_UC, strict=True)]
    assert found_U == pytest.approx(wanted, abs=1e-12)
    order_U = rng.permutation(USERS)
    np.testing.assert_array_equal(slates.best(net_UA[order_U], room_UC[order_U]), found_U[order_U])


@pytest.mark.parametrize("seed", range(4))
def test_which_slates_keep_the_caps(seed: int) -> None:
    rng, scopes, _ = draw(seed, 3)
    slate_UA, room_UC = rng.random((USERS, 9)) < 0.2, rng.integers(0, 4, (USERS, 3))
    kept_U = BestSlates(SLOT_A, scopes).keeps_caps(slate_UA, room_UC)
    wanted = [possible(np.flatnonzero(a).tolist(), scopes, room) for a, room in zip(slate_UA, room_UC, strict=True)]
    assert kept_U.tolist() == wanted
    assert {True, False} <= set(wanted)
