"""The whole system on a synthetic market: ranker and allocator under a policy, next to every baseline in the same allocator.

A week is made, learned from and scored by the commands themselves. Judged by the truth: the value of the allocation next to that of an
oracle who knows the true expectations given the observable features; intervals and sizes of the scores; and spending at every budget.
A baseline has a value of its own; what the rules add up is believed by our scores for all, as where a policy is rehearsed.

Axes: U users, A actions, B = A + 1 arms, P planes, O outcomes, R rows, M attributes of actions.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd

from allocator.problem import Problem
from allocator.users import Data
from ranker.evaluate import boosting, budget_curves
from ranker.evaluate.baselines import average_effects, design, fit_arms, fit_shared
from ranker.evaluate.learners import RANDOM, RIDGE, SINGLE, WITHOUT_COVARIATES, decisions_of
from ranker.evaluate.learners import attributes as attributes_of
from ranker.features import Features
from ranker.logs import read_logs, read_users
from ranker.model.artifact import load_model
from ranker.model.ensemble import ValueModel
from ranker.model.examples import Examples, examples_of, stabilised_weights
from ranker.model.splits import split_users
from ranker.normal import Z90
from ranker.scores import open_scores
from scripts.bench.ranker_figures import OFFERMIX, Scored, Spending, Standing
from scripts.bench.ranker_trials import spendings
from scripts.cli.settings import RegretPaths, RegretSettings, Settings, WeeklySettings
from scripts.judging import reference_policies, regret
from scripts.judging.reference_policies import LEARNED, ReferencePolicy
from scripts.judging.rehearsal import LOGGED_AVERAGE
from scripts.judging.truth import read_truth
from scripts.runs.week import steps as week_steps

STEPS = ("scripts.make_market", "scripts.prepare", "scripts.train", "scripts.score")
BUDGET, BUDGET_USERS, BUDGET_EUR = "discount_budget", 20_000, 80.0
"""The rule of the policy that does not grow with users by itself."""
POINTS = 20
TREES = {**boosting.SMALL, "n_estimators": 300}
BOOSTED_S, BOOSTED_T = "LightGBM S-learner", "LightGBM T-learner"
LEARNERS = (RIDGE, SINGLE, BOOSTED_S, BOOSTED_T)


@dataclass(frozen=True)
class MarketWeek:
    """A week that was made and scored. features: of the users to be allocated, `user_U` their ids. learn: the rows that trained."""

    folder: Path
    model: ValueModel
    learn: Examples
    features: Features
    user_U: np.ndarray


def run(
    settings: Settings, users: int, seed: int, folder: Path, learners: Sequence[str] = LEARNERS
) -> list[Standing | Spending | Scored]:
    """Every figure of one market. learners: baselines besides those that know no users."""
    scaled = {BUDGET: {"max": BUDGET_EUR * users / BUDGET_USERS}}
    changed = {
        "seed": seed,
        "data": settings.data.model_copy(update={"users": users}),
        "set": {**scaled, **settings.set},
    }
    held = {name: getattr(settings, name) for name in Settings.model_fields} | changed
    seconds = _make(WeeklySettings.model_construct(**held), folder)
    paths = RegretPaths(
        market=folder / "market", scores=folder / "scores", policy=settings.weekly.policy, out=folder / "regret"
    )
    week = _read(folder, settings, seed)
    baselines = _Baselines(week, seed, learners)
    table = regret.judge(
        RegretSettings.model_construct(**(held | {"paths": paths})), baselines.references, 1 + len(learners)
    ).content()
    standings = [_standing(each, users, seed, seconds, baselines) for each in table["policies"]]
    failed = [Standing("market", users, seed, each["policy"], each["reason"]) for each in table["unsolved"]]
    return [*standings, *failed, *baselines.missing(users), *_scored(folder, users, seed), *baselines.spendings(users)]


def _make(settings: WeeklySettings, folder: Path) -> float:
    """The week up to its scores; how long training and scoring took."""
    taken = {}
    alone = settings.tracking.model_copy(update={"enabled": False})  # no champion scores what is measured
    for step in week_steps(settings.model_copy(update={"tracking": alone}), folder):
        if step.module not in STEPS:
            break
        started = time.perf_counter()
        import_module(step.module).run(step.settings)
        taken[step.module] = time.perf_counter() - started
    return taken["scripts.train"] + taken["scripts.score"]


def _read(folder: Path, settings: Settings, seed: int) -> MarketWeek:
    logs = read_logs(folder / "logs")
    model, _ = load_model(folder / "model")
    splits = split_users(logs.frame["user_id"], settings.model.members, settings.fit.test_share, seed)
    frame = pd.concat(
        list(read_users(folder / "market" / "users", model.schema, len(model.actions))), ignore_index=True
    )
    return MarketWeek(
        folder=folder,
        model=model,
        learn=examples_of(logs, model.encoder).take(splits.learn_R),
        features=model.encoder.encode(frame),
        user_U=frame["user_id"].astype(str).to_numpy(),
    )


class _Baselines:
    """Learners trained on the rows that trained the model, one at a time: their effects fill gigabytes together."""

    def __init__(self, week: MarketWeek, seed: int, learners: Sequence[str]):
        self.week, self.seed, self.learners = week, seed, learners
        self.seconds: dict[str, float] = {}
        self._missing: list[str] = []
        self._spent: tuple[budget_curves.BudgetCurve, ...] = ()

    def references(self, problem: Problem, data: Data) -> Iterator[ReferencePolicy]:
        """Each with the value that it sees; on the way what our scores are worth at every budget."""
        order_U = pd.Index(self.week.user_U).get_indexer(data.user_id.astype(str))
        logged_A = self._logged(problem)
        named = reference_policies.uninformed(problem, data, self.seed, {LOGGED_AVERAGE: logged_A})
        yield next(each for each in named if each.name == LOGGED_AVERAGE)
        self._spent = self._spend(problem, data, logged_A)
        for name in self.learners:
            started = time.perf_counter()
            try:
                value_UA = self._value(name, problem)[order_U]
            except ModuleNotFoundError:
                self._missing.append(name)
                continue
            self.seconds[name] = time.perf_counter() - started
            yield ReferencePolicy(name, "its own value", *reference_policies.valued(problem, data, value_UA))

    def _logged(self, problem: Problem) -> np.ndarray:
        """float64[A]: each action's average value in the logs."""
        decisions = decisions_of(self.week.learn)
        value_A = np.zeros(len(self.week.model.actions))
        for o, weight_A in self._weights(problem):
            rows, outcome_R = self.week.learn.known(o)
            effect_A = average_effects(decisions.take(rows), outcome_R)
            value_A += weight_A * np.where(np.isfinite(effect_A), effect_A, 0.0)
        return value_A

    def _weights(self, problem: Problem) -> Iterator[tuple[int, np.ndarray]]:
        """Position of each outcome that counts, and its weight by action."""
        names = [target.name for target in self.week.model.targets]
        for position, (kind, metric) in enumerate(problem.planes):
            if kind == "mean" and problem.value_PA[position].any():
                yield names.index(metric), problem.value_PA[position]

    def _value(self, name: str, problem: Problem) -> np.ndarray:
        """float64[U, A]: what a learner believes a contact adds to the objective."""
        value_UA = np.zeros((len(self.week.features), len(self.week.model.actions)))
        for o, weight_A in self._weights(problem):
            value_UA += weight_A * self._effect(name, o)
        return value_UA

    def _effect(self, name: str, o: int) -> np.ndarray:
        """[U, A] for one outcome, learned from the rows that know it."""
        week, model = self.week, self.week.model
        rows, outcome_R = week.learn.known(o)
        learn = week.learn.take(rows)
        kind, decisions = model.targets[o].kind, decisions_of(learn)
        if name in (BOOSTED_S, BOOSTED_T):
            return _boosted(name, kind, week, learn, outcome_R)
        learn_RD, users_UD = design(model.encoder, learn.features), design(model.encoder, week.features)
        if name == SINGLE:
            table_BM = attributes_of(model)
            return fit_shared(kind, learn_RD, decisions, outcome_R, table_BM).effect(users_UD, table_BM[:-1])
        expected_UB = fit_arms(kind, learn_RD, decisions, outcome_R).expected(users_UD)
        return expected_UB[:, :-1] - expected_UB[:, -1:]

    def _spend(self, problem: Problem, data: Data, logged_A: np.ndarray) -> tuple[budget_curves.BudgetCurve, ...]:
        """Contacts with all users by the value that our scores see, judged by the true one."""
        true = read_truth(self.week.folder / "market", problem, data).given["given_observed"]
        flat = replace(data, planes_UPA=reference_policies.averaged(data))
        scores = {
            OFFERMIX: reference_policies.worth(problem, data),
            WITHOUT_COVARIATES: reference_policies.worth(problem, flat),
            LOGGED_AVERAGE: np.broadcast_to(logged_A, data.eligible_UA.shape),
        }
        realised_UA = reference_policies.worth(problem, replace(data, planes_UPA=true))
        users, cost_A = np.arange(len(data)), np.ones(len(problem.catalogue.actions))
        return budget_curves.curves(scores, RANDOM, realised_UA, data.eligible_UA, cost_A, users, POINTS)

    def spendings(self, users: int) -> Iterator[Spending]:
        yield from spendings("market", users, self.seed, self._spent)

    def missing(self, users: int) -> Iterator[Standing]:
        for name in self._missing:
            yield Standing("market", users, self.seed, name, "lightgbm is not installed")


