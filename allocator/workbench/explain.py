"""Why one listener gets what the allocation gives: every offer with the stage that it came to, and what would change it.

Values are those of the scores and prices those of the certificate, so the grid says of every offer what the optimiser saw. Nothing is
read of other listeners but the sample that a changed bound is tried on.

Axes: U users (one), A actions, P planes, R rows, S user classes, C contact caps, K contacts of a slate.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from allocator.amounts import with_unit
from allocator.certify.certificate import objective_terms, value_unit
from allocator.problem import Problem
from allocator.reopened import reopen
from allocator.saved import SavedAllocation
from allocator.solve.dual import Users, evaluate_dual
from allocator.solve.solver import start_prices
from allocator.users import EXPLORATION, HOLDOUT, PINNED, Data
from allocator.workbench.answers import Counterfactual, Explanation, Offer, SlotOffers, Stage
from allocator.workbench.priced import Start
from allocator.workbench.sample import one_user
from allocator.workbench.wider import Wider
from ranker.files import InputError
from ranker.scores import Scores

GROUPS = {HOLDOUT: "held out", EXPLORATION: "explores", PINNED: "pinned"}
EXPERIMENT = {HOLDOUT: "experiment.holdout", EXPLORATION: "experiment.exploration"}
HAIR = 1e-9
MOST_COUNTERFACTUALS = 5


def explain(
    scores: Scores,
    allocation: SavedAllocation,
    user: str,
    wider: Wider | None = None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Explanation:
    """Why this user gets this, and what would change it.

    Args:
        scores: those that the allocation was made from.
        allocation: a folder that `allocate` wrote.
        user: the id, as text.
        wider: tries wider bounds on a sample, for counterfactuals of bounds; without it those of value alone are told.
        tell: is told what is being done.

    Raises:
        InputError: there is no such user, or the folder is no allocation.
    """
    tell("looking for the listener")
    place, known = _find(scores, user)
    with TemporaryDirectory(prefix="listener-") as folder:
        listener = _Listener.read(one_user(scores, place, Path(folder)), allocation)
        rows = allocation.contacts()
        given = rows.loc[rows["user_id"] == known, "action"].tolist()
        return _Answer(listener, known, tuple(given), wider, tell).explanation()


def _find(scores: Scores, user: str) -> tuple[int, int | str]:
    """The place of a user and the id as the scores have it."""
    for shard in scores.shards(check=False, planes=()):
        ids = shard.user_id
        wanted: int | str = user
        if pa.types.is_integer(ids.type):
            try:
                wanted = int(user)
            except ValueError:
                raise InputError(["user: is no number, and the scores' user ids are numbers"]) from None
        found = np.flatnonzero(ids.to_numpy(zero_copy_only=False) == wanted)
        if len(found):
            return shard.start + int(found[0]), wanted
    raise InputError([f"user: is not among the {scores.users:,} users of {scores.path}"])


@dataclass(frozen=True)
class _Listener:
    """One user under the rules and prices of the allocation. eligible_A: as the scores say, before any rule of the policy."""

    problem: Problem
    data: Data
    price_R: np.ndarray
    eligible_A: np.ndarray
    unit: str

    @classmethod
    def read(cls, scores: Scores, allocation: SavedAllocation) -> "_Listener":
        opened = reopen(scores, allocation, np.ones(1))
        problem, data, price_R = opened.problem, opened.data, opened.price_R
        eligible_A = next(iter(scores.shards(check=False))).eligible_UA[0]
        unit = value_unit(objective_terms(problem.policy.objective), scores.catalogue)
        return cls(problem, data, price_R, eligible_A, unit)

    @property
    def group(self) -> int:
        return int(self.data.group_U[0])

    @cached_property
    def value_A(self) -> np.ndarray:
        return self.problem.worth_of_all(self.data.planes_UPA.astype(float))[0]

    @cached_property
    def charged_RA(self) -> np.ndarray:
        """float64[R, A]: what each action uses of every bound, times its price."""
        rows, planes_PA = self.problem.rows, self.data.planes_UPA[0].astype(float)
        used_RA = rows.const_RA + np.einsum("rpa,pa->ra", rows.plane_RPA, planes_PA) + rows.reach_RB @ rows.reach_BA
        return used_RA * rows.member_RS[:, self.data.class_U[0]][:, None] * self.price_R[:, None]

    @property
    def net_A(self) -> np.ndarray:
        return self.value_A - self.charged_RA.sum(axis=0)

    def at(self, price_R: np.ndarray) -> "_Listener":
        return replace(self, price_R=price_R)

    def lacking(self) -> np.ndarray:
        """float64[A]: by how much the best slate with each action is worth less than the best of all; inf where it cannot be given."""
        best, _ = self._best(None)
        found_A = np.full(len(self.value_A), np.inf)
        for action in np.flatnonzero(self.data.eligible_UA[0]):
            value, slate_K = self._best(int(action))
            if action in slate_K:
                found_A[action] = max(best - value, 0.0)
        return found_A

    def _best(self, action: int | None) -> tuple[float, np.ndarray]:
        """The best slate's net value at the prices, with an action or any."""
        problem, bonus = self.problem, 0.0
        if action is not None:
            bonus = 4 * (float(np.abs(self.net_A[self.data.eligible_UA[0]]).sum()) + 1.0)
            raised_A = problem.value_A.copy()
            raised_A[action] += bonus
            problem = replace(problem, value_A=raised_A)
        free = replace(self.data, group_U=np.zeros(1, np.int8))
        found = evaluate_dual(Users.of(problem, free, np.zeros(len(self.price_R))), self.price_R)
        return found.dual - bonus, found.slate_UK[0]


