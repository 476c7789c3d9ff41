"""How far from the best the learned policy is, on a synthetic market's truth.

`python -m scripts.regret market=DIR scores=DIR policy=FILE out=DIR`

Every policy gives to the same free users (neither held out nor exploring) under the same rules; all are judged by what is truly
expected of their contacts, hidden traits included, effects of a slate's contacts added up, and what two products take from each other
taken off. Soft rules' penalties are left out. Axes: U users, P planes, A actions, N contacts.
"""

import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from allocator.assign.preassigned import give
from allocator.policy.grammar import Policy
from allocator.policy.reader import read_policy
from allocator.problem import FREE, Data, Linear, Measured, Problem, build_problem, load_data
from allocator.solve.solution import TooLarge
from ranker.market.answers import DAYS
from ranker.market.truth import MONTH, World, left_beside, logging_chances, read_users, read_world, spoiled_before
from ranker.scores import Catalogue, InputError, Interference, Scores, open_scores
from scripts.cli import entry
from scripts.cli.settings import RegretSettings
from scripts.judging import reference_policies
from scripts.judging.reference_policies import LEARNED, LOGGING, ORACLE, Chosen
from scripts.runs import stage

log = logging.getLogger("offermix.regret")

GAP = 1e-3
"""Policies differ by percents, so the solver may stop at a tenth of one."""
WITHIN_95 = 1.959964
SLIGHT = 1e-9


@dataclass(frozen=True)
class Truth:
    """What the judge knows, in the order of the scores' users. given: name -> [U, P, A]; the rest as in ranker.market.truth."""

    world: World
    given: Mapping[str, np.ndarray]
    spoiled_UA: np.ndarray
    chance_UA: np.ndarray


@dataclass(frozen=True)
class Kept:
    """A constraint under one policy: as the policy believed and as it truly is. broken: the side that truth breaks, or None."""

    id: str
    min: float | None
    max: float | None
    believed: float | None
    true: float | None
    broken: str | None


@dataclass(frozen=True)
class Judged:
    """One policy on the truth. worth_U: true value per user, 0 for users who are not free. alone: without cannibalisation."""

    name: str
    about: str
    worth_U: np.ndarray
    believed: float | None
    alone: float
    contacts: float
    with_both: int
    constraints: tuple[Kept, ...]

    @property
    def value(self) -> float:
        return float(self.worth_U.sum())


def run(settings: RegretSettings) -> dict:
    """Writes regret.json into `out` and returns what is in it."""
    paths = settings.paths
    market = [paths.market / part for part in ("truth", "users")]
    _must_be_there(market)
    config = {"seed": settings.seed, "solve": settings.solve, "set": settings.set}
    with stage.write(paths.out, "regret", [*market, paths.scores, paths.policy], config) as made:
        table = judge(settings)
        (made / "regret.json").write_text(json.dumps(table, indent=1, allow_nan=False) + "\n")
    return table


def _must_be_there(folders: Sequence[Path]) -> None:
    """Checked first, since what is missing here is the one thing that real tables can never have."""
    missing = [path for path in folders if not path.is_dir()]
    if missing:
        why = "there is no such folder; only a market that was written with its truth can judge"
        raise InputError([f"{path}: {why}" for path in missing])


Further = Callable[[Problem, Data], Iterable[reference_policies.Rival]]


