"""The whole problem as one integer programme for OR-Tools: the oracle for tests, and the way small problems are solved.

A variable per eligible user-action pair; every contact rule and every constraint is a row. Where a constraint compares slates, a
variable per user who can keep the earlier one, which is at most every contact of it and rules out every other. Where one counts users
by reach, a variable per user and reach set, which is at least every contact of the set and at most their sum. The linear relaxation gives
first prices.

Axes: N eligible pairs, U users, R rows, C contact caps, Q asks, S user classes, B reach sets, H users who can keep their slates,
Y users and sets that can reach them, V variables of a programme, M rows of a programme.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from allocator.solve.dual import Users
from allocator.solve.mathprog import Programme, SolveOutcome, solve_integer, solve_linear
from allocator.solve.settings import SolveSettings
from allocator.solve.solution import TooLarge, Unsolvable
from allocator.solve.steps import steps_of, tightened
from allocator.solve.usage import contributions
from allocator.users import FREE, LOST, NONE, Data


@dataclass(frozen=True)
class Pairs:
    """The variables: user_N, action_N, what each is worth and uses; user_H, and what keeping the slate uses; user_Y, set_Y, and what being
    reached uses."""

    user_N: np.ndarray
    action_N: np.ndarray
    value_N: np.ndarray
    usage_NR: np.ndarray
    user_H: np.ndarray
    usage_HR: np.ndarray
    user_Y: np.ndarray
    set_Y: np.ndarray
    usage_YR: np.ndarray


def eligible_pairs(users: Users) -> Pairs:
    data, problem = users.data, users.problem
    free_UA = data.eligible_UA & (data.group_U == FREE)[:, None]
    user_N, action_N = np.nonzero(free_UA)
    plane_NP = data.planes_UPA[user_N, :, action_N].astype(float)
    user_H = np.empty(0, np.int64)
    if data.remembers and problem.rows.keep_R.any():
        user_H = np.flatnonzero((data.group_U == FREE) & (data.before_UK[:, 0] != LOST))
    rows = problem.rows
    user_Y, set_Y = np.nonzero((free_UA.astype(np.float32) @ rows.reach_BA.T > 0) & (rows.reach_RB != 0).any(axis=0))
    return Pairs(
        user_N,
        action_N,
        problem.worth(action_N, plane_NP),
        contributions(rows, data.class_U[user_N], action_N, plane_NP),
        user_H,
        rows.keep_R * rows.member_RS.T[data.class_U[user_H]],
        user_Y,
        set_Y,
        rows.reach_RB.T[set_Y] * rows.member_RS.T[data.class_U[user_Y]],
    )


def count_pairs(data: Data) -> int:
    """Eligible user-action pairs of the free users."""
    return sum(int(data.eligible_UA[part][data.group_U[part] == FREE].sum()) for part in data.shards())


def refuse_if_large(users: Users, settings: SolveSettings) -> None:
    """Raises TooLarge beyond what the exact path can do in minutes."""
    cells = count_pairs(users.data)
    if cells > settings.most_cells:
        raise TooLarge(
            f"solve.method=exact takes at most {settings.most_cells:,} eligible user-action pairs and there are {cells:,}; "
            "solve.method=prices takes millions of users"
        )


@dataclass(frozen=True)
class Exact:
    """The best slates found, the prices of the linear relaxation, and what no whole contacts can be worth more than."""

    slate_UK: np.ndarray
    price_R: np.ndarray
    bound: float


def solve_exact(users: Users, settings: SolveSettings, unit_R: np.ndarray) -> Exact:
    """The integral optimum, or the best within the limits of the settings.

    Raises Unsolvable where no integral allocation keeps the hard rows, TooLarge where the limits left it open whether one does.
    """
    pairs = eligible_pairs(users)
    relaxation = _programme(users, pairs, unit_R, integral=False)
    linear = solve_linear(relaxation, settings.seconds)
    rows = len(users.limit_R)
    if linear.outcome is SolveOutcome.INFEASIBLE:
        raise Unsolvable("the linear relaxation has no feasible point", np.zeros(rows))
    if not linear.usable:
        raise TooLarge(f"the linear solver found nothing within solve.seconds={settings.seconds:g}")
    answer = solve_integer(_programme(users, pairs, unit_R, integral=True), settings.seconds, settings.nodes, 0.0)
    if answer.outcome is SolveOutcome.INFEASIBLE:
        raise Unsolvable("no whole number of contacts keeps every hard constraint", np.zeros(rows))
    if not answer.usable:
        raise TooLarge(
            f"the integer solver found nothing within solve.nodes={settings.nodes} and solve.seconds={settings.seconds:g}"
        )
    price_R = np.clip(-linear.dual_M[:rows] / unit_R, 0.0, users.problem.rows.penalty_R)
    return Exact(_slates(users, pairs, answer.x_V[: len(pairs.user_N)] > 0.5), price_R, -answer.bound)


def best_fractional(users: Users, pairs: Pairs, unit_R: np.ndarray, seconds: float) -> float | None:
    """What the best allocation is worth if contacts could be split; None where no allocation keeps the hard rows."""
    answer = solve_linear(_programme(users, pairs, unit_R, integral=False), seconds)
    return -answer.cost if answer.usable else None


def _programme(users: Users, pairs: Pairs, unit_R: np.ndarray, *, integral: bool) -> Programme:
    """Rows in this order: constraints (divided by unit_R, with a violation variable each), one action per slot, caps, asks; then what ties
    users who keep their slates, or are reached, to contacts."""
    penalty_R, limit_R = users.problem.rows.penalty_R, users.limit_R
    count, kept, rows = len(pairs.user_N), len(pairs.user_H) + len(pairs.user_Y), len(limit_R)
    if integral:
        quantum_R = users.problem.rows.quantum_R
        limit_R = tightened(limit_R, limit_R, quantum_R, steps_of(pairs.usage_NR, quantum_R))
    soft = np.flatnonzero(np.isfinite(penalty_R))
    over = sparse.csr_matrix((-np.ones(len(soft)), (soft, np.arange(len(soft)))), shape=(rows, len(soft)))
    personal, capacity = _personal_rows(users, pairs)
    keeping, allowed = _keeping_rows(users, pairs)
    reaching = _reaching_rows(users, pairs)
    usage = sparse.csr_matrix((np.concatenate([pairs.usage_NR, pairs.usage_HR, pairs.usage_YR]) / unit_R).T)
    lower = sparse.vstack([_padded(personal, count + kept), _padded(keeping, count + kept), reaching])
    matrix = sparse.bmat([[usage, over], [lower, None]], format="csr") if rows else sparse.csr_matrix(lower)
    high = np.concatenate([limit_R / unit_R, capacity, allowed, np.zeros(reaching.shape[0])])
    variables = count + kept + len(soft)
    return Programme(
        cost_V=np.concatenate([-pairs.value_N, np.zeros(kept), (penalty_R * unit_R)[soft]]),
        lower_V=np.zeros(variables),
        upper_V=np.concatenate([np.ones(count + kept), np.full(len(soft), np.inf)]),
        matrix_MV=matrix,
        low_M=np.full(len(high), -np.inf),
        high_M=high,
        integer_V=np.arange(variables) < count if integral else None,
    )


def _padded(matrix: sparse.csr_matrix, width: int) -> sparse.csr_matrix:
    """The same rows over more variables."""
    return sparse.csr_matrix((matrix.data, matrix.indices, matrix.indptr), shape=(matrix.shape[0], width))


def _reaching_rows(users: Users, pairs: Pairs) -> sparse.csr_matrix:
    """Per user and set, reached - sum of x <= 0, and per pair of theirs x - reached <= 0."""
    first, size = len(pairs.user_N) + len(pairs.user_H), len(pairs.user_Y)
    place_UB = np.full((len(users.data), len(users.problem.rows.reach_BA)), -1)
    place_UB[pairs.user_Y, pairs.set_Y] = np.arange(size)
    inside_NB = (place_UB[pairs.user_N] >= 0) & users.problem.rows.reach_BA.T[pairs.action_N]
    pair, set_ = np.nonzero(inside_NB)
    reached = place_UB[pairs.user_N[pair], set_]
    row = np.arange(len(pair))
    entries = [
        (np.ones(size), np.arange(size), first + np.arange(size)),
        (-np.ones(len(pair)), reached, pair),
        (np.ones(len(pair)), size + row, pair),
        (-np.ones(len(pair)), size + row, first + reached),
    ]
    value, at, variable = (np.concatenate(column) for column in zip(*entries, strict=True))
    return sparse.csr_matrix((value, (at, variable)), shape=(size + len(pair), first + size))


def _keeping_rows(users: Users, pairs: Pairs) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Per user who can keep the slate and pair of theirs: keep <= x for what the slate has, keep + x <= 1 for all else."""
    count, kept = len(pairs.user_N), len(pairs.user_H)
    place_U = np.full(len(users.data), -1)
    place_U[pairs.user_H] = np.arange(kept)
    pair = np.flatnonzero(place_U[pairs.user_N] >= 0)
    inside = (users.data.before_UK[pairs.user_N[pair]] == pairs.action_N[pair, None]).any(axis=1)
    row = np.arange(len(pair))
    matrix = sparse.csr_matrix(
        (
            np.concatenate([np.where(inside, -1.0, 1.0), np.ones(len(pair))]),
            (np.concatenate([row, row]), np.concatenate([pair, count + place_U[pairs.user_N[pair]]])),
        ),
        shape=(len(pair), count + kept),
    )
    return matrix, np.where(inside, 0.0, 1.0)


