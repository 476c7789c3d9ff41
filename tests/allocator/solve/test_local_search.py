"""Trades against enumeration: what they return keeps every row and is as good as the best pair of moves, or better."""

from itertools import combinations, product

import numpy as np
import pytest

from allocator.solve.local_search import Room, trade


def cost_of(case: tuple, picked_U: np.ndarray) -> float:
    _, loss_N, usage_NR, room = case
    return float(loss_N[picked_U].sum()) + room.cost(room.left_R - usage_NR[picked_U].sum(axis=0))


def make(seed: int, users: int = 9, slates: int = 3, *, soft: bool = False) -> tuple[tuple, np.ndarray]:
    """Random slates under two counts, which the first slates use up, and two sums, which they leave room in."""
    generator = np.random.default_rng(seed)
    user_N = np.repeat(np.arange(users), slates)
    loss_N = np.where(np.arange(len(user_N)) % slates == 0, 0.0, 0.02 * generator.random(len(user_N)))
    usage_NR = np.column_stack([generator.integers(0, 2, (len(user_N), 2)), generator.random((len(user_N), 2))])
    picked_U = np.arange(users) * slates
    left_R = usage_NR[picked_U].sum(axis=0) + np.array([0.0, 0.0, 0.6, 0.4])
    over_R = np.array([np.inf, np.inf, np.inf, 0.7 if soft else np.inf])
    room = Room(left_R, np.array([0.3, 0.2, 0.5, 0.4]), over_R, np.array([1.0, 1.0, 0.0, 0.0]))
    return (user_N, loss_N, usage_NR, room), picked_U


def best_pair(case: tuple, picked_U: np.ndarray, slates: int) -> float:
    """The least cost after at most two users have other slates."""
    best = cost_of(case, picked_U)
    for pair in combinations(range(len(picked_U)), 2):
        for columns in product(range(slates), repeat=2):
            other_U = picked_U.copy()
            other_U[list(pair)] = [user * slates + column for user, column in zip(pair, columns, strict=True)]
            slack_R = case[3].left_R - case[2][other_U].sum(axis=0)
            if (np.abs(slack_R[:2]) < 1e-9).all():  # trades leave tight counts alone
                best = min(best, cost_of(case, other_U))
    return best


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_no_pair_of_users_could_do_better(seed: int, soft: bool) -> None:
    case, picked_U = make(seed, soft=soft)
    traded_U = trade(*case, picked_U, 0.0)
    np.testing.assert_array_equal(case[0][traded_U], np.arange(len(picked_U)))
    slack_R = case[3].left_R - case[2][traded_U].sum(axis=0)
    assert (slack_R[np.isinf(case[3].over_R)] >= -1e-9).all()
    assert cost_of(case, traded_U) <= best_pair(case, picked_U, 3) + 1e-12
    assert cost_of(case, traded_U) <= best_pair(case, traded_U, 3) * 1.002


def test_most_of_the_room_in_the_sums_is_used() -> None:
    case, picked_U = make(0, users=60)
    assert cost_of(case, trade(*case, picked_U, 0.0)) < 0.1 * cost_of(case, picked_U)


def test_it_stops_at_the_target() -> None:
    case, picked_U = make(1)
    np.testing.assert_array_equal(trade(*case, picked_U, cost_of(case, picked_U)), picked_U)


def test_what_breaks_a_hard_row_is_left_as_it_is() -> None:
    (user_N, loss_N, usage_NR, room), picked_U = make(2)
    broken = Room(room.left_R - np.array([0, 0, 2.0, 0]), room.price_R, room.over_R, room.quantum_R)
    np.testing.assert_array_equal(trade(user_N, loss_N, usage_NR, broken, picked_U, 0.0), picked_U)


def test_without_counts_any_two_users_may_trade() -> None:
    (user_N, loss_N, usage_NR, room), picked_U = make(3, users=300)
    sums = Room(room.left_R[2:], room.price_R[2:], room.over_R[2:], room.quantum_R[2:])
    case = (user_N, loss_N, usage_NR[:, 2:], sums)
    assert cost_of(case, trade(*case, picked_U, 0.0)) < 0.05 * cost_of(case, picked_U)
