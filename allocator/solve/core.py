"""Fix and core: users with a clear best slate keep it, the few who nearly tie are decided by OR-Tools with what is left of every bound.

At prices p with dual value D(p), an allocation that gives every user u a slate n is worth

    value = D(p) - sum_u loss[u,n] - p . slack,     loss = best net value - net value >= 0,   slack = limit - usage >= 0

so the core minimises losses and priced slack: numbers near zero, in which solvers are accurate, and whose sum is the gap itself. First
its linear programme, a vertex of which has at most one extra fractional user per binding row; then, with the users that came out whole
fixed, an integer programme over the fractional and the nearest users; trades among all of them then use up the room it leaves.

A core user may stand for many who are alike. The linear programme then tells how many of them get which slate: nearly all of these
are given, and the few who are left are rounded one by one.

Axes: U users, N slates of users of the core, K contacts of a slate, R rows, V variables of a programme, v new ones,
M rows of a programme, m new ones.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from allocator.solve.alike import GroupSlates
from allocator.solve.dual import DualEvaluation, Users, slate_usage
from allocator.solve.lattice import lattices, more_rows
from allocator.solve.local_search import Room, trade
from allocator.solve.mathprog import Programme, SolveOutcome, solve_few_integers, solve_integer, solve_linear
from allocator.solve.near_ties import Choices, enumerate_slates, largest_loss
from allocator.solve.prices import Scale
from allocator.solve.settings import SolveSettings
from allocator.solve.steps import HAIR, steps_of, tightened

ROUNDING_USERS = (150, 500, 2_000)
"""Besides the fractional ones, whole core users that an integer programme may move."""
WIDE = 4
"""Times the loss of the farthest of these users' second slates: what other slates may lose."""
FAR = 10
"""Times the target: a loss that is worth a larger integer programme."""
DIVES = 20
"""Fractional users who are made whole one by one before the integer programme; where more are dear, none is."""
CHEAP = 0.1
"""Of the target: what one more whole user may cost without its other slates being tried."""
SIFTED = 20_000
"""Columns with which a linear programme starts, besides the best ones; on most cores that is all."""
MOST_SIFTS = 30
LATTICE_NODES = 100
SMALL_WORK = 1_000_000
"""Columns times nodes: as much as an integer programme over all columns may take."""
WORK = 1_500_000
"""The same of one over part of the core, without cuts."""
FEWEST_NODES = 20
WHOLE = 1e-7
TOUCH = 1e-9
"""In value: a column that would gain less is left out."""
KEPT_BACK = 3
"""Users of each slate that a group's share of the linear programme is not given at once, so that rounding can move them."""
TYPICAL = 4.0
"""Times the value of a typical contact: what slates may lose at least where everybody is in the core."""
NO_GROUP_SLATES = GroupSlates(np.empty(0, np.int64), np.empty((0, 0), np.int16), np.empty(0, np.int64))


@dataclass(frozen=True)
class Core:
    """The core at given prices: its users, their slates as columns, and what the fixed users leave of each limit.

    who_U: positions of the core users. many_U: how many users alike each stands for. column arrays: user_N (position in who_U),
    slate_NK, loss_N >= 0, usage_NR, which is a multiple of step_R where that is not 0. left_R: limit minus the usage of the fixed
    users. unit_R: rows are divided by it, so that a contact uses about 1. violation: a price of one such unit above any sensible
    price of a row. width: every slate that loses less than this is among the columns. counts: what was given to users who stand for
    many, at a loss of `spent`.
    """

    users: Users
    price_R: np.ndarray
    who_U: np.ndarray
    many_U: np.ndarray
    user_N: np.ndarray
    slate_NK: np.ndarray
    loss_N: np.ndarray
    usage_NR: np.ndarray
    step_R: np.ndarray
    left_R: np.ndarray
    unit_R: np.ndarray
    violation: float
    width: float
    counts: GroupSlates = NO_GROUP_SLATES
    spent: float = 0.0


