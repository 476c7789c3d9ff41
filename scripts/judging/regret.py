"""How far from the best the learned policy is: every policy allocates under the same rules and is judged by what is truly expected.

Every policy gives to the same free users (neither held out nor exploring). Soft rules' penalties are left out.
Axes: U users, P planes, A actions.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import numpy as np

from allocator.assign.preassigned import preassign
from allocator.policy.grammar import Policy
from allocator.policy.reader import policy_for
from allocator.problem import Problem, build_problem
from allocator.solve.solution import TooLarge
from allocator.users import FREE, Data, load_data
from ranker.catalogue import Catalogue, Interference
from ranker.files import InputError
from ranker.market.answers import DAYS
from ranker.market.truth import MONTH, MarketTruth
from ranker.normal import Z95
from ranker.scores import Scores, open_scores
from scripts.cli import entry
from scripts.cli.settings import RegretSettings
from scripts.formats.document import Interval
from scripts.formats.regret import Cannibalised, PolicyRegret, Regret, Told, Unsolved, Untold
from scripts.judging import reference_policies
from scripts.judging.judged import JudgedOnTruth, judge_one
from scripts.judging.reference_policies import LEARNED, ORACLE
from scripts.judging.truth import Truth, read_truth

GAP = 1e-3
"""Policies differ by percents, so the solver may stop at a tenth of one."""
Further = Callable[[Problem, Data], Iterable[reference_policies.ReferencePolicy]]


def judge(settings: RegretSettings, further: Further = lambda problem, data: (), more: int = 0) -> Regret:
    """Allocates every policy and judges it. further: more references than `reference_policies` has, from the week's problem and data."""
    scores = open_scores(settings.paths.scores)
    problem = build_problem(scores, _policy(settings, scores))
    data, preassigned = preassign(problem, load_data(problem, scores))
    truth = read_truth(settings.paths.market, problem, data)
    fixed = preassigned.fixed
    solve = settings.solve.model_copy(update={"gap": max(settings.solve.gap, GAP)})
    judged, failed = [], []
    with entry.progress("Judging on the truth", total=6 + more) as advance:
        for reference in chain(
            reference_policies.references(problem, data, truth.given, settings.seed), further(problem, data)
        ):
            try:
                chosen = reference_policies.choose(reference, fixed, solve)
            except TooLarge as error:
                raise InputError([f"{settings.paths.scores}: {error}"]) from None
            if chosen is None:
                failed.append(reference.name)
            else:
                judged.append(judge_one(problem, data, truth, chosen, fixed, reference))
            advance(note=reference.name)
    judged.append(judge_one(problem, data, truth, reference_policies.as_logged(data, truth.chance_UA), fixed, None))
    return summary(problem, data, truth, judged, failed)


def _policy(settings: RegretSettings, scores: Scores) -> Policy:
    """The week's policy without what compares with an earlier allocation, which would favour whoever chose that one."""
    read = policy_for(settings.paths.policy, settings.set, scores, previous=True)
    return read.without_comparisons().active(scores.catalogue.as_of)


def summary(
    problem: Problem, data: Data, truth: Truth, judged: Sequence[JudgedOnTruth], failed: Sequence[str]
) -> Regret:
    """What regret.json holds. Without an oracle there are no shares, so `policies` is empty and `unsolved` says why."""
    free_U = data.group_U == FREE
    by_name = {each.name: each for each in judged}
    oracle, learned = by_name.get(ORACLE), by_name.get(LEARNED)
    ranked = sorted(judged, key=lambda each: -each.value) if oracle is not None else []
    return Regret(
        unit="value of the objective, true expectation, all free users, one week",
        users=int(free_U.sum()),
        errors="standard errors over users, for these logs, this model and these prices; not over other logs",
        cannibalisation=Cannibalised(products=tuple(truth.world.pair), factor=truth.world.factor),
        interference=tuple(interference(problem.catalogue, truth.world)),
        policies=tuple(_entry(each, oracle, learned, free_U) for each in ranked if oracle is not None),
        unsolved=tuple(Unsolved(**each) for each in reference_policies.unsolved(failed)),
    )


def interference(scores: Catalogue, world: MarketTruth) -> list[Told | Untold]:
    """What contacts take from each other, as the scores say next to the truth: fatigue, the true pair, pairs that are none."""
    known = scores.interference or Interference(0, None, ())
    said = {(tuple(pair.where.items()), tuple(pair.beside.items())): pair.effect for pair in known.pairs}
    true = {}
    for product, other in (world.pair, world.pair[::-1]):
        true[(("product", product),), (("product", other),)] = world.factor
    days = f"each contact of the {known.days or MONTH * DAYS} days before"
    rows = [("any", days, known.fatigue, 1 - world.settings.fatigue)]
    for sides in dict.fromkeys([*true, *said]):
        words = [", ".join(str(value) for _, value in side) for side in sides]
        rows.append((*words, said.get(sides), true.get(sides, 1.0)))
    return [
        Untold(where=where, beside=beside, true=factor)
        if kept is None
        else Told(where=where, beside=beside, true=factor, **kept.to_json())
        for where, beside, kept, factor in rows
    ]


def _entry(
    each: JudgedOnTruth, oracle: JudgedOnTruth, learned: JudgedOnTruth | None, free_U: np.ndarray
) -> PolicyRegret:
    value, stderr = total(each.worth_U[free_U])
    best, _ = total(oracle.worth_U[free_U])
    regret, regret_stderr = total((oracle.worth_U - each.worth_U)[free_U])
    return PolicyRegret(
        policy=each.name,
        about=each.about,
        value=value,
        stderr=stderr,
        share_of_oracle=value / best if best else 0.0,
        regret=regret,
        regret_stderr=regret_stderr,
        learned_minus_this=None if learned is None else difference(learned.worth_U[free_U], each.worth_U[free_U]),
        value_believed=each.believed,
        value_without_cannibalisation=each.alone,
        contacts=each.contacts,
        users_with_both_products=each.with_both,
        constraints=each.constraints,
        violations=tuple(kept.id for kept in each.constraints if kept.broken is not None),
    )


def total(worth_U: np.ndarray) -> tuple[float, float]:
    """The sum over users and its standard error, users drawn independently from many: sqrt(U) times their deviation."""
    spread = float(worth_U.std(ddof=1)) if len(worth_U) > 1 else 0.0
    return float(worth_U.sum()), math.sqrt(len(worth_U)) * spread


def difference(ours_U: np.ndarray, theirs_U: np.ndarray) -> Interval:
    """Ours minus theirs, paired by user, with its 95 % interval."""
    value, stderr = total(ours_U - theirs_U)
    return Interval(value=value, stderr=stderr, low=value - Z95 * stderr, high=value + Z95 * stderr)