@dataclass(frozen=True)
class _Answer:
    """What is said of one listener. given: ids of the actions in the allocation."""

    listener: _Listener
    user: int | str
    given: tuple[str, ...]
    wider: Wider | None
    tell: Callable[[str], None]

    @property
    def problem(self) -> Problem:
        return self.listener.problem

    @cached_property
    def chosen_A(self) -> np.ndarray:
        return np.isin(np.array(self.problem.catalogue.ids, dtype=object), self.given)

    def explanation(self) -> Explanation:
        slots = tuple(dict.fromkeys(self.problem.catalogue.slots))
        group = GROUPS.get(self.listener.group, "optimised")
        return Explanation(
            user=self.user,
            group=group,
            contacts=self.given,
            sentence=self._sentence(group),
            slots=tuple(self._slot(slot) for slot in slots),
            counterfactuals=tuple(self._counterfactuals()),
        )

    def _sentence(self, group: str) -> str:
        names = ", ".join(self.given) or "nothing"
        if group == "held out":
            return "The listener is held out of every offer, so that there is somebody to compare with."
        if group == "explores":
            return f"The listener explores: {names} was drawn at random among all that may be given."
        if group == "pinned":
            return f"The listener gets {names}, which a rule pins."
        if not self.given:
            return "The listener gets nothing: no offer is worth more than what it uses of the bounds."
        worth = sum(float(value) for value in self.listener.value_A[self.chosen_A])
        used = sum(float(price) for price in self.listener.charged_RA.sum(axis=0)[self.chosen_A])
        unit = self.listener.unit
        return f"The listener gets {names}: worth {with_unit(worth, unit)}, less {with_unit(used, unit)} for what it uses of the bounds."

    def _slot(self, slot: str) -> SlotOffers:
        catalogue, net_A = self.problem.catalogue, self.listener.net_A
        actions = [action for action, own in enumerate(catalogue.slots) if own == slot]
        ranked = sorted(actions, key=lambda action: (not self.chosen_A[action], -net_A[action]))
        return SlotOffers(slot=slot, offers=tuple(self._offer(action) for action in ranked))

    def _offer(self, action: int) -> Offer:
        stage, rule, rival = self._stage(action)
        listener, ids = self.listener, self.problem.catalogue.ids
        return Offer(
            action=ids[action],
            stage=stage,
            rule=rule,
            value=float(listener.value_A[action]),
            price=float(listener.charged_RA[:, action].sum()),
            net=float(listener.net_A[action]),
            beaten_by=None if rival is None else ids[rival],
        )

    def _stage(self, action: int) -> tuple[Stage, str | None, int | None]:
        """The stage, the rule responsible, and the action in its place."""
        if self.chosen_A[action]:
            return "chosen", None, None
        if not self.listener.data.eligible_UA[0, action]:
            return "ineligible", self._forbidden_by(action), None
        if self.listener.group in EXPERIMENT or self.listener.group == PINNED:
            pinned = self.problem.policy.pinned
            return "rule", EXPERIMENT.get(self.listener.group, pinned[0].id if pinned else None), None
        if self.listener.net_A[action] <= HAIR:
            charged_R = self.listener.charged_RA[:, action]
            place = (
                self.problem.rows.constraint_R[charged_R.argmax()] if len(charged_R) and charged_R.max() > 0 else None
            )
            rule = None if place is None or self.listener.value_A[action] <= 0 else self.problem.measured[place].rule.id
            return "priced_out", rule, None
        return self._kept_away(action)

    def _forbidden_by(self, action: int) -> str | None:
        """The rule of the policy that takes an offer away which the scores allow; None where they do not."""
        problem, data = self.problem, self.listener.data
        if not self.listener.eligible_A[action]:
            return None
        record, words = problem.classes.records[data.class_U[0]], problem.catalogue.actions[action]
        for rule in problem.policy.eligibility:
            if rule.users.matches(record) and rule.forbid.matches(words):
                return rule.id
        full_C = problem.contact.base(data.received_UC, data.class_U)[0] >= problem.contact.capacity_C
        caps = np.flatnonzero(full_C & problem.contact.member_CA[:, action])
        if len(caps):
            return problem.contact.names[caps[0]]
        return next((rule.id for rule in problem.policy.contact if rule.max == 0 and rule.where.matches(words)), None)

    def _kept_away(self, action: int) -> tuple[Stage, str | None, int | None]:
        """Of an offer with something left of its value: what is in its place, in the slot or under a contact rule."""
        contact, net_A, data = self.problem.contact, self.listener.net_A, self.listener.data
        chosen = np.flatnonzero(self.chosen_A)
        same = [each for each in chosen if contact.slot_A[each] == contact.slot_A[action]]
        if same and net_A[same[0]] >= net_A[action] - HAIR:
            return "beaten", None, int(same[0])
        base_C = contact.base(data.received_UC, data.class_U)[0]
        inside = {
            int(cap): [each for each in chosen if contact.member_CA[cap, each] and each not in same]
            for cap in np.flatnonzero(contact.member_CA[:, action])
        }
        full = {cap: each for cap, each in inside.items() if len(each) + base_C[cap] >= contact.capacity_C[cap]}
        if full:
            least = {cap: min(each, key=lambda one: net_A[one], default=None) for cap, each in full.items()}
            cap = max(least, key=lambda cap: np.inf if least[cap] is None else net_A[least[cap]])
            rival = least[cap]
            return "rule", contact.names[cap], None if rival is None else int(rival)
        if len(contact.asks):
            return "rule", contact.asks.names[0], None
        return "beaten", None, int(same[0]) if same else None

    def _counterfactuals(self) -> list[Counterfactual]:
        """Of the offers that are nearest to being given."""
        if self.listener.group:
            return []
        lacking_A = np.where(self.chosen_A, np.inf, self.listener.lacking())
        nearest = [int(action) for action in np.argsort(lacking_A, kind="stable") if np.isfinite(lacking_A[action])]
        return [
            found
            for action in nearest[:MOST_COUNTERFACTUALS]
            for found in self._of_action(action, float(lacking_A[action]))
        ]

    def _of_action(self, action: int, lacking: float) -> Sequence[Counterfactual]:
        name = self.problem.catalogue.ids[action]
        more = f"would get {name} if it were worth {with_unit(lacking, self.listener.unit)} more"
        found = [Counterfactual(action=name, change=None, value_more=lacking, sentence=more)]
        if self.wider is None:
            return found
        self.tell(f"trying wider bounds for {name}")
        rows, charged_R = self.problem.rows, self.listener.charged_RA[:, action]
        if not len(charged_R) or charged_R.max() < lacking or charged_R.max() <= 0:
            return found
        row = int(charged_R.argmax())
        rule, side = self.problem.measured[rows.constraint_R[row]].rule.id, rows.side(row)

        def enters(before: Start, after: Start) -> bool:
            by_R = start_prices(self.problem, after) - start_prices(self.problem, before)
            moved = self.listener.at(np.maximum(self.listener.price_R + by_R, 0.0))
            return bool(moved.lacking()[action] <= HAIR)

        step = self.wider.enough(rule, side, enters)
        if step is not None:
            way = (
                f"would get {name} if the {side} of {step.name} were {step.shown} instead of {step.now} ({step.change})"
            )
            found.append(Counterfactual(action=name, change={rule: {side: step.bound}}, value_more=None, sentence=way))
        return found