def judge(settings: RegretSettings, further: Further = lambda problem, data: (), more: int = 0) -> dict:
    """Allocates every policy and judges it. further: so many rivals beyond those of `rivals.rivals`, from the week's problem and data."""
    scores = open_scores(settings.paths.scores)
    problem = build_problem(scores, _policy(settings, scores))
    data, given = give(problem, load_data(problem, scores))
    truth = read_truth(settings.paths.market, problem, data)
    fixed = given.fixed
    solve = settings.solve.model_copy(update={"gap": max(settings.solve.gap, GAP)})
    judged, failed = [], []
    with entry.progress("Judging on the truth", total=6 + more) as advance:
        for rival in chain(
            reference_policies.rivals(problem, data, truth.given, settings.seed), further(problem, data)
        ):
            try:
                chosen = reference_policies.choose(rival, fixed, solve)
            except TooLarge as error:
                raise InputError([f"{settings.paths.scores}: {error}"]) from None
            if chosen is None:
                failed.append(rival.name)
            else:
                judged.append(judge_one(problem, data, truth, chosen, fixed, rival))
            advance(note=rival.name)
    judged.append(judge_one(problem, data, truth, reference_policies.as_logged(data, truth.chance_UA), fixed, None))
    return summary(problem, data, truth, judged, failed)


def _policy(settings: RegretSettings, scores: Scores) -> Policy:
    """The week's policy without what compares with an earlier allocation, which would favour whoever chose that one."""
    segments = {name: frozenset(values) for name, values in scores.vocabulary.items()}
    read = read_policy(settings.paths.policy, settings.set, scores.catalogue, segments, previous=True)
    return read.without_comparisons().active(scores.catalogue.as_of)


def read_truth(market: Path, problem: Problem, data: Data) -> Truth:
    """The market's truth about the users of the scores; InputError where it is about others, or about other offers or metrics."""
    world = read_world(market)
    users = read_users(world)
    problems = []
    if world.catalogue.ids != problem.catalogue.ids:
        problems.append(f"{market}: has other actions than the scores")
    order_U = pd.Index(users["user_id"].astype(str)).get_indexer(data.user_id.astype(str))
    if (order_U < 0).any():
        problems.append(f"{market}: lacks {int((order_U < 0).sum()):,} of the {len(data):,} users of the scores")
    if problems:
        raise InputError(problems)
    users = users.iloc[order_U].reset_index(drop=True)
    given = {
        name: _planes(open_scores(market / "truth" / name), problem, data) for name in ("given_observed", "given_all")
    }
    return Truth(world, given, spoiled_before(world, users), logging_chances(world, users))


def _planes(true: Scores, problem: Problem, data: Data) -> np.ndarray:
    """float32[U, P, A]: the truth in place of the scores' planes; it has no standard errors."""
    lacking = {metric for _, metric in problem.planes} - {metric.name for metric in true.catalogue.metrics}
    if lacking:
        raise InputError([f"{true.path}: does not know the metric {name}" for name in sorted(lacking)])
    ids, means = [], {metric: [] for _, metric in problem.planes}
    for shard in true.shards(metrics=list(means)):
        ids.append(shard.user_id.to_numpy(zero_copy_only=False))
        for metric, parts in means.items():
            parts.append(shard.mean[metric])
    order_U = pd.Index(np.concatenate(ids).astype(str)).get_indexer(data.user_id.astype(str))
    if (order_U < 0).any():
        raise InputError([f"{true.path}: lacks {int((order_U < 0).sum()):,} of the {len(data):,} users of the scores"])
    planes_UPA = np.zeros((len(data), len(problem.planes), len(problem.catalogue.actions)), np.float32)
    for position, (kind, metric) in enumerate(problem.planes):
        if kind == "mean":
            planes_UPA[:, position] = np.concatenate(means[metric])[order_U]
    return planes_UPA