@dataclass(frozen=True)
class Rounded:
    """Integral slates for every user, with the loss against the dual value at the prices: sum of losses, priced slack and penalties.

    counts: of users who stand for many; what slate_UK says of these does not count. least: no whole slates lose less.
    """

    slate_UK: np.ndarray
    loss: float
    counts: GroupSlates = NO_GROUP_SLATES
    least: float = 0.0


@dataclass(frozen=True)
class Relaxed:
    """The core's linear programme solved: weight_N of every column, its loss, and prices at which it is optimal.

    inside_N: the columns it was solved over.
    """

    weight_N: np.ndarray
    loss: float
    price_R: np.ndarray
    violation: float
    inside_N: np.ndarray


def build_core(
    users: Users, evaluated: DualEvaluation, size: int, most_slates: int, scale: Scale, least_width: float = 0.0
) -> Core:
    """The `size` users with the smallest margins, and their slates within the largest of these margins, or least_width if that is more."""
    who_U, width = _nearest(evaluated.margin_U, size, TYPICAL * scale.value)
    width = max(width, least_width)
    near, everyone = users.take(who_U), np.arange(len(who_U))
    many_U = near.many()
    choices = enumerate_slates(near, evaluated.price_R, everyone, width, most_slates)
    usage_NR = slate_usage(near, choices.user_N, choices.slate_NK)
    best_usage_R = (slate_usage(near, everyone, evaluated.slate_UK[who_U]) * many_U[:, None]).sum(axis=0)
    loss_N = _losses(choices, len(who_U))
    typical = scale.value + float((evaluated.price_R * scale.usage_R).max(initial=0.0))
    if (np.bincount(choices.user_N, minlength=1) >= most_slates).any():
        known = 0.0
    elif len(who_U) == np.isfinite(evaluated.margin_U).sum():
        known = width if width <= largest_loss(near, evaluated.price_R) else np.inf
    else:  # a margin tells of single exchanges, which is enough where rules nest
        known = min(width, _least_margin(evaluated.margin_U, who_U)) if users.rules.all_easy else 0.0
    return Core(
        users=users,
        price_R=evaluated.price_R,
        who_U=who_U,
        many_U=many_U,
        user_N=choices.user_N,
        slate_NK=choices.slate_NK,
        loss_N=loss_N,
        usage_NR=usage_NR,
        step_R=steps_of(usage_NR, users.problem.rows.quantum_R),
        left_R=users.limit_R - (evaluated.usage_R - best_usage_R),
        unit_R=scale.usage_R,
        violation=max(1e3 * typical, 2.0 * float(loss_N.max(initial=0.0))),
        width=known,
    )


def _nearest(margin_U: np.ndarray, size: int, least: float) -> tuple[np.ndarray, float]:
    """(positions, width): about `size` users with the smallest margins, in order of position, and the largest of these margins.

    Where everybody is in the core the width is many typical margins and no less than `least` (under ties margins are zero), so that
    nothing of use is left out.
    """
    finite_U = np.flatnonzero(np.isfinite(margin_U))
    if size >= len(finite_U):
        return finite_U, max(1e3 * float(np.median(margin_U[finite_U])), least) + 1e-15 if len(finite_U) else 0.0
    finite_margin = margin_U[finite_U]
    width = float(np.partition(finite_margin, size - 1)[size - 1])
    chosen = finite_U[finite_margin <= width]
    if len(chosen) > 2 * size:  # many exact ties: any of them will do
        chosen = np.sort(finite_U[np.argsort(finite_margin, kind="stable")[:size]])
    return chosen, width * (1 + 1e-6) + 1e-15


def _least_margin(margin_U: np.ndarray, who_U: np.ndarray) -> float:
    """The smallest margin of all other users, less what its rounding to 32 bits may be."""
    others_U = np.ones(len(margin_U), bool)
    others_U[who_U] = False
    return float(margin_U[others_U].min()) * (1 - 1e-6)


def _losses(choices: Choices, users: int) -> np.ndarray:
    best_U = np.full(users, -np.inf)
    np.maximum.at(best_U, choices.user_N, choices.net_N)
    return best_U[choices.user_N] - choices.net_N


