"""The best that one user could get: the value of the best slate, exactly.

Axes: U users, u some of them, A actions, L slots, C caps, S states of what is left of the caps.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

USERS_PER_STEP = 65_536
CELLS_PER_STEP = 4_000_000


class Slates:
    """The value of a user's best slate, exactly: at most one action per slot, and every cap kept.

    Slot after slot, remembering only what later slots still depend on: per cap, how many contacts it has left, as far as the
    slots to come could use them up. Actions of one slot that count towards the same caps differ in value alone, so the best of
    them stands for all.
    """

    def __init__(self, slot_A: np.ndarray, caps: Sequence[tuple[np.ndarray, int]]):
        self.slot_A = slot_A
        slots = int(slot_A.max()) + 1
        # A cap that covers fewer slots than it allows contacts never binds.
        self.caps = [(scope_A, most) for scope_A, most in caps if most < len(np.unique(slot_A[scope_A]))]
        self.steps = [self._twins(slot) for slot in range(slots)]
        touched_LC = np.array(
            [[bool(scope_A[slot_A == slot].any()) for scope_A, _ in self.caps] for slot in range(slots)]
        )
        later = touched_LC.reshape(slots, len(self.caps))[::-1].cumsum(axis=0)[::-1]
        self.left_LC = np.vstack([later, np.zeros((1, len(self.caps)), int)]).astype(int)

    def _twins(self, slot: int) -> list[tuple[tuple[int, ...], np.ndarray]]:
        """(the caps that they count towards, the actions), for each kind of action in the slot."""
        kinds: dict[tuple[int, ...], list[int]] = {}
        for action in np.flatnonzero(self.slot_A == slot):
            kinds.setdefault(tuple(c for c, (scope_A, _) in enumerate(self.caps) if scope_A[action]), []).append(
                int(action)
            )
        return [(caps, np.array(actions)) for caps, actions in kinds.items()]

    def keeps_caps(self, slate_UA: np.ndarray) -> np.ndarray:
        """bool[U]: whether these actions are at most one per slot, and keep every cap."""
        slots = [(self.slot_A == slot, 1) for slot in range(len(self.steps))]
        return np.logical_and.reduce(
            [slate_UA[:, scope_A].sum(axis=1) <= most for scope_A, most in (*slots, *self.caps)]
        )

    def best(self, net_UA: np.ndarray) -> np.ndarray:
        """float64[U]: the best slate's value, 0 for none; -inf marks what is not allowed."""
        best_U = np.empty(len(net_UA))
        for start in range(0, len(net_UA), USERS_PER_STEP):
            part = slice(start, start + USERS_PER_STEP)
            best_U[part] = self._best_of_some(net_UA[part])
        return best_U

    def _best_of_some(self, net_UA: np.ndarray) -> np.ndarray:
        """Users whose best action of every slot already keeps the caps are done; the others are worked out."""
        in_slot = [np.flatnonzero(self.slot_A == slot) for slot in range(len(self.steps))]
        top_UL = np.stack([actions[net_UA[:, actions].argmax(axis=1)] for actions in in_slot], axis=1)
        gain_UL = np.maximum(np.take_along_axis(net_UA, top_UL, axis=1), 0.0)
        best_U = gain_UL.sum(axis=1)
        broken_U = np.zeros(len(net_UA), bool)
        for scope_A, most in self.caps:
            broken_U |= (scope_A[top_UL] & (gain_UL > 0)).sum(axis=1) > most
        user_u = np.flatnonzero(broken_U)
        step = max(1, CELLS_PER_STEP // max(1, self.most_states))
        for start in range(0, len(user_u), step):
            some_u = user_u[start : start + step]
            best_U[some_u] = self._slot_by_slot(net_UA[some_u])
        return best_U

    @cached_property
    def plan(self) -> list[list[list[tuple[int, int]]]]:
        """Per slot and kind of action (the first: none) the moves (state before, state after)."""
        moves, before = [], {self._seen([most for _, most in self.caps], 0): 0}
        for slot, kinds in enumerate(self.steps):
            after: dict[tuple[int, ...], int] = {}
            of_slot = []
            for caps in [(), *(caps for caps, _ in kinds)]:
                of_kind = []
                for state, position in before.items():
                    left = [have - (c in caps) for c, have in enumerate(state)]
                    if min(left, default=0) >= 0:
                        reached = after.setdefault(self._seen(left, slot + 1), len(after))
                        of_kind.append((position, reached))
                of_slot.append(of_kind)
            moves.append(of_slot)
            before = after
        return moves

    def _seen(self, left: Sequence[int], slot: int) -> tuple[int, ...]:
        """What is left of the caps, as far as the slots from here on could use it up."""
        return tuple(min(have, int(need)) for have, need in zip(left, self.left_LC[slot], strict=True))

    @cached_property
    def most_states(self) -> int:
        return max(len({after for kind in slot for _, after in kind}) for slot in self.plan)

    def _slot_by_slot(self, net_uA: np.ndarray) -> np.ndarray:
        worth_Su = np.zeros((1, len(net_uA)))
        for kinds, moves in zip(self.steps, self.plan, strict=True):
            states = 1 + max(after for kind in moves for _, after in kind)
            next_Su = np.full((states, len(net_uA)), -np.inf)
            gains = [np.zeros(len(net_uA)), *(net_uA[:, actions].max(axis=1) for _, actions in kinds)]
            for gain_u, kind in zip(gains, moves, strict=True):
                for before, after in kind:
                    np.maximum(next_Su[after], worth_Su[before] + gain_u, out=next_Su[after])
            worth_Su = next_Su
        return worth_Su.max(axis=0)
