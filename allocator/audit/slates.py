"""The best that one user could get: the value of the best slate, exactly.

Axes: U users, u some of them, A actions, L slots, C contact caps, Q asks, B reach sets,
X states of what is left of the caps, lacking of the needs and hit of the reach sets.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

USERS_PER_STEP = 65_536
CELLS_PER_STEP = 4_000_000

Needed = tuple[int, int]
"""Of one need: whether a contact that has it was given (0, 1), and how many of what it wants are lacking."""
Positions = tuple[int, ...]
State = tuple[tuple[int, ...], tuple[Needed, ...], frozenset[int]]
"""What is left of every cap, how every need stands, and which reach sets have an action."""


@dataclass(frozen=True)
class Kind:
    """Actions of one slot that count towards the same caps, stand alike to all needs and are in the same reach sets; () for none."""

    caps: Positions = ()
    given: Positions = ()
    wanted: Positions = ()
    reaches: Positions = ()
    actions: Positions = ()


@dataclass(frozen=True)
class Plan:
    """moves: per slot and kind of action (the first: none) pairs (state before, state after).

    ends: states in which nothing is lacking, with the reach sets that have an action there.
    """

    moves: list[list[list[tuple[int, int]]]]
    ends: list[tuple[int, frozenset[int]]]


class BestSlates:
    """The value of a user's best slate, exactly: at most one action per slot, every cap kept, and all there that contacts need.

    Slot after slot, remembering only what later slots still depend on: per cap, how many contacts it has left, as far as the
    slots to come could use them up; per need, whether anything has it and what is lacking. Actions of one slot that are alike in all
    this differ in value alone, so the best of them stands for all. Users with the same room and needs are worked out together.

    needs: (the actions that have it, the actions that it wants). reached: sets of actions of which one at least is worth something of
    its own, more or less than nothing.
    """

    def __init__(
        self,
        slot_A: np.ndarray,
        scopes: Sequence[np.ndarray],
        needs: Sequence[tuple[np.ndarray, np.ndarray]] = (),
        reached: Sequence[np.ndarray] = (),
    ):
        self.scopes, self.needs, self.reached = scopes, needs, reached
        self.slots = [np.flatnonzero(slot_A == slot) for slot in range(int(slot_A.max()) + 1)]
        self.steps = [self._twins(actions) for actions in self.slots]
        touched_LC = np.array([[bool(scope_A[actions].any()) for scope_A in scopes] for actions in self.slots])
        later = touched_LC.reshape(len(self.slots), len(scopes))[::-1].cumsum(axis=0)[::-1]
        self.left_LC = np.vstack([later, np.zeros((1, len(scopes)), int)]).astype(int)
        self._plan = cache(self._plan_from)

    def _twins(self, actions: np.ndarray) -> list[Kind]:
        """Every kind of action in a slot."""
        kinds: dict[tuple[Positions, Positions, Positions, Positions], list[int]] = {}
        for action in actions:
            caps = tuple(c for c, scope_A in enumerate(self.scopes) if scope_A[action])
            given = tuple(q for q, (given_A, _) in enumerate(self.needs) if given_A[action])
            wanted = tuple(q for q, (_, wanted_A) in enumerate(self.needs) if wanted_A[action])
            reaches = tuple(b for b, set_A in enumerate(self.reached) if set_A[action])
            kinds.setdefault((caps, given, wanted, reaches), []).append(int(action))
        return [Kind(*alike, tuple(some)) for alike, some in kinds.items()]

    def keeps_caps(self, slate_UA: np.ndarray, room_UC: np.ndarray) -> np.ndarray:
        """bool[U]: whether these actions are at most one per slot, and fit into the room of every cap."""
        kept_U = np.ones(len(slate_UA), bool)
        for actions in self.slots:
            kept_U &= slate_UA[:, actions].sum(axis=1) <= 1
        for scope_A, room_U in zip(self.scopes, room_UC.T, strict=True):
            kept_U &= slate_UA[:, scope_A].sum(axis=1) <= room_U
        return kept_U

    def best(
        self,
        net_UA: np.ndarray,
        room_UC: np.ndarray,
        lack_UQ: np.ndarray | None = None,
        reward_UB: np.ndarray | None = None,
    ) -> np.ndarray:
        """float64[U]: the best slate's value, 0 for none; -inf marks what is not allowed. room_UC: contacts that the caps leave.
        lack_UQ: contacts that the needs want. reward_UB: what an action of each reach set is worth on top, once."""
        best_U = np.empty(len(net_UA))
        lack_UQ = np.zeros((len(net_UA), 0), int) if lack_UQ is None else lack_UQ.clip(0, len(self.slots) + 1)
        reward_UB = np.zeros((len(net_UA), len(self.reached))) if reward_UB is None else reward_UB
        for start in range(0, len(net_UA), USERS_PER_STEP):
            part = slice(start, start + USERS_PER_STEP)
            best_U[part] = self._best_of_some(net_UA[part], room_UC[part], lack_UQ[part], reward_UB[part])
        return best_U

    def _best_of_some(
        self, net_UA: np.ndarray, room_UC: np.ndarray, lack_UQ: np.ndarray, reward_UB: np.ndarray
    ) -> np.ndarray:
        """Users whose best action of every slot already keeps the caps, lacks nothing and has every reward but no cost of reach are done;
        the others are worked out."""
        net_UA = self._without_full(net_UA, room_UC)
        top_UL = np.stack([actions[net_UA[:, actions].argmax(axis=1)] for actions in self.slots], axis=1)
        gain_UL = np.maximum(np.take_along_axis(net_UA, top_UL, axis=1), 0.0)
        best_U = gain_UL.sum(axis=1)
        broken_U = np.zeros(len(net_UA), bool)
        for scope_A, slots, room_U in zip(self.scopes, self.left_LC[0], room_UC.T, strict=True):
            if room_U.min() < slots:
                broken_U |= (scope_A[top_UL] & (gain_UL > 0)).sum(axis=1) > room_U
        for (given_A, wanted_A), lack_U in zip(self.needs, lack_UQ.T, strict=True):
            has_U = (wanted_A[top_UL] & (gain_UL > 0)).sum(axis=1) >= lack_U
            broken_U |= (given_A[top_UL] & (gain_UL > 0)).any(axis=1) & ~has_U
        for set_A, reward_U in zip(self.reached, reward_UB.T, strict=True):
            hit_U = (set_A[top_UL] & (gain_UL > 0)).any(axis=1)
            best_U += np.where(hit_U, reward_U, 0.0)
            could_U = (net_UA[:, set_A] > -np.inf).any(axis=1)
            broken_U |= np.where(hit_U, reward_U < 0, (reward_U > 0) & could_U)
        user_u = np.flatnonzero(broken_U)
        for room, lack, alike in self._alike(net_UA[user_u], room_UC[user_u], lack_UQ[user_u]):
            plan = self._plan(room, lack)
            step = max(1, CELLS_PER_STEP // max(1, self._most_states(plan)))
            for start in range(0, len(alike), step):
                some_u = user_u[alike[start : start + step]]
                best_U[some_u] = self._slot_by_slot(net_UA[some_u], plan, reward_UB[some_u])
        return best_U

    def _without_full(self, net_UA: np.ndarray, room_UC: np.ndarray) -> np.ndarray:
        """The same, with what a full cap forbids not allowed."""
        full_UC = room_UC == 0
        if not full_UC.any():
            return net_UA
        full_UA = np.zeros(net_UA.shape, bool)
        for scope_A, full_U in zip(self.scopes, full_UC.T, strict=True):
            full_UA |= full_U[:, None] & scope_A
        return np.where(full_UA, -np.inf, net_UA)

    def _alike(
        self, net_uA: np.ndarray, room_uC: np.ndarray, lack_uQ: np.ndarray
    ) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], np.ndarray]]:
        """Users with the same room in the caps and the same needs: the room, what is lacking, and their positions.

        A cap that has room for all that a user could gain by (or, where others may need it, could get at all) never binds, so the user
        may as well be in the largest group.
        """
        room_uC = np.minimum(room_uC, self.left_LC[0])
        kind_u = np.zeros(len(room_uC), np.int64)
        for lack_u in lack_uQ.T:
            kind_u = np.unique(kind_u * (len(self.slots) + 2) + lack_u, return_inverse=True)[1]
        useless = -np.inf if self.needs or self.reached else 0.0
        for c in np.flatnonzero((room_uC != room_uC[:1]).any(axis=0)).tolist():
            most = int(room_uC[:, c].max())
            useful_u = sum(np.any(net_uA[:, a[self.scopes[c][a]]] > useless, axis=1) for a in self.slots)
            room_uC[useful_u <= room_uC[:, c], c] = most
            kind_u = np.unique(kind_u * (most + 1) + room_uC[:, c], return_inverse=True)[1]
        order_u = np.argsort(kind_u, kind="stable")
        edges = np.flatnonzero(np.diff(kind_u[order_u])) + 1
        for alike in np.split(order_u, edges):
            if len(alike):
                yield tuple(room_uC[alike[0]].tolist()), tuple(lack_uQ[alike[0]].tolist()), alike

    def _plan_from(self, room: tuple[int, ...], lack: tuple[int, ...]) -> Plan:
        """The moves of users with this room who lack so much."""
        moves = []
        before: dict[State, int] = {(self._seen(room, 0), tuple((0, number) for number in lack), frozenset()): 0}
        for slot, kinds in enumerate(self.steps):
            after: dict[State, int] = {}
            of_slot = []
            for kind in (Kind(), *kinds):
                of_kind = []
                for (have, needed, hit), position in before.items():
                    left = [number - (c in kind.caps) for c, number in enumerate(have)]
                    if min(left, default=0) >= 0:
                        state = self._seen(left, slot + 1), self._after(needed, kind), hit.union(kind.reaches)
                        of_kind.append((position, after.setdefault(state, len(after))))
                of_slot.append(of_kind)
            moves.append(of_slot)
            before = after
        ended = ((at, hit, needed) for (_, needed, hit), at in before.items())
        return Plan(
            moves, [(at, hit) for at, hit, needed in ended if not any(given and left for given, left in needed)]
        )

    @staticmethod
    def _after(needed: Sequence[Needed], kind: Kind) -> tuple[Needed, ...]:
        """How the needs stand after one more contact; who gives what lacks nothing any more makes no difference."""
        found = []
        for q, (given, lacking) in enumerate(needed):
            still = max(lacking - (q in kind.wanted), 0)
            found.append((int(given or q in kind.given) if still else 0, still))
        return tuple(found)

    def _seen(self, left: Sequence[int], slot: int) -> tuple[int, ...]:
        """What is left of the caps, as far as the slots from here on could use it up."""
        return tuple(min(have, int(need)) for have, need in zip(left, self.left_LC[slot], strict=True))

    @staticmethod
    def _most_states(plan: Plan) -> int:
        return max(len({after for kind in slot for _, after in kind}) for slot in plan.moves)

    def _slot_by_slot(self, net_uA: np.ndarray, plan: Plan, reward_uB: np.ndarray) -> np.ndarray:
        worth_Xu = np.zeros((1, len(net_uA)))
        for kinds, moves in zip(self.steps, plan.moves, strict=True):
            states = 1 + max(after for kind in moves for _, after in kind)
            next_Xu = np.full((states, len(net_uA)), -np.inf)
            gains = [np.zeros(len(net_uA)), *(net_uA[:, list(kind.actions)].max(axis=1) for kind in kinds)]
            for gain_u, of_kind in zip(gains, moves, strict=True):
                for before, after in of_kind:
                    np.maximum(next_Xu[after], worth_Xu[before] + gain_u, out=next_Xu[after])
            worth_Xu = next_Xu
        ends = [worth_Xu[at] + reward_uB[:, sorted(hit)].sum(axis=1) for at, hit in plan.ends]
        return np.asarray(np.max(ends, axis=0))