def _programme(
    core: Core,
    columns: np.ndarray,
    left_R: np.ndarray,
    integral: bool,
    box_R: np.ndarray | None = None,
) -> tuple[Programme, int]:
    """Columns of the core, then per row its slack (priced), then its violation: penalised, for hard rows none where integral.

    Where integral, counts of shares that must be met nearly exactly are variables besides. box_R: how far each price may move; slack
    and violation then cost no more than that.
    """
    penalty_R = core.users.problem.rows.penalty_R
    who, user = np.unique(core.user_N[columns], return_inverse=True)
    people, rows, count = len(who), len(left_R), len(columns)
    usage = sparse.csr_matrix((core.usage_NR[columns] / core.unit_R).T)
    ones = sparse.csr_matrix((np.ones(count), (user, np.arange(count))), shape=(people, count))
    eye = sparse.identity(rows, format="csr")
    matrix = sparse.bmat([[usage, eye, -eye], [ones, None, None]], format="csr")
    soft_R = np.isfinite(penalty_R)
    over_R = np.where(soft_R, (np.where(soft_R, penalty_R, 0.0) - core.price_R) * core.unit_R, core.violation)
    over_upper_R = np.full(rows, 0.0 if integral else np.inf)
    over_upper_R[soft_R] = np.inf
    slack_R = core.price_R * core.unit_R
    if box_R is not None:
        slack_R, over_R = np.minimum(slack_R, box_R * core.unit_R), np.minimum(over_R, box_R * core.unit_R)
    cost = np.concatenate([core.loss_N[columns], slack_R, np.maximum(over_R, 0.0)])
    right = np.concatenate([left_R / core.unit_R, core.many_U[who]])
    programme = Programme(
        cost_V=cost,
        lower_V=np.zeros(count + 2 * rows),
        upper_V=np.concatenate([core.many_U[core.user_N[columns]], np.full(rows, np.inf), over_upper_R]),
        matrix_MV=matrix,
        low_M=right,
        high_M=right,
        integer_V=np.arange(count + 2 * rows) < count if integral else None,
    )
    return (programme if not integral else _with_lattices(core, columns, programme, left_R)), count


def _with_lattices(core: Core, columns: np.ndarray, programme: Programme, left_R: np.ndarray) -> Programme:
    """The integer programme with the counts of shares that must be met nearly exactly as variables."""
    users = core.users
    klass_N = users.data.class_U[core.who_U[core.user_N[columns]]]
    more = more_rows(lattices(users.problem, users.people), klass_N, core.slate_NK[columns], left_R)
    if more is None:
        return programme
    idle = sparse.csr_matrix((more.column_mN.shape[0], len(programme.cost_V) - len(columns)))
    matrix = sparse.bmat(
        [[programme.matrix_MV, None], [sparse.hstack([more.column_mN, idle]), more.new_mv]], format="csr"
    )
    new = more.new_mv.shape[1]
    return Programme(
        cost_V=np.concatenate([programme.cost_V, np.zeros(new)]),
        lower_V=np.concatenate([programme.lower_V, np.full(new, -np.inf)]),
        upper_V=np.concatenate([programme.upper_V, np.full(new, np.inf)]),
        matrix_MV=matrix,
        low_M=np.concatenate([programme.low_M, more.low_m]),
        high_M=np.concatenate([programme.high_M, more.high_m]),
        integer_V=np.concatenate([programme.integer_V, np.ones(new, bool)]),
    )