def judge_one(
    problem: Problem,
    data: Data,
    truth: Truth,
    chosen: Chosen,
    fixed: tuple[np.ndarray, np.ndarray],
    rival: reference_policies.Rival | None,
) -> Judged:
    """True value per user, and every constraint as believed and in truth, with the contacts of exploration. rival: None for logging."""
    user_N, action_N, chance_N = chosen.user_N, chosen.action_N, chosen.chance_N
    true_NP = truth.given["given_all"][user_N, :, action_N].astype(np.float64)
    left_N = np.ones(len(user_N))
    if rival is not None:  # the logging policy shows one action at most
        left_N = left_beside(truth.world, truth.spoiled_UA, user_N, action_N)
    alone_N = chance_N * problem.worth(action_N, true_NP)
    always_N = chance_N * problem.value_A[action_N]  # what a contact itself costs, whatever stands beside it
    everyone = tuple(np.concatenate([mine, extra]) for mine, extra in zip((user_N, action_N), fixed, strict=True))
    weight_N = np.concatenate([chance_N, np.ones(len(fixed[0]))])
    all_true_NP = truth.given["given_all"][everyone[0], :, everyone[1]] * 1.0
    all_true_NP[: len(user_N)] *= left_N[:, None]
    believed_NP, believed = None, None
    if rival is not None:
        width = len(problem.planes)
        believed_NP = rival.data.planes_UPA[everyone[0], :width, everyone[1]] * 1.0
        mine_NP = believed_NP[: len(user_N)]
        believed = None if rival.name == reference_policies.RANDOM else float(problem.worth(action_N, mine_NP).sum())
    return Judged(
        name=LOGGING if rival is None else rival.name,
        about="one action or none by the market's old habits; obeys no rule of the week"
        if rival is None
        else rival.about,
        worth_U=np.bincount(user_N, alone_N * left_N + always_N * (1 - left_N), len(data)),
        believed=believed,
        alone=float(alone_N.sum()),
        contacts=float(chance_N.sum()),
        with_both=len(np.unique(user_N[left_N < 1])),
        constraints=tuple(
            _kept(each, data.class_U[everyone[0]], everyone[1], weight_N, believed_NP, all_true_NP)
            for each in problem.measured
        ),
    )


def _kept(
    each: Measured,
    class_N: np.ndarray,
    action_N: np.ndarray,
    weight_N: np.ndarray,
    believed_NP: np.ndarray | None,
    true_NP: np.ndarray,
) -> Kept:
    believed = None if believed_NP is None else _achieved(each, class_N, action_N, weight_N, believed_NP)
    true = _achieved(each, class_N, action_N, weight_N, true_NP)
    return Kept(each.rule.id, each.low, each.high, believed, true, _broken(each, true) if each.enforced else None)


def _achieved(
    each: Measured, class_N: np.ndarray, action_N: np.ndarray, weight_N: np.ndarray, planes_NP: np.ndarray
) -> float | None:
    """The sum, or the ratio of two, in the constraint's unit; None where nothing is in scope."""
    numerator = _total(each.numerator, class_N, action_N, weight_N, planes_NP)
    if each.denominator is None:
        return numerator
    denominator = _total(each.denominator, class_N, action_N, weight_N, planes_NP)
    return numerator / denominator if denominator else None


def _total(
    linear: Linear, class_N: np.ndarray, action_N: np.ndarray, weight_N: np.ndarray, planes_NP: np.ndarray
) -> float:
    used_N = linear.const_A[action_N] + (linear.plane_PA[:, action_N].T * planes_NP).sum(axis=1)
    return float((weight_N * linear.member_S[class_N] * used_N).sum())


def _broken(each: Measured, true: float | None) -> str | None:
    """The side of the bound that is broken, by more than rounding."""
    if true is None:
        return None
    if each.low is not None and true < each.low - SLIGHT * max(abs(each.low), 1.0):
        return "min"
    if each.high is not None and true > each.high + SLIGHT * max(abs(each.high), 1.0):
        return "max"
    return None


def summary(problem: Problem, data: Data, truth: Truth, judged: Sequence[Judged], failed: Sequence[str]) -> dict:
    """What regret.json holds. Without an oracle there are no shares, so `policies` is empty and `unsolved` says why."""
    free_U = data.group_U == FREE
    by_name = {each.name: each for each in judged}
    oracle, learned = by_name.get(ORACLE), by_name.get(LEARNED)
    ranked = sorted(judged, key=lambda each: -each.value) if oracle is not None else []
    return {
        "unit": "value of the objective, true expectation, all free users, one week",
        "users": int(free_U.sum()),
        "errors": "standard errors over users, for these logs, this model and these prices; not over other logs",
        "cannibalisation": {"products": list(truth.world.pair), "factor": truth.world.factor},
        "interference": interference(problem.catalogue, truth.world),
        "policies": [_entry(each, oracle, learned, free_U) for each in ranked],
        "unsolved": reference_policies.unsolved(failed),
    }


