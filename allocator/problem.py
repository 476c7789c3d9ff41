"""Scores and policy as arrays: what a contact is worth, what it uses of each constraint, what one user may get.

maximise sum_u sum_a value[u,a] x[u,a]  subject to  rows  g_r(x) <= h_r  and  x[u,:] in X_u.

value and every g_r are linear in a few planes of the data, with coefficients that depend on the user's class alone:

    value[u,a] = sum_p V[p,a] X[u,p,a]        g_r[u,a] = member[r, class(u)] * (G0[r,a] + sum_p G[r,p,a] X[u,p,a])

so a reduced value at prices lambda is one fused multiply-add over the planes, whatever the number of constraints.

Only churn is not a sum over contacts: it counts the users who keep the slate that they had before (`kept`).

Axes: U users, A actions, P planes (a metric's mean or stderr), R rows, S user classes, C contact caps, K contacts of a slate.
"""

import math
import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product as cross
from pathlib import Path

import numpy as np
import pyarrow as pa

from allocator.asks import NO_ASKS, NO_LIMIT, NOT_BOUND, Asked, Asks
from allocator.policy.experiment import exploring, held_out, uniform
from allocator.policy.grammar import (
    Constraint,
    ContactRule,
    Filter,
    Policy,
    Strength,
    Term,
    filter_from_words,
    row_id,
    share_of,
)
from allocator.previous_contacts import (
    PastContacts,
    contacts_before,
    counted_as,
    read_history,
    read_previous,
    received,
    slates_before,
)
from ranker.files import unnamed
from ranker.scores import Catalogue, InputError, Scores, Shard

FREE, HOLDOUT, EXPLORATION, PINNED = 0, 1, 2, 3
MOST_CLASSES = 100_000
SHARD = 524_288
CONTACTS_PER_STEP = 4_096
SCATTERED_USERS = 128
"""Read at once from a mapped file: each may bring in pages of some megabytes."""
NONE, LOST = -1, -2
"""In place of an action: no contact; and, first in an earlier slate, that it cannot be given again."""


@dataclass(frozen=True)
class Linear:
    """A sum over contacts: for users of the classes in `member_S`, const_A[a] + sum_p plane_PA[p,a] X[u,p,a].

    To it come `base` and, for each of these users who keeps the earlier slate, `kept`.
    """

    member_S: np.ndarray
    const_A: np.ndarray
    plane_PA: np.ndarray
    base: float = 0.0
    kept: float = 0.0

    def total(self, count_SA: np.ndarray, sum_SPA: np.ndarray, kept_S: np.ndarray) -> float:
        """The sum over contacts that are summarised per class and action as counts [S, A] and plane sums [S, P, A]."""
        member = self.member_S
        contacts = (count_SA[member] * self.const_A).sum() + (sum_SPA[member] * self.plane_PA).sum()
        return float(contacts + self.base + self.kept * kept_S[member].sum())

    def minus(self, factor: float, other: "Linear | None") -> "Linear":
        if other is None:
            return self
        return Linear(self.member_S, self.const_A - factor * other.const_A, self.plane_PA - factor * other.plane_PA)


@dataclass(frozen=True)
class Measured:
    """A constraint of the policy with its sums compiled: `numerator`, over `denominator` where the kind is a ratio.

    low and high are in the constraint's own unit: counts and sums, or for ratios the ratio.
    """

    rule: Constraint
    numerator: Linear
    denominator: Linear | None
    low: float | None
    high: float | None

    @property
    def enforced(self) -> bool:
        return self.rule.strength.kind != "report_only"

    @property
    def whole(self) -> bool:
        """Whether it counts contacts or users, so that bounds are whole numbers."""
        return self.rule.kind in ("volume", "change", "churn")

    @property
    def penalty(self) -> float:
        """What a unit of violation costs: infinite for a hard constraint."""
        return self.rule.strength.penalty if self.rule.strength.kind == "soft" else np.inf

    def softened(self, penalty: float) -> "Measured":
        """The same sums under a constraint that may be broken at this price."""
        return replace(self, rule=self.rule.model_copy(update={"strength": Strength("soft", penalty)}))


