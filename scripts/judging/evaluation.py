"""A model judged on users it never saw, and the policy it would lead to, rehearsed on their rows."""

import logging
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from allocator.policy.grammar import Policy
from ranker.catalogue import Catalogue
from ranker.evaluate import objective, report
from ranker.evaluate.held_out import EvaluationRules, HeldOut, TrainingLogs, hold_out, judge, segment_names
from ranker.evaluate.learners import VALUENET, predictions_of
from ranker.evaluate.objective import OBJECTIVE, Objective
from ranker.evaluate.records import HeldOutEvaluation
from ranker.evaluate.reliability import reliabilities
from ranker.files import InputError
from ranker.logs import Logs, read_logs
from ranker.model.artifact import load_model
from ranker.model.ensemble import ValueModel
from ranker.scores import open_scores
from scripts.cli import entry
from scripts.cli.settings import EvaluateSettings, RehearseSettings
from scripts.formats.manifest import MANIFEST, read_manifest
from scripts.judging import rehearsal
from scripts.judging.rehearsal import RehearsedWeek
from scripts.runs import digests

log = logging.getLogger("offermix.evaluate")


@dataclass(frozen=True)
class RehearsalPlan:
    """What the policy asks to be judged: its objective, its part that can be rehearsed, for whom it is meant."""

    policy: Policy
    catalogue: Catalogue
    objective: Objective
    week: RehearsedWeek
    left_out: tuple[str, ...]


def evaluate(settings: EvaluateSettings, started: float) -> HeldOutEvaluation:
    """Everything that is to be said about the model and, where there is one, about the policy. started: when, of `time.perf_counter`."""
    paths, options = settings.paths, settings.evaluate
    model, model_id = load_model(paths.model)
    logs = read_logs(paths.logs)
    training = training_of(settings, logs)
    held = hold_out(model, training, logs, options.rows, settings.seed)
    plan = None if paths.policy is None else plan_of(settings, model, logs, held)
    objectives = _objectives(settings, model, plan)
    log.info("Judging on %s rows of %s users ...", f"{len(held.test):,}", f"{len(np.unique(held.test.user_R)):,}")
    opinions = predictions_of(model, held.learn, held.test, objectives)
    allocated, unsolved = None, ()
    if plan is not None:
        with (
            tempfile.TemporaryDirectory() as folder,
            entry.progress("Rehearsing the policy", total=len(opinions.effect) + 4) as advance,
        ):
            solve = settings.solve.model_copy(update={"gap": max(settings.solve.gap, options.gap)})
            allocated, unsolved = rehearsal.rehearse(
                plan.policy,
                plan.catalogue,
                held,
                opinions,
                plan.objective,
                plan.week,
                solve,
                settings.seed,
                Path(folder),
                advance,
            )
        _must_have_solved(allocated, settings)
    rules = EvaluationRules(options.rows, options.points, options.groups, _cost(model, options.cost), options.segments)
    judged = judge(model, held, objectives, opinions, allocated, rules)
    found = {
        "model": model_id,
        "logs": paths.logs.name,
        "policy": None if paths.policy is None else paths.policy.stem,
        "objective": _terms(objectives[0], model),
        "cost": options.cost,
        **judged,
        "reliability": reliabilities(model, held.test, np.arange(len(held.test))),
        "unsolved": list(unsolved),
        "left_out": [] if plan is None else list(plan.left_out),
        "seconds": round(time.perf_counter() - started, 1),
    }
    return HeldOutEvaluation.model_validate(report.finite(found))


def training_of(settings: EvaluateSettings | RehearseSettings, logs: Logs) -> TrainingLogs:
    """The logs that trained the model, and how their users were split: from the manifest beside the model."""
    paths = settings.paths
    manifest = read_manifest(paths.model)
    if manifest is None or manifest.stage != "train":
        raise InputError([f"{paths.model / MANIFEST}: is no manifest of train, so who trained the model is not known"])
    fitting, config = manifest.config["fit"], manifest.config
    name, wanted = next(iter((manifest.inputs or {}).items()))
    for path in (paths.training, paths.logs, paths.model.parent / name):
        if path is not None and path.is_dir() and digests.digest(path) == wanted:
            trained = logs if path == paths.logs else read_logs(path)
            return TrainingLogs(trained, config["model"]["members"], fitting["test_share"], config["seed"])
    if paths.training is not None:
        raise InputError([f"{paths.training}: did not train {paths.model}; the manifest there names other files"])
    raise InputError([f"{paths.model.parent / name}: the logs that trained the model are not there; give training=DIR"])


def plan_of(
    settings: EvaluateSettings | RehearseSettings, model: ValueModel, logs: Logs, held: HeldOut
) -> RehearsalPlan:
    """The policy, read for the users of the scores, or for a week of the logs where there are none."""
    paths = settings.paths
    names = segment_names(logs.frame, tuple(model.schema.categorical))
    week = RehearsedWeek(held.week_users, logs.frame["as_of"].max().date(), rehearsal.values_of(logs.frame, names))
    if paths.scores is not None:
        scores = open_scores(paths.scores)
        as_of = week.as_of if scores.catalogue.as_of is None else scores.catalogue.as_of
        known = {name: frozenset(values) for name, values in scores.vocabulary.items()}
        segments = {name: week.segments[name] | known.get(name, frozenset()) for name in names}
        week = RehearsedWeek(float(scores.users), as_of, segments)
    catalogue = rehearsal.catalogue_of(model, names, week)
    policy, left_out = rehearsal.policy_of(paths.policy, settings.set, catalogue, week)
    outcomes = [target.name for target in model.targets]
    return RehearsalPlan(
        policy, catalogue, rehearsal.objective_of(policy.objective, catalogue, outcomes), week, tuple(left_out)
    )


def _objectives(settings: EvaluateSettings, model: ValueModel, plan: RehearsalPlan | None) -> list[Objective]:
    """What the policy maximises first, then every outcome alone."""
    names = [target.name for target in model.targets]
    alone = list(objective.single(names, len(model.actions)))
    if plan is not None:
        return [plan.objective, *alone]
    weights = report.objective_weights(model, settings.fit.evaluate)
    return [objective.weighted(OBJECTIVE, weights, names, len(model.actions)), *alone] if weights else alone


def _must_have_solved(allocated: tuple, settings: EvaluateSettings) -> None:
    if not allocated or allocated[0].name != VALUENET:
        why = "no allocation of the held-out rows keeps the rules by what the model believes of them"
        raise InputError([f"{settings.paths.policy}: {why}; loosen a bound by set.ID.FIELD=VALUE"])


def _cost(model: ValueModel, attribute: str | None) -> np.ndarray:
    """float64[A]: what a contact costs of the budget; 1 where contacts are counted."""
    actions = Catalogue(tuple(model.actions))
    if attribute is None:
        return np.ones(len(model.actions))
    if not any(isinstance(action.get(attribute), int | float) for action in model.actions):
        raise InputError([f"evaluate.cost: no action of the model has a number '{attribute}'"])
    cost_A = actions.numbers(attribute)
    if (cost_A < 0).any():
        raise InputError([f"evaluate.cost: {int((cost_A < 0).sum()):,} actions have a negative '{attribute}'"])
    return cost_A


def _terms(first: Objective, model: ValueModel) -> list[dict]:
    """Of what is maximised: per outcome its weight, and the smallest and largest weight of what a contact adds."""
    return [
        {
            "outcome": model.targets[o].name,
            "weight": float(first.plain_O[o]),
            "by_action": [float(first.weight_OA[o].min()), float(first.weight_OA[o].max())],
        }
        for o in first.used
    ]