def _boosted(name: str, kind: str, week: MarketWeek, learn: Examples, outcome_R: np.ndarray) -> np.ndarray:
    model = week.model
    learn_RD, users_UD = (boosting.plain_design(model.encoder, each) for each in (learn.features, week.features))
    weight_R = stabilised_weights(learn.action_R, learn.propensity_R, learn.actions, clip=10.0)
    if name == BOOSTED_S:
        table_BM = attributes_of(model)
        trees = boosting.shared(kind, learn_RD, learn.action_R, outcome_R, weight_R, table_BM, TREES)
        return boosting.effects_shared(trees, users_UD, table_BM)
    arms = boosting.by_arm(kind, learn_RD, learn.action_R, outcome_R, weight_R, learn.actions + 1)
    return boosting.effects_by_arm(arms, users_UD)


def _standing(each: dict, users: int, seed: int, seconds: float, baselines: _Baselines) -> Standing:
    name = OFFERMIX if each["policy"] == LEARNED else each["policy"]
    gain = each["learned_minus_this"]
    return Standing(
        "market",
        users,
        seed,
        name,
        estimates={
            "value": [each["value"], each["stderr"]],
            "regret": [each["regret"], each["regret_stderr"]],
            "share": [each["share_of_oracle"], 0.0],
        },
        ahead={} if gain is None else {"value": [gain["value"], gain["stderr"]]},
        seconds=seconds if name == OFFERMIX else baselines.seconds.get(name),
        note=", ".join(each["violations"]),
    )