@dataclass(frozen=True)
class Rows:
    """The enforced sides as rows g_r(x) <= limit_R[r]; row r belongs to constraint[r], its `max` (+1) or `min` (-1) side.

    quantum_R: the usage of a row that counts contacts is a multiple of it, so it can hold exactly; 0 for sums of real numbers.
    keep_R: what a user who keeps the earlier slate uses of the row.
    """

    constraint_R: np.ndarray
    sign_R: np.ndarray
    limit_R: np.ndarray
    penalty_R: np.ndarray
    quantum_R: np.ndarray
    member_RS: np.ndarray
    const_RA: np.ndarray
    plane_RPA: np.ndarray
    keep_R: np.ndarray

    def __len__(self) -> int:
        return len(self.limit_R)

    def bonus(self, price_R: np.ndarray) -> np.ndarray:
        """float64[S] >= 0: what it is worth at these prices that a user keeps the earlier slate."""
        return -(self.member_RS.T * price_R) @ self.keep_R

    def tables(self, value_A: np.ndarray, value_PA: np.ndarray, price_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The reduced value's coefficients at these prices: const_SA and plane_SPA, by user class."""
        weight_SR = self.member_RS.T * price_R
        plane_SPA = value_PA - np.tensordot(weight_SR, self.plane_RPA, axes=1)
        return value_A - weight_SR @ self.const_RA, plane_SPA

    def usage(self, count_SA: np.ndarray, sum_SPA: np.ndarray, kept_S: np.ndarray) -> np.ndarray:
        """[R]: g_r of contacts summarised per class and action, and of the users per class who keep their slates."""
        by_class = count_SA @ self.const_RA.T
        by_class = by_class + np.tensordot(sum_SPA, self.plane_RPA, axes=([1, 2], [1, 2]))
        return (by_class * self.member_RS.T).sum(axis=0) + self.keep_R * (self.member_RS @ kept_S)

    def contributions(self, klass_N: np.ndarray, action_N: np.ndarray, plane_NP: np.ndarray) -> np.ndarray:
        """[N, R]: what each of N contacts uses; action -1 stands for no contact.

        Action by action, and only the rows that it touches: most rows are about few actions.
        """
        used_NR = np.zeros((len(action_N), len(self)))
        touched_RA = (self.const_RA != 0) | (self.plane_RPA != 0).any(axis=1)
        order = np.argsort(action_N, kind="stable")
        ends_A = np.searchsorted(action_N[order], np.arange(self.const_RA.shape[1] + 1))
        for action in np.flatnonzero(np.diff(ends_A)):
            rows = np.flatnonzero(touched_RA[:, action])
            for first in range(ends_A[action], ends_A[action + 1], CONTACTS_PER_STEP):
                who = order[first : min(first + CONTACTS_PER_STEP, ends_A[action + 1])]
                used = self.const_RA[rows, action] + plane_NP[who] @ self.plane_RPA[rows, :, action].T
                used_NR[who[:, None], rows] = used * self.member_RS[rows][:, klass_N[who]].T
        return used_NR


@dataclass(frozen=True)
class ContactRules:
    """What one user may get: at most one action per slot, and caps over sets of actions that are not implied by it.

    slot_A: int64[A]. member_CA: bool, capacity_C: int64. Actions of a cap of zero are forbidden instead: allowed_A.
    days_C: int64, how many days of contacts received before the cap counts too, 0 for none. names: per cap the rule's id.
    free_SC: bool, the caps that do not bind the users of a class; empty where every cap binds everybody. asks: what contacts ask for,
    about caps or about sets that are caps without a limit.
    """

    slot_A: np.ndarray
    member_CA: np.ndarray
    capacity_C: np.ndarray
    days_C: np.ndarray
    allowed_A: np.ndarray
    names: tuple[str, ...]
    free_SC: np.ndarray = field(default_factory=lambda: np.empty((0, 0), bool))
    asks: Asks = NO_ASKS

    @property
    def slots(self) -> int:
        return int(self.slot_A.max()) + 1

    @property
    def counted_C(self) -> np.ndarray:
        """int64: beyond how many contacts received before it makes no difference how many there are."""
        return np.where(self.capacity_C == NO_LIMIT, 1, self.capacity_C)

    def base(self, received_UC: np.ndarray, class_U: np.ndarray) -> np.ndarray:
        """int64[U, C]: where each cap's count begins: at what was received before, far below where it does not bind."""
        base_UC = received_UC.astype(np.int64)
        if not received_UC.shape[1]:
            base_UC = np.zeros((len(received_UC), len(self.names)), np.int64)
        if len(self.free_SC):
            base_UC[self.free_SC[class_U]] = NOT_BOUND
        return base_UC

    def full(self, received_UC: np.ndarray, class_U: np.ndarray) -> np.ndarray:
        """bool[U, A]: the actions for which a cap has no room left after what was received before."""
        full_UC = self.base(received_UC, class_U) >= self.capacity_C
        return full_UC.astype(np.float32) @ self.member_CA > 0

    def asked(self, received_UC: np.ndarray, class_U: np.ndarray) -> Asked:
        """What is asked of these users."""
        return Asked(self.asks, self.member_CA, self.base(received_UC, class_U), class_U)

    def alone(self, eligible_UA: np.ndarray, received_UC: np.ndarray, class_U: np.ndarray) -> np.ndarray:
        """bool[U, A]: which of the eligible actions a user may get as the only one."""
        return self.asked(received_UC, class_U).alone(eligible_UA) if len(self.asks) else eligible_UA

    def possible(self, eligible_UA: np.ndarray, received_UC: np.ndarray, class_U: np.ndarray) -> np.ndarray:
        """bool[U, A]: which of the eligible actions may have what they ask for; a superset of those that can be given."""
        if not len(self.asks):
            return eligible_UA
        return self.asked(received_UC, class_U).possible(eligible_UA, self.slot_A)

    def keeps(self, chosen_UA: np.ndarray, received_UC: np.ndarray, class_U: np.ndarray) -> np.ndarray:
        """bool[U]: whether these contacts are one per slot, keep every cap and have what they ask for."""
        in_slot_AL = self.slot_A[:, None] == np.arange(self.slots)
        kept_U = (chosen_UA.astype(np.float32) @ in_slot_AL <= 1).all(axis=1)
        used_UC = chosen_UA.astype(np.float32) @ self.member_CA.T + self.base(received_UC, class_U)
        kept_U &= (used_UC <= self.capacity_C).all(axis=1)
        return kept_U & self.asked(received_UC, class_U).kept(chosen_UA) if len(self.asks) else kept_U

    def without(self, name: str) -> "ContactRules":
        """The rules without the one of this id."""
        kept_C = np.array([each != name for each in self.names], bool)
        kept_Q = np.array([each != name for each in self.asks.names], bool)
        return replace(
            self,
            member_CA=self.member_CA[kept_C],
            capacity_C=self.capacity_C[kept_C],
            days_C=self.days_C[kept_C],
            names=tuple(each for each in self.names if each != name),
            free_SC=self.free_SC[:, kept_C] if len(self.free_SC) else self.free_SC,
            asks=self.asks.take(kept_Q, np.cumsum(kept_C) - 1) if len(self.asks) else self.asks,
        )


@dataclass(frozen=True)
class UserClasses:
    """Users alike in every `users` filter of the policy. code: segment values -> class, position S in all class tables."""

    segments: tuple[str, ...]
    shape: tuple[int, ...]
    class_of_cell: np.ndarray
    records: tuple[Mapping[str, str], ...]

    def __len__(self) -> int:
        return len(self.records)

    def members(self, users: Filter) -> np.ndarray:
        """bool[S]: the classes that a filter of the policy passes."""
        return np.array([users.matches(record) for record in self.records], bool)

    def of(self, shard: Shard) -> np.ndarray:
        """int32[U]."""
        if not self.segments:
            return np.zeros(len(shard), np.int32)
        cell = np.ravel_multi_index(tuple(shard.segments[name] for name in self.segments), self.shape)
        return self.class_of_cell[cell]


@dataclass(frozen=True)
class Data:
    """The users in dataset order. planes_UPA float32, eligible_UA bool, class_U int32, group_U int8.

    eligible_UA has the policy's eligibility rules applied; holdout users keep theirs, and get nothing by their group. Where planes
    and eligibility do not fit the memory budget they are mapped from a file, and `release` gives the memory of a part back.

    before_UK int16: the earlier slate in catalogue order, padded with NONE, first LOST where it cannot be given again; [U, 0] where
    no constraint asks. received_UC: contacts of earlier days that each cap counts, at most its capacity; [U, 0] where none counts.
    """

    user_id: np.ndarray
    planes_UPA: np.ndarray
    eligible_UA: np.ndarray
    class_U: np.ndarray
    group_U: np.ndarray
    before_UK: np.ndarray
    received_UC: np.ndarray
    offered: "Funnel"

    def __len__(self) -> int:
        return len(self.class_U)

    @property
    def remembers(self) -> bool:
        """Whether earlier slates are known."""
        return self.before_UK.shape[1] > 0

    def keeps(self, user_N: np.ndarray, slate_NK: np.ndarray) -> np.ndarray:
        """bool[N]: whether each slate (padded with NONE, without repetition) is what its user had before."""
        before_NK = self.before_UK[user_N]
        shared_NKK = (slate_NK[:, :, None] == before_NK[:, None, :]) & (slate_NK >= 0)[:, :, None]
        size_N = (slate_NK >= 0).sum(axis=1)
        had_N = (before_NK >= 0).sum(axis=1)
        return (before_NK[:, 0] != LOST) & (size_N == had_N) & (shared_NKK.sum(axis=(1, 2)) == had_N)

    def kept_by_class(self, user_N: np.ndarray, action_N: np.ndarray, among_U: np.ndarray, classes: int) -> np.ndarray:
        """float64[S]: how many of the users `among_U` keep their earlier slate if all they get are these contacts, sorted by user."""
        kept_S = np.zeros(classes)
        if not self.remembers:
            return kept_S
        for part in self.shards():
            before_UK = self.before_UK[part]
            contacts = slice(*np.searchsorted(user_N, [part.start, part.stop]))
            user_n, action_n = user_N[contacts] - part.start, action_N[contacts]
            again_n = (before_UK[user_n] == action_n[:, None]).any(axis=1)
            got_U, again_U = (
                np.bincount(user_n, minlength=len(before_UK)),
                np.bincount(user_n[again_n], minlength=len(before_UK)),
            )
            had_U = (before_UK >= 0).sum(axis=1)
            kept_U = among_U[part] & (before_UK[:, 0] != LOST) & (got_U == had_U) & (again_U == had_U)
            kept_S += np.bincount(self.class_U[part][kept_U], minlength=classes)
        return kept_S

    def take(self, index: np.ndarray) -> "Data":
        """The users at these positions, in memory."""
        planes_UPA = np.empty((len(index), *self.planes_UPA.shape[1:]), np.float32)
        eligible_UA = np.empty((len(index), self.eligible_UA.shape[1]), bool)
        step = SCATTERED_USERS if self.mapped else max(len(index), 1)
        for first in range(0, len(index), step):
            part = slice(first, first + step)
            planes_UPA[part], eligible_UA[part] = self.planes_UPA[index[part]], self.eligible_UA[index[part]]
            self.release()
        return Data(
            self.user_id[index], planes_UPA, eligible_UA, self.class_U[index], self.group_U[index],
            self.before_UK[index], self.received_UC[index], self.offered,
        )  # fmt: skip

    def shards(self) -> Iterator[slice]:
        """Consecutive users, a bounded number at a time; what was mapped for one is given back before the next."""
        for first in range(0, len(self), SHARD):
            yield slice(first, min(first + SHARD, len(self)))
            self.release()

    @property
    def mapped(self) -> bool:
        """Whether planes and eligibility are in a file."""
        return isinstance(self.planes_UPA, np.memmap)

    def release(self) -> None:
        """Gives back the memory of mapped pages; the file keeps what they hold."""
        for array in (self.planes_UPA, self.eligible_UA):
            if isinstance(array, np.memmap):
                array._mmap.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True)
