"""The dual question: nearly the same value with the fewest contacts, or the least of anything that is summed.

The policy's own objective becomes a floor, and what is asked for is made as small as can be under it and under every rule (a lexicographic
problem, as `tiers` are).
"""

import time
from dataclasses import replace

import numpy as np

from allocator.amounts import number, percent
from allocator.lexicographic import floor_of
from allocator.policy.grammar import Policy
from allocator.problem import Problem
from allocator.workbench.answers import Least
from allocator.workbench.measures import Measurand
from allocator.workbench.priced import price_problem
from allocator.workbench.session import Session
from allocator.workbench.sums import VALUE
from allocator.workbench.totals import Compared
from ranker.files import InputError

GIVE_UP = 0.001


def least(session: Session, base: Policy, what: str, give_up: float = GIVE_UP) -> Least:
    """The least of a measure at which the value is still what it is, less a part that may be given up.

    Args:
        session, base: as for a what-if.
        what: `contacts`, a metric, or the id of a constraint that sums (such as a budget).
        give_up: of the value, from 0 to 1.

    Raises:
        Infeasible: the policy as it is contradicts itself.
        InputError: there is no such measure, or it cannot be made small.
    """
    started = time.perf_counter()
    now = session.priced_or_diagnosed(base)
    measure = Measurand.named(what, now, "least")
    floor = now.value - give_up * abs(now.value)
    problem = now.problem
    held = floor_of(problem, len(base.tiers), floor)
    session.tell(f"the least {measure.name}")
    found = price_problem(now, _asked(problem.with_measured([*problem.measured, held]), measure, now.problem))
    top = ("numerator", str(len(problem.measured)))
    value = found.sums.total(top)
    before, after = measure.of(now), measure.of(found)
    saved = (before[0] or 0.0) - (after[0] or 0.0)
    residual_U = found.sums.residual(top) - now.sums.residual(VALUE)
    return Least(
        what=measure.name,
        unit=measure.unit(now),
        now=before[0] or 0.0,
        now_se=before[1],
        least=after[0] or 0.0,
        least_se=after[1],
        value_now=now.value,
        value=value,
        value_se=float(now.sample.stderr_of_sums(residual_U[:, None])[0]),
        give_up=give_up,
        users_moved=Compared(now, found).answer(session.gap).users_moved,
        sentence=_sentence(measure, before[0] or 0.0, saved, give_up),
        users=session.scores.users,
        sample=len(session.sample),
        seconds=time.perf_counter() - started,
    )


def _asked(problem: Problem, measure: Measurand, before: Problem) -> Problem:
    """The problem whose value is the measure, negative."""
    actions = len(problem.catalogue.actions)
    value_A, value_PA = np.zeros(actions), np.zeros_like(problem.value_PA)
    ids = [each.rule.id for each in before.measured]
    if measure.name in ids:
        each = before.measured[ids.index(measure.name)]
        if each.denominator is not None or each.numerator.kept or each.numerator.reach_A is not None:
            raise InputError(
                [f"least: {measure.name} is no sum over contacts; name contacts, a metric, a volume or a total"]
            )
        if not each.numerator.member_S.all():
            raise InputError([f"least: {measure.name} is about some users alone; name a sum over all of them"])
        value_A, value_PA = -each.numerator.const_A, -each.numerator.plane_PA
    elif measure.name == "contacts":
        value_A = -np.ones(actions)
    elif measure.name == "value":
        raise InputError(["least: the value is what is kept; name contacts, a metric, a volume or a total"])
    else:
        value_PA = value_PA.copy()
        value_PA[problem.planes.index(("mean", measure.name))] = -1.0
    return replace(problem, value_A=value_A, value_PA=value_PA)


def _sentence(measure: Measurand, before: float, saved: float, give_up: float) -> str:
    kept = "The same value" if give_up == 0 else f"{percent(1 - give_up, 2)} of the value"
    if saved <= 1e-9 * max(abs(before), 1.0):
        return f"{kept} takes as much {measure.name} as there is now, {number(before)}."
    part = f" ({percent(saved / abs(before))})" if before else ""
    return f"{kept} can be had with {measure.name} of {number(before - saved)}, {number(saved)}{part} less than now."
