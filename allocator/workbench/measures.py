"""What questions are about, by name: the value, contacts, a metric's total, or what a constraint achieves.

Axes: A actions, S user classes, U users of the sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from allocator.certify.certificate import objective_terms, unit_of, value_unit
from allocator.constraints import CompiledConstraint
from allocator.policy.suggest import hint
from allocator.workbench.answers import PolicyAnswer
from allocator.workbench.priced import SampledPolicy
from allocator.workbench.sums import CONTACTS, VALUE
from ranker.files import InputError

ACHIEVED = ".achieved"
Scope = tuple[np.ndarray, np.ndarray]
"""bool[A] actions and bool[S] classes of users."""


@dataclass(frozen=True)
class Measurand:
    """name: `value`, `contacts`, a metric, or the id of a constraint."""

    name: str

    @classmethod
    def named(cls, words: str, known: SampledPolicy, key: str) -> "Measurand":
        """From `ID.achieved`, or a name alone; InputError, opening with the command's key, where there is no such thing."""
        name = words.removesuffix(ACHIEVED).removeprefix("metrics.")
        names = names_in(known)
        if name in names:
            return cls(name)
        raise InputError([f"{key}: there is no constraint or metric '{name}'{hint(name, names)}"])

    def place(self, found: SampledPolicy) -> int | None:
        """Of the constraint, where it is one."""
        ids = [each.rule.id for each in found.problem.measured]
        return ids.index(self.name) if self.name in ids else None

    def of(self, found: SampledPolicy) -> tuple[float | None, float]:
        """What a policy gives of it, and the standard error of sampling; None where nothing is in scope."""
        place = self.place(found)
        if place is not None:
            achieved, residual_U = found.sums.quotient(place)
            return achieved, float(found.sample.stderr_of_sums(residual_U[:, None])[0])
        name = {"value": VALUE, "contacts": CONTACTS}.get(self.name, ("metric", self.name))
        return found.sums.total(name), float(found.sample.stderr_of_sums(found.sums.residual(name)[:, None])[0])

    def stated(self, answer: PolicyAnswer) -> float | None:
        """The same of an answer."""
        if self.name in answer.constraints:
            return answer.constraints[self.name].achieved
        totals = {"value": answer.value, "contacts": answer.contacts, **answer.metrics}
        return totals[self.name]

    def unit(self, found: SampledPolicy) -> str:
        place = self.place(found)
        if place is not None:
            return unit_of(found.problem, found.problem.measured[place])
        if self.name == "value":
            return value_unit(objective_terms(found.policy.objective), found.problem.catalogue)
        units = {metric.name: metric.unit for metric in found.problem.catalogue.metrics}
        return units.get(self.name, "contacts")

    def scope(self, found: SampledPolicy) -> Scope:
        """Which actions and users it is about."""
        place = self.place(found)
        if place is None:
            return np.ones(len(found.problem.catalogue.actions), bool), np.ones(len(found.problem.classes), bool)
        return scope_of(found.problem.measured[place])

    def scale(self, found: SampledPolicy, percent: bool) -> float:
        """A first value for a field that has none: 10 per cent, or what is achieved."""
        return 10.0 if percent else abs(self.of(found)[0] or 0.0) or 1.0


def scope_of(each: CompiledConstraint) -> Scope:
    """The actions and users whose contacts a constraint sums."""
    return each.numerator.actions_A, each.numerator.member_S


def names_in(found: SampledPolicy) -> Sequence[str]:
    """Everything that can be asked for."""
    metrics = [metric.name for metric in found.problem.catalogue.metrics]
    return ["value", "contacts", *(each.rule.id for each in found.problem.measured), *metrics]