class Funnel:
    """How many user-action pairs, and users with any, are left after each filter, in the order of the filters."""

    stages: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Problem:
    """Everything the solvers need, and nothing they have to look up again.

    What a contact is worth is value_A[a] + sum_p value_PA[p,a] X[u,p,a]: of attributes of the action alone, and of metrics.
    """

    catalogue: Catalogue
    policy: Policy
    planes: tuple[tuple[str, str], ...]
    value_A: np.ndarray
    value_PA: np.ndarray
    measured: tuple[Measured, ...]
    rows: Rows
    contact: ContactRules
    classes: UserClasses
    allowed_SA: np.ndarray
    class_sizes_S: np.ndarray
    users: int
    previous: Path | None

    @property
    def compares_slates(self) -> bool:
        """Whether a constraint counts the users whose slate is not what it was before."""
        return any(measured.rule.kind == "churn" for measured in self.measured)

    @property
    def hard(self) -> list[int]:
        """Constraints that must hold, by position."""
        rows = self.rows
        return sorted({int(c) for c, p in zip(rows.constraint_R, rows.penalty_R, strict=True) if not np.isfinite(p)})

    def net_tables(self, price_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The coefficients of the net value at these prices, const_SA and plane_SPA, per user class."""
        return self.rows.tables(self.value_A, self.value_PA, price_R)

    def worth(self, action_N: np.ndarray, plane_NP: np.ndarray) -> np.ndarray:
        """float64[N]: what contacts with these actions and planes add to the objective."""
        return (plane_NP * self.value_PA[:, action_N].T).sum(axis=1) + self.value_A[action_N]

    def worth_of_all(self, planes_UPA: np.ndarray) -> np.ndarray:
        """[U, A]: what each contact would add to the objective."""
        return np.einsum("upa,pa->ua", planes_UPA, self.value_PA) + self.value_A

    def worth_of_sums(self, count_SA: np.ndarray, sum_SPA: np.ndarray) -> float:
        """What contacts summarised per class and action are worth."""
        return float((sum_SPA * self.value_PA).sum() + (count_SA * self.value_A).sum())

    def worthless(self) -> "Problem":
        """The same rules where no contact is worth anything."""
        return replace(self, value_A=np.zeros_like(self.value_A), value_PA=np.zeros_like(self.value_PA))

    def with_objective(self, terms: Sequence[Term]) -> "Problem":
        """The same problem with another value of contacts."""
        value_A, value_PA = _value(terms, self.policy.risk_z, self.catalogue, self.planes)
        return replace(self, value_A=value_A, value_PA=value_PA)

    def with_measured(self, measured: Sequence[Measured]) -> "Problem":
        """The same users under other constraints or bounds."""
        rows = _rows(measured, len(self.planes), len(self.catalogue.actions), len(self.classes))
        return replace(self, measured=tuple(measured), rows=rows)


def build_problem(scores: Scores, policy: Policy, previous: Path | None = None) -> Problem:
    """Compiles the policy, already read against this catalogue, over the users of the scores.

    previous: the earlier allocation that constraints of kind `change` and `churn` compare with. Raises InputError where the scores
    cannot carry it (too many user classes, missing standard errors).
    """
    catalogue = scores.catalogue
    planes = _planes(policy, scores)
    classes = _user_classes(policy, scores.vocabulary)
    sizes = _class_sizes(scores, classes)
    before_SA = None
    if any(rule.kind == "change" for rule in policy.constraints):
        before_SA = contacts_before(read_previous(scores, previous), scores, classes.of, len(classes))
    measured = tuple(
        _measure(rule, member_S, catalogue, planes, sizes, before_SA)
        for rule, member_S in _each_row(policy.constraints, catalogue, classes, sizes)
    )
    value_A, value_PA = _value(policy.objective, policy.risk_z, catalogue, planes)
    return Problem(
        catalogue=catalogue,
        policy=policy,
        planes=planes,
        value_A=value_A,
        value_PA=value_PA,
        measured=measured,
        rows=_rows(measured, len(planes), len(catalogue.actions), len(classes)),
        contact=_contact_rules(policy, catalogue, classes),
        classes=classes,
        allowed_SA=_allowed(policy, catalogue, classes),
        class_sizes_S=sizes,
        users=scores.users,
        previous=previous,
    )


def _planes(policy: Policy, scores: Scores) -> tuple[tuple[str, str], ...]:
    """(mean | stderr, metric) of every plane that the policy needs, in catalogue order."""
    objective = {term.metric for term in policy.terms if term.metric is not None}
    used = objective | {rule.metric for rule in policy.constraints if rule.metric is not None}
    used |= {rule.per.metric for rule in policy.constraints if rule.per is not None and rule.per.metric is not None}
    names = [metric.name for metric in scores.catalogue.metrics]
    planes = [("mean", name) for name in names if name in used]
    if policy.risk_z > 0:
        lacking = sorted(objective - scores.stderr_metrics)
        if lacking:
            raise InputError(
                [
                    f"{scores.path}: column stderr_{name}: is missing, and the policy's risk.z needs it"
                    for name in lacking
                ]
            )
        planes += [("stderr", name) for name in names if name in objective]
    return tuple(planes)


def _value(
    terms: Sequence[Term], risk_z: float, catalogue: Catalogue, planes: Sequence[tuple[str, str]]
) -> tuple[np.ndarray, np.ndarray]:
    """value_A, value_PA: each term adds weight * times to its metric's mean and -z |weight * times| to its stderr; without a metric
    to the action itself."""
    value_A, value_PA = np.zeros(len(catalogue.actions)), np.zeros((len(planes), len(catalogue.actions)))
    for term in terms:
        weight_A = term.weight * _times(term.times, catalogue)
        if term.metric is None:
            value_A += weight_A
            continue
        value_PA[planes.index(("mean", term.metric))] += weight_A
        if risk_z > 0:
            value_PA[planes.index(("stderr", term.metric))] -= risk_z * np.abs(weight_A)
    return value_A, value_PA


def _times(attribute: str | None, catalogue: Catalogue) -> np.ndarray:
    return np.ones(len(catalogue.actions)) if attribute is None else catalogue.numbers(attribute)


def _user_classes(policy: Policy, vocabulary: Mapping[str, tuple[str, ...]]) -> UserClasses:
    """Cells of the segments that any `users` filter names, merged where all filters agree."""
    filters = policy.user_filters
    by_value = [rule for rule in policy.constraints if rule.each in vocabulary]
    named = {rule.each for rule in by_value}
    segments = tuple(name for name in vocabulary if name in named or any(_names(users, name) for users in filters))
    shape = tuple(len(vocabulary[name]) for name in segments)
    cells = int(np.prod(shape, dtype=object)) if shape else 1
    if cells > 5_000_000:
        raise InputError(
            [f"policy: the users filters name {len(segments)} segments with {cells:,} combinations; too many"]
        )
    signatures: dict[tuple[bool | str | None, ...], int] = {}
    records: list[Mapping[str, str]] = []
    class_of_cell = np.empty(cells, np.int32)
    for cell, values in enumerate(cross(*(vocabulary[name] for name in segments))):
        record = dict(zip(segments, values, strict=True))
        signature = (
            *(users.matches(record) for users in filters),
            *(record[rule.each] if rule.users.matches(record) else None for rule in by_value),
        )
        if signature not in signatures:
            signatures[signature] = len(records)
            records.append(record)
        class_of_cell[cell] = signatures[signature]
    if len(records) > MOST_CLASSES:
        raise InputError(
            [f"policy: the users filters tell {len(records):,} kinds of users apart; at most {MOST_CLASSES:,}"]
        )
    return UserClasses(segments, shape, class_of_cell, tuple(records))


def _names(users: Filter | None, segment: str) -> bool:
    if users is None:
        return False
    return any(key == segment for key, _ in users.keys) or _names(users.negated, segment)


def _class_sizes(scores: Scores, classes: UserClasses) -> np.ndarray:
    sizes = np.zeros(len(classes), np.int64)
    if not classes.segments:
        sizes[0] = scores.users
        return sizes
    for codes in scores.segment_codes(classes.segments):
        cell = np.ravel_multi_index(codes, classes.shape)
        sizes += np.bincount(classes.class_of_cell[cell], minlength=len(classes))
    return sizes


def _chosen(where: Filter, catalogue: Catalogue) -> np.ndarray:
    return np.array([where.matches(action) for action in catalogue.actions], bool)


def _each_row(
    rules: Sequence[Constraint], catalogue: Catalogue, classes: UserClasses, sizes_S: np.ndarray
) -> Iterator[tuple[Constraint, np.ndarray]]:
    """Every constraint, one with `each` once per value, with the classes of users that it is about.

    Of a segment the values that users in its `users` have; otherwise those of the attribute that actions in its scope have.
    """
    for rule in rules:
        member_S = classes.members(rule.users)
        if rule.each is None:
            yield rule, member_S
        elif rule.each in classes.segments:
            value_S = np.array([record[rule.each] for record in classes.records], dtype=object)
            for value in sorted(set(value_S[member_S & (sizes_S > 0)])):
                users = replace(rule.users, keys=(*rule.users.keys, (rule.each, (value,))))
                yield _row(rule, value, users=users), member_S & (value_S == value)
        else:
            values = [a.get(rule.each) for a in catalogue.actions if rule.where.matches(a) and _within(rule.of, a)]
            for value in dict.fromkeys(value for value in values if value is not None):
                yield (
                    _row(rule, value, where=replace(rule.where, keys=(*rule.where.keys, (rule.each, (value,))))),
                    member_S,
                )


def _within(words: Filter | None, action: Mapping[str, object]) -> bool:
    return words is None or words.matches(action)


def _row(rule: Constraint, value: str | bool | int | float, **scope: Filter) -> Constraint:
    label = None if rule.label is None else f"{rule.label} ({value})"
    return rule.model_copy(update={"id": row_id(rule.id, value), "label": label, "each": None, **scope})


def _measure(
    rule: Constraint,
    member_S: np.ndarray,
    catalogue: Catalogue,
    planes: Sequence[tuple[str, str]],
    sizes_S: np.ndarray,
    before_SA: np.ndarray | None,
) -> Measured:
    scope_users = int(sizes_S[member_S].sum())
    scope_A = _chosen(rule.where, catalogue)

    def count(actions_A: np.ndarray) -> Linear:
        return Linear(member_S, actions_A.astype(float), np.zeros((len(planes), len(actions_A))))

    def total(metric: str | None, times: str | None) -> Linear:
        plane_PA = np.zeros((len(planes), len(scope_A)))
        if metric is None:
            return Linear(member_S, scope_A * _times(times, catalogue), plane_PA)
        plane_PA[planes.index(("mean", metric))] = scope_A * _times(times, catalogue)
        return Linear(member_S, np.zeros(len(scope_A)), plane_PA)

    def changed() -> Linear:
        nothing = count(np.zeros(len(scope_A), bool))
        return replace(nothing, base=float(scope_users), kept=-1.0)

    numerator, denominator = {
        "volume": lambda: (count(scope_A), None),
        "change": lambda: (count(scope_A), None),
        "churn": lambda: (changed(), None),
        "total": lambda: (total(rule.metric, rule.times), None),
        "share": lambda: (count(scope_A & _chosen(rule.of, catalogue)), count(_chosen(rule.of, catalogue))),
        "average": lambda: (total(rule.metric, rule.times), count(scope_A)),
        "ratio": lambda: (total(rule.metric, rule.times), total(rule.per.metric, rule.per.times)),
    }[rule.kind]()
    low, high = (None if bound is None else bound.exact(scope_users) for bound in (rule.min, rule.max))
    if rule.kind == "change":
        low, high = rule.limits(int(before_SA[np.ix_(member_S, scope_A)].sum()))
    if rule.kind == "churn":
        low, high = None, rule.most(scope_users)
    if rule.kind == "volume":  # contacts are whole, so a fractional bound is the whole number inside it
        low, high = None if low is None else math.ceil(low), None if high is None else math.floor(high)
    return Measured(rule, numerator, denominator, *(None if side is None else float(side) for side in (low, high)))


def _rows(measured: Sequence[Measured], planes: int, actions: int, classes: int) -> Rows:
    sides = [
        (position, sign, bound, each)
        for position, each in enumerate(measured)
        if each.enforced
        for sign, bound in ((1, each.high), (-1, each.low))
        if bound is not None
    ]
    linears = [each.numerator.minus(bound, each.denominator) for _, _, bound, each in sides]
    sign_R = np.array([sign for _, sign, _, _ in sides], float)
    count = len(sides)
    return Rows(
        constraint_R=np.array([position for position, *_ in sides], np.int64),
        sign_R=sign_R,
        limit_R=np.array(
            [
                sign * (bound - each.numerator.base) if each.denominator is None else 0.0
                for _, sign, bound, each in sides
            ]
        ).reshape(count),
        penalty_R=np.array([each.penalty for *_, each in sides]).reshape(count),
        quantum_R=np.array([_quantum(each, bound) for _, _, bound, each in sides]).reshape(count),
        member_RS=np.array([linear.member_S for linear in linears], float).reshape(count, classes),
        const_RA=np.array([linear.const_A for linear in linears]).reshape(count, actions) * sign_R[:, None],
        plane_RPA=np.array([linear.plane_PA for linear in linears]).reshape(count, planes, actions)
        * sign_R[:, None, None],
        keep_R=np.array([linear.kept for linear in linears]).reshape(count) * sign_R,
    )


def _quantum(measured: Measured, bound: float) -> float:
    """Contacts are whole: a volume's row moves in steps of 1, a share's in steps of 1 / q at the bound p / q."""
    if measured.whole:
        return 1.0
    if measured.rule.kind != "share":
        return 0.0
    parts = share_of(bound).denominator
    return 1.0 / parts if parts <= 1_000_000 else 0.0


def one_sided(problem: Problem, price_R: np.ndarray) -> np.ndarray:
    """Prices of which at most one side of each constraint is positive, as a certificate states them.

    For volumes and totals the smaller side is taken off both, which lowers the bound, and so it is where a ratio's bounds are one;
    for other ratios the smaller is dropped.
    """
    rows, price_R = problem.rows, price_R.copy()
    for position in np.unique(rows.constraint_R):
        sides = np.flatnonzero(rows.constraint_R == position)
        if len(sides) == 2 and (price_R[sides] > 0).all():
            measured = problem.measured[position]
            opposite = measured.denominator is None or measured.low == measured.high
            common = price_R[sides].min() if opposite else 0.0
            smaller = sides[np.argmin(price_R[sides])]
            price_R[sides] -= common
            price_R[smaller] = 0.0
    return price_R


@dataclass
class _Caps:
    """The caps and asks of a policy, rule after rule. caps: rule, actions, capacity, days, and whether it binds its users alone."""

    classes: UserClasses
    caps: list[tuple[ContactRule, np.ndarray, int, int, bool]] = field(default_factory=list)
    asks: list[tuple[ContactRule, int, int, int]] = field(default_factory=list)

    def add(self, rule: ContactRule, member_A: np.ndarray) -> None:
        self.caps.append((rule, member_A, rule.max, rule.days or 0, rule.users is not None))
        if rule.min is not None and rule.min > 1:
            cap = len(self.caps) - 1
            self.asks.append((rule, cap, cap, rule.min))

    def require(self, rule: ContactRule, asking_A: np.ndarray, wanted_A: np.ndarray) -> None:
        for member_A, days in ((asking_A, 0), (wanted_A, rule.days or 0)):
            self.caps.append((rule, member_A, NO_LIMIT, days, False))
        self.asks.append((rule, len(self.caps) - 2, len(self.caps) - 1, 1))

    @property
    def free_SC(self) -> np.ndarray:
        if not any(own for *_, own in self.caps):
            return np.empty((0, 0), bool)
        free = [~self.classes.members(rule.listeners) & own for rule, *_, own in self.caps]
        return np.stack(free, axis=1)

    @property
    def asked(self) -> Asks:
        if not self.asks:
            return NO_ASKS
        trigger, wanted = (np.array(each, np.int64) for each in zip(*((t, w) for _, t, w, _ in self.asks), strict=True))
        number = [self.classes.members(rule.listeners) * number for rule, *_, number in self.asks]
        return Asks(trigger, wanted, np.stack(number, axis=1), tuple(rule.id for rule, *_ in self.asks))


def _contact_rules(policy: Policy, catalogue: Catalogue, classes: UserClasses) -> ContactRules:
    """Expands `each` and `spoils`, and drops caps that one action per slot already keeps. A cap of zero for some users alone is in
    `_allowed`."""
    slots = {slot: position for position, slot in enumerate(dict.fromkeys(catalogue.slots))}
    slot_A = np.array([slots[slot] for slot in catalogue.slots], np.int64)
    allowed_A = np.ones(len(slot_A), bool)
    found = _Caps(classes)
    for rule in policy.contact:
        if rule.requires is not None:
            wanted_A = _chosen(rule.requires, catalogue)
            found.require(rule, _chosen(rule.where, catalogue) & ~wanted_A, wanted_A)
            continue
        for member_A in _parts(rule, catalogue):
            if rule.max == 0:
                allowed_A &= ~member_A | (rule.users is not None)
            elif rule.days or rule.max < len(set(slot_A[member_A])) or (rule.min or 1) > 1:
                found.add(rule, member_A)
    return ContactRules(
        slot_A=slot_A,
        member_CA=np.array([member_A for _, member_A, *_ in found.caps], bool).reshape(len(found.caps), len(slot_A)),
        capacity_C=np.array([capacity for _, _, capacity, *_ in found.caps], np.int64),
        days_C=np.array([days for *_, days, _ in found.caps], np.int64),
        allowed_A=allowed_A,
        names=tuple(rule.id for rule, *_ in found.caps),
        free_SC=found.free_SC,
        asks=found.asked,
    )


def _parts(rule: ContactRule, catalogue: Catalogue) -> Iterator[np.ndarray]:
    """bool[A]: each set of actions that the rule caps."""
    scope_A = _chosen(rule.where, catalogue)
    if rule.spoils is not None:
        yield from {member_A.tobytes(): member_A for member_A in _spoiling(rule.spoils, scope_A, catalogue)}.values()
        return
    if rule.each is None:
        yield scope_A
        return
    values = [action.get(rule.each) for action in catalogue.actions]
    for value in dict.fromkeys(values):
        if value is not None:
            yield scope_A & np.array([other == value for other in values], bool)


def _spoiling(limit: float, scope_A: np.ndarray, catalogue: Catalogue) -> Iterator[np.ndarray]:
    """The actions of each pair that the scores say spoil each other, a pair of both directions twice."""
    pairs = () if catalogue.interference is None else catalogue.interference.spoiling(limit)
    for pair in pairs:
        yield scope_A & (has(pair.where, catalogue) | has(pair.beside, catalogue))


def has(words: Mapping[str, object], catalogue: Catalogue) -> np.ndarray:
    """bool[A]: the actions with these values."""
    return _chosen(filter_from_words(words), catalogue)


def _allowed(policy: Policy, catalogue: Catalogue, classes: UserClasses) -> np.ndarray:
    """bool[S, A]: what the policy's eligibility rules, and contact rules of zero for some users, leave to each class of users."""
    allowed_SA = np.ones((len(classes), len(catalogue.actions)), bool)
    for rule in policy.eligibility:
        allowed_SA &= ~np.outer(classes.members(rule.users), _chosen(rule.forbid, catalogue))
    for rule in policy.contact:
        if rule.max == 0 and rule.users is not None:
            for member_A in _parts(rule, catalogue):
                allowed_SA &= ~np.outer(classes.members(rule.users), member_A)
    return allowed_SA


def load_data(
    problem: Problem,
    scores: Scores,
    memory_gib: float = np.inf,
    folder: Path | None = None,
    seen: Callable[[int], None] = lambda users: None,
) -> Data:
    """Reads the scores once, validating every value; InputError lists all faults.

    Planes and eligibility beyond memory_gib go to files in `folder`, which vanish with the process. seen: is told how many users
    have been read, part after part.
    """
    scores.check_users()
    users, actions = problem.users, len(problem.catalogue.actions)
    room = _Room(memory_gib * 2**30 >= users * actions * (4 * len(problem.planes) + 1), folder)
    past = _Past.read(problem, scores)
    data = Data(
        user_id=np.empty(0),
        planes_UPA=room.empty((users, len(problem.planes), actions), np.float32),
        eligible_UA=room.empty((users, actions), bool),
        class_U=np.empty(users, np.int32),
        group_U=np.empty(users, np.int8),
        before_UK=np.empty((users, past.width), np.int16),
        received_UC=np.empty((users, past.caps), counted_as(problem.contact.counted_C)),
        offered=Funnel(()),
    )
    ids, tally = [], np.zeros((4, 2), np.int64)
    for shard in scores.shards():
        part = slice(shard.start, shard.start + len(shard))
        for position, (kind, metric) in enumerate(problem.planes):
            data.planes_UPA[part, position] = getattr(shard, kind)[metric]
        data.class_U[part] = problem.classes.of(shard)
        data.group_U[part] = group_of(problem.policy, shard.user_id)
        eligible_UA = shard.eligible_UA & problem.contact.allowed_A & problem.allowed_SA[data.class_U[part]]
        classes, before_UK, received_UC = data.class_U[part], data.before_UK[part], data.received_UC[part]
        past.fill(problem.contact, shard.places, classes, eligible_UA, before_UK, received_UC)
        data.eligible_UA[part] = eligible_UA
        ids.append(shard.user_id.to_numpy(zero_copy_only=False))
        tally += _tally(shard.eligible_UA, eligible_UA, data.group_U[part])
        data.release()
        seen(len(shard))
    stages = ("candidates", "eligible in the scores", "allowed by the policy", "outside the holdout")
    funnel = Funnel(tuple((name, int(c), int(u)) for name, (c, u) in zip(stages, tally, strict=True)))
    return replace(data, user_id=np.concatenate(ids), offered=funnel)


@dataclass(frozen=True)
class _Past:
    """What users had before, as far as the policy asks: the slates to compare with, and the contacts that caps count."""

    previous: PastContacts | None
    history: PastContacts | None
    width: int
    caps: int

    @classmethod
    def read(cls, problem: Problem, scores: Scores) -> "_Past":
        contact = problem.contact
        counted = sorted({name for name, days in zip(contact.names, contact.days_C, strict=True) if days})
        return cls(
            previous=read_previous(scores, problem.previous) if problem.compares_slates else None,
            history=read_history(scores, counted, int(contact.days_C.max())) if counted else None,
            width=contact.slots if problem.compares_slates else 0,
            caps=len(contact.names) if counted else 0,
        )

    def fill(
        self,
        contact: ContactRules,
        users: range,
        class_U: np.ndarray,
        eligible_UA: np.ndarray,
        before_UK: np.ndarray,
        received_UC: np.ndarray,
    ) -> None:
        """Fills what some users had before, and takes away the eligibility that full caps leave no room for."""
        if self.history is not None:
            received_UC[:] = received(self.history, users, contact.member_CA, contact.counted_C, contact.days_C)
            eligible_UA &= ~contact.full(received_UC, class_U)
        if self.previous is not None:
            before_UK[:], whole_U = slates_before(self.previous, users, self.width, NONE)
            before_UK[~(whole_U & _allows(contact, eligible_UA, before_UK, received_UC, class_U)), 0] = LOST


def _allows(
    contact: ContactRules, eligible_UA: np.ndarray, slate_UK: np.ndarray, received_UC: np.ndarray, class_U: np.ndarray
) -> np.ndarray:
    """bool[U]: whether these slates may be given: eligible, one action per slot, every contact rule kept."""
    chosen_UA = np.zeros(eligible_UA.shape, bool)
    user_n, k_n = np.nonzero(slate_UK >= 0)
    chosen_UA[user_n, slate_UK[user_n, k_n]] = True
    fits_U = ~(chosen_UA & ~eligible_UA).any(axis=1)
    return fits_U & contact.keeps(chosen_UA, received_UC, class_U)


@dataclass(frozen=True)
class _Room:
    """Where large arrays go: into memory, or into unnamed files of a folder."""

    fits: bool
    folder: Path | None

    def empty(self, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        if self.fits or not np.prod(shape):
            return np.empty(shape, dtype)
        return unnamed(shape, dtype, self.folder)


def _tally(scored_UA: np.ndarray, left_UA: np.ndarray, group_U: np.ndarray) -> np.ndarray:
    """[4, 2]: pairs and users with any, after each filter."""
    treated_UA = left_UA if (group_U != HOLDOUT).all() else left_UA[group_U != HOLDOUT]
    counted = [(stage.sum(), stage.any(axis=1).sum()) for stage in (scored_UA, left_UA, treated_UA)]
    return np.array([(scored_UA.size, len(scored_UA)), *counted])


def group_of(policy: Policy, user_id: np.ndarray | pa.Array) -> np.ndarray:
    """int8[U]: FREE, HOLDOUT or EXPLORATION, by salted hash, so that a user keeps the group for as long as the salt stays."""
    group_U = np.full(len(user_id), FREE, np.int8)
    group_U[exploring(policy, user_id)] = EXPLORATION
    group_U[held_out(policy, user_id)] = HOLDOUT
    return group_U


def explore(problem: Problem, data: Data) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The exploration users' random slates: (user position, action, propensity), a row per contact.

    Each exploration user gets one of its E eligible actions or nothing, all E + 1 with the same probability, drawn by a salted
    hash of the user id, so the draw does not depend on shards, threads or the rest of the problem. What contact rules allow only
    beside something else is not drawn.
    """
    user_N = np.flatnonzero(data.group_U == EXPLORATION)
    if not len(user_N):
        return user_N, user_N, np.empty(0)
    eligible_NA = problem.contact.alone(data.eligible_UA[user_N], data.received_UC[user_N], data.class_U[user_N])
    choices_N = eligible_NA.sum(axis=1)
    pick_N = (uniform(f"{problem.policy.exploration.salt}:action", data.user_id[user_N]) * (choices_N + 1)).astype(
        np.int64
    )
    contacted = pick_N < choices_N
    rank_NA = np.cumsum(eligible_NA, axis=1) - 1
    action_N = np.argmax(eligible_NA & (rank_NA == pick_N[:, None]), axis=1)
    return user_N[contacted], action_N[contacted], 1.0 / (choices_N[contacted] + 1)
