"""Linear and integer programmes as arrays, handed whole to OR-Tools.

minimise cost_V . x  subject to  low_M <= matrix_MV x <= high_M,  lower_V <= x <= upper_V,  x_v integer where integer_V.

GLOP solves the linear ones: a vertex method, whose primal keeps the rows and whose dual values are right (those of HiGHS are not, in
this interface). Its presolve is left out at first: on these programmes it costs several times what it saves, and on some GLOP then
gives up where without it the answer comes in milliseconds. SCIP solves the integer ones.

Axes: V variables of a programme, M rows of a programme.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from heapq import heappop, heappush
from itertools import count

import numpy as np
from ortools.linear_solver.python import model_builder_helper as builder
from scipy import sparse

INTEGRAL = 1e-6
LARGEST = 1e3
"""The size that the largest cost is brought to where it is more than FAR times larger or smaller."""
FAR = 1e3


class SolveOutcome(Enum):
    """Why a solver stopped, apart from what it found."""

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Programme:
    """A minimisation; position v is variable v in every array."""

    cost_V: np.ndarray
    lower_V: np.ndarray
    upper_V: np.ndarray
    matrix_MV: sparse.csr_matrix
    low_M: np.ndarray
    high_M: np.ndarray
    integer_V: np.ndarray | None = None

    @property
    def whole(self) -> np.ndarray:
        """Positions of the variables that must be whole."""
        return np.empty(0, np.int64) if self.integer_V is None else np.flatnonzero(self.integer_V)


@dataclass(frozen=True)
class Answer:
    """outcome says whether x_V may be used. dual_M: of a linear programme alone; <= 0 where an upper side binds.

    bound: no solution costs less; -inf where nothing was proven.
    """

    outcome: SolveOutcome
    cost: float
    x_V: np.ndarray
    dual_M: np.ndarray
    bound: float = -np.inf

    @property
    def usable(self) -> bool:
        return self.outcome in (SolveOutcome.OPTIMAL, SolveOutcome.FEASIBLE)


_OUTCOMES = {
    builder.SolveStatus.OPTIMAL: SolveOutcome.OPTIMAL,
    builder.SolveStatus.FEASIBLE: SolveOutcome.FEASIBLE,
    builder.SolveStatus.INFEASIBLE: SolveOutcome.INFEASIBLE,
}


_NOTHING = Answer(SolveOutcome.UNKNOWN, np.nan, np.empty(0), np.empty(0))
_PRIMAL_WAYS = ("use_preprocessing: false", "", "use_preprocessing: false use_scaling: false")
_DUAL_WAYS = ("use_dual_simplex: true use_preprocessing: false", "use_dual_simplex: true", *_PRIMAL_WAYS)


def solve_linear(programme: Programme, seconds: float) -> Answer:
    """The optimum at a vertex, by GLOP; where it gives up without an answer, by another way of GLOP, as long as there is time."""
    until = time.monotonic() + seconds
    answer = _NOTHING
    for way in _DUAL_WAYS if _dual_start(programme) else _PRIMAL_WAYS:
        left = until - time.monotonic()
        if left <= 0:
            break
        answer = _solve("glop", programme, left, way)
        if answer.outcome is not SolveOutcome.UNKNOWN:
            break
    return answer


def solve_integer(
    programme: Programme, seconds: float, nodes: int, absolute_gap: float, *, cuts: bool = True
) -> Answer:
    """An integral point whose cost is within absolute_gap of the best, by SCIP, or the best found within the limits.

    cuts: whether to tighten the relaxation, which proves more but finds the first points later.
    """
    settings = [
        f"limits/absgap = {absolute_gap / _unit(programme.cost_V)!r}",
        "limits/gap = 0.0",
        f"limits/totalnodes = {nodes}",
        "numerics/feastol = 1e-9",
    ]
    if not cuts:
        settings += ["separating/maxrounds = 0", "separating/maxroundsroot = 0"]
    return _solve("scip", programme, seconds, "\n".join(settings))


def solve_few_integers(programme: Programme, seconds: float, nodes: int, absolute_gap: float) -> Answer:
    """Branch and bound, best bound first, where only a handful of many variables must be whole: every node is a vertex of GLOP.

    The answer's bound holds also where the nodes or the seconds ran out.
    """
    until, tick, whole = time.monotonic() + seconds, count(), programme.whole
    best = replace(_NOTHING, outcome=SolveOutcome.INFEASIBLE)
    open_nodes: list[tuple[float, int, Answer, np.ndarray, np.ndarray]] = []

    def visit(lower_V: np.ndarray, upper_V: np.ndarray) -> bool:
        relaxed = replace(programme, lower_V=lower_V, upper_V=upper_V, integer_V=None)
        answer = solve_linear(relaxed, max(until - time.monotonic(), 0.0))
        if answer.usable:
            heappush(open_nodes, (answer.cost, next(tick), answer, lower_V, upper_V))
        return answer.usable or answer.outcome is SolveOutcome.INFEASIBLE

    sure = visit(programme.lower_V, programme.upper_V)
    bound = -np.inf
    for _ in range(nodes):
        bound = min(open_nodes[0][0], best.cost) if open_nodes else best.cost
        if not open_nodes or (best.usable and best.cost - bound <= absolute_gap) or time.monotonic() > until:
            break
        _, _, answer, lower_V, upper_V = heappop(open_nodes)
        apart = np.abs(answer.x_V[whole] - np.rint(answer.x_V[whole]))
        if apart.max(initial=0.0) <= INTEGRAL:
            best = answer if not best.usable or answer.cost < best.cost else best
            continue
        variable = whole[np.argmax(apart)]
        down_V, up_V = upper_V.copy(), lower_V.copy()
        down_V[variable], up_V[variable] = np.floor(answer.x_V[variable]), np.ceil(answer.x_V[variable])
        sure = visit(lower_V, down_V) and visit(up_V, upper_V) and sure
    if not best.usable:
        return best if sure and not open_nodes else _NOTHING
    done = not open_nodes or best.cost - bound <= absolute_gap
    return replace(
        best, outcome=SolveOutcome.OPTIMAL if done else SolveOutcome.FEASIBLE, bound=bound if sure else -np.inf
    )


def _dual_start(programme: Programme) -> bool:
    return bool((programme.cost_V >= 0).all())


def _solve(name: str, programme: Programme, seconds: float, settings: str) -> Answer:
    unit = _unit(programme.cost_V)
    model = builder.ModelBuilderHelper()
    fill: Callable[..., None] = model.fill_model_from_sparse_data  # its types of arrays are not numpy's
    fill(
        programme.lower_V.astype(float),
        programme.upper_V.astype(float),
        programme.cost_V.astype(float) / unit,
        programme.low_M.astype(float),
        programme.high_M.astype(float),
        sparse.csr_matrix(programme.matrix_MV, dtype=float),
    )
    for variable in programme.whole:
        model.set_var_integrality(int(variable), True)
    solver = builder.ModelSolverHelper(name)
    solver.set_time_limit_in_seconds(seconds)
    if settings:
        solver.set_solver_specific_parameters(settings)
    solver.solve(model)
    outcome = _OUTCOMES.get(solver.status(), SolveOutcome.UNKNOWN) if solver.has_response() else SolveOutcome.UNKNOWN
    if not (outcome in (SolveOutcome.OPTIMAL, SolveOutcome.FEASIBLE) and solver.has_solution()):
        unknown = outcome if outcome is SolveOutcome.INFEASIBLE else SolveOutcome.UNKNOWN
        return Answer(unknown, np.nan, np.empty(0), np.empty(0))
    dual_M = np.array(solver.dual_values()) * unit if programme.integer_V is None else np.empty(0)
    cost, bound = float(solver.objective_value()) * unit, float(solver.best_objective_bound()) * unit
    return Answer(outcome, cost, np.array(solver.variable_values()), dual_M, bound)


def _unit(cost_V: np.ndarray) -> float:
    """A power of two that costs are divided by where they are far from one: solvers measure with fixed tolerances."""
    largest = float(np.abs(cost_V).max(initial=0.0))
    return 2.0 ** round(math.log2(largest / LARGEST)) if largest > FAR * LARGEST or 0 < largest < LARGEST / FAR else 1.0