def _personal_rows(users: Users, pairs: Pairs) -> tuple[sparse.csr_matrix, np.ndarray]:
    """One row per user and slot, then per user and cap, only those with more pairs than they allow; then those of `_asking_rows`."""
    contact = users.problem.contact
    blocks, capacities = [], []
    people = len(users.data)
    groups = [(contact.slot_A == slot, np.ones(people)) for slot in range(contact.slots)]
    base_UC = contact.base(users.data.received_UC, users.data.class_U)
    for cap, member_A in enumerate(contact.member_CA):
        groups.append((member_A, np.full(people, float(contact.capacity_C[cap])) - base_UC[:, cap]))
    for member_A, most_U in groups:
        inside = np.flatnonzero(member_A[pairs.action_N])
        over_U = np.bincount(pairs.user_N[inside], minlength=people) > most_U
        row_U = np.cumsum(over_U) - 1
        kept = inside[over_U[pairs.user_N[inside]]]
        shape = (int(over_U.sum()), len(pairs.user_N))
        blocks.append(sparse.csr_matrix((np.ones(len(kept)), (row_U[pairs.user_N[kept]], kept)), shape=shape))
        capacities.append(most_U[over_U])
    for q in range(len(contact.asks)):
        rows = _asking_rows(users, pairs, q)
        blocks.append(rows)
        capacities.append(np.zeros(rows.shape[0]))
    return sparse.vstack(blocks, format="csr"), np.concatenate(capacities)


