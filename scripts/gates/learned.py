"""Gates that set the week's model beside the one whose scores are published: value by the logs, calibration, reliability."""

from collections.abc import Iterator
from math import hypot
from statistics import fmean

from ranker.evaluate.records import ModelEvaluation
from scripts.cli.settings import PublishOptions
from scripts.formats.gates import GateFinding
from scripts.gates.beside_last import ERRORS
from scripts.gates.gate import Gate, WeeksCompared

SOME_RELIABILITY = 0.2
"""Below it there is little to lose, and its estimate moves by as much."""


class OfModels(Gate):
    """Reads evaluation.json of both models."""

    def findings(self, weeks: WeeksCompared, options: PublishOptions) -> Iterator[GateFinding]:
        now, last = weeks.now.evaluation, None if weeks.last is None else weeks.last.evaluation
        if now is None or last is None:
            yield self.untold("a model's evaluation is not there", weeks)
            return
        yield from self.compared(weeks, now, last, options)

    def compared(
        self, weeks: WeeksCompared, now: ModelEvaluation, last: ModelEvaluation, options: PublishOptions
    ) -> Iterator[GateFinding]:
        raise NotImplementedError


class ModelValue(OfModels):
    """Off-policy value of choosing by the model comes to a part of what it was by the model before."""

    def compared(
        self, weeks: WeeksCompared, now: ModelEvaluation, last: ModelEvaluation, options: PublishOptions
    ) -> Iterator[GateFinding]:
        here, there = (each.value_by_model("objective") for each in (now, last))
        if here is None or there is None or here.value is None or there.value is None:
            yield self.untold("an evaluation has no value of the objective", weeks)
            return
        if now.objective != last.objective:
            yield self.untold("the objectives differ", weeks)
            return
        part = options.min_model_value or 0.0
        error = hypot(here.stderr or 0.0, part * (there.stderr or 0.0))
        sentence = (
            f"off-policy value of the model: {here.value:,.4g} per decision after {there.value:,.4g} in "
            f"{weeks.last_name}; the guardrail publish.min_model_value={part:g} asks for {100 * part:g} %, "
            "two standard errors granted"
        )
        worse = there.value > 0 and here.value < part * there.value - ERRORS * error
        told = {"found": here.value, "compared": there.value, "limit": part * there.value}
        yield self.decided(worse, sentence, weeks, **told)


class SlopeGate(OfModels):
    """The calibration slope of an outcome, 1 where effects are promised as they come, is not farther from 1 than it was."""

    def compared(
        self, weeks: WeeksCompared, now: ModelEvaluation, last: ModelEvaluation, options: PublishOptions
    ) -> Iterator[GateFinding]:
        before = {each.outcome: each.users for each in last.calibration_pooled}
        limit = options.max_slope_loss or 0.0
        for each in now.calibration_pooled:
            here, there = each.users, before.get(each.outcome)
            if here.value is None or there is None or there.value is None:
                continue
            farther = abs(here.value - 1) - abs(there.value - 1)
            error = hypot(here.stderr or 0.0, there.stderr or 0.0)
            sentence = (
                f"calibration slope of {each.outcome}: {here.value:.2f} after {there.value:.2f} in {weeks.last_name}; "
                f"the guardrail publish.max_slope_loss={limit:g} lets it be {limit:g} farther from 1, "
                "two standard errors granted"
            )
            told = {"about": each.outcome, "found": here.value, "compared": there.value, "limit": limit}
            yield self.decided(farther > limit + ERRORS * error, sentence, weeks, **told)


class Reliability(OfModels):
    """The share of the differences between users that is known comes to a part of what it was, by outcome."""

    def compared(
        self, weeks: WeeksCompared, now: ModelEvaluation, last: ModelEvaluation, options: PublishOptions
    ) -> Iterator[GateFinding]:
        here, there = _reliabilities(now), _reliabilities(last)
        part = options.min_reliability or 0.0
        for name in (name for name in here if name in there):
            sentence = (
                f"reliability of {name}: {here[name]:.3f} on average after {there[name]:.3f} in {weeks.last_name}; "
                f"the guardrail publish.min_reliability={part:g} asks for {100 * part:g} %"
            )
            told = {"about": name, "found": here[name], "compared": there[name], "limit": part * there[name]}
            worse = there[name] > SOME_RELIABILITY and here[name] < part * there[name]
            yield self.decided(worse, sentence, weeks, **told)


def _reliabilities(evaluation: ModelEvaluation) -> dict[str, float]:
    """By outcome, on average over the actions for which it is known; in the order of the evaluation."""
    found: dict[str, list[float]] = {}
    for each in evaluation.reliability:
        if each.reliability is not None:
            found.setdefault(each.outcome, []).append(each.reliability)
    return {name: fmean(values) for name, values in found.items()}
