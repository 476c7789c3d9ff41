"""What must be known of an allocation before its numbers are read: how far it may be from the best, what is there for a rule alone.

Axes: U users, A actions, P planes, N contacts, n some of them, R rows, S user classes, B reach sets.
"""

from collections.abc import Iterator, Sequence
from datetime import date

import numpy as np

from allocator.formats import Remark
from allocator.policy.doubts import Crowd, doubts
from allocator.policy.grammar import Policy
from allocator.problem import Problem
from allocator.solve.lattice import Lattice, lattices
from allocator.solve.usage import contributions
from allocator.users import FREE, Data

FAR = 10.0
"""Times the gap that was asked for: beyond it the result is not what was asked for, and that is said first."""
PART = 65_536


def far_from_the_best(gap: float, wanted: float) -> Iterator[Remark]:
    """Whether the gap is beyond ten times what was asked for, and what to try."""
    if gap > FAR * wanted:
        told = (
            f"This allocation may be worth up to {100 * gap:.2g} % less than the best one: {gap / wanted:,.0f} times the gap that was "
            f"asked for (solve.gap={wanted:g}). Try more work (solve.nodes=10000 solve.core_users=20000), or widen rules that "
            "leave little room, such as a minimum equal to its maximum"
        )
        yield Remark(kind="gap", sentence=told)


def in_doubt(policy: Policy, day: date | None, crowd: Crowd) -> Iterator[Remark]:
    """Rules that are off on that day or end before the next run, and bounds that are seldom meant or cannot bind."""
    for doubt in doubts(policy, day, crowd):
        yield Remark(kind=doubt.kind, sentence=doubt.sentence, constraint=doubt.rule)


def without_repeats(remarks: Sequence[Remark], doubted: Sequence[Remark]) -> Iterator[Remark]:
    """Those that doubts have not said of the same rule already."""
    said = {(remark.kind, remark.constraint) for remark in doubted}
    return (remark for remark in remarks if (remark.kind, remark.constraint) not in said)


def percent_forgotten(
    problem: Problem, data: Data, achieved: Sequence[float | None], binding: Sequence[str | None]
) -> Iterator[Remark]:
    """Numbers of contacts or users that ask for nothing, and would ask for something as per cent. achieved, binding: by constraint."""
    users_S = np.bincount(data.class_U, minlength=len(problem.classes))
    for measured, held, side in zip(problem.measured, achieved, binding, strict=True):
        users = int(users_S[measured.numerator.member_S].sum())
        percent = measured.rule.as_percent("min", users)
        low = measured.low
        if percent is None or held is None or low is None or side == "min" or not low < held < percent:
            continue
        rule = measured.rule
        sentence = (
            f"{rule.id}.min: {low:g} is a number of {rule.counts} and asks for nothing: there are {held:,.0f}. "
            f"Did you mean {low:g}%, which is {percent:,} of the {users:,} users in its scope?"
        )
        yield Remark(kind="percent_forgotten", sentence=sentence, constraint=rule.id)


def cannot_be_met(problem: Problem, data: Data, totals: Sequence[float | None]) -> Iterator[Remark]:
    """Shares with bounds so near to each other that no whole counts but none meet them. totals: of the wholes, by constraint."""
    people = int((data.group_U == FREE).sum())
    for lattice in lattices(problem, people):
        position = int(problem.rows.constraint_R[lattice.upper])
        if not totals[position] and not _can_be_met(lattice, people * _slots(problem, lattice)):
            rule = problem.measured[position].rule
            sentence = f"{rule.name}: {_nearest(lattice, people)}"
            yield Remark(kind="cannot_be_met", sentence=sentence, constraint=rule.id, contacts=0, value=0.0)


def _slots(problem: Problem, lattice: Lattice) -> int:
    """In how many slots a user may get a contact that the whole counts."""
    return len(np.unique(problem.contact.slot_A[lattice.whole.const_A > 0]))


def _can_be_met(lattice: Lattice, most: int) -> bool:
    """Whether some part of a whole of at most so many contacts lies between the bounds: the simple fraction next to their middle does."""
    middle = ((lattice.low + lattice.high) / 2).limit_denominator(max(most, 1))
    return lattice.low <= middle <= lattice.high


def _nearest(lattice: Lattice, people: int) -> str:
    low, high = float(lattice.low), float(lattice.high)
    half = 0.5 / max(people, 1)
    digit = 10.0 ** np.floor(np.log10(half))
    half = float(np.ceil(half / digit) * digit)
    wider = f"{_percent(max(low - half, 0.0))} to {_percent(min(high + half, 1.0))}"
    if lattice.low == lattice.high:
        steps = f"{lattice.low.numerator:,} of {lattice.low.denominator:,} contacts and multiples of that"
        asked = f"exactly {_percent(low)} can only be met by {steps}"
    else:
        asked = f"no part of so few contacts lies between {_percent(low)} and {_percent(high)}"
    return f"{asked}, or by none at all; nothing was allocated in its scope. Whole contacts can keep {wider}"


def _percent(share: float) -> str:
    return f"{100 * share:.10g} %"


def _only_ones(reach_BA: np.ndarray, user_N: np.ndarray, action_N: np.ndarray) -> np.ndarray:
    """bool[N, B]: whether a contact is the only one that its user has in each reach set."""
    alone_NB = np.zeros((len(user_N), len(reach_BA)), bool)
    for b, member_A in enumerate(reach_BA):
        inside = np.flatnonzero(member_A[action_N])
        _, first, times = np.unique(user_N[inside], return_index=True, return_counts=True)
        alone_NB[inside[first[times == 1]], b] = True
    return alone_NB


def only_for_a_rule(
    problem: Problem, data: Data, price_R: np.ndarray, user_N: np.ndarray, action_N: np.ndarray, value_N: np.ndarray
) -> Iterator[Remark]:
    """Chosen contacts that are worth nothing or less: how many of them each rule is the reason of, and what they cost.

    The reason is the row that credits such a contact with most at the prices; a row that counts users by reach credits the only contact
    that a user has in its scope.
    """
    rows, worthless = problem.rows, np.flatnonzero(value_N <= 0.0)
    if not len(rows) or not len(worthless):
        return
    count, worth = np.zeros(len(problem.measured), np.int64), np.zeros(len(problem.measured))
    alone_NB = _only_ones(rows.reach_BA, user_N, action_N)
    for first in range(0, len(worthless), PART):
        part = worthless[first : first + PART]
        plane_NP = data.planes_UPA[user_N[part], :, action_N[part]].astype(float)
        used_NR = contributions(rows, data.class_U[user_N[part]], action_N[part].astype(np.int64), plane_NP)
        used_NR += alone_NB[part] @ rows.reach_RB.T * rows.member_RS.T[data.class_U[user_N[part]]]
        credit_NR = -price_R * used_NR
        reason_N = rows.constraint_R[np.argmax(credit_NR, axis=1)]
        known_N = credit_NR.max(axis=1) > 0
        count += np.bincount(reason_N[known_N], minlength=len(count))
        worth += np.bincount(reason_N[known_N], value_N[part[known_N]], minlength=len(count))
    for position in np.flatnonzero(count):
        rule, contacts, value = problem.measured[position].rule, int(count[position]), float(worth[position])
        taken = f"together they take {-value:,.4g} off the value" if value < 0 else "they are worth nothing"
        are = "contact is" if contacts == 1 else "contacts are"
        sentence = f"{contacts:,} {are} given for the sake of {rule.name} alone; {taken}"
        yield Remark(kind="only_for_a_rule", sentence=sentence, constraint=rule.id, contacts=contacts, value=value)
