"""Contacts that were decided together: a slate is one trial, from which the effects of all of its contacts are learned at once.

    link(E[y | x, slate]) = base(x) + sum over contacts a of the slate of effect(x, a)

The network learns each decision once, under this sum. What comes after it asks about single contacts: one contact of each slate, drawn
at random, stands for it, with its marginal propensity over the number of contacts. A contact of chance p in a slate of n is drawn with
chance p / n, so that inverse propensities stay unbiased. What the others add is taken off its outcomes (`beside`).

Axes: R rows of logs, N decisions (n: those of several contacts), A actions, B arms (without none).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from ranker.files import InputError
from ranker.log_schema import DECISION
from ranker.logs import Logs, StoredLogs

OWN_ARMS = 100  # slates with an arm of their own, the most frequent ones


@dataclass(frozen=True)
class Draw:
    """row_N: one row of the logs for each decision, in rising order. size_N: contacts of the decision. others_NA: the contacts that it
    does not stand for, 1 each."""

    row_N: np.ndarray
    size_N: np.ndarray
    others_NA: csr_array


def draw(logs: Logs | StoredLogs) -> Draw | None:
    """None where the logs do not tell of slates, or every decision has one row.

    InputError where rows of one decision contradict each other: nothing beside a contact, two contacts of one slot, other outcomes.
    """
    if not logs.tells_slates:
        return None
    frame = logs.columns(["user_id", "as_of", DECISION, "action"])
    decision_R = _decisions(frame)
    if len(decision_R) == 0 or decision_R.max() + 1 == len(decision_R):
        return None
    action_R = pd.Index([str(action["id"]) for action in logs.actions]).get_indexer(frame["action"])
    if problems := list(_problems(logs, decision_R, action_R)):
        raise InputError(problems)
    chance_R = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    order = np.lexsort((chance_R, decision_R))
    first = np.flatnonzero(np.diff(decision_R[order], prepend=-1))
    row_N = np.sort(order[first])
    size_N = np.bincount(decision_R)[decision_R[row_N]]
    left_R = np.ones(len(frame), bool)
    left_R[row_N] = False
    left = np.flatnonzero(left_R)
    place = np.empty(len(row_N), np.int64)
    place[decision_R[row_N]] = np.arange(len(row_N))
    shape = (len(row_N), len(logs.actions))
    others_NA = csr_array((np.ones(len(left)), (place[decision_R[left]], action_R[left])), shape=shape)
    return Draw(row_N, size_N, others_NA)


def _decisions(frame: pd.DataFrame) -> np.ndarray:
    """int64[R]: the number of each row's decision; a row that names none is one of its own."""
    key_R = pd.util.hash_pandas_object(frame[["user_id", "as_of", DECISION]], index=False).to_numpy()
    own_R = frame[DECISION].isna().to_numpy()
    key_R = np.where(own_R, pd.util.hash_array(np.arange(len(frame))), key_R)
    return np.unique(key_R, return_inverse=True)[1]


def _problems(logs: Logs | StoredLogs, decision_R: np.ndarray, action_R: np.ndarray) -> Iterator[str]:
    rows, place = f"of {len(decision_R):,} rows", f"logs: columns {DECISION}, action"
    shown_N = np.bincount(decision_R, action_R >= 0) > 0
    if beside := int(((action_R < 0) & shown_N[decision_R]).sum()):
        yield f"{place}: {beside:,} {rows} show nothing beside a contact of the same decision"
    slot_A = pd.factorize(np.array([str(action["slot"]) for action in logs.actions], dtype=object))[0]
    slot_R = np.append(slot_A, -1)[action_R]
    if twice := int(pd.DataFrame({"decision": decision_R, "slot": slot_R}).duplicated().sum()):
        yield f"{place}: {twice:,} {rows} repeat the slot of an earlier row of the same decision"
    first_N = np.unique(decision_R, return_index=True)[1]
    told = logs.columns([outcome.name for outcome in logs.schema.outcomes])
    for name in told:
        value_R = told[name].to_numpy()
        of_first_R = value_R[first_N][decision_R]
        if other := int(((value_R != of_first_R) & ~(np.isnan(value_R) & np.isnan(of_first_R))).sum()):
            yield f"logs: column {name}: {other:,} {rows} tell another outcome than the first row of their decision"


@dataclass(frozen=True)
class Arms:
    """What decisions are learned as. arm_N: the arm of each, B for none. members_BA: how often arms show an action, first every action
    alone; None where arms are the actions."""

    arm_N: np.ndarray
    members_BA: np.ndarray | None


def arms_of(action_N: np.ndarray, others_NA: csr_array | None, actions: int, most: int = OWN_ARMS) -> Arms:
    """The `most` frequent slates have arms of their own. The others share one for each contact that stands for them, which shows what
    they show on average: a sum over rows of one arm takes time and memory, and few rows tell little of what tells them apart."""
    if others_NA is None:
        return Arms(action_N, None)
    several = np.flatnonzero(np.diff(others_NA.indptr) > 0)
    alone_nA = csr_array((np.ones(len(several)), (np.arange(len(several)), action_N[several])), (len(several), actions))
    slate_nA = alone_nA + others_NA[several]
    slate_n, frequent = _frequent(slate_nA, most)
    group_n = np.where(slate_n < 0, frequent + action_N[several], slate_n)
    group_n = np.unique(group_n, return_inverse=True)[1]
    members_BA = np.vstack([np.eye(actions), _averages(slate_nA, group_n)])
    arm_N = np.where(action_N == actions, len(members_BA), action_N)
    arm_N[several] = actions + group_n
    return Arms(arm_N, members_BA)


def _frequent(slate_nA: csr_array, most: int) -> tuple[np.ndarray, int]:
    """Of each decision the number of its slate, where it is one of the most frequent; -1 elsewhere. And how many these are."""
    code_A = np.random.default_rng(0).integers(
        np.iinfo(np.int64).max, size=slate_nA.shape[1]
    )  # sums of codes tell slates apart
    _, slate_n, count = np.unique(slate_nA.astype(np.int64) @ code_A, return_inverse=True, return_counts=True)
    chosen = np.argsort(-count, kind="stable")[:most]
    number = np.full(len(count), -1)
    number[chosen] = np.arange(len(chosen))
    return number[slate_n], len(chosen)


def _averages(slate_nA: csr_array, group_n: np.ndarray) -> np.ndarray:
    """[B, A]: of the decisions of each arm of several contacts."""
    size_B = np.bincount(group_n)
    pick_Bn = csr_array((np.ones(len(group_n)), (group_n, np.arange(len(group_n)))), (len(size_B), len(group_n)))
    return (pick_Bn @ slate_nA).toarray() / size_B[:, None]
