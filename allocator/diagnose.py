"""Why the constraints contradict each other: a smallest conflicting set by name, and the cheapest single repairs.

With all values set to zero and every row of a subset elastic at one unit of violation per unit of its scale, the dual's minimum is
minus the least total violation: below zero exactly where the subset cannot hold together (weak duality; elastic filtering and the
deletion filter: Chinneck, Feasibility and Infeasibility in Optimization, 2008). The same sweeps that price millions of users
decide it, so it costs a few passes per test. Where contacts in parts could keep what whole ones cannot, small problems are decided by
the integer programme.

Axes: R rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from allocator.causes import Cause, find_causes
from allocator.preflight import Finding, given_in_words
from allocator.problem import Data, Problem
from allocator.solve.exact import count_pairs, solve_exact
from allocator.solve.passes import value_of
from allocator.solve.prices import Priced, Scale, find_prices, measure_scale
from allocator.solve.settings import SolveSettings
from allocator.solve.solution import TooLarge, Unsolvable
from allocator.solve.solver import free_users, solve
from ranker.scores import Scores

MOST_REPAIRS = 3
MOST_CHANGES = 5
NO_REPAIR = "No change of up to five bounds was found that ends the conflict; leave one of these constraints out."
CONTRADICTION = "The constraints contradict each other; nothing was allocated."
NOT_FOUND = (
    "No allocation of whole contacts was found that keeps every constraint, though none was shown to be impossible; "
    "nothing was allocated."
)
FEASIBLE_VIOLATION = 1e-6


@dataclass(frozen=True)
class Repair:
    """Bounds which, changed alone, make the constraints hold together.

    changes: constraint id -> {"min" or "max": new bound, in the constraint's own unit}. value: of the best allocation then. cost:
    what it gives up against the best allocation without the conflicting constraints.
    """

    changes: Mapping[str, Mapping[str, float]]
    value: float
    cost: float
    sentence: str


@dataclass(frozen=True)
class Diagnosis:
    """conflict: ids of a smallest set that cannot hold together: without any one of them, the others can.

    causes: what stands behind it, rules for one user included. findings: what counting alone found, where it did. proven: False where
    no allocation was found, but none was shown to be impossible either; conflict is then all that must hold.
    """

    proven_by: str
    conflict: tuple[str, ...]
    labels: tuple[str, ...]
    repairs: tuple[Repair, ...]
    causes: tuple[Cause, ...] = ()
    findings: tuple[str, ...] = ()
    proven: bool = True

    def to_json(self) -> dict:
        return {"status": "infeasible", **asdict(self)}

    def in_words(self) -> str:
        lines = [CONTRADICTION if self.proven else NOT_FOUND]
        lines += ["Counting alone shows:", *(f"  - {sentence}" for sentence in self.findings)] if self.findings else []
        heading = "These cannot hold together:" if self.proven else "What must hold:"
        lines += [heading, *(f"  - {label}" for label in self.labels)]
        if self.causes:
            lines += ["Behind it:", *(f"  - {cause.sentence}" for cause in self.causes)]
        if self.repairs:
            lines += ["Cheapest repairs:", *(f"  - {repair.sentence}" for repair in self.repairs)]
        return "\n".join(lines if self.repairs else [*lines, NO_REPAIR])


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
    fixed: tuple[np.ndarray, np.ndarray]
    settings: SolveSettings
    scale: Scale
    start_R: np.ndarray

    @property
    def hard(self) -> list[int]:
        """Constraints that must hold, by position."""
        rows = self.problem.rows
        return sorted({int(c) for c, p in zip(rows.constraint_R, rows.penalty_R, strict=True) if not np.isfinite(p)})


def diagnose(
    problem: Problem,
    data: Data,
    fixed: tuple[np.ndarray, np.ndarray],
    settings: SolveSettings,
    unsolvable: Unsolvable,
    scores: Scores | None = None,
    findings: Sequence[Finding] = (),
) -> Diagnosis:
    """A smallest conflicting set of named constraints, its causes, and the smallest changes that end the conflict.

    scores: lets eligibility rules be causes. findings: contradictions that counting found; the first one is the conflict then.
    """
    users = free_users(problem, data, fixed)
    scale = measure_scale(users, np.random.default_rng(settings.seed))
    with threadpool_limits(1):
        case = _with_proof(_Case(problem, data, fixed, settings, scale, unsolvable.price_R), findings)
        return _explain(case, unsolvable, scores, findings)


def contradiction(
    problem: Problem,
    data: Data,
    fixed: tuple[np.ndarray, np.ndarray],
    settings: SolveSettings,
    findings: Sequence[Finding],
    scores: Scores | None = None,
) -> Diagnosis:
    """The diagnosis of what counting found before anything was priced."""
    proof = Unsolvable("simple counting", np.zeros(len(problem.rows)))
    return diagnose(problem, data, fixed, settings, proof, scores, [finding for finding in findings if finding.hard])


def _with_proof(case: _Case, findings: Sequence[Finding]) -> _Case:
    """With prices that say which sides are in the way, where the solver left none."""
    if findings:
        inside_R = np.isin(np.arange(len(case.start_R)), findings[0].rows)
        return replace(case, start_R=np.where(inside_R, 1.0 / case.scale.usage_R, 0.0))
    if case.start_R.any():
        return case
    return replace(case, start_R=_violated(case, case.hard, case.hard).best.price_R)


def _explain(case: _Case, unsolvable: Unsolvable, scores: Scores | None, findings: Sequence[Finding]) -> Diagnosis:
    problem = case.problem
    proven = unsolvable.proven or _conflicting(case, case.hard)
    conflict = list(findings[0].positions) if findings else _smallest_conflict(case)
    rules = [problem.measured[position].rule for position in conflict]
    causes = find_causes(problem, case.data, case.fixed, conflict, scores)
    return Diagnosis(
        unsolvable.proven_by,
        tuple(rule.id for rule in rules),
        tuple(f"{rule.name} ({_bounds(case, position)})" for rule, position in zip(rules, conflict, strict=True)),
        tuple(_repairs(case, conflict)),
        (*causes, *_exploration_alone(case, conflict)),
        tuple(finding.sentence for finding in findings),
        proven,
    )


def _exploration_alone(case: _Case, conflict: list[int]) -> list[Cause]:
    """Whether the conflict is one only because of the contacts that exploration has given."""
    contacts = len(case.fixed[0])
    nothing = (case.fixed[0][:0], case.fixed[1][:0])
    if not contacts or _conflicting(replace(case, fixed=nothing), conflict):
        return []
    sentence = f"Without {given_in_words(case.data, case.fixed)} they hold together"
    name = ", ".join(case.problem.measured[position].rule.id for position in conflict)
    return [Cause(name, "exploration", None, len(np.unique(case.fixed[0])), contacts, None, sentence)]


def _smallest_conflict(case: _Case) -> list[int]:
    """Deletion filter: constraints with the least part in the proof go first, so that a short conflict is left."""
    kept = case.hard
    if _conflicting(case, kept):
        part = _parts(case)
        proven = [position for position in kept if part[position] > 0]
        kept = proven if proven and _conflicting(case, proven) else kept
        for position in sorted(kept, key=lambda position: part[position]):
            without = [other for other in kept if other != position]
            if _conflicting(case, without):
                kept = without
    return kept


def _parts(case: _Case) -> dict[int, float]:
    """How much of the proof each constraint is: its prices in units of value per typical contact."""
    parts = dict.fromkeys(case.hard, 0.0)
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
    bare = replace(problem, value_PA=np.zeros_like(problem.value_PA))
    users = free_users(bare, case.data, case.fixed)
    if count_pairs(users.data) > case.settings.exact_cells:
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
    bare = replace(case.problem, value_PA=np.zeros_like(case.problem.value_PA), rows=replace(rows, penalty_R=most_R))
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


def _repairs(case: _Case, conflict: list[int]) -> list[Repair]:
    """For each constraint of the conflict, the least change of its bound after which everything holds, checked by solving."""
    outside = [position for position in range(len(case.problem.measured)) if position not in conflict]
    without = _best_value(case, case.problem.with_measured([case.problem.measured[p] for p in outside]))
    found = [repair for position in conflict if (repair := _repair(case, position, without)) is not None]
    if not found and (joint := _joint_repair(case, conflict, without)) is not None:
        found = [joint]
    return sorted(found, key=lambda repair: repair.cost)[:MOST_REPAIRS]


def _joint_repair(case: _Case, conflict: list[int], without: float | None) -> Repair | None:
    """Where no single change will do: conflict after conflict, the constraint with the least to change gives way."""
    changes: dict[str, dict[str, float]] = {}
    sentences: list[str] = []
    for _ in range(MOST_CHANGES):
        position, side, step = _cheapest_step(case, conflict)
        bound = _moved(case.problem, position, side, step)
        sentences.append(_sentence(case, position, side, bound))
        changes.setdefault(case.problem.measured[position].rule.id, {})[side] = bound
        case = replace(case, problem=_with_bound(case.problem, position, side, bound))
        value = _best_value(case, case.problem)
        if value is not None:
            cost = 0.0 if without is None else max(without - value, 0.0)
            return Repair(changes, value, cost, f"{'; and '.join(sentences)} (gives up {cost:,.4g} of value)")
        case = replace(case, start_R=_violated(case, case.hard, case.hard).best.price_R)
        conflict = _smallest_conflict(case)
    return None


def _cheapest_step(case: _Case, conflict: list[int]) -> tuple[int, str, float]:
    """(constraint, side, step) of the conflict that needs the smallest step in typical contacts, and a hair more."""
    steps = []
    for position in conflict:
        side = _side_in_the_way(case, position)
        usage = float(case.scale.usage_R[case.problem.rows.constraint_R == position].max())
        step = _least_step(case, position, side, conflict)
        if step is not None:
            steps.append((step / usage, position, side, 1.01 * step))
    _, position, side, step = min(steps, default=(0.0, conflict[0], _side_in_the_way(case, conflict[0]), 0.0))
    return position, side, step


def _repair(case: _Case, position: int, without: float | None) -> Repair | None:
    """Moves the bound that is in the way outwards, or else the other one, until an integral allocation exists."""
    first = _side_in_the_way(case, position)
    other = "min" if first == "max" else "max"
    found = _repair_side(case, position, first, without)
    if found is None and getattr(case.problem.measured[position], _FIELD[other]) is not None:
        found = _repair_side(case, position, other, without)
    return found


def _repair_side(case: _Case, position: int, side: str, without: float | None) -> Repair | None:
    step = _least_step(case, position, side, case.hard)
    for widen in (1.0, 1.01, 1.1, 1.5, 3.0) if step is not None else ():
        bound = _moved(case.problem, position, side, step * widen)
        value = _best_value(case, _with_bound(case.problem, position, side, bound))
        if value is not None:
            cost = 0.0 if without is None else max(without - value, 0.0)
            sentence = f"{_sentence(case, position, side, bound)} (gives up {cost:,.4g} of value)"
            return Repair({case.problem.measured[position].rule.id: {side: bound}}, value, cost, sentence)
    return None


def _sentence(case: _Case, position: int, side: str, bound: float) -> str:
    old = getattr(case.problem.measured[position], _FIELD[side])
    verb = "Lower the minimum" if side == "min" else "Raise the maximum"
    return f"{verb} of {case.problem.measured[position].rule.name} from {old:,.6g} to {bound:,.6g}"


_FIELD = {"min": "low", "max": "high"}


def _side_in_the_way(case: _Case, position: int) -> str:
    rows = np.flatnonzero(case.problem.rows.constraint_R == position)
    row = max(rows, key=lambda r: case.start_R[r])
    return "max" if case.problem.rows.sign_R[row] > 0 else "min"


def _least_step(case: _Case, position: int, side: str, among: list[int]) -> float | None:
    """How far the bound must move for `among` to hold, by the least violation for volumes and totals, by bisection for ratios and
    where contacts in parts would need no step."""
    units = float(case.scale.usage_R[case.problem.rows.constraint_R == position].max())
    measured = case.problem.measured[position]
    in_parts = 0.0 if measured.denominator is not None else _least_violation(case, among, elastic=[position])
    if in_parts > FEASIBLE_VIOLATION:
        return in_parts * units
    old = abs(getattr(measured, _FIELD[side])) or units
    low, high = 0.0, max(0.01 * old, 1.0 if measured.whole else 0.0)
    while _still_conflicts(case, position, side, high, among):
        low, high = high, 2 * high
        if high > 1e4 * old:
            return None
    for _ in range(10):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _still_conflicts(case, position, side, middle, among) else (low, middle)
    return high


def _still_conflicts(case: _Case, position: int, side: str, step: float, among: list[int]) -> bool:
    bound = _moved(case.problem, position, side, step)
    eased = replace(case, problem=_with_bound(case.problem, position, side, bound))
    return _conflicting(eased, among)


def _moved(problem: Problem, position: int, side: str, step: float) -> float:
    """The bound moved outwards; a volume's to a whole number, a sum's by a hair more than the step."""
    measured = problem.measured[position]
    outwards = -1.0 if side == "min" else 1.0
    bound = getattr(measured, _FIELD[side]) + outwards * step
    if measured.whole:
        return float(np.floor(bound + 1e-6) if side == "min" else np.ceil(bound - 1e-6))
    return bound + outwards * 1e-6 * max(step, abs(bound))


def _with_bound(problem: Problem, position: int, side: str, bound: float) -> Problem:
    measured = list(problem.measured)
    measured[position] = replace(measured[position], **{_FIELD[side]: bound})
    return problem.with_measured(measured)


def _best_value(case: _Case, problem: Problem) -> float | None:
    """What the best integral allocation is worth, to a tenth of a per cent; None where there is none."""
    rough = case.settings.model_copy(update={"gap": 1e-3})
    users = free_users(problem, case.data, case.fixed)
    try:
        return value_of(users, solve(problem, case.data, case.fixed, rough).slate_UK)
    except Unsolvable:
        return None


def _bounds(case: _Case, position: int) -> str:
    measured = case.problem.measured[position]
    low = "" if measured.low is None else f"at least {measured.low:,.6g}"
    high = "" if measured.high is None else f"at most {measured.high:,.6g}"
    return ", ".join(words for words in (low, high) if words)
