"""What contacts use of the rows, in time that grows with the rows that they touch, and not with all rows.

Axes: R rows, A actions, P planes, S user classes, N contacts, Z sums of contacts, T near ties,
E entries of the rows by action.
"""

from typing import NamedTuple

import numpy as np

from allocator.constraints import LinearRows, RowsByAction
from allocator.solve.kernel import kernel
from allocator.users import NONE


def contributions(rows: LinearRows, class_N: np.ndarray, action_N: np.ndarray, plane_NP: np.ndarray) -> np.ndarray:
    """[N, R]: what each of N contacts uses; action -1 stands for no contact."""
    return summed_contributions(rows, class_N, action_N, plane_NP, np.arange(len(action_N)), len(action_N))


def summed_contributions(
    rows: LinearRows, class_N: np.ndarray, action_N: np.ndarray, plane_NP: np.ndarray, of_N: np.ndarray, sums: int
) -> np.ndarray:
    """[Z, R]: what the contacts use together of whom each is of (int[N] below `sums`), such as of a slate."""
    used_ZR = np.zeros((sums, len(rows)))
    _add_contributions(rows.by_action, rows.member_RS, class_N, action_N, plane_NP, of_N, used_ZR)
    return used_ZR


def typical_usage(rows: LinearRows, class_N: np.ndarray, action_N: np.ndarray, plane_NP: np.ndarray) -> np.ndarray:
    """[R]: the root mean square of what those of N contacts use that use something; 0 where none does."""
    square_R, touching_R = np.zeros(len(rows)), np.zeros(len(rows))
    _add_squares(rows.by_action, rows.member_RS, class_N, action_N, plane_NP, square_R, touching_R)
    return np.sqrt(square_R / np.maximum(touching_R, 1.0))


class Exchanged(NamedTuple):
    """One contact of each near tie, action -1 where it has none, with the metrics of it."""

    action_T: np.ndarray
    plane_TP: np.ndarray


def exchange_moments(
    rows: LinearRows, class_T: np.ndarray, comes: Exchanged, goes: Exchanged, kept_T: np.ndarray, weight_T: np.ndarray
) -> np.ndarray:
    """[R, R]: the weighted sum over near ties of dg dg', dg being what an exchange changes of the usage of each row."""
    total_RR = np.zeros((len(rows), len(rows)))
    _add_moments(
        rows.by_action, rows.member_RS, rows.keep_R, np.flatnonzero(rows.keep_R), class_T, comes, goes, kept_T, weight_T, total_RR
    )  # fmt: skip
    return total_RR


@kernel(forceinline=True)
def _used(rows: RowsByAction, entry: int, plane_P: np.ndarray) -> float:
    """What a contact of the entry's action uses of its row, by a user whom the row is about."""
    used = rows.const_E[entry]
    for p in range(len(plane_P)):
        used += rows.plane_EP[entry, p] * plane_P[p]
    return used


@kernel()
def _add_contributions(
    rows: RowsByAction, member_RS: np.ndarray, class_N: np.ndarray, action_N: np.ndarray, plane_NP: np.ndarray,
    of_N: np.ndarray, used_ZR: np.ndarray,
) -> None:  # fmt: skip
    for n in range(len(action_N)):
        action = action_N[n]
        if action == NONE:
            continue
        for entry in range(rows.start_A[action], rows.start_A[action + 1]):
            row = rows.row_E[entry]
            member = member_RS[row, class_N[n]]
            if member != 0.0:
                used_ZR[of_N[n], row] += member * _used(rows, entry, plane_NP[n])


@kernel()
def _add_squares(
    rows: RowsByAction, member_RS: np.ndarray, class_N: np.ndarray, action_N: np.ndarray, plane_NP: np.ndarray,
    square_R: np.ndarray, touching_R: np.ndarray,
) -> None:  # fmt: skip
    for n in range(len(action_N)):
        for entry in range(rows.start_A[action_N[n]], rows.start_A[action_N[n] + 1]):
            row = rows.row_E[entry]
            used = member_RS[row, class_N[n]] * _used(rows, entry, plane_NP[n])
            square_R[row] += used * used
            touching_R[row] += used != 0.0


@kernel(forceinline=True)
def _touch(row: int, used: float, change_R: np.ndarray, touched_R: np.ndarray, count: int) -> int:
    """Adds to the change of a row and notes that it has one; returns how many rows have."""
    if used == 0.0:
        return count
    if change_R[row] == 0.0:
        touched_R[count] = row
        count += 1
    change_R[row] += used
    if change_R[row] == 0.0:
        change_R[row] = 1e-300  # stays noted, once
    return count


@kernel()
def _add_moments(
    rows: RowsByAction, member_RS: np.ndarray, keep_R: np.ndarray, keeping_R: np.ndarray, class_T: np.ndarray,
    comes: Exchanged, goes: Exchanged, kept_T: np.ndarray, weight_T: np.ndarray, total_RR: np.ndarray,
) -> None:  # fmt: skip
    change_R, touched_R = np.zeros(len(member_RS)), np.empty(len(member_RS), np.int64)
    for t in range(len(weight_T)):
        s, count = class_T[t], 0
        for contact, sign in ((comes, 1.0), (goes, -1.0)):
            action = contact.action_T[t]
            if action != NONE:
                for entry in range(rows.start_A[action], rows.start_A[action + 1]):
                    row = rows.row_E[entry]
                    used = sign * member_RS[row, s] * _used(rows, entry, contact.plane_TP[t])
                    count = _touch(row, used, change_R, touched_R, count)
        if kept_T[t] != 0:
            for row in keeping_R:
                used = kept_T[t] * keep_R[row] * member_RS[row, s]
                count = _touch(row, used, change_R, touched_R, count)
        for i in range(count):
            weighted = weight_T[t] * change_R[touched_R[i]]
            total_RR[touched_R[i], touched_R[i]] += weighted * change_R[touched_R[i]]
            for j in range(i):
                product = weighted * change_R[touched_R[j]]
                total_RR[touched_R[i], touched_R[j]] += product
                total_RR[touched_R[j], touched_R[i]] += product
        for i in range(count):
            change_R[touched_R[i]] = 0.0
