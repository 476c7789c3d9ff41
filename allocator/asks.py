"""What contacts ask for beside or before them, `min` and `requires` of contact rules as one kind of rule.

Whoever gets a contact of the set `trigger` this week has at least `number` of the set `wanted`, those received before included where
the rule counts days. All or nothing asks for `min` of the very set; a requirement asks for one contact of another set. Sets of actions
are counted as caps are, without a limit of their own.

Axes: U users, A actions, S user classes, C contact caps, Q asks, L slots.
"""

from dataclasses import dataclass

import numpy as np

NO_LIMIT = 2**30
"""The capacity of a set that is counted for an ask alone."""
NOT_BOUND = -(2**40)
"""Where the count of a cap begins for users whom it does not bind."""


@dataclass(frozen=True)
class Asks:
    """trigger_Q, wanted_Q: positions of sets. number_SQ: int64, 0 where the users of a class are not asked. names: the rules' ids."""

    trigger_Q: np.ndarray
    wanted_Q: np.ndarray
    number_SQ: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.trigger_Q)

    def take(self, kept_Q: np.ndarray, place_C: np.ndarray) -> "Asks":
        """These asks alone; place_C: where each set stands from now on."""
        names = tuple(name for name, kept in zip(self.names, kept_Q, strict=True) if kept)
        wanted_Q, trigger_Q = place_C[self.wanted_Q[kept_Q]], place_C[self.trigger_Q[kept_Q]]
        return Asks(trigger_Q, wanted_Q, self.number_SQ[:, kept_Q], names)


NO_ASKS = Asks(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 0), np.int64), ())


@dataclass(frozen=True)
class Asked:
    """Some users and what is asked of them. member_CA: the sets. base_UC: where their counts begin. class_U: the users' classes."""

    asks: Asks
    member_CA: np.ndarray
    base_UC: np.ndarray
    class_U: np.ndarray

    def kept(self, got_UA: np.ndarray) -> np.ndarray:
        """bool[U]: whether these contacts have all that they ask for."""
        kept_U = np.ones(len(got_UA), bool)
        for q in range(len(self.asks)):
            kept_U &= ~self._broken(q, got_UA)
        return kept_U

    def settled(self, got_UA: np.ndarray) -> np.ndarray:
        """bool[U, A]: the contacts without those that do not have what they ask for, nor those that then lack it."""
        got_UA = got_UA.copy()
        while True:
            before = got_UA.sum()
            for q in range(len(self.asks)):
                got_UA[self._broken(q, got_UA)] &= ~self.member_CA[self.asks.trigger_Q[q]]
            if got_UA.sum() == before:
                return got_UA

    def alone(self, eligible_UA: np.ndarray) -> np.ndarray:
        """bool[U, A]: the actions that a user may get with nothing beside them."""
        alone_UA = eligible_UA.copy()
        for q in range(len(self.asks)):
            trigger_A, wanted_A, short_U = self._ask(q)
            alone_UA &= ~(trigger_A & (short_U[:, None] > wanted_A))
        return alone_UA

    def possible(self, eligible_UA: np.ndarray, slot_A: np.ndarray) -> np.ndarray:
        """bool[U, A]: the actions that can have what they ask for, as far as one action per slot and eligibility alone tell."""
        possible_UA, in_slot_AL = eligible_UA.copy(), slot_A[:, None] == np.arange(slot_A.max() + 1)
        while True:
            before = possible_UA.sum()
            for q in range(len(self.asks)):
                trigger_A, wanted_A, short_U = self._ask(q)
                filled_UL = (possible_UA & wanted_A).astype(np.float32) @ in_slot_AL > 0
                beside_UA = filled_UL.sum(axis=1)[:, None] - (filled_UL[:, slot_A] & ~(possible_UA & wanted_A))
                possible_UA &= ~(trigger_A & (beside_UA < short_U[:, None]))
            if possible_UA.sum() == before:
                return possible_UA

    def _ask(self, q: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(trigger [A], wanted [A], how many of the wanted are lacking before this week's [U])."""
        asks = self.asks
        short_U = asks.number_SQ[self.class_U, q] - np.maximum(self.base_UC[:, asks.wanted_Q[q]], 0)
        return self.member_CA[asks.trigger_Q[q]], self.member_CA[asks.wanted_Q[q]], short_U

    def _broken(self, q: int, got_UA: np.ndarray) -> np.ndarray:
        trigger_A, wanted_A, short_U = self._ask(q)
        return got_UA[:, trigger_A].any(axis=1) & (got_UA[:, wanted_A].sum(axis=1) < short_U)
