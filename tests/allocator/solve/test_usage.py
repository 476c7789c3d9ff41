"""What contacts use of the rows, next to the same sums over dense arrays."""

import numpy as np
import pytest

from allocator.constraints import LinearRows
from allocator.solve.usage import Exchanged, contributions, exchange_moments, summed_contributions, typical_usage
from allocator.users import NONE

ROWS, ACTIONS, PLANES, CLASSES, CONTACTS = 9, 7, 3, 4, 400


def some_rows(generator: np.random.Generator) -> LinearRows:
    """Each row about some actions and user classes; the last one of nobody, one of them credits who keeps the earlier slate."""
    touched_RA = generator.random((ROWS, ACTIONS)) < 0.4
    member_RS = (generator.random((ROWS, CLASSES)) < 0.6).astype(float)
    member_RS[-1] = 0.0
    keep_R = np.zeros(ROWS)
    keep_R[3] = -1.0
    ones_R, none_R = np.ones(ROWS), np.zeros(ROWS)
    return LinearRows(
        constraint_R=np.arange(ROWS), sign_R=ones_R, limit_R=none_R, penalty_R=ones_R, quantum_R=none_R, member_RS=member_RS,
        const_RA=touched_RA * (generator.random((ROWS, ACTIONS)) < 0.5),
        plane_RPA=touched_RA[:, None] * generator.normal(size=(ROWS, PLANES, ACTIONS)),
        keep_R=keep_R, reach_BA=np.zeros((0, ACTIONS), bool), reach_RB=np.zeros((ROWS, 0)),
    )  # fmt: skip


def dense(rows: LinearRows, class_N: np.ndarray, action_N: np.ndarray, plane_NP: np.ndarray) -> np.ndarray:
    used_NR = rows.const_RA.T[action_N] + np.einsum("rpn,np->nr", rows.plane_RPA[:, :, action_N], plane_NP)
    return used_NR * rows.member_RS.T[class_N] * (action_N != NONE)[:, None]


@pytest.mark.parametrize("seed", range(3))
def test_sums_over_touched_rows_are_those_over_all_rows(seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = some_rows(generator)
    class_N = generator.integers(0, CLASSES, CONTACTS)
    action_N = generator.integers(NONE, ACTIONS, CONTACTS)
    plane_NP = generator.normal(size=(CONTACTS, PLANES))
    wanted_NR = dense(rows, class_N, action_N, plane_NP)
    np.testing.assert_allclose(contributions(rows, class_N, action_N, plane_NP), wanted_NR, rtol=1e-12, atol=1e-14)
    of_N = generator.integers(0, 50, CONTACTS)
    wanted_ZR = np.zeros((50, ROWS))
    np.add.at(wanted_ZR, of_N, wanted_NR)
    found_ZR = summed_contributions(rows, class_N, action_N, plane_NP, of_N, 50)
    np.testing.assert_allclose(found_ZR, wanted_ZR, rtol=1e-12, atol=1e-13)
    there = action_N != NONE
    touching_R = np.maximum((wanted_NR[there] != 0).sum(axis=0), 1)
    root_R = np.sqrt((wanted_NR[there] ** 2).sum(axis=0) / touching_R)
    found_R = typical_usage(rows, class_N[there], action_N[there], plane_NP[there])
    np.testing.assert_allclose(found_R, root_R, rtol=1e-12)
    assert found_R[-1] == 0.0


@pytest.mark.parametrize("seed", range(3))
def test_moments_of_exchanges_are_those_of_the_dense_changes(seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = some_rows(generator)
    class_T = generator.integers(0, CLASSES, CONTACTS)
    comes, goes = (
        Exchanged(generator.integers(NONE, ACTIONS, CONTACTS), generator.normal(size=(CONTACTS, PLANES)))
        for _ in range(2)
    )
    kept_T, weight_T = -generator.integers(0, 2, CONTACTS), generator.random(CONTACTS)
    change_TR = dense(rows, class_T, *comes) - dense(rows, class_T, *goes)
    change_TR += kept_T[:, None] * rows.keep_R * rows.member_RS.T[class_T]
    found_RR = exchange_moments(rows, class_T, comes, goes, kept_T, weight_T)
    np.testing.assert_allclose(found_RR, change_TR.T @ (weight_T[:, None] * change_TR), rtol=1e-10, atol=1e-12)
    assert (found_RR == found_RR.T).all()


def test_a_contact_that_takes_the_place_of_the_same_one_changes_nothing() -> None:
    rows = some_rows(np.random.default_rng(5))
    same = Exchanged(np.array([2, 2]), np.ones((2, PLANES)))
    class_T, weight_T = np.array([0, 1]), np.ones(2)
    assert not exchange_moments(rows, class_T, same, same, np.zeros(2, np.int64), weight_T).any()
