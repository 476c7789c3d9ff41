"""What the contacts sum of every metric: means, and standard errors, from which follow those of totals, constraints and the value.

Axes: U users, N contacts, S user classes, A actions, P planes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from allocator.certify.contacts import Contacts, tally
from allocator.constraints import CompiledConstraint, attribute_of
from allocator.errors_of_sums import ErrorModel
from allocator.policy.words import Term
from allocator.problem import Problem
from allocator.users import Data
from ranker.catalogue import Catalogue
from ranker.scores import Scores


@dataclass(frozen=True)
class MetricSums:
    """total: metric -> the sum of its mean over all contacts. stderr_SA: metric -> float64[S, A], the sum of its standard errors; a metric
    without standard errors is not there.
    """

    catalogue: Catalogue
    total: Mapping[str, float]
    stderr_SA: Mapping[str, np.ndarray]

    def of_metric(self, metric: str) -> float | None:
        """The standard error of a metric's total; None where it has none."""
        return self._stderr({metric: np.ones(len(self.catalogue.actions))})

    def of_value(self, terms: Sequence[Term]) -> float | None:
        """The standard error of what the contacts are worth by an objective; None where a metric of it has none."""
        weights: dict[str, np.ndarray] = {}
        for term in terms:
            if term.metric is not None:
                weight_A = term.weight * attribute_of(term.times, self.catalogue)
                weights[term.metric] = weights.get(term.metric, np.zeros_like(weight_A)) + weight_A
        return self._stderr(weights)

    def of_constraint(
        self, measured: CompiledConstraint, planes: Sequence[tuple[str, str]], at: float, denominator: float | None
    ) -> float | None:
        """The standard error of what a constraint achieves; at: the quotient about which a ratio is linearised."""
        row = measured.numerator.minus(at, measured.denominator)
        weights = {
            metric: row.plane_PA[position]
            for position, (kind, metric) in enumerate(planes)
            if kind == "mean" and row.plane_PA[position].any()
        }
        found = self._stderr(weights, row.member_S)
        if found is None or denominator is None:
            return found
        return found / abs(denominator) if denominator else None

    def _stderr(self, weights: Mapping[str, np.ndarray], member_S: np.ndarray | slice = slice(None)) -> float | None:
        if not weights or not weights.keys() <= self.stderr_SA.keys():
            return None
        loads = {name: weight_A * self.stderr_SA[name][member_S].sum(axis=0) for name, weight_A in weights.items()}
        return self._errors.stderr_of(loads)

    @cached_property
    def _errors(self) -> ErrorModel[str]:
        return ErrorModel(self.catalogue.error_correlation, self.catalogue.error_group_A)


def metric_sums(scores: Scores, problem: Problem, data: Data, contacts: Contacts) -> MetricSums:
    """Sums over the contacts, sorted by user; what the problem has no planes of is read from the scores again."""
    counted = tally(problem, data, contacts.user_N, contacts.action_N)
    size = (len(problem.classes), len(problem.catalogue.actions))
    held = {plane: counted.sum_SPA[:, position] for position, plane in enumerate(problem.planes)}
    others = [plane for plane in scores.planes if plane not in held]
    held |= {plane: np.zeros(size) for plane in others}
    for shard in scores.shards(check=False, planes=others) if others else ():
        first, last = np.searchsorted(contacts.user_N, [shard.start, shard.start + len(shard)])
        user_n, action_n = contacts.user_N[first:last], contacts.action_N[first:last].astype(np.int64)
        cell_n = data.class_U[user_n].astype(np.int64) * size[1] + action_n
        for kind, metric in others:
            given_UA = (shard.mean if kind == "mean" else shard.stderr)[metric]
            amount_n = given_UA[user_n - shard.start, action_n].astype(np.float64)
            held[kind, metric] += np.bincount(cell_n, amount_n, size[0] * size[1]).reshape(size)
    return MetricSums(
        catalogue=scores.catalogue,
        total={metric: float(sum_SA.sum()) for (kind, metric), sum_SA in held.items() if kind == "mean"},
        stderr_SA={metric: sum_SA for (kind, metric), sum_SA in held.items() if kind == "stderr"},
    )