def relax(
    core: Core,
    seconds: float,
    box_R: np.ndarray | None = None,
    start_N: np.ndarray | None = None,
) -> Relaxed | None:
    """The core's linear programme with hard rows elastic at a high price; None where the solver gave nothing.

    Of many columns those that lose least (or start_N) come first, and those that its prices ask for are added until they ask for
    none (sifting: Bixby et al. 1992); users with one column stand aside. box_R: how far each price may move, so that prices stay
    where the core knows the slates; its loss then tells little.
    """
    rows, count = len(core.left_R), len(core.user_N)
    hard_R = ~np.isfinite(core.users.problem.rows.penalty_R)
    first = min(len(core.who_U) + SIFTED, count) - 1
    inside_N = start_N if start_N is not None else core.loss_N <= np.sort(core.loss_N)[first : first + 1]
    for _ in range(MOST_SIFTS):
        settled_N = inside_N & (np.bincount(core.user_N[inside_N], minlength=len(core.who_U)) == 1)[core.user_N]
        columns = np.flatnonzero(inside_N & ~settled_N)
        left_R = core.left_R - (core.usage_NR[settled_N] * core.many_U[core.user_N[settled_N], None]).sum(axis=0)
        programme, _ = _programme(core, columns, left_R, False, box_R)
        answer = solve_linear(programme, seconds)
        if not answer.usable:
            return None
        price_R = core.price_R - answer.dual_M[:rows] / core.unit_R
        wanted_N = ~inside_N & _asked_for(core, np.flatnonzero(inside_N), price_R)
        if not wanted_N.any():
            break
        inside_N = inside_N | wanted_N
    weight_N = settled_N * core.many_U[core.user_N]
    weight_N[columns] = answer.x_V[: len(columns)]
    return Relaxed(
        weight_N=weight_N,
        loss=answer.cost + float((core.loss_N * weight_N)[settled_N].sum()),
        price_R=np.clip(price_R, 0.0, core.users.problem.rows.penalty_R),
        violation=float(answer.x_V[len(columns) + rows :][hard_R].max(initial=0.0)),
        inside_N=inside_N,
    )


def _asked_for(core: Core, columns: np.ndarray, price_R: np.ndarray) -> np.ndarray:
    """bool[N]: columns that at these prices lose less than any of `columns` of the same user."""
    loss_N = core.loss_N + core.usage_NR @ (price_R - core.price_R)
    least_U = np.full(len(core.who_U), np.inf)
    np.minimum.at(least_U, core.user_N[columns], loss_N[columns])
    return loss_N < least_U[core.user_N] - TOUCH


def round_core(
    core: Core, relaxed: Relaxed, evaluated: DualEvaluation, target: float, settings: SolveSettings
) -> Rounded | None:
    """Integral slates with a loss of at most `target`, or the best found; None where none that keep every hard row were found.

    From the end of a dive, or where that gave nothing from the linear programme as it was. With shares that must be met nearly exactly
    from whole counts of these, unless the target is reached without.
    """
    if not lattices(core.users.problem, core.users.people):
        return _rounded(core, relaxed, evaluated, target, settings)
    rounded = _rounded(core, relaxed, evaluated, target, settings, first=True)
    if rounded is not None and rounded.loss <= target:
        return rounded
    on_lattice = _relaxed_on_lattice(core, relaxed, target, settings)
    if on_lattice is None:
        return rounded
    again = _rounded(core, on_lattice, evaluated, on_lattice.loss + target, settings)
    best = again if rounded is None or (again is not None and again.loss < rounded.loss) else rounded
    return None if best is None else replace(best, least=min(on_lattice.loss, core.width))


def _rounded(
    core: Core,
    relaxed: Relaxed,
    evaluated: DualEvaluation,
    target: float,
    settings: SolveSettings,
    first: bool = False,
) -> Rounded | None:
    """Users who stand for many become users of their own, then a dive, then integers; a first try is one small step of integers."""
    if (core.many_U > 1).any():
        core = _one_by_one(core, relaxed)
        target -= core.spent
        again = relax(core, settings.seconds)
        if again is None or again.violation > WHOLE:
            return None
        relaxed = again
    if first:
        return _round_from(core, relaxed, evaluated, target, settings, ROUNDING_USERS[:1])
    dived = _dive(core, relaxed, target, settings.seconds)
    rounded = _round_from(core, dived, evaluated, target, settings, ROUNDING_USERS)
    if rounded is None and dived is not relaxed:
        rounded = _round_from(core, relaxed, evaluated, target, settings, ROUNDING_USERS)
    return rounded