def _scored(folder: Path, users: int, seed: int) -> Iterator[Scored]:
    scores, truth = open_scores(folder / "scores"), open_scores(folder / "market" / "truth" / "given_observed")
    for metric in scores.catalogue.metrics:
        mean_UA, stderr_UA, may_UA, user_U = _whole(scores, metric.name)
        true_UA, _, _, true_user_U = _whole(truth, metric.name)
        true_UA = true_UA[pd.Index(true_user_U).get_indexer(user_U)]
        yield score_figures(users, seed, metric.name, mean_UA, stderr_UA, true_UA, may_UA)


def _whole(dataset, metric: str) -> tuple[np.ndarray, np.ndarray | None, np.ndarray, np.ndarray]:
    """Mean, stderr where there is one, eligibility and ids of all users."""
    shards = list(dataset.shards(planes=[("mean", metric), ("stderr", metric)]))
    stderr = [shard.stderr[metric] for shard in shards] if metric in shards[0].stderr else None
    return (
        np.concatenate([shard.mean[metric] for shard in shards]),
        None if stderr is None else np.concatenate(stderr),
        np.concatenate([shard.eligible_UA for shard in shards]),
        np.concatenate([shard.user_id.to_numpy(zero_copy_only=False) for shard in shards]).astype(str),
    )


def score_figures(
    users: int,
    seed: int,
    metric: str,
    mean_UA: np.ndarray,
    stderr_UA: np.ndarray,
    true_UA: np.ndarray,
    may_UA: np.ndarray,
) -> Scored:
    """Coverage, slopes and correlation over pairs of a user and an action that they may get."""
    covered_UA = np.abs(true_UA - mean_UA) <= Z90 * stderr_UA
    apart, true_apart = (_within(values_UA, may_UA) for values_UA in (mean_UA, true_UA))
    mean_N, true_N = mean_UA[may_UA].astype(np.float64), true_UA[may_UA].astype(np.float64)
    return Scored(
        users=users,
        seed=seed,
        metric=metric,
        coverage=float(covered_UA[may_UA].mean()),
        slope=_slope(mean_N - mean_N.mean(), true_N),
        within=_slope(apart, true_apart),
        correlation=float(np.corrcoef(apart, true_apart)[0, 1]) if apart.any() else 0.0,
        spread=float(mean_N.std()),
    )


def _within(values_UA: np.ndarray, may_UA: np.ndarray) -> np.ndarray:
    """Of every pair, the distance from its action's average."""
    average_A = np.where(may_UA, values_UA, 0.0).sum(0, dtype=np.float64) / np.maximum(may_UA.sum(0), 1)
    return (values_UA - average_A)[may_UA]


def _slope(lever_N: np.ndarray, true_N: np.ndarray) -> float:
    total = float((lever_N**2).sum())
    return float((lever_N * true_N).sum()) / total if total > 0 else 0.0
