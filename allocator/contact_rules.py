"""What one user may get: at most one action per slot, caps over sets of actions, and what contacts ask for beside or before them.

Axes: U users, A actions, S user classes, C contact caps, Q asks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from allocator.asks import NO_ASKS, NO_LIMIT, NOT_BOUND, Asked, Asks
from allocator.policy.grammar import ContactRule, Policy
from allocator.scopes import chosen, has
from allocator.user_classes import UserClasses
from ranker.catalogue import Catalogue


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

    def at_most_one(self, member_S: np.ndarray, action_A: np.ndarray) -> bool:
        """Whether no user of these classes can get two of these actions: they share a slot, or a cap of one that binds them all."""
        left_A = action_A & self.allowed_A
        single_C = (self.capacity_C <= 1) & self.member_CA[:, left_A].all(axis=1)
        if len(self.free_SC):
            single_C &= ~self.free_SC[member_S].any(axis=0)
        return len(np.unique(self.slot_A[left_A])) <= 1 or bool(single_C.any())

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


@dataclass
class _Caps:
    """The caps and asks of a policy, rule after rule. caps: rule, actions, capacity, days, and whether it binds its users alone."""

    classes: UserClasses
    caps: list[tuple[ContactRule, np.ndarray, int, int, bool]] = field(default_factory=list)
    asks: list[tuple[ContactRule, int, int, int]] = field(default_factory=list)

    def add(self, rule: ContactRule, member_A: np.ndarray, most: int) -> None:
        self.caps.append((rule, member_A, most, rule.days or 0, rule.users is not None))
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


def contact_rules_of(policy: Policy, catalogue: Catalogue, classes: UserClasses) -> ContactRules:
    """Expands `each` and `spoils`, and drops caps that one action per slot already keeps. A cap of zero for some users alone is in
    `allowed_by_class`."""
    slots = {slot: position for position, slot in enumerate(dict.fromkeys(catalogue.slots))}
    slot_A = np.array([slots[slot] for slot in catalogue.slots], np.int64)
    allowed_A = np.ones(len(slot_A), bool)
    found = _Caps(classes)
    for rule in policy.contact:
        if rule.requires is not None:
            wanted_A = chosen(rule.requires, catalogue)
            found.require(rule, chosen(rule.where, catalogue) & ~wanted_A, wanted_A)
            continue
        most = NO_LIMIT if rule.max is None else rule.max
        for member_A in _parts(rule, catalogue):
            if most == 0:
                allowed_A &= ~member_A | (rule.users is not None)
            elif rule.days or most < len(set(slot_A[member_A])) or (rule.min or 1) > 1:
                found.add(rule, member_A, most)
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
    scope_A = chosen(rule.where, catalogue)
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


def allowed_by_class(policy: Policy, catalogue: Catalogue, classes: UserClasses) -> np.ndarray:
    """bool[S, A]: what the policy's eligibility rules, and contact rules of zero for some users, leave to each class of users."""
    allowed_SA = np.ones((len(classes), len(catalogue.actions)), bool)
    for rule in policy.eligibility:
        allowed_SA &= ~np.outer(classes.members(rule.users), chosen(rule.forbid, catalogue))
    for cap in policy.contact:
        if cap.max == 0 and cap.users is not None:
            for member_A in _parts(cap, catalogue):
                allowed_SA &= ~np.outer(classes.members(cap.users), member_A)
    return allowed_SA
