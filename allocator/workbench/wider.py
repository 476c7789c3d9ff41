"""How much wider a bound must be for something to happen at the prices that it then leads to, tried on a sample."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from allocator.amounts import percent
from allocator.policy.grammar import Policy
from allocator.policy.kinds.base import Side
from allocator.solve.solution import Unsolvable
from allocator.workbench.session import Session
from ranker.files import InputError

STEPS = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Parts of the bound by which it is loosened, one after the other."""
Prices = Mapping[tuple[str, str], float]


@dataclass(frozen=True)
class WiderBound:
    """A bound that is wide enough, as a count, a sum or a ratio, and in words."""

    name: str
    bound: float
    now: str
    shown: str
    change: str


@dataclass(frozen=True)
class Wider:
    """Tries wider bounds of a policy on a session's sample."""

    session: Session
    policy: Policy

    def enough(self, rule: str, side: Side, happens: Callable[[Prices, Prices], bool]) -> WiderBound | None:
        """The first step at whose prices it happens, None where it does at none of them.

        happens: is given the sample's prices as they are and with the wider bound. Those of everybody differ from both, so what counts is
        by how much they move.
        """
        now = self.session.price(self.policy)
        known = next((each for each in now.problem.measured if each.rule.id == rule), None)
        rule_id, _, value = rule.partition("@")
        if known is None or value or side not in known.sides or known.bound(side) == 0:
            return None  # a row of a rule with `each` has no bound of its own
        bound, kind = known.bound(side), known.rule
        for part in STEPS:
            wide = bound + (part if side == "max" else -part) * abs(bound)
            written = float(round(wide)) if known.whole else float(f"{wide:.10g}")
            try:
                found = self.session.price(with_bound(self.policy, rule_id, side, written), self.policy)
            except (Unsolvable, InputError):
                return None
            if happens(now.prices, found.prices):
                change = f"{percent(abs(written / bound - 1))} {'more' if side == 'max' else 'less'}"
                before, after = (kind.amount(amount, asked=True) for amount in (bound, written))
                return WiderBound(kind.name, written, before, after, change)
        return None


def with_bound(policy: Policy, rule: str, side: Side, bound: float) -> Policy:
    """The policy with another bound on one side of the constraint of this id."""
    words = policy.to_json()
    for each in words["constraints"]:
        if each["id"] == rule:
            each[side] = bound
    return Policy.model_validate(words)