def interference(scores: Catalogue, world: World) -> list[dict]:
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
        {"where": where, "beside": beside, "true": factor, **({} if kept is None else kept.to_json())}
        for where, beside, kept, factor in rows
    ]


def _entry(each: Judged, oracle: Judged, learned: Judged | None, free_U: np.ndarray) -> dict:
    value, stderr = total(each.worth_U[free_U])
    best, _ = total(oracle.worth_U[free_U])
    regret, regret_stderr = total((oracle.worth_U - each.worth_U)[free_U])
    return {
        "policy": each.name,
        "about": each.about,
        "value": value,
        "stderr": stderr,
        "share_of_oracle": value / best if best else 0.0,
        "regret": regret,
        "regret_stderr": regret_stderr,
        "learned_minus_this": None if learned is None else difference(learned.worth_U[free_U], each.worth_U[free_U]),
        "value_believed": each.believed,
        "value_without_cannibalisation": each.alone,
        "contacts": each.contacts,
        "users_with_both_products": each.with_both,
        "constraints": [asdict(kept) for kept in each.constraints],
        "violations": [kept.id for kept in each.constraints if kept.broken is not None],
    }


def total(worth_U: np.ndarray) -> tuple[float, float]:
    """The sum over users and its standard error, users drawn independently from many: sqrt(U) times their deviation."""
    spread = float(worth_U.std(ddof=1)) if len(worth_U) > 1 else 0.0
    return float(worth_U.sum()), math.sqrt(len(worth_U)) * spread


def difference(ours_U: np.ndarray, theirs_U: np.ndarray) -> dict[str, float]:
    """Ours minus theirs, paired by user, with its 95 % interval."""
    value, stderr = total(ours_U - theirs_U)
    return {"value": value, "stderr": stderr, "low": value - WITHIN_95 * stderr, "high": value + WITHIN_95 * stderr}


def show(table: Mapping) -> None:
    """Prints the policies, best first."""
    rows = [
        (
            each["policy"],
            f"{each['value']:,.1f} ± {each['stderr']:,.1f}",
            f"{each['share_of_oracle']:.1%}",
            f"{each['regret']:,.1f} ± {each['regret_stderr']:,.1f}",
            _learned_minus(each),
            f"{each['contacts']:,.0f}",
            ", ".join(each["violations"]) or "none",
        )
        for each in table["policies"]
    ]
    columns = ("policy", "value", "of the oracle", "regret", "learned - this", "contacts", "rules broken in truth")
    title = f"True value of the week, {table['users']:,} users (± standard error over users)"
    entry.show_table(title, columns, rows)
    said = [
        (
            each["where"],
            each["beside"],
            f"{each['kept']:.0%} ± {each['stderr']:.0%}" if "kept" in each else "nothing said",
            f"{each['true']:.0%}",
        )
        for each in table["interference"]
    ]
    entry.show_table("What is left of an effect", ("effect of", "after or beside", "the scores say", "in truth"), said)
    for each in table["unsolved"]:
        log.warning("%s: %s", each["policy"], each["reason"])


def _learned_minus(each: Mapping) -> str:
    gain = each["learned_minus_this"]
    if gain is None or each["policy"] == LEARNED:
        return ""
    return f"{gain['value']:+,.1f} ± {gain['stderr']:,.1f}"


def main(settings: RegretSettings) -> None:
    show(run(settings))


if __name__ == "__main__":
    entry.main("regret", RegretSettings, main)
