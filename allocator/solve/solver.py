"""Chooses the way: small problems whole, all others by prices; the exploration users' contacts are fixed before either.

Axes: U users, R rows, N contacts.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from allocator.problem import Problem, one_sided
from allocator.solve.alike import Alike, find_alike, spread
from allocator.solve.by_prices import (
    CORE_GROWTH,
    Decided,
    Tell,
    Trace,
    decide,
    first_core,
    price,
    step_of_values,
    whole_steps,
)
from allocator.solve.dual import DualEvaluation, Users, contact_usage, evaluate_dual, value_of
from allocator.solve.exact import count_pairs, refuse_if_large, solve_exact
from allocator.solve.greedy import MOST_USERS, greedy
from allocator.solve.prices import Scale, find_prices, measure_scale, sample_users
from allocator.solve.prune import prune
from allocator.solve.settings import SolveSettings
from allocator.solve.solution import Solution, Status, TooLarge, Unsolvable, not_below, relative_gap
from allocator.solve.untie import Untied, ties, untie
from allocator.tally import reached_by_class
from allocator.users import FREE, Data, UserActions

SPECK = 1e-9


def solve(
    problem: Problem,
    data: Data,
    fixed: UserActions,
    settings: SolveSettings,
    start: Mapping[tuple[str, str], float] | None = None,
    tell: Tell = lambda sentence, users=0: None,
) -> Solution:
    """Integral slates for the free users that keep every hard constraint, and prices that prove how good they are.

    fixed: (user position, action) of preassigned contacts, which use up their part of every bound. start: prices to begin
    with, by constraint id and side. tell: is told what happens, and over how many users the dual was evaluated. Raises Unsolvable,
    TooLarge, and InputError where there is no such device.
    """
    if settings.device != "cpu":
        from allocator.solve import device  # brings torch, which is slow to import and seldom needed

        device.check(settings.device)
    if settings.threads:
        most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]  # numba sets its options by name
        numba.set_num_threads(min(settings.threads, most))
    with threadpool_limits(1):  # sums inside the linear algebra library must not depend on its threads
        users = free_users(problem, data, fixed)
        solution = _solve(replace(users, device=settings.device), settings, start, tell)
        slate_UK, whole_bound = prune(users, solution.slate_UK), solution.whole_bound
        if np.isfinite(whole_bound):
            value = value_of(users, slate_UK)
            whole_bound = not_below(whole_bound, value, max(abs(value), abs(solution.dual)))
        return replace(solution, slate_UK=slate_UK, whole_bound=whole_bound)


def _solve(
    users: Users, settings: SolveSettings, start: Mapping[tuple[str, str], float] | None, tell: Tell
) -> Solution:
    scale = measure_scale(users, np.random.default_rng(settings.seed))
    trace = Trace(len(users.data), tell=tell)
    alike = None if settings.method == "exact" else find_alike(users)
    whole = None
    if alike is None and _exact(users, settings):
        try:
            whole = _solve_whole(users, scale, settings, trace)
        except TooLarge:
            if settings.method == "exact":
                raise
    if whole is not None and (settings.method == "exact" or whole.status is Status.OPTIMAL):
        return whole
    try:
        priced = _solve_by_prices(users, alike, scale, start_prices(users.problem, start), settings, trace)
    except Unsolvable as unsolvable:
        if whole is None or unsolvable.proven:
            raise
        return whole
    return priced if whole is None else _better(users, whole, priced, settings)


def _better(users: Users, whole: Solution, priced: Solution, settings: SolveSettings) -> Solution:
    """The more valuable of two solutions of the same users, with the lowest bounds of both."""
    value, other = value_of(users, whole.slate_UK), value_of(users, priced.slate_UK)
    best = whole if value > other else priced
    proof = min(whole, priced, key=lambda solution: solution.dual)
    bound = min(whole.whole_bound, priced.whole_bound)
    gap = relative_gap(max(value, other), min(proof.dual, bound))
    return replace(
        best,
        status=Status.OPTIMAL if gap <= settings.gap else Status.FEASIBLE,
        price_R=proof.price_R,
        dual=proof.dual,
        whole_bound=bound,
    )


def _solve_by_prices(
    everyone: Users, alike: Alike | None, scale: Scale, start_R: np.ndarray, settings: SolveSettings, trace: Trace
) -> Solution:
    """Price, fix, core, certify; users who are alike as one who stands for many."""
    started = time.perf_counter()
    users = everyone if alike is None else alike.one_for_many(everyone)
    if alike is not None:
        trace = replace(trace, users=users.people)
        trace.tell(f"{users.people:,} users are of {len(users.data):,} kinds")
    floor = cache(lambda: worst_value(users))  # seldom needed, and it costs a dual evaluation
    evaluated = price(users, start_R, scale, settings, floor, trace)
    untied = _untied(users, evaluated, scale, settings, trace)
    priced_after = time.perf_counter() - started
    decided = decide(untied.users, untied.evaluated, scale, settings, trace)
    if alike is not None:
        decided = replace(decided, slate_UK=spread(alike, everyone.data, decided.slate_UK, decided.counts))
    if untied.users is not users:
        value = value_of(everyone, decided.slate_UK)
        proof = evaluate_dual(users, decided.proof.price_R)
        whole = whole_steps(proof.dual, step_of_values(users))
        decided = replace(decided, value=value, proof=proof, whole_bound=whole)
    seconds = {"price": priced_after, "decide": time.perf_counter() - started - priced_after}
    return _solution(users, scale, decided, settings, trace, seconds)


def _untied(users: Users, evaluated: DualEvaluation, scale: Scale, settings: SolveSettings, trace: Trace) -> Untied:
    """The users told apart where more of them tie than a first core can hold, and not everybody soon is in the core."""
    tied, everybody = ties(evaluated, scale), len(users.data)
    if tied <= first_core(everybody, settings) or everybody <= CORE_GROWTH * settings.core_users or users.data.mapped:
        return Untied(users, evaluated)
    trace.tell(f"{tied:,} users are indifferent: a little noise tells them apart")
    return untie(users, evaluated, scale, settings, trace.step)


def _solution(
    users: Users, scale: Scale, decided: Decided, settings: SolveSettings, trace: Trace, seconds: Mapping[str, float]
) -> Solution:
    proof = _one_sided(users, scale, decided.proof)
    return Solution(
        status=Status.OPTIMAL if decided.gap <= settings.gap else Status.FEASIBLE,
        slate_UK=decided.slate_UK,
        price_R=proof.price_R,
        dual=proof.dual,
        steps=tuple(trace.steps),
        seconds=seconds,
        whole_bound=decided.whole_bound,
    )


def compare_with_greedy(users: Users, exploration_value: float) -> dict[str, object]:
    """What taking the best contacts first would be worth under the same maxima, and whether that keeps every constraint.

    Beyond MOST_USERS it is estimated from a stratified sample with its share of every bound.
    """
    generator = np.random.default_rng(0)
    judged, times = users, 1.0
    if len(users.data) > MOST_USERS:
        sample = sample_users(users, MOST_USERS, generator)
        times = len(users.data) / len(sample.data)
        judged = replace(sample, weight_S=np.ones_like(users.weight_S), limit_R=users.limit_R / times)
    taken = greedy(judged, measure_scale(judged, generator))
    value = value_of(judged, taken.slate_UK) * times + exploration_value
    return {"value": value, "feasible": taken.feasible, "users": len(judged.data)}


def free_users(problem: Problem, data: Data, fixed: UserActions) -> Users:
    """The users to decide about, with what the fixed contacts, sorted by user, leave of every bound."""
    classes, rows = len(problem.classes), problem.rows
    everyone = Users.of(problem, data)
    user_N, action_N = fixed
    used_R = contact_usage(everyone, user_N, action_N.reshape(-1, 1)).sum(axis=0)
    kept_S = data.kept_by_class(user_N, action_N, data.group_U != FREE, classes)
    used_R += rows.keep_R * (rows.member_RS @ kept_S)
    used_R += rows.users_usage(reached_by_class(rows.reach_BA, data.class_U, user_N, action_N, classes))
    return replace(everyone, limit_R=rows.limit_R - used_R)


def _one_sided(users: Users, scale: Scale, proof: DualEvaluation) -> DualEvaluation:
    """The same proof with a price on at most one side of each constraint, as certificates state it, and no specks of prices."""
    price_R = one_sided(users.problem, proof.price_R)
    price_R = np.where(price_R > SPECK * scale.price_R, price_R, 0.0)
    return proof if (price_R == proof.price_R).all() else evaluate_dual(users, price_R)


def _exact(users: Users, settings: SolveSettings) -> bool:
    if settings.method == "exact":
        refuse_if_large(users, settings)
        return True
    return settings.method == "auto" and count_pairs(users.data) <= settings.exact_cells


def start_prices(problem: Problem, start: Mapping[tuple[str, str], float] | None) -> np.ndarray:
    """[R]: prices, by constraint id and side, of an earlier run for the rows that it had too."""
    rows = problem.rows
    sides = [
        (problem.measured[constraint].rule.id, "max" if sign > 0 else "min")
        for constraint, sign in zip(rows.constraint_R, rows.sign_R, strict=True)
    ]
    return np.array([(start or {}).get(side, 0.0) for side in sides])


def _solve_whole(users: Users, scale: Scale, settings: SolveSettings, trace: Trace) -> Solution:
    """The integer programme, and prices improved from those of its relaxation."""
    started = time.perf_counter()
    exact = solve_exact(users, settings, scale.usage_R)
    decided_after = time.perf_counter() - started
    found = find_prices(
        users,
        exact.price_R,
        scale,
        1e-9,
        settings.most_passes,
        np.random.default_rng(settings.seed),
        0.1,
        cache(lambda: worst_value(users)),
        trace.steps.append,
    )
    trace.tell(f"solved whole, {int((exact.slate_UK >= 0).sum()):,} contacts")
    decided = Decided(exact.slate_UK, value_of(users, exact.slate_UK), found.best, whole_bound=exact.bound)
    priced = time.perf_counter() - started - decided_after
    return _solution(users, scale, decided, settings, trace, {"price": priced, "decide": decided_after})


def worst_value(users: Users) -> float:
    """No allocation is worth less: every slot's worst contact for every user, and every soft row broken as far as can be.

    A dual value below it proves that the hard constraints contradict each other (weak duality).
    """
    problem, data, slot_A = users.problem, users.data, users.problem.contact.slot_A
    penalty_R = problem.rows.penalty_R
    soft = np.flatnonzero(np.isfinite(penalty_R))
    worst, most_R = 0.0, np.zeros(len(soft))
    for first in range(0, len(data), 65_536):
        part = slice(first, first + 65_536)
        allowed_UA = data.eligible_UA[part] & (data.group_U[part] == FREE)[:, None]
        planes_UPA = data.planes_UPA[part]
        value_UA = problem.worth_of_all(planes_UPA)
        worst += _by_slot(np.where(allowed_UA, -value_UA, 0.0), slot_A, users.many(part))
        data.release()
        for position, row in enumerate(soft):
            used_UA = problem.rows.const_RA[row] + np.einsum("upa,pa->ua", planes_UPA, problem.rows.plane_RPA[row])
            used_UA = used_UA * problem.rows.member_RS[row, data.class_U[part]][:, None]
            most_R[position] += _by_slot(np.where(allowed_UA, used_UA, 0.0), slot_A, users.many(part))
            most_R[position] += _by_reach(problem, row, data.class_U[part], allowed_UA) @ users.many(part)
    broken_R = np.maximum(most_R - users.limit_R[soft], 0.0)
    return -(worst * (1 + 1e-9) + float(penalty_R[soft] @ broken_R)) - 1e-9


def _by_reach(problem: Problem, row: np.integer, class_U: np.ndarray, allowed_UA: np.ndarray) -> np.ndarray:
    """float64[U]: what each of these users uses of the row at most by being reached."""
    rows = problem.rows
    used_U = (np.asarray(allowed_UA, np.float32) @ rows.reach_BA.T > 0) @ np.maximum(rows.reach_RB[row], 0.0)
    return np.asarray(used_U * rows.member_RS[row, class_U])


def _by_slot(amount_UA: np.ndarray, slot_A: np.ndarray, many_U: np.ndarray) -> float:
    """The sum over users and slots of the largest positive amount."""
    largest = [
        many_U @ np.maximum(amount_UA[:, slot_A == slot], 0.0).max(axis=1) for slot in range(int(slot_A.max()) + 1)
    ]
    return float(sum(largest))