def _asking_rows(users: Users, pairs: Pairs, q: int) -> sparse.csr_matrix:
    """Per pair that asks for something its user has not received: lacking x - sum of what is wanted <= 0."""
    contact, asks, data = users.problem.contact, users.problem.contact.asks, users.data
    base_U = contact.base(data.received_UC, data.class_U)[:, asks.wanted_Q[q]]
    lacking_N = (asks.number_SQ[data.class_U, q] - np.maximum(base_U, 0))[pairs.user_N]
    asking = np.flatnonzero(contact.member_CA[asks.trigger_Q[q], pairs.action_N] & (lacking_N > 0))
    wanted = np.flatnonzero(contact.member_CA[asks.wanted_Q[q], pairs.action_N])
    shape = (len(data), len(pairs.user_N))
    wanted_UN = sparse.csr_matrix((np.ones(len(wanted)), (pairs.user_N[wanted], wanted)), shape=shape)
    own = sparse.csr_matrix(
        (lacking_N[asking].astype(float), (np.arange(len(asking)), asking)), shape=(len(asking), shape[1])
    )
    return sparse.csr_matrix(own - wanted_UN[pairs.user_N[asking]])


def _slates(users: Users, pairs: Pairs, chosen_N: np.ndarray) -> np.ndarray:
    slate_UK = np.full((len(users.data), users.rules.most), NONE, np.int16)
    user, action = pairs.user_N[chosen_N], pairs.action_N[chosen_N]
    order = np.argsort(user, kind="stable")
    first = np.searchsorted(user[order], user[order], "left")
    slate_UK[user[order], np.arange(len(order)) - first] = action[order]
    return slate_UK
