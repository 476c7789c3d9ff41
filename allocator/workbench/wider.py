"""How much wider a bound must be for something to happen at the prices that it then leads to, tried on a sample."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from allocator.amounts import exact, percent
from allocator.policy.grammar import Policy
from allocator.policy.kinds.base import Side
from allocator.policy.words import Bound
from allocator.solve.solution import Unsolvable
from allocator.workbench.answers import Amount
from allocator.workbench.session import Session
from ranker.files import InputError

STEPS = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Parts of the bound by which it is loosened, one after the other."""
Prices = Mapping[tuple[str, str], float]


@dataclass(frozen=True)
class Step:
    """A bound that is wide enough, in the form of the file and in words."""

    name: str
    bound: Amount
    now: str
    shown: str
    change: str


@dataclass(frozen=True)
class Wider:
    """Tries wider bounds of a policy on a session's sample."""

    session: Session
    policy: Policy

    def enough(self, rule: str, side: Side, happens: Callable[[Prices, Prices], bool]) -> Step | None:
        """The first step at whose prices it happens, None where it does at none of them.

        happens: is given the sample's prices as they are and with the wider bound. Those of everybody differ from both, so what counts is
        by how much they move.
        """
        known = next((each for each in self.policy.constraints if each.id == rule), None)
        bound = None if known is None else known.min if side == "min" else known.max
        if known is None or bound is None or bound.amount == 0:
            return None
        now = self.session.price(self.policy)
        for part in STEPS:
            wide = Bound(bound.amount + (part if side == "max" else -part) * abs(bound.amount), bound.percent)
            try:
                found = self.session.price(self._policy(rule, side, wide), self.policy)
            except (Unsolvable, InputError):
                return None
            if happens(now.prices, found.prices):
                change = f"{percent(part)} {'more' if side == 'max' else 'less'}"
                return Step(known.name, wide.to_json(), _shown(bound), _shown(wide), change)
        return None

    def _policy(self, rule: str, side: Side, bound: Bound) -> Policy:
        words = self.policy.to_json()
        for each in words["constraints"]:
            if each["id"] == rule:
                each[side] = bound.to_json()
        return Policy.model_validate(words)


def _shown(bound: Bound) -> str:
    return f"{exact(bound.amount)} %" if bound.percent else exact(bound.amount)
