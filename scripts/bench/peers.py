"""General solvers and rules of thumb on the whole allocation problem as one linear programme, for benchmarks.

A variable per eligible user-action pair, 0 <= x <= 1; rows: the constraints (scaled to a typical contact's use), then one action per
slot and every cap for every user. Built straight from the scores and the compiled policy; shares nothing with the solver it is
compared with. Holdouts, exploration and soft constraints are not for here.

Axes: N eligible pairs, R rows of constraints, H rows of the programme: those and the users' own, E entries of the matrix.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from ortools.pdlp import solve_log_pb2, solvers_pb2
from ortools.pdlp.python import pdlp
from scipy import sparse
from scipy.optimize import linprog

from allocator.problem import Problem
from allocator.solve.kernel import kernel
from allocator.solve.mathprog import Programme, SolveOutcome, solve_linear
from allocator.solve.usage import contributions
from ranker.scores import Scores, Shard

USERS_PER_STEP = 8_192
WHOLE = 1e-6


@dataclass(frozen=True)
class Whole:
    """minimise cost_N . x, rows <= high_H, 0 <= x <= 1. The first `constraints` rows are constraints, the rest users' own.

    capped_R: rows that a best-first rule can keep, being maxima of sums rather than of ratios.
    """

    cost_N: np.ndarray
    matrix_HN: sparse.csc_matrix
    high_H: np.ndarray
    constraints: int
    capped_R: np.ndarray


@dataclass(frozen=True)
class Found:
    """What a peer returned. x_N: None where it returned nothing in time. bound: of its own dual solution, where it gives one."""

    x_N: np.ndarray | None
    bound: float | None = None
    note: str = ""


@dataclass(frozen=True)
class JudgedPeer:
    """What x is worth, what it breaks and how whole it is.

    over_user: most contacts above what a slot or a cap of one user allows. over_row: largest violation of a constraint, relative to
    its bound, or to the sum of what contacts contribute to it where that is larger. fractional: pairs that are neither 0 nor 1.
    """

    value: float
    over_user: float
    over_row: float
    fractional: int


def build_whole(scores: Scores, problem: Problem) -> Whole:
    """The linear programme over all users; memory grows with the pairs."""
    rows = problem.rows
    parts = [_pairs(problem, shard) for shard in scores.shards(USERS_PER_STEP, check=False)]
    user_N, action_N, value_N = (np.concatenate([part[i] for part in parts]) for i in range(3))
    usage = sparse.vstack([part[3] for part in parts], format="csr") if len(rows) else None
    personal, capacity = _personal(problem, user_N, action_N)
    limit_R = rows.limit_R
    if usage is not None:
        used_R, count_R = np.sqrt(np.asarray(usage.multiply(usage).sum(axis=0)).ravel()), usage.getnnz(axis=0)
        unit_R = np.where(used_R > 0, used_R / np.sqrt(np.maximum(count_R, 1)), 1.0)
        usage = usage.multiply(1.0 / unit_R).T
        limit_R = limit_R / unit_R
        personal = sparse.vstack([usage, personal], format="csc")
    plain_R = np.array([problem.measured[c].denominator is None for c in rows.constraint_R], bool)
    return Whole(
        cost_N=-value_N,
        matrix_HN=sparse.csc_matrix(personal),
        high_H=np.concatenate([limit_R, capacity]),
        constraints=len(rows),
        capped_R=np.flatnonzero(plain_R & (rows.sign_R > 0)),
    )


def _pairs(problem: Problem, shard: Shard) -> tuple[np.ndarray, np.ndarray, np.ndarray, sparse.csr_matrix]:
    class_U = problem.classes.of(shard)
    eligible_UA = shard.eligible_UA & problem.contact.allowed_A & problem.allowed_SA[class_U]
    user_N, action_N = np.nonzero(eligible_UA)
    planes = [getattr(shard, kind)[metric][user_N, action_N] for kind, metric in problem.planes]
    plane_NP = np.stack(planes, axis=1).astype(float)
    value_N = problem.worth(action_N, plane_NP)
    usage = sparse.csr_matrix(contributions(problem.rows, class_U[user_N], action_N, plane_NP))
    return user_N + shard.start, action_N, value_N, usage


def _personal(problem: Problem, user_N: np.ndarray, action_N: np.ndarray) -> tuple[sparse.csr_matrix, np.ndarray]:
    """A row per user and slot, and per user and cap, where the user has more pairs than it allows."""
    contact = problem.contact
    groups = [(contact.slot_A == slot, 1) for slot in range(contact.slots)]
    groups += [(member_A, int(most)) for member_A, most in zip(contact.member_CA, contact.capacity_C, strict=True)]
    row_N, column_N, capacity, first = [], [], [], 0
    for member_A, most in groups:
        inside = np.flatnonzero(member_A[action_N])
        count_U = np.bincount(user_N[inside], minlength=problem.users)
        kept = inside[count_U[user_N[inside]] > most]
        row_U = np.cumsum(count_U > most) - 1
        row_N.append(first + row_U[user_N[kept]])
        column_N.append(kept)
        capacity.append(np.full(int((count_U > most).sum()), float(most)))
        first += len(capacity[-1])
    row, column = np.concatenate(row_N), np.concatenate(column_N)
    return sparse.csr_matrix((np.ones(len(row)), (row, column)), shape=(first, len(user_N))), np.concatenate(capacity)


def judge(whole: Whole, x_N: np.ndarray) -> JudgedPeer:
    used_H = whole.matrix_HN @ x_N
    over_H = used_H - whole.high_H
    size_R = abs(whole.matrix_HN[: whole.constraints]) @ np.abs(x_N)
    size_R = np.maximum(np.maximum(size_R, np.abs(whole.high_H[: whole.constraints])), 1e-300)
    return JudgedPeer(
        value=-float(whole.cost_N @ x_N),
        over_user=max(float(over_H[whole.constraints :].max(initial=0.0)), float(x_N.max(initial=0.0)) - 1.0, 0.0),
        over_row=max(float((over_H[: whole.constraints] / size_R).max(initial=0.0)), 0.0),
        fractional=int((np.abs(x_N - np.round(x_N)) > WHOLE).sum()),
    )


def by_pdlp(whole: Whole, seconds: float, accuracy: float = 1e-6) -> Found:
    """OR-Tools PDLP on two threads at this absolute and relative accuracy of its optimality conditions."""
    programme = pdlp.QuadraticProgram()
    programme.objective_vector = whole.cost_N
    programme.constraint_matrix = whole.matrix_HN
    programme.constraint_lower_bounds = np.full(len(whole.high_H), -np.inf)
    programme.constraint_upper_bounds = whole.high_H
    programme.variable_lower_bounds = np.zeros(len(whole.cost_N))
    programme.variable_upper_bounds = np.ones(len(whole.cost_N))
    wanted = solvers_pb2.PrimalDualHybridGradientParams(num_threads=2)
    wanted.termination_criteria.simple_optimality_criteria.eps_optimal_absolute = accuracy
    wanted.termination_criteria.simple_optimality_criteria.eps_optimal_relative = accuracy
    wanted.termination_criteria.time_sec_limit = seconds
    answer = pdlp.primal_dual_hybrid_gradient(programme, wanted)
    if answer.solve_log.termination_reason != solve_log_pb2.TERMINATION_REASON_OPTIMAL:
        return Found(None)
    return Found(np.array(answer.primal_solution), _bound(whole, np.array(answer.dual_solution)))


def _bound(whole: Whole, dual_H: np.ndarray) -> float:
    """What no feasible x is worth more than, whatever the duals' accuracy: by weak duality with 0 <= x <= 1."""
    price_H = np.maximum(-dual_H, 0.0)
    net_N = -whole.cost_N - whole.matrix_HN.T @ price_H
    return float(whole.high_H @ price_H + np.maximum(net_N, 0.0).sum())