def _relaxed_on_lattice(core: Core, relaxed: Relaxed, target: float, settings: SolveSettings) -> Relaxed | None:
    """The linear programme with whole counts of the shares that must be met nearly exactly; None where no counts meet them.

    Its loss is what no whole slates can be below, to a tenth of the target.
    """
    columns = np.arange(len(core.user_N))
    programme, count = _programme(core, columns, core.left_R, True)
    integer_V = np.zeros(len(programme.cost_V), bool)
    integer_V[programme.whole[programme.whole >= count]] = True
    answer = solve_few_integers(replace(programme, integer_V=integer_V), settings.seconds, LATTICE_NODES, 0.1 * target)
    if not answer.usable:
        return None
    return replace(relaxed, weight_N=answer.x_V[:count], loss=max(answer.bound, relaxed.loss))


def _round_from(
    core: Core,
    relaxed: Relaxed,
    evaluated: DualEvaluation,
    target: float,
    settings: SolveSettings,
    sizes: tuple[int, ...],
) -> Rounded | None:
    """An integer programme over the fractional and nearest users with few nodes, then trades among all core users.

    The set of users is widened where none gave integral slates that keep every hard row, or the loss is far from the target; None
    if no set did.
    """
    pick_U = _heaviest(core, relaxed.weight_N)
    fractional_U = relaxed.weight_N[pick_U] < 1.0 - WHOLE
    second_U = _second_losses(core, pick_U)
    nearest_U = np.argsort(np.where(fractional_U, -1.0, second_U), kind="stable")
    best = None
    for extra in sizes:
        nodes = settings.nodes if extra == ROUNDING_USERS[-1] else settings.nodes // 10
        open_U = np.zeros(len(core.who_U), bool)
        size = int(fractional_U.sum()) + extra
        open_U[nearest_U[:size]] = True
        everything = extra == ROUNDING_USERS[-1] and size >= len(nearest_U)
        within = np.inf if everything else WIDE * float(second_U[open_U & np.isfinite(second_U)].max(initial=0.0))
        columns = np.flatnonzero(open_U[core.user_N] & (core.loss_N - core.loss_N[pick_U][core.user_N] <= within))
        picked = _round(core, pick_U, columns, target - relaxed.loss, max(nodes, 1), settings.seconds)
        if picked is not None:
            rounded = _assemble(core, evaluated, _traded(core, picked, target))
            best = rounded if best is None or rounded.loss < best.loss else best
            if best.loss <= FAR * target and (extra != sizes[0] or best.loss <= target):
                break
        if size >= len(nearest_U) and best is not None:
            break
    return best


