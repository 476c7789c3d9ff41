"""What users get who arrive between two runs: their best slate at the week's prices, under the rules for one user.

Everybody else's contacts stay as they are, so nothing is solved: prices stand for the bounds over everybody. A user who is in the
week's allocation gets the same contacts again, but for the few whose slates the core chose among near ties.

Axes: U users, A actions, N contacts, K contacts of a slate, R rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from allocator.assign.preassigned import Preassigned, preassign
from allocator.certify.contacts import SOURCES
from allocator.formats import CERTIFICATE, Certificate, PriceBook, read_price_book
from allocator.policy.grammar import Policy
from allocator.previous_contacts import NO_PAST, history_of
from allocator.problem import Problem
from allocator.reopened import policy_of, problem_as_priced
from allocator.solve.dual import Users, evaluate_dual
from allocator.solve.solver import start_prices
from allocator.users import FREE, NONE, Data, load_data
from ranker.files import InputError
from ranker.scores import HeldScores

FREE_OF_CHARGE = 1e-9
MOST_KNOWN = 1_000
"""Problems kept, one per kind of user that the rules tell apart."""
FALLBACK = SOURCES.index("fallback")


@dataclass(frozen=True)
class PricedWeek:
    """The rules of a week, its certificate and its price book."""

    policy: Policy
    certificate: Certificate
    book: PriceBook

    @classmethod
    def read(cls, folder: Path) -> "PricedWeek":
        """From the `policy.json`, `certificate.json` and `prices.json` of an allocation."""
        return cls(policy_of(folder), Certificate.from_file(folder / CERTIFICATE), read_price_book(folder))

    @property
    def day(self) -> date | None:
        """The day that its scores are for, from which days are counted back."""
        return None if self.certificate.as_of is None else date.fromisoformat(self.certificate.as_of)

    def at(self, book: PriceBook) -> "PricedWeek":
        """The same rules at other prices; InputError where these were found under another policy."""
        if book.policy_digest not in (None, self.book.policy_digest):
            raise InputError(["prices: were found under another policy than the model was registered with"])
        return replace(self, book=book)

    def _problem(self, scores: HeldScores) -> Problem:
        """The problem of these users; of one user alone it is that of any other whom the rules cannot tell apart."""
        alone = scores.users == 1
        if alone and self._known:
            segments = next(iter(self._known.values())).classes.segments  # those that the rules name
            if (known := self._known.get(_kind(scores, segments))) is not None:
                return known
        problem = problem_as_priced(scores, self.policy, self.certificate, np.ones(scores.users))
        if alone:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[_kind(scores, problem.classes.segments)] = problem
        return problem

    @cached_property
    def _known(self) -> dict["_Kind", Problem]:
        return {}

    def decide(self, scores: HeldScores, history: pa.Table | None = None) -> pa.Table:
        """A row per contact of these users: user_id, action, slot, value, source. Whoever gets nothing has no row.

        Args:
            scores: of the users, in memory.
            history: their contacts of earlier days (`user_id`, `action`, `date`), which contact rules with days count; none without it.

        Raises:
            InputError: the scores cannot carry the policy, or the history is not of these days.
        """
        problem = self._problem(scores)
        past = NO_PAST if history is None or not len(history) else history_of(history, scores)
        data, preassigned = preassign(problem, load_data(problem, scores, history=past))
        return _Decision(problem, data, preassigned, start_prices(problem, self.book.prices)).rows()


_Kind = tuple[tuple[str, ...] | None, ...]


def _kind(scores: HeldScores, segments: Sequence[str]) -> _Kind:
    """What the rules can tell a user by."""
    return tuple(scores.vocabulary.get(name) for name in segments)


@dataclass(frozen=True)
class _Decision:
    """Users to decide about, those who are given contacts by pin or by chance, and the prices."""

    problem: Problem
    data: Data
    preassigned: Preassigned
    price_R: np.ndarray

    @cached_property
    def slate_UK(self) -> np.ndarray:
        """The best slates at the prices, and the contacts that were preassigned."""
        slate_UK = evaluate_dual(Users.of(self.problem, self.data), self.price_R).slate_UK
        self.preassigned.place(slate_UK)
        return slate_UK

    def rows(self) -> pa.Table:
        problem, data = self.problem, self.data
        slate_UK, source_U = self.slate_UK, np.zeros(len(data), np.int64)
        source_U[self.preassigned.user_N] = self.preassigned.source_N
        fallback_U = self._fallbacks()
        slate_UK[fallback_U >= 0, 0] = fallback_U[fallback_U >= 0]
        source_U[fallback_U >= 0] = FALLBACK
        last = len(problem.catalogue.actions)
        in_order_UK = np.sort(np.where(slate_UK == NONE, last, slate_UK), axis=1)  # in catalogue order
        user_N, place_N = np.nonzero(in_order_UK < last)
        action_N = in_order_UK[user_N, place_N].astype(np.int64)
        ids, slots = (
            np.array(each, dtype=object)[action_N] for each in (problem.catalogue.ids, problem.catalogue.slots)
        )
        worth_N = problem.worth(action_N, data.planes_UPA[user_N, :, action_N].astype(float))
        sources = np.array(SOURCES, dtype=object)[source_U[user_N]]
        return pa.table(
            {
                "user_id": pa.array(data.user_id[user_N]),
                "action": pa.array(ids, pa.string()),
                "slot": pa.array(slots, pa.string()),
                "value": pa.array(worth_N, pa.float64()),
                "source": pa.array(sources, pa.string()),
            }
        )

    def _fallbacks(self) -> np.ndarray:
        """int64[U]: the first fallback action that each user without contacts may get and that uses nothing that has a price, or -1."""
        problem, data, fallback = self.problem, self.data, self.problem.policy.fallback
        pick_U = np.full(len(data), -1)
        if fallback is None:
            return pick_U
        member_U = problem.classes.members(fallback.users)[data.class_U]
        nothing_U = member_U & (data.group_U == FREE) & (self.slate_UK[:, 0] < 0)
        alone_UA = problem.contact.alone(data.eligible_UA, data.received_UC, data.class_U)
        const_SA, plane_SPA = problem.net_tables(self.price_R)
        planes_UPA = data.planes_UPA.astype(float)
        net_UA = const_SA[data.class_U] + (plane_SPA[data.class_U] * planes_UPA).sum(axis=1)
        charged_UA = problem.worth_of_all(planes_UPA) - net_UA
        for name in fallback.action:
            action = problem.catalogue.ids.index(name)
            fits_U = nothing_U & alone_UA[:, action] & (charged_UA[:, action] <= FREE_OF_CHARGE) & (pick_U < 0)
            pick_U[fits_U] = action
        return pick_U
