"""The certificate: everything recounted from the integral allocation, next to the bound that no allocation can exceed.

For m constraints and prices lambda >= 0 of their rows `+-(sum num - bound * sum den) <= limit` (den 0 and limit +-bound for volumes
and totals, limit 0 for ratios), weak duality gives

    value of any feasible allocation  <=  bound = lambda . limit + sum over users of max over slates (value - lambda . use)

where exploration and pinned users keep their preassigned contacts and holdout users get nothing. A fallback is a contact that could have
been chosen, so the bound holds with it; what it is worth less than nothing widens the gap. Anyone can recompute this bound from the
scores, the policy and the multipliers below; `audit` does. A constraint of kind churn on N users is the row
`-(users who keep the earlier slate) <= max - N`, so to a user who can have it that slate is worth lambda more. One of kind reach is the
row `+-(users with a contact in where) <= +-bound`, so a slate uses 1 of it however many such contacts it has. A row with a certainty has
z standard errors of its sum besides, linearised at the gradient that is stated (`chance_constraints`).

Contacts are whole. Where that alone keeps the value further below this bound than was asked for, `bound` is what an integer programme
proved of whole contacts, and `price_bound` is the one by prices.

Axes: U users, N contacts, R rows, S user classes, A actions, P planes.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from allocator.certify.contacts import SOURCES, Contacts, tally
from allocator.certify.metric_sums import MetricSums
from allocator.certify.remarks import cannot_be_met, far_from_the_best, only_for_a_rule, percent_forgotten
from allocator.constraints import CompiledConstraint
from allocator.formats import (
    Certificate,
    ConstraintRecord,
    FallbackTotal,
    FunnelStage,
    GreedyTotal,
    MetricTotal,
    ObjectiveTerm,
    PinnedTotal,
    Remark,
    TierTotal,
    fallback_part,
)
from allocator.policy.kinds.base import OfEstimates, Side
from allocator.policy.words import Term
from allocator.problem import Problem
from allocator.solve.solution import Solution, Status, not_below, relative_gap
from allocator.tally import Tally
from allocator.users import EXPLORATION, FREE, Data, Funnel
from ranker.catalogue import Catalogue

MONEY = ("_eur", "_usd", "_gbp")


def certify(
    problem: Problem,
    data: Data,
    contacts: Contacts,
    solution: Solution,
    greedy: GreedyTotal,
    sums: MetricSums,
    seconds: Mapping[str, float],
    wanted_gap: float,
    left_without: int = 0,
    tiers: Sequence[TierTotal] = (),
) -> Certificate:
    """Recounts the allocation and states the bound. sums: of every metric over the contacts. wanted_gap: as asked for.

    left_without: users in the fallback's scope for whom nothing was left. tiers: what the earlier objectives reached.
    """
    counted = tally(problem, data, contacts.user_N, contacts.action_N)
    records = tuple(
        _record(problem, position, counted, solution.price_R, sums) for position in range(len(problem.measured))
    )
    penalty = sum(_penalty(measured, counted) for measured in problem.measured)
    value = float(contacts.value_N.sum()) - penalty
    preassigned = contacts.value_of("exploration", "pinned")
    price_bound = solution.dual + preassigned
    whole = relative_gap(value, price_bound) > wanted_gap and solution.whole_bound < solution.dual
    bound = solution.whole_bound + preassigned if whole else price_bound
    summed = max(abs(price_bound), abs(greedy.value))  # where the sum itself is about nothing
    bound = not_below(bound, value, summed)
    gap = relative_gap(value, bound)
    full = [step for step in solution.steps if step.users >= (data.group_U == FREE).sum()]
    return Certificate(
        status=_status(problem, solution, gap, wanted_gap),
        remarks=(
            *far_from_the_best(gap - fallback_part(contacts.value_of("fallback"), bound), wanted_gap),
            *cannot_be_met(problem, data, [record.denominator for record in records]),
            *_only_for_a_rule(problem, data, solution, contacts),
            *percent_forgotten(
                problem, data, [record.achieved for record in records], [record.binding for record in records]
            ),
        ),
        users=problem.users,
        contacts=len(contacts),
        value=value,
        value_se=sums.of_value(problem.policy.objective),
        bound=bound,
        bound_by="whole contacts" if whole else "prices",
        price_bound=price_bound,
        gap=gap,
        soft_penalty=penalty,
        constraints=records,
        greedy=greedy,
        funnel=_funnel(data.offered, contacts),
        drew_nothing=_drew_nothing(data, contacts),
        metrics={
            m.name: MetricTotal(total=sums.total[m.name], unit=m.unit, se=sums.of_metric(m.name))
            for m in problem.catalogue.metrics
        },
        objective=objective_terms(problem.policy.objective),
        risk_z=problem.policy.risk_z,
        as_of=None if problem.catalogue.as_of is None else problem.catalogue.as_of.isoformat(),
        policy_digest=problem.policy.digest,
        pinned=_pinned(problem, contacts),
        fallback=_fallback(problem, contacts, left_without),
        tiers=tuple(tiers),
        seconds=seconds,
        passes={"all_users": len(full), "samples": len(solution.steps) - len(full)},
    )


def _status(problem: Problem, solution: Solution, gap: float, wanted_gap: float) -> str:
    """Limits that were drawn in for a certainty cost value that the solver did not know of."""
    if solution.status is Status.OPTIMAL and gap > wanted_gap and any(each.margin for each in problem.measured):
        return Status.FEASIBLE.value
    return solution.status.value


def objective_terms(terms: Sequence[Term]) -> tuple[ObjectiveTerm, ...]:
    """An objective of the policy as the certificate states it."""
    return tuple(ObjectiveTerm(metric=term.metric, weight=term.weight, times=term.times) for term in terms)


def _pinned(problem: Problem, contacts: Contacts) -> tuple[PinnedTotal, ...]:
    """Per action that a rule pins, how many contacts were pinned."""
    pinned_N = contacts.source_N == SOURCES.index("pinned")
    count_A = np.bincount(contacts.action_N[pinned_N], minlength=len(problem.catalogue.actions))
    named = dict.fromkeys(rule.action for rule in problem.policy.pinned)
    return tuple(PinnedTotal(action=name, contacts=int(count_A[problem.catalogue.ids.index(name)])) for name in named)


def _fallback(problem: Problem, contacts: Contacts, left_without: int) -> FallbackTotal | None:
    """How many users fell back, what that was worth, and how many were left with nothing."""
    if problem.policy.fallback is None:
        return None
    count = int((contacts.source_N == SOURCES.index("fallback")).sum())
    return FallbackTotal(contacts=count, value=contacts.value_of("fallback"), left_without=left_without)


def _only_for_a_rule(problem: Problem, data: Data, solution: Solution, contacts: Contacts) -> Iterator[Remark]:
    chosen_N = contacts.source_N == SOURCES.index("optimised")
    columns = (contacts.user_N[chosen_N], contacts.action_N[chosen_N], contacts.value_N[chosen_N])
    return only_for_a_rule(problem, data, solution.price_R, *columns)


def _penalty(measured: CompiledConstraint, counted: Tally) -> float:
    """What breaking a soft constraint costs: its penalty per unit of its linear row."""
    if measured.rule.strength.kind != "soft":
        return 0.0
    return measured.penalty * sum(max(measured.beyond(side, counted)[0], 0.0) for side in reversed(measured.sides))


def _record(problem: Problem, position: int, counted: Tally, price_R: np.ndarray, sums: MetricSums) -> ConstraintRecord:
    measured, rule = problem.measured[position], problem.measured[position].rule
    numerator, denominator = measured.sums(counted)
    achieved = numerator if denominator is None else numerator / denominator if denominator else None
    binding, multiplier = _binding(problem, position, price_R)
    at = _nearest(measured, achieved, binding) if rule.z is not None else achieved
    stderr = sums.of_constraint(measured, problem.planes, at or 0.0, denominator)
    return ConstraintRecord(
        id=rule.id,
        kind=rule.kind,
        label=rule.label,
        owner=rule.owner,
        reason=rule.reason,
        unit=unit_of(problem, measured),
        strength=rule.strength.to_json(),
        min=measured.low,
        max=measured.high,
        achieved=achieved,
        slack=_slack(measured, achieved, binding, (rule.z or 0.0) * (stderr or 0.0)),
        binding=binding,
        price=multiplier if denominator is None else multiplier * abs(_per_bound(measured, binding, counted)),
        multiplier=multiplier,
        numerator=numerator,
        denominator=denominator,
        se=stderr,
        certainty=rule.certainty if isinstance(rule, OfEstimates) else None,
        gradient=_gradient(problem, measured, binding),
    )


def _per_bound(measured: CompiledConstraint, binding: Side | None, counted: Tally) -> float:
    """By how much a rate's row is loosened per unit of its bound: what it divides by, and that part of a margin's error."""
    over, margin = measured.denominator, measured.margin
    if over is None:
        return 1.0
    divisor = over.total(counted)
    if margin is None or binding is None:
        return divisor
    loads, gradient = margin.loads(over, counted.sum_SPA), margin.gradient.get(binding, {})
    error = sum(float(gradient_A @ loads[plane]) for plane, gradient_A in gradient.items())
    return divisor + margin.z * error * (1 if binding == "max" else -1)


def _gradient(
    problem: Problem, measured: CompiledConstraint, binding: Side | None
) -> dict[str, dict[str, float]] | None:
    """At which the row of the side with a price is linearised, of the actions that it sums."""
    if measured.margin is None or binding is None:
        return None
    row = measured.row(binding)
    gradient = measured.margin.gradient.get(binding) or measured.margin.level(row)
    return {
        problem.planes[plane][1]: {
            problem.catalogue.ids[action]: float(gradient_A[action]) for action in np.flatnonzero(row.plane_PA[plane])
        }
        for plane, gradient_A in gradient.items()
    }


def _binding(problem: Problem, position: int, price_R: np.ndarray) -> tuple[Side | None, float]:
    """The side with a price, and that price; without one, nothing binds."""
    rows = np.flatnonzero(problem.rows.constraint_R == position).tolist()
    priced = [(float(price_R[row]), problem.rows.side(row)) for row in rows if price_R[row] > 0]
    if not priced:
        return None, 0.0
    multiplier, side = max(priced)
    return side, multiplier


def _slack(measured: CompiledConstraint, achieved: float | None, binding: Side | None, margin: float) -> float | None:
    """Room to the binding bound, or to the nearer one, less the margin of a certainty; negative where a soft or reported bound is
    broken."""
    if achieved is None:
        return None
    room = _room(measured, achieved)
    if not room:
        return None
    return (room[binding] if binding is not None else min(room.values())) - margin


def _room(measured: CompiledConstraint, achieved: float) -> dict[Side, float]:
    return {side: (1 if side == "max" else -1) * (measured.bound(side) - achieved) for side in measured.sides}


def _nearest(measured: CompiledConstraint, achieved: float | None, binding: Side | None) -> float | None:
    """The bound at which a certainty is judged: the binding or the nearer one."""
    if achieved is None or not measured.sides:
        return achieved
    room = _room(measured, achieved)
    return measured.bound(binding if binding is not None else min(measured.sides, key=room.__getitem__))


def unit_of(problem: Problem, measured: CompiledConstraint) -> str:
    """The unit of `achieved`, in words."""
    units = {metric.name: metric.unit for metric in problem.catalogue.metrics}

    def words(metric: str | None, times: str | None) -> str:
        if metric is not None and (times is None or not times.endswith(MONEY)):
            return units[metric] if times is None else f"{units[metric]} x {times}"
        return "contacts" if times is None else unit_of_attribute(times)

    return measured.rule.unit(words)


def value_unit(objective: Sequence[ObjectiveTerm], catalogue: Catalogue) -> str:
    """The unit that value is counted in: that of a term taken as it is (weight 1, an attribute's -1), money first; otherwise 'points'."""
    plain = [
        _unit_of_term(t, catalogue)
        for t in objective
        if (t.metric is None and abs(t.weight) == 1) or (t.weight == 1 and t.times is None)
    ]
    money = [unit for unit in plain if len(unit) == 3 and unit.isupper()]
    if money:
        return money[0]
    return plain[0] if plain and len(objective) == 1 else "points"


def _unit_of_term(term: ObjectiveTerm, catalogue: Catalogue) -> str:
    if term.metric is None:
        return "contacts" if term.times is None else unit_of_attribute(term.times)
    return next((metric.unit for metric in catalogue.metrics if metric.name == term.metric), term.metric)


def unit_of_attribute(name: str) -> str:
    """The unit of an action's attribute: the money that its name ends with, or its name."""
    return name.rsplit("_", 1)[-1].upper() if name.endswith(MONEY) else name


def _funnel(offered: Funnel, contacts: Contacts) -> tuple[FunnelStage, ...]:
    reached = len(np.unique(contacts.user_N))
    stages: Sequence[tuple[str, int, int]] = (*offered.stages, ("allocated", len(contacts), reached))
    return tuple(FunnelStage(stage=stage, contacts=count, users=users) for stage, count, users in stages)


def _drew_nothing(data: Data, contacts: Contacts) -> int:
    """Exploring users who may have something and whose draw was nothing."""
    without_N = np.setdiff1d(np.flatnonzero(data.group_U == EXPLORATION), contacts.user_N)
    return int(data.eligible_UA[without_N].any(axis=1).sum())
