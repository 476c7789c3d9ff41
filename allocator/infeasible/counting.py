"""What simple counting can tell before pricing: minimums that no allocation reaches, and what asks for more than is allowed.

For a row g(x) <= limit that an empty allocation breaks, the free users would have to bring -g(x) up to what is missing. Per user that is
at most the sum over slots of the best eligible contact in scope, of the `most` best slots alone where contact rules allow no more. The
bound leaves out everything else, so what it calls impossible is impossible; what it lets pass may still be. Where users count by reach, a
user brings one at most, however many contacts there are.

Axes: U users, A actions, S user classes, C contact caps, P planes, R rows, F scopes, N actions of a scope, L slots,
T parts of the users, B reach sets.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numba
import numpy as np

from allocator.amounts import one
from allocator.asks import NO_ASKS
from allocator.constraints import CompiledConstraint, LinearRows
from allocator.contact_rules import ContactRules
from allocator.problem import Problem
from allocator.scopes import has
from allocator.solve.kernel import kernel
from allocator.solve.slates import best_slate, compile_rules, make_work
from allocator.solve.solver import free_users
from allocator.users import EXPLORATION, FREE, LOST, Data

PARTS = 16
RELATIVE = 1e-9


@dataclass(frozen=True)
class Scope:
    """Something to count: users of `member_S`, and what an action brings, `const_A[a] + sum_p plane_PA[p, a] X[u, p, a]`.

    most: contacts of one user that the contact rules allow among the actions that bring anything.
    """

    member_S: np.ndarray
    const_A: np.ndarray
    plane_PA: np.ndarray
    most: int

    @property
    def actions_A(self) -> np.ndarray:
        return (self.const_A != 0) | (self.plane_PA != 0).any(axis=0)


@dataclass(frozen=True)
class Reach:
    """The most that the free users can bring to a scope, the contacts that takes at most, and how many users are eligible for any."""

    amount: float
    contacts: int
    users: int


@dataclass(frozen=True)
class Finding:
    """What counting found. positions: of the constraints involved, rows: their sides; hard: nothing can be allocated."""

    positions: tuple[int, ...]
    ids: tuple[str, ...]
    rows: tuple[int, ...]
    hard: bool
    sentence: str


def preflight(problem: Problem, data: Data, fixed: tuple[np.ndarray, np.ndarray]) -> list[Finding]:
    """Everything that cannot be, the contradictions first. fixed: (user position, action) of contacts that are given.

    One scan over the users, about a second a million. A soft constraint out of reach is a finding that is not hard.
    """
    left_R = free_users(problem, data, fixed).limit_R
    findings = [*_crossed(problem), *_cannot_keep(problem, data, left_R)]
    crossed = {position for finding in findings for position in finding.positions}
    by_contacts_R = problem.rows.keep_R == 0
    short = np.flatnonzero((left_R < 0) & by_contacts_R).tolist()
    needy = [row for row in short if int(problem.rows.constraint_R[row]) not in crossed]
    floors = [row for row in _floors(problem) if row in needy]
    covers = _wide_covers(problem, floors)
    known: dict[bytes, int] = {}

    def most(actions_A: np.ndarray) -> int:  # rules with `each` have thousands of rows with the same actions
        key = actions_A.tobytes()
        if key not in known:
            known[key] = most_contacts(problem.contact, actions_A)
        return known[key]

    reached = reach(problem, data, [*(row_scope(problem, row, most) for row in needy), *covers])
    single = dict(zip(needy, reached, strict=False))
    words = given_in_words(data, fixed)
    found = [_out_of_reach(problem, words, row, left_R, single[row]) for row in needy]
    findings += [finding for finding in found if finding is not None]
    broken = {row for finding in findings for row in finding.rows}
    floors = [row for row in floors if row not in broken]
    findings += _asked_twice(problem, left_R, floors)
    findings += _asked_of_all(problem, left_R, floors, list(zip(covers, reached[len(needy) :], strict=True)))
    return sorted(_distinct(findings), key=lambda finding: (not finding.hard, len(finding.positions)))


def left_together(problem: Problem) -> list[str]:
    """A sentence for each two sorts of offers that spoil each other by what the scores say and that no contact rule keeps apart."""
    known = problem.catalogue.interference
    told: dict[frozenset[str], list[str]] = {}
    for pair in () if known is None else known.spoiling(1.0):
        sides_2A = [has(words, problem.catalogue) & problem.contact.allowed_A for words in (pair.where, pair.beside)]
        if not _kept_apart(problem.contact, *sides_2A):
            names = [_named(words) for words in (pair.where, pair.beside)]
            told.setdefault(frozenset(names), []).append(f"{names[0]} keeps {pair.effect.kept:.0%}")
    return [
        f"the scores say that {' and '.join(sorted(names))} spoil each other ({', '.join(kept)}), and no rule keeps them apart"
        if len(names) > 1
        else f"the scores say that {next(iter(names))} twice spoils itself ({kept[0]}), and no rule keeps the two apart"
        for names, kept in told.items()
    ]


def _kept_apart(contact: ContactRules, one_A: np.ndarray, other_A: np.ndarray) -> bool:
    """Whether no slate holds an action of each: one slot, or a cap of one contact over both."""
    together_AA = contact.slot_A[:, None] == contact.slot_A
    single_CA = contact.member_CA[(contact.capacity_C == 1) & ~_spares_some(contact)].astype(int)
    together_AA |= single_CA.T @ single_CA > 0
    return bool(together_AA[np.ix_(one_A, other_A)].all())


def _spares_some(contact: ContactRules) -> np.ndarray:
    """bool[C]: whether users of some class are not bound by the cap."""
    return np.asarray(contact.free_SC.any(axis=0)) if len(contact.free_SC) else np.zeros(len(contact.names), bool)


def _named(words: Mapping[str, object]) -> str:
    return ", ".join(str(value) for value in words.values())


def given_in_words(data: Data, fixed: tuple[np.ndarray, np.ndarray]) -> str:
    """What the contacts are that are settled before anything is chosen."""
    if (data.group_U[fixed[0]] == EXPLORATION).all():
        return "the exploration contacts, which are random on purpose,"
    return "the contacts that are given, pinned ones and those of exploration,"


def _distinct(findings: Sequence[Finding]) -> list[Finding]:
    """No finding whose constraints contain those of another contradiction."""
    hard = [set(finding.positions) for finding in findings if finding.hard]
    kept: list[Finding] = []
    for finding in findings:
        mine = set(finding.positions)
        if not any(other < mine for other in hard) and all(mine != set(other.positions) for other in kept):
            kept.append(finding)
    return kept


def row_scope(problem: Problem, row: int, most: Callable[[np.ndarray], int]) -> Scope:
    """What brings a row below its limit: minus its use. most: `most_contacts` of these contact rules."""
    rows = problem.rows
    if rows.counts_reach_R[row]:
        brings_A = -(rows.reach_RB[row] @ rows.reach_BA)
        return Scope(rows.member_RS[row] > 0, brings_A, np.zeros_like(rows.plane_RPA[row]), most=1)
    const_A, plane_PA = -rows.const_RA[row], -rows.plane_RPA[row]
    actions_A = (const_A != 0) | (plane_PA != 0).any(axis=0)
    return Scope(rows.member_RS[row] > 0, const_A, plane_PA, most(actions_A))


def most_contacts(contact: ContactRules, actions_A: np.ndarray) -> int:
    """The size of the largest slate of these actions, by the exact slate kernel: of those who are bound by the fewest caps, and who
    have all that contacts ask for."""
    bare = replace(contact, asks=NO_ASKS)
    spared = (name for name, some in zip(contact.names, _spares_some(contact), strict=True) if some)
    for name in dict.fromkeys(spared):
        bare = bare.without(name)
    rules = compile_rules(bare, None)
    work = make_work(rules)
    work.net_A[:] = np.where(actions_A & contact.allowed_A, 1.0, -np.inf)
    return int(best_slate(rules, work, np.empty(max(rules.most, 1), np.int64))[0])


def reach(problem: Problem, data: Data, scopes: Sequence[Scope]) -> list[Reach]:
    """What the free users can bring to each scope: one scan, whatever their number."""
    if not scopes:
        return []
    slot_A = problem.contact.slot_A
    by_slot_A = np.argsort(slot_A, kind="stable")
    chosen = [by_slot_A[scope.actions_A[by_slot_A]] for scope in scopes]
    first_F = np.concatenate([[0], np.cumsum([len(action_N) for action_N in chosen])])
    amount_TF = np.zeros((PARTS, len(scopes)))
    contacts_TF, users_TF = np.zeros_like(amount_TF, np.int64), np.zeros_like(amount_TF, np.int64)
    tables = (
        np.concatenate([scope.const_A[action_N] for scope, action_N in zip(scopes, chosen, strict=True)]),
        np.concatenate([scope.plane_PA[:, action_N].T for scope, action_N in zip(scopes, chosen, strict=True)]),
        np.array([scope.member_S for scope in scopes]),
        np.array([scope.most for scope in scopes]),
        np.array([not scope.plane_PA.any() for scope in scopes]),
    )
    for part in data.shards():
        eligible_UA = problem.contact.possible(
            np.asarray(data.eligible_UA[part]), data.received_UC[part], data.class_U[part]
        )
        _count(
            np.asarray(data.planes_UPA[part]), eligible_UA, data.class_U[part], data.group_U[part],
            slot_A, first_F, np.concatenate(chosen), *tables, amount_TF, contacts_TF, users_TF,
        )  # fmt: skip
    sums = zip(amount_TF.sum(axis=0), contacts_TF.sum(axis=0), users_TF.sum(axis=0), strict=True)
    return [Reach(float(amount), int(contacts), int(users)) for amount, contacts, users in sums]


@kernel(parallel=True)
def _count(
    planes_UPA: np.ndarray, eligible_UA: np.ndarray, class_U: np.ndarray, group_U: np.ndarray, slot_A: np.ndarray,
    first_F: np.ndarray, action_N: np.ndarray, const_N: np.ndarray, plane_NP: np.ndarray, member_FS: np.ndarray,
    most_F: np.ndarray, plain_F: np.ndarray, amount_TF: np.ndarray, contacts_TF: np.ndarray, users_TF: np.ndarray,
) -> None:  # fmt: skip
    users = len(class_U)
    size = -(-users // PARTS)
    for part in numba.prange(PARTS):
        best_L = np.empty(len(slot_A), np.float64)
        for u in range(part * size, min((part + 1) * size, users)):
            if group_U[u] != FREE:
                continue
            for f in range(len(most_F)):
                if not member_FS[f, class_U[u]]:
                    continue
                filled, slot = 0, -1
                for n in range(first_F[f], first_F[f + 1]):
                    a = action_N[n]
                    if not eligible_UA[u, a]:
                        continue
                    brings = const_N[n]
                    if not plain_F[f]:
                        for p in range(plane_NP.shape[1]):
                            brings += plane_NP[n, p] * planes_UPA[u, p, a]
                    if brings <= 0.0:
                        continue
                    if slot_A[a] != slot:
                        slot = slot_A[a]
                        best_L[filled] = brings
                        filled += 1
                    elif brings > best_L[filled - 1]:
                        best_L[filled - 1] = brings
                if filled:
                    taken = min(filled, most_F[f])
                    amount_TF[part, f] += largest(best_L, filled, taken)
                    contacts_TF[part, f] += taken
                    users_TF[part, f] += 1


@kernel()
def largest(best_L: np.ndarray, filled: int, taken: int) -> float:
    """The sum of the `taken` largest of the first `filled`; reorders them."""
    total = 0.0
    for k in range(taken):
        for i in range(k + 1, filled):
            if best_L[i] > best_L[k]:
                best_L[k], best_L[i] = best_L[i], best_L[k]
        total += best_L[k]
    return total


def _crossed(problem: Problem) -> Iterator[Finding]:
    """Minimums above their own maximums, once percentages are counts. (A ratio of nothing keeps both.)"""
    for position, measured in enumerate(problem.measured):
        low, high = measured.low, measured.high
        if measured.denominator is not None or not measured.enforced or low is None or high is None:
            continue
        if low > high + RELATIVE * abs(high):
            rows = tuple(int(row) for row in np.flatnonzero(problem.rows.constraint_R == position))
            sentence = f"{_name(measured)} asks for at least {_amount(low)} and at most {_amount(high)}"
            yield Finding((position,), (measured.rule.id,), rows, not np.isfinite(measured.penalty), sentence)


def _cannot_keep(problem: Problem, data: Data, left_R: np.ndarray) -> Iterator[Finding]:
    """Limits on churn where too many earlier slates cannot be given again."""
    rows = problem.rows
    for row in np.flatnonzero(rows.keep_R):
        measured = problem.measured[int(rows.constraint_R[row])]
        member_U = measured.numerator.member_S[data.class_U]
        can = int((member_U & (data.group_U == FREE) & (data.before_UK[:, 0] != LOST)).sum())
        if -left_R[row] <= can:
            continue
        users = int(measured.numerator.base)
        lost = users - can - round(float(left_R[row] - rows.limit_R[row]))
        allows = (
            f"{_name(measured)} lets {_amount(measured.bound('max'))} of {users:,} users get something else than before"
        )
        why = "it is gone, not eligible or not allowed now, or they are pinned, exploring or held out"
        sentence = f"{allows}, but {lost:,} cannot get what they had: {why}"
        hard = not np.isfinite(rows.penalty_R[row])
        yield Finding((int(rows.constraint_R[row]),), (measured.rule.id,), (int(row),), hard, sentence)


def _out_of_reach(problem: Problem, given_words: str, row: int, left_R: np.ndarray, most: Reach) -> Finding | None:
    """A row that even the best contacts of every user in its scope leave broken."""
    rows = problem.rows
    if -left_R[row] <= most.amount * (1 + RELATIVE) + RELATIVE * abs(left_R[row]):
        return None
    position = int(rows.constraint_R[row])
    sentence = _sentence(problem, given_words, row, left_R[row], most)
    hard = not np.isfinite(rows.penalty_R[row])
    return Finding((position,), (problem.measured[position].rule.id,), (int(row),), hard, sentence)


def _sentence(problem: Problem, given_words: str, row: int, left: float, most: Reach) -> str:
    rows = problem.rows
    measured = problem.measured[int(rows.constraint_R[row])]
    name, given = _name(measured), float(rows.limit_R[row] - left)
    if rows.limit_R[row] >= 0 and given > 0:
        return f"{name}: {given_words} already break it"
    if not measured.rule.asks_for_contacts:
        side = rows.side(row)
        bound = f"at {'least' if side == 'min' else 'most'} {_amount(measured.bound(side))}"
        come = _amount(most.amount if side == "min" else -most.amount)
        return f"{name} asks for {bound}, but the best contacts of all {most.users:,} eligible users come to {come}"
    low, counts = measured.bound("min"), measured.rule.counts or ""
    asks = f"{name} asks for at least {_amount(low)} {one(counts) if low == 1 else counts}, but "
    besides = f", besides {_amount(-given)} {counts} that are given" if given < 0 else ""
    if counts == "users":
        besides = f", besides {_amount(-given)} with a contact that is given" if given < 0 else ""
    if most.contacts <= most.users:
        eligible = {0: "no user is", 1: "only one user is"}.get(most.users, f"only {most.users:,} users are")
        return f"{asks}{eligible} eligible for any{besides}"
    return f"{asks}the {most.users:,} users who are eligible for any can get {most.contacts:,} at most{besides}"


def _floors(problem: Problem) -> list[int]:
    """Rows of the volumes that must reach a minimum, and of reach, which takes a contact for every user."""
    rows = problem.rows
    return [
        row
        for row in range(len(rows))
        if rows.sign_R[row] < 0
        and not np.isfinite(rows.penalty_R[row])
        and problem.measured[int(rows.constraint_R[row])].rule.asks_for_contacts
    ]


def _asked_twice(problem: Problem, left_R: np.ndarray, floors: Sequence[int]) -> Iterator[Finding]:
    """Minimums of disjoint volumes that together are above the maximum of a volume that covers them."""
    rows = problem.rows
    covers_RR, meets_RR, counts_reach_R = _covers(rows), _meets(rows), rows.counts_reach_R
    for cap in range(len(rows)):
        measured = problem.measured[int(rows.constraint_R[cap])]
        if rows.sign_R[cap] < 0 or not measured.rule.asks_for_contacts or np.isfinite(rows.penalty_R[cap]):
            continue
        if counts_reach_R[cap]:  # it lets a user have any number of contacts
            continue
        inside = [row for row in floors if covers_RR[cap, row]]
        chosen = _disjoint_above(meets_RR, left_R, inside, max(float(left_R[cap]), 0.0))
        if chosen:
            allows = f"{_name(measured)} allows at most {_amount(measured.bound('max'))} contacts"
            asked = _amount(_asked(problem, chosen))
            yield _joint(problem, (*chosen, cap), f"{allows}, but {_names(problem, chosen)} within it ask for {asked}")


def _asked(problem: Problem, floors: Sequence[int]) -> float:
    """What minimums ask for together."""
    return sum(problem.measured[int(problem.rows.constraint_R[row])].bound("min") for row in floors)


def _wide_covers(problem: Problem, floors: Sequence[int]) -> list[Scope]:
    """All contacts of the users of each `users` filter that several minimums share."""
    members = {problem.rows.member_RS[row].tobytes(): problem.rows.member_RS[row] > 0 for row in floors}
    members |= {b"all": np.ones(len(problem.classes), bool)} if len(floors) > 1 else {}
    actions_A = np.ones(len(problem.catalogue.actions), bool)
    most = most_contacts(problem.contact, actions_A)
    return [
        Scope(m, actions_A.astype(float), np.zeros((len(problem.planes), len(actions_A))), most)
        for m in members.values()
    ]


def _asked_of_all(
    problem: Problem, left_R: np.ndarray, floors: Sequence[int], covers: Sequence[tuple[Scope, Reach]]
) -> Iterator[Finding]:
    """Minimums of disjoint volumes that together are above what their users can get at all."""
    member_RS, meets_RR = problem.rows.member_RS > 0, _meets(problem.rows)
    for scope, most in covers:
        outside_R = (member_RS & ~scope.member_S).any(axis=1)
        inside = [row for row in floors if not outside_R[row]]
        chosen = _disjoint_above(meets_RR, left_R, inside, most.amount)
        if chosen:
            ask = f"{_names(problem, chosen)} together ask for {_amount(_asked(problem, chosen))} contacts"
            can = f"the {most.users:,} users who are eligible for any can get {most.contacts:,} at most"
            yield _joint(problem, tuple(chosen), f"{ask}, but {can}")


def _covers(rows: LinearRows) -> np.ndarray:
    """bool[R, R]: whether the first row counts every contact that the second one counts. Products, since rows may be thousands."""
    users_RS, actions_RA = (rows.member_RS > 0).astype(np.float32), rows.actions_RA.astype(np.float32)
    return ((1 - users_RS) @ users_RS.T == 0) & ((1 - actions_RA) @ actions_RA.T == 0)


def _disjoint_above(meets_RR: np.ndarray, left_R: np.ndarray, inside: Sequence[int], capacity: float) -> list[int]:
    """The fewest of the largest disjoint minimums whose sum is above the capacity; none where all fit."""
    chosen: list[int] = []
    asked = 0.0
    for row in sorted(inside, key=lambda row: float(left_R[row])):
        if not meets_RR[row, chosen].any():
            chosen.append(row)
            asked -= float(left_R[row])
            if asked > capacity + 0.5:
                return chosen
    return []


def _meets(rows: LinearRows) -> np.ndarray:
    """bool[R, R]: whether a contact can count in both rows."""
    users_RS, actions_RA = (rows.member_RS > 0).astype(np.float32), rows.actions_RA.astype(np.float32)
    return (users_RS @ users_RS.T > 0) & (actions_RA @ actions_RA.T > 0)


def _joint(problem: Problem, rows: tuple[int, ...], sentence: str) -> Finding:
    positions = tuple(sorted({int(problem.rows.constraint_R[row]) for row in rows}))
    ids = tuple(problem.measured[position].rule.id for position in positions)
    return Finding(positions, ids, rows, True, sentence)


def _names(problem: Problem, rows: Sequence[int]) -> str:
    names = [_name(problem.measured[int(problem.rows.constraint_R[row])]) for row in rows]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _name(measured: CompiledConstraint) -> str:
    return measured.rule.name


def _amount(amount: float) -> str:
    return f"{amount:,.0f}" if float(amount).is_integer() else f"{amount:,.6g}"
