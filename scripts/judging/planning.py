"""An experiment planned: what logs say of every outcome, what a readout's covariates explained, and the effects that are asked about."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from allocator.workbench.answers import WHAT_IF, WhatIf
from ranker.evaluate import experiment_plan as plan
from ranker.evaluate.experiment_plan import ExperimentDesign, OutcomeSpread
from ranker.files import InputError
from ranker.logs import open_logs
from scripts.cli.settings import PlanExperimentSettings, PlanOptions
from scripts.formats.plan import ExperimentPlan, PlannedOutcome
from scripts.formats.readout import READOUT, Readout

HOLDOUT, POLICIES = "the policy against a holdout", "one policy against another"


def planned(settings: PlanExperimentSettings) -> ExperimentPlan:
    """Raises InputError with everything that is wrong."""
    paths, wanted = settings.paths, settings.plan
    logs = open_logs(paths.logs)
    groups = () if wanted.groups is None else (wanted.groups,)
    known = plan.spreads(logs, groups)
    if wanted.outcome is not None:
        known = tuple(each for each in known if each.name == wanted.outcome)
        if not known:
            there = ", ".join(outcome.name for outcome in logs.schema.outcomes)
            raise InputError([f"outcome: '{wanted.outcome}' is none of the logs; there is {there}"])
    if paths.readout is not None:
        known = tuple(_explained(known, Readout.from_file(paths.readout / READOUT)))
    differences = None if paths.what_if is None else WhatIf.from_file(paths.what_if / WHAT_IF)
    design = ExperimentDesign(
        users=wanted.users,
        share=wanted.share or (0.02 if differences is None else 0.5),
        weeks=wanted.weeks,
        lasting=wanted.lasting,
        groups=wanted.groups,
        level=wanted.level,
        power=wanted.power,
    )
    effects = _effects(wanted, known, differences)
    return ExperimentPlan(
        arms=HOLDOUT if differences is None else POLICIES,
        users=design.users,
        share=design.share,
        weeks=design.weeks,
        lasting=design.lasting,
        groups=design.groups,
        level=design.level,
        power=design.power,
        outcomes=tuple(_outcome(each, design, effects.get(each.name)) for each in known),
    )


def _explained(known: tuple[OutcomeSpread, ...], readout: Readout) -> Iterator[OutcomeSpread]:
    lifts = {metric.name: metric.lift for metric in readout.metrics}
    for each in known:
        lift = lifts.get(each.name)
        if lift is None or lift.plain.stderr <= 0:
            yield each
        else:
            yield plan.with_explained(each, 1 - (lift.adjusted.stderr / lift.plain.stderr) ** 2)


def _effects(wanted: PlanOptions, known: tuple[OutcomeSpread, ...], found: WhatIf | None) -> Mapping[str, float]:
    """Per outcome the effect that is asked about: as given, or as a what-if promises it, per listener."""
    if found is not None:
        return {name: abs(each.mean) / found.users for name, each in found.difference.metrics.items() if each.mean}
    if wanted.effect is None:
        return {}
    part = wanted.effect.removesuffix("%")
    amount = float(part)
    return {each.name: abs(each.mean) * amount / 100 if part != wanted.effect else amount for each in known}


def _outcome(spread: OutcomeSpread, design: ExperimentDesign, effect: float | None) -> PlannedOutcome:
    smallest = plan.detectable(spread, design)
    seen = math.isfinite(smallest) and spread.variance > 0
    asked = effect is not None and spread.variance > 0
    return PlannedOutcome(
        name=spread.name,
        unit=spread.unit,
        mean=spread.mean,
        deviation=math.sqrt(spread.variance),
        again=spread.again,
        between=None if design.groups is None else spread.between[design.groups][1],
        explained=spread.explained,
        smallest=smallest if seen else None,
        relative=smallest / abs(spread.mean) if seen and spread.mean else None,
        effect=effect,
        weeks=plan.weeks_needed(spread, design, effect) if asked and effect else None,
        share=plan.share_needed(spread, design, effect) if asked and effect else None,
    )


def plan_inputs(settings: PlanExperimentSettings) -> list[Path]:
    """What the plan is made from."""
    paths = settings.paths
    return [path for path in (paths.logs, paths.readout, paths.what_if) if path is not None]