def by_glop(whole: Whole, seconds: float) -> Found:
    """OR-Tools GLOP, the simplex method."""
    rows = sparse.csr_matrix(whole.matrix_HN)
    low_H, zero_N = np.full(len(whole.high_H), -np.inf), np.zeros(len(whole.cost_N))
    programme = Programme(whole.cost_N, zero_N, zero_N + 1.0, rows, low_H, whole.high_H)
    answer = solve_linear(programme, seconds)
    if answer.outcome is not SolveOutcome.OPTIMAL:
        return Found(None)
    return Found(answer.x_V, _bound(whole, answer.dual_M))


def by_highs(whole: Whole, seconds: float) -> Found:
    """HiGHS as SciPy ships it, choosing its method itself."""
    answer = linprog(
        whole.cost_N, whole.matrix_HN, whole.high_H, bounds=(0, 1), method="highs", options={"time_limit": seconds}
    )
    if answer.status != 0:
        return Found(None)
    return Found(answer.x, _bound(whole, answer.ineqlin.marginals))


def by_value(whole: Whole, seconds: float) -> Found:
    """Pairs in falling order of value, while slots, caps and maxima of sums have room; minima and ratios are not planned for."""
    return Found(_best_first(whole, -whole.cost_N))


def by_value_per_cost(whole: Whole, seconds: float) -> Found:
    """The same in falling order of value per share of the maxima that a pair uses up."""
    share = 1.0 / np.maximum(whole.high_H[whole.capped_R], 1e-12)
    cost_N = np.maximum(share @ whole.matrix_HN[whole.capped_R], 0.0)
    return Found(_best_first(whole, -whole.cost_N / (1e-9 + cost_N)))


PEERS: Mapping[str, Callable[[Whole, float], Found]] = MappingProxyType(
    {
        "PDLP 1e-6": by_pdlp,
        "GLOP": by_glop,
        "HiGHS": by_highs,
        "greedy by value": by_value,
        "greedy by value per cost": by_value_per_cost,
    }
)


def _best_first(whole: Whole, key_N: np.ndarray) -> np.ndarray:
    positive = np.flatnonzero(whole.cost_N < 0)
    order = positive[np.argsort(-key_N[positive], kind="stable")]
    kept_H = np.zeros(len(whole.high_H), bool)
    kept_H[whole.constraints :] = True
    kept_H[whole.capped_R] = True
    matrix = whole.matrix_HN
    return _take(order, matrix.indptr, matrix.indices, matrix.data, kept_H, whole.high_H.copy(), len(key_N))


@kernel()
def _take(order, first_N, row_E, used_E, kept_H, left_H, count):
    x_N = np.zeros(count)
    for pair in order:
        room = True
        for k in range(first_N[pair], first_N[pair + 1]):
            room = room and not (kept_H[row_E[k]] and used_E[k] > left_H[row_E[k]] + 1e-9)
        if room:
            x_N[pair] = 1.0
            for k in range(first_N[pair], first_N[pair + 1]):
                left_H[row_E[k]] -= used_E[k]
    return x_N


def timed(whole: Whole, peer: str, seconds: float) -> tuple[Found, float]:
    """The peer's answer and how long it took."""
    started = time.perf_counter()
    found = PEERS[peer](whole, seconds)
    return found, time.perf_counter() - started