def round_whole(
    core: Core, evaluated: DualEvaluation, target: float, settings: SolveSettings
) -> tuple[Rounded | None, SolveOutcome]:
    """The best slates that one integer programme over all columns of the core found, and how it ended."""
    columns = np.arange(len(core.user_N))
    left_R = _tightened(core, core.left_R)
    unused = float(core.price_R @ (core.left_R - left_R))  # what no whole slates can use of the limits
    programme, count = _programme(core, columns, left_R, True)
    nodes = max(SMALL_WORK // len(columns), FEWEST_NODES)
    answer = solve_integer(programme, settings.seconds, nodes, max(0.2 * target, 0.0))
    if not answer.usable:
        return None, answer.outcome
    count_N = np.rint(answer.x_V[:count]).astype(np.int64)
    chosen = np.flatnonzero(count_N)
    rounded = _assemble_counts(core, evaluated, chosen, count_N[chosen])
    return replace(rounded, least=min(answer.bound + unused, core.width)), answer.outcome


def _one_by_one(core: Core, relaxed: Relaxed) -> Core:
    """The core with most users of each group given what the linear programme says, and those who are left as users of their own."""
    group_N = core.many_U[core.user_N] > 1
    given_N = np.where(group_N, np.maximum(np.floor(relaxed.weight_N + WHOLE) - KEPT_BACK, 0), 0).astype(np.int64)
    left_U = np.rint(core.many_U).astype(np.int64) - np.bincount(core.user_N, given_N, len(core.who_U)).astype(np.int64)
    who_U = np.repeat(np.arange(len(core.who_U)), left_U)
    first_U, count_U = np.searchsorted(core.user_N, who_U), np.bincount(core.user_N, minlength=len(core.who_U))[who_U]
    columns = np.repeat(first_U - np.cumsum(count_U) + count_U, count_U) + np.arange(count_U.sum())
    given = np.flatnonzero(given_N)
    return replace(
        core,
        who_U=core.who_U[who_U],
        many_U=np.ones(len(who_U)),
        user_N=np.repeat(np.arange(len(who_U)), count_U),
        slate_NK=core.slate_NK[columns],
        loss_N=core.loss_N[columns],
        usage_NR=core.usage_NR[columns],
        left_R=core.left_R - given_N[given] @ core.usage_NR[given],
        counts=GroupSlates(core.who_U[core.user_N[given]], core.slate_NK[given], given_N[given]),
        spent=float(given_N[given] @ core.loss_N[given]),
    )


def _dive(core: Core, relaxed: Relaxed, target: float, seconds: float) -> Relaxed:
    """A linear programme solved in which no fractional user's slates differ by more than the target in priced usage.

    One who does leaves too large a hole, whichever slate is taken: it is made whole, the dearest first, and the linear programme of
    all others solved again, so that many share in filling the hole. Where more than a few do, there is nobody to share it.
    """
    left_N = np.ones(len(core.user_N), bool)
    for _ in range(DIVES):
        part_N = (relaxed.weight_N > WHOLE) & (relaxed.weight_N < 1.0 - WHOLE)
        spread_U = _spread(core, part_N)
        if not 0 < (spread_U > target).sum() <= DIVES:
            break
        columns = np.flatnonzero(part_N & (core.user_N == np.argmax(spread_U)))
        best = None
        for column in columns[np.argsort(-relaxed.weight_N[columns], kind="stable")]:
            only_N = left_N & ((core.user_N != core.user_N[column]) | (np.arange(len(left_N)) == column))
            dive = _relaxed_over(core, only_N, relaxed, seconds)
            if dive is not None and (best is None or dive.loss < best[0].loss):
                best = dive, only_N
            if best is not None and best[0].loss - relaxed.loss <= CHEAP * target:
                break
        if best is None:
            break
        relaxed, left_N = best
    return relaxed


def _relaxed_over(core: Core, only_N: np.ndarray, start: Relaxed, seconds: float) -> Relaxed | None:
    """The linear programme over these columns; None where it cannot keep the hard rows."""
    columns = np.flatnonzero(only_N)
    part = replace(
        core, user_N=core.user_N[columns], slate_NK=core.slate_NK[columns], loss_N=core.loss_N[columns],
        usage_NR=core.usage_NR[columns],
    )  # fmt: skip
    solved = relax(part, seconds, start_N=(start.inside_N | (core.loss_N <= 0.0))[columns])
    if solved is None or solved.violation > WHOLE:
        return None
    weight_N, inside_N = np.zeros(len(only_N)), start.inside_N.copy()
    weight_N[columns], inside_N[columns] = solved.weight_N, solved.inside_N
    return replace(solved, weight_N=weight_N, inside_N=inside_N)


def _spread(core: Core, part_N: np.ndarray) -> np.ndarray:
    """Per core user by how much the priced usage of these columns differs in the row where it differs most."""
    priced_NR = core.usage_NR[part_N] * core.price_R
    shape = (len(core.who_U), len(core.price_R))
    low_UR, high_UR = np.full(shape, np.inf), np.full(shape, -np.inf)
    np.minimum.at(low_UR, core.user_N[part_N], priced_NR)
    np.maximum.at(high_UR, core.user_N[part_N], priced_NR)
    return np.where(np.isfinite(low_UR), high_UR - low_UR, 0.0).max(axis=1, initial=0.0)


def _tightened(core: Core, left_R: np.ndarray) -> np.ndarray:
    users = core.users
    return tightened(left_R, users.limit_R, users.problem.rows.quantum_R, core.step_R, HAIR * core.unit_R)


def _traded(core: Core, picked_U: np.ndarray, target: float) -> np.ndarray:
    """The same slates improved by trades; the target is missed by a hair, so that tightening does not."""
    rows = core.users.problem.rows
    over_R = np.maximum(np.where(np.isfinite(rows.penalty_R), rows.penalty_R - core.price_R, np.inf), 0.0)
    unit_R = core.unit_R
    room = Room(_tightened(core, core.left_R) / unit_R, core.price_R * unit_R, over_R * unit_R, rows.quantum_R / unit_R)
    return trade(core.user_N, core.loss_N, core.usage_NR / unit_R, room, picked_U, 0.99 * target)


def _heaviest(core: Core, weight_N: np.ndarray) -> np.ndarray:
    """Per core user the column with the largest weight, the first among equals."""
    order = np.lexsort((np.arange(len(weight_N)), -weight_N, core.user_N))
    first = np.flatnonzero(np.diff(core.user_N[order], prepend=-1))
    return order[first]


def _second_losses(core: Core, pick_U: np.ndarray) -> np.ndarray:
    """Per core user how near the nearest other column is to the picked one."""
    distance_N = np.abs(core.loss_N - core.loss_N[pick_U][core.user_N])
    distance_N[pick_U] = np.inf
    second_U = np.full(len(core.who_U), np.inf)
    np.minimum.at(second_U, core.user_N, distance_N)
    return second_U


def _round(
    core: Core, pick_U: np.ndarray, columns: np.ndarray, target: float, nodes: int, seconds: float
) -> np.ndarray | None:
    """The picked columns with those of the users in `columns` chosen anew among these; None where nothing was found."""
    fixed = np.delete(pick_U, np.unique(core.user_N[columns]))
    left_R = _tightened(core, core.left_R - core.usage_NR[fixed].sum(axis=0))
    programme, count = _programme(core, columns, left_R, True)
    nodes = min(nodes, max(WORK // max(len(columns), 1), FEWEST_NODES))
    answer = solve_integer(programme, seconds, nodes, max(0.5 * target, 0.0), cuts=False)
    if not answer.usable:
        return None
    chosen = columns[answer.x_V[:count] > 0.5]
    picked = pick_U.copy()
    picked[core.user_N[chosen]] = chosen
    return picked


def _assemble(core: Core, evaluated: DualEvaluation, picked_U: np.ndarray) -> Rounded:
    """The allocation of all users, where every core user is one."""
    picked, count_N = np.sort(picked_U), np.ones(len(picked_U), np.int64)
    return _assemble_counts(core, evaluated, picked, count_N)


def _assemble_counts(core: Core, evaluated: DualEvaluation, columns: np.ndarray, count_N: np.ndarray) -> Rounded:
    """The allocation of all users from how many core users get each of these columns."""
    slack_R = core.left_R - count_N @ core.usage_NR[columns]
    penalty_R = core.users.problem.rows.penalty_R
    who_N = core.who_U[core.user_N[columns]]
    group_N = core.users.many(who_N) > 1
    slate_UK = evaluated.slate_UK.copy()
    slate_UK[who_N[~group_N]] = core.slate_NK[columns[~group_N]]
    soft_R = np.isfinite(penalty_R)
    over = float((np.where(soft_R, penalty_R, 0.0) * np.maximum(-slack_R, 0.0)).sum())
    loss = float(count_N @ core.loss_N[columns] + core.price_R @ slack_R) + over + core.spent
    return Rounded(slate_UK, loss, _joined(core, who_N[group_N], columns[group_N], count_N[group_N]))


def _joined(core: Core, who_N: np.ndarray, columns: np.ndarray, count_N: np.ndarray) -> GroupSlates:
    given = core.counts
    if not len(given.group_N):
        return GroupSlates(who_N, core.slate_NK[columns], count_N)
    return GroupSlates(
        np.concatenate([given.group_N, who_N]),
        np.concatenate([given.slate_NK, core.slate_NK[columns]]),
        np.concatenate([given.count_N, count_N]),
    )
