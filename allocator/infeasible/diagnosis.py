"""Why the constraints contradict each other: a smallest conflicting set by name, and the cheapest single repairs.

With all values set to zero and every row of a subset elastic at one unit of violation per unit of its scale, the dual's minimum is
minus the least total violation: below zero exactly where the subset cannot hold together (weak duality; elastic filtering and the
deletion filter: Chinneck, Feasibility and Infeasibility in Optimization, 2008). The same dual evaluations that price millions
of users decide it, so it costs a few of them per test. Where contacts in parts could keep what whole ones cannot, small problems are
decided by the integer programme.

Axes: R rows, S user classes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from allocator.formats import Cause, DiagnosisRecord, Repair
from allocator.infeasible.causes import find_causes
from allocator.infeasible.counting import Finding, given_in_words
from allocator.infeasible.repairs import MOST_SOLVES, Conflict, SolveBudget, find_repairs
from allocator.policy.kinds.base import SIDES, Side
from allocator.problem import Problem
from allocator.solve.exact import count_pairs, solve_exact
from allocator.solve.prices import Priced, Scale, find_prices, measure_scale
from allocator.solve.settings import SolveSettings
from allocator.solve.solution import TooLarge, Unsolvable
from allocator.solve.solver import free_users
from allocator.users import Data, UserActions
from ranker.scores import Scores

MOST_TESTS = 200
"""Sets of constraints of which a search for the smallest conflict asks whether they can hold together."""
NO_REPAIR = "No change of bounds was found that ends the conflict; leave one of these constraints out."
STOPPED = "The search was stopped at its limit of work: {what}."
NOT_SMALLEST = "fewer of these constraints may already be in conflict"
MORE_REPAIRS = "there may be other changes, and cheaper ones"
CONTRADICTION = "The constraints contradict each other; nothing was allocated."
NOT_FOUND = (
    "No allocation of whole contacts was found that keeps every constraint, though none was shown to be impossible; "
    "nothing was allocated."
)
FEASIBLE_VIOLATION = 1e-6
WHOLE_PAIRS = 4_000
"""Eligible user-action pairs up to which the integer programme is asked whether whole contacts can keep some constraints."""


class Diagnosis(DiagnosisRecord):
    """What was found out, in words as well."""

    def in_words(self) -> str:
        lines = [CONTRADICTION if self.proven else NOT_FOUND]
        lines += ["Counting alone shows:", *(f"  - {sentence}" for sentence in self.findings)] if self.findings else []
        heading = "These cannot hold together:" if self.proven else "What must hold:"
        lines += [heading, *(f"  - {label}" for label in self.labels)]
        if self.causes:
            lines += ["Behind it:", *(f"  - {cause.sentence}" for cause in self.causes)]
        if self.repairs:
            lines += ["Cheapest repairs:", *(f"  - {repair.sentence}" for repair in self.repairs)]
        if not self.repairs and MORE_REPAIRS not in self.stopped:
            lines.append(NO_REPAIR)
        return "\n".join([*lines, *(STOPPED.format(what=what) for what in self.stopped)])


class Infeasible(Exception):
    """The constraints contradict each other; carries the diagnosis."""

    def __init__(self, diagnosis: Diagnosis):
        self.diagnosis = diagnosis
        super().__init__(diagnosis.in_words())


@dataclass(frozen=True)
class _Case:
    """The infeasible problem and what every test on it needs."""

    problem: Problem
    data: Data
    fixed: UserActions
    settings: SolveSettings
    scale: Scale
    start_R: np.ndarray
    budget: SolveBudget


def diagnose(
    problem: Problem,
    data: Data,
    fixed: UserActions,
    settings: SolveSettings,
    unsolvable: Unsolvable,
    scores: Scores | None = None,
    findings: Sequence[Finding] = (),
    tell: Callable[[str], None] = lambda sentence: None,
) -> Diagnosis:
    """A smallest conflicting set of named constraints, its causes, and the smallest changes that end the conflict.

    scores: lets eligibility rules be causes. findings: contradictions that counting found; the first one is the conflict then. tell:
    is told what is being tried.
    """
    users = free_users(problem, data, fixed)
    scale = measure_scale(users, np.random.default_rng(settings.seed))
    with threadpool_limits(1):
        tests = SolveBudget(MOST_TESTS, tell)
        case = _with_proof(_Case(problem, data, fixed, settings, scale, unsolvable.price_R, tests), findings)
        return _explain(case, unsolvable, scores, findings)


def contradiction(
    problem: Problem,
    data: Data,
    fixed: UserActions,
    settings: SolveSettings,
    findings: Sequence[Finding],
    scores: Scores | None = None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Diagnosis:
    """The diagnosis of what counting found before anything was priced."""
    proof = Unsolvable("simple counting", np.zeros(len(problem.rows)))
    hard = [finding for finding in findings if finding.hard]
    return diagnose(problem, data, fixed, settings, proof, scores, hard, tell)


def _with_proof(case: _Case, findings: Sequence[Finding]) -> _Case:
    """With prices that say which sides are in the way, where the solver left none."""
    if findings:
        inside_R = np.isin(np.arange(len(case.start_R)), findings[0].rows)
        return replace(case, start_R=np.where(inside_R, 1.0 / case.scale.usage_R, 0.0))
    if case.start_R.any():
        return case
    return replace(case, start_R=_violated(case, case.problem.hard, case.problem.hard).best.price_R)


def _explain(case: _Case, unsolvable: Unsolvable, scores: Scores | None, findings: Sequence[Finding]) -> Diagnosis:
    problem = case.problem
    proven = unsolvable.proven or _conflicting(case, case.problem.hard)
    conflict = list(findings[0].positions) if findings else _smallest_conflict(case)
    rules = [problem.measured[position].rule for position in conflict]
    causes = find_causes(problem, case.data, case.fixed, conflict, scores)
    search = SolveBudget(MOST_SOLVES, case.budget.tell)
    repairs = find_repairs(Conflict(problem, case.data, case.fixed, case.settings, case.scale, conflict), search)
    return Diagnosis(
        proven_by=unsolvable.proven_by,
        conflict=tuple(rule.id for rule in rules),
        labels=tuple(
            f"{rule.name} ({_bounds(case, position)})" for rule, position in zip(rules, conflict, strict=True)
        ),
        repairs=tuple(repairs),
        causes=(*causes, *_exploration_alone(case, conflict), *_percent_forgotten(case, conflict, repairs)),
        findings=tuple(finding.sentence for finding in findings),
        proven=proven,
        stopped=tuple(words for spent, words in ((case.budget, NOT_SMALLEST), (search, MORE_REPAIRS)) if spent.ended),
    )


def _percent_forgotten(case: _Case, conflict: list[int], repairs: Sequence[Repair]) -> Iterator[Cause]:
    """Numbers of contacts that end the conflict as per cent: a repair of that bound alone asks for no more than that."""
    users_S = np.bincount(case.data.class_U, minlength=len(case.problem.classes))
    for position in conflict:
        measured = case.problem.measured[position]
        rule, users = measured.rule, int(users_S[measured.numerator.member_S].sum())
        for side in SIDES:
            percent = rule.as_percent(side, users)
            moved = [repair.changes[rule.id].get(side) for repair in repairs if repair.changes.keys() == {rule.id}]
            kept = percent is not None and any(bound is not None and _wider(percent, bound, side) for bound in moved)
            if kept:
                amount = measured.bound(side)
                told = f"{rule.id}.{side}: {amount:g} is a number of {rule.counts}; did you mean {amount:g}%"
                sentence = f"{told}, which is {percent:,} of the {users:,} users in its scope, and ends the conflict?"
                yield Cause(
                    constraint=rule.id,
                    kind="percent_forgotten",
                    rule=None,
                    users=users,
                    contacts=int(amount),
                    without=percent,
                    sentence=sentence,
                )


def _wider(percent: int, bound: float, side: Side) -> bool:
    return percent >= bound if side == "max" else percent <= bound


def _exploration_alone(case: _Case, conflict: list[int]) -> list[Cause]:
    """Whether the conflict is one only because of the contacts that exploration has given."""
    contacts = len(case.fixed[0])
    nothing = (case.fixed[0][:0], case.fixed[1][:0])
    if not contacts or _conflicting(replace(case, fixed=nothing), conflict):
        return []
    sentence = f"Without {given_in_words(case.data, case.fixed)} they hold together"
    name = ", ".join(case.problem.measured[position].rule.id for position in conflict)
    return [
        Cause(
            constraint=name,
            kind="exploration",
            rule=None,
            users=len(np.unique(case.fixed[0])),
            contacts=contacts,
            without=None,
            sentence=sentence,
        )
    ]


def _smallest_conflict(case: _Case) -> list[int]:
    """Deletion filter: constraints with the least part in the proof go first, so that a short conflict is left."""
    kept = case.problem.hard
    if _conflicting(case, kept):
        part = _parts(case)
        proven = [position for position in kept if part[position] > 0]
        kept = proven if proven and _conflicting(case, proven) else kept
        for position in sorted(kept, key=lambda position: part[position]):
            without = [other for other in kept if other != position]
            name = case.problem.measured[position].rule.id
            if not case.budget.spend(f"whether {name} is part of the conflict, {len(kept)} constraints left"):
                break
            if _conflicting(case, without):
                kept = without
    return kept


def _parts(case: _Case) -> dict[int, float]:
    """How much of the proof each constraint is: its prices in units of value per typical contact."""
    parts = dict.fromkeys(case.problem.hard, 0.0)
    for row, position in enumerate(case.problem.rows.constraint_R):
        if int(position) in parts:
            parts[int(position)] += float(case.start_R[row] * case.scale.usage_R[row])
    return parts


def _conflicting(case: _Case, positions: list[int]) -> bool:
    in_parts = _least_violation(case, positions, elastic=positions) > FEASIBLE_VIOLATION
    return in_parts or not _possible_whole(case, positions)


def _possible_whole(case: _Case, positions: list[int]) -> bool:
    """Whether whole contacts can keep these; taken for granted where the integer programme would be too large to tell."""
    problem = case.problem.with_measured([case.problem.measured[position] for position in positions])
    bare = problem.worthless()
    users = free_users(bare, case.data, case.fixed)
    if count_pairs(users.data) > WHOLE_PAIRS:
        return True
    scale = measure_scale(users, np.random.default_rng(case.settings.seed))
    try:
        solve_exact(users, case.settings, scale.usage_R)
    except Unsolvable:
        return False
    except TooLarge:  # not decided within the time
        pass
    return True


def _least_violation(case: _Case, positions: list[int], elastic: list[int]) -> float:
    """The least total violation of the constraints `elastic`, in typical contacts, with the other `positions` holding."""
    return max(-_violated(case, positions, elastic).best.dual, 0.0)


def _violated(case: _Case, positions: list[int], elastic: list[int]) -> Priced:
    """Prices whose dual value is minus the least total violation."""
    rows = case.problem.rows
    inside_R = np.isin(rows.constraint_R, positions)
    loose_R = np.isin(rows.constraint_R, elastic)
    most_R = np.where(inside_R, np.where(loose_R, 1.0, 1e4) / case.scale.usage_R, 0.0)
    bare = replace(case.problem.worthless(), rows=replace(rows, penalty_R=most_R))
    users = free_users(bare, case.data, case.fixed)
    scale = Scale(1.0, case.scale.usage_R)
    return find_prices(
        users, _start(case, most_R), scale, 1e-4, 2 * case.settings.most_passes, np.random.default_rng(case.settings.seed),
        radius=0.5, least=1.0,
    )  # fmt: skip


def _start(case: _Case, most_R: np.ndarray) -> np.ndarray:
    """The proof's prices, scaled into the box."""
    start_R = np.where(most_R > 0, case.start_R, 0.0)
    relative = float((start_R / np.where(most_R > 0, most_R, 1.0)).max(initial=0.0))
    return start_R / relative if relative > 0 else 0.5 * most_R


def _bounds(case: _Case, position: int) -> str:
    measured = case.problem.measured[position]
    low = "" if measured.low is None else f"at least {measured.low:,.6g}"
    high = "" if measured.high is None else f"at most {measured.high:,.6g}"
    return ", ".join(words for words in (low, high) if words)
