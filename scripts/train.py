"""Trains, calibrates and evaluates a model on logs: `python -m scripts.train logs=DIR model=DIR`."""

import json
import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ranker.evaluate.reliability import reliabilities
from ranker.evaluate.report import evaluate, finite, summary, table
from ranker.logs import open_logs
from ranker.model.artifact import save_model
from ranker.model.beside import calibrated_alone
from ranker.model.examples import thinned
from ranker.model.fatigue_and_cannibalisation import estimate
from ranker.model.fit import Curve, Fit, fit
from ranker.model.threads import fixed_threads
from ranker.scores import not_told
from scripts.cli import entry
from scripts.cli.settings import TrainSettings
from scripts.pages import reliability
from scripts.runs import stage

log = logging.getLogger("offermix.train")

HISTORY_ROWS = 4_000  # to learn how far users differ by their history


@dataclass(frozen=True)
class TrainResult:
    """Where the model is, its id, and the content of its evaluation.json."""

    model: Path
    model_id: str
    evaluation: dict


def run(settings: TrainSettings) -> TrainResult:
    """Trains the ensemble on logs, calibrates it on users its members did not see, evaluates it on users none saw.

    The logs stay in files, and so do their encoded features, in a folder beside the model while it is made.
    """
    started = time.perf_counter()
    paths = settings.paths
    config = {"model": settings.model, "fit": settings.fit, "seed": settings.seed}
    with (
        entry.naming(logs=paths.logs),
        stage.write(paths.model, stage="train", inputs=[paths.logs], config=config) as out,
        tempfile.TemporaryDirectory(dir=out) as folder,
        fixed_threads(settings.fit.threads),
    ):
        logs = open_logs(paths.logs)
        with entry.progress("Training", settings.model.members * settings.fit.max_epochs) as advance:
            fitted = fit(logs, settings.model, settings.fit, settings.seed, advance, Path(folder))
        model, examples = calibrated_alone(fitted.model, fitted.examples, fitted.splits)
        estimated = estimate(model, logs, examples, fitted.splits, settings.fit.interference)
        if estimated is not None:
            model = replace(model, interference=estimated.interference)
            if estimated.carryover is not None:
                rows = thinned(np.flatnonzero(fitted.splits.learn_R), HISTORY_ROWS)
                carrying = model.carrying(estimated.carryover, examples.features.take(rows))
                model, examples = calibrated_alone(carrying, examples, fitted.splits)
        evaluation = evaluate(model, examples, fitted.splits, settings.fit.evaluate)
        test = np.flatnonzero(fitted.splits.test_R)
        evaluation["reliability"] = reliabilities(model, examples, test)
        evaluation["surrogates"] = [finding.to_json() for finding in fitted.findings]
        if estimated is not None:
            evaluation["interference"] = estimated.to_json()
        evaluation["training"] = _training(fitted, time.perf_counter() - started)
        evaluation = finite(evaluation)
        model_id = save_model(out, model, summary(evaluation))
        (out / "evaluation.json").write_text(json.dumps(evaluation, indent=1, allow_nan=False) + "\n")
    if sentence := not_told(model.unidentified):
        log.warning(sentence)
    return TrainResult(paths.model, model_id, evaluation)


def _training(fitted: Fit, seconds: float) -> dict:
    """The curve is the average over members. A member whose best epoch is 0 does without its deep path."""
    longest = max(len(curve.train) for curve in fitted.curves)
    return {
        "epochs": longest,
        "best_epoch": round(float(np.mean([curve.best for curve in fitted.curves]))),
        "curve": [
            {
                "epoch": epoch + 1,
                "train": _average(epoch, [curve.train for curve in fitted.curves]),
                "validation": _average(epoch, [curve.validation for curve in fitted.curves]),
            }
            for epoch in range(longest)
        ],
        "members": [_member(curve) for curve in fitted.curves],
        "seconds": seconds,
    }


def _average(epoch: int, losses: list[tuple[float, ...]]) -> float:
    """A member that stopped keeps its last loss, so that the curve has no jumps."""
    return float(np.mean([member[min(epoch, len(member) - 1)] for member in losses]))


def _member(curve: Curve) -> dict:
    kept = curve.validation[curve.best - 1] if curve.best else curve.linear
    return {"epochs": len(curve.train), "best_epoch": curve.best, "validation": kept, "linear": curve.linear}


def show_surrogates(findings: Sequence[Mapping]) -> None:
    """Prints what stands in for outcomes that are not complete, and how it did where they are."""
    rows = [
        (
            finding["part"],
            ", ".join(finding["known"]),
            f"{finding['rows']:,}",
            f"{finding['explained']:.0%}",
            f"{finding['kappa']:.2f} ± {finding['kappa_stderr']:.2f}",
            f"{finding['actual']:.5f}",
            f"{finding['stand_in']:.5f} ± {finding['difference_stderr']:.5f}",
            f"{finding['weight']:.2f}" if finding["used"] else "left out",
        )
        for finding in findings
    ]
    columns = (
        "outcome",
        "told by",
        "young rows",
        "explained",
        "shows",
        "a contact adds",
        "by what stands in",
        "weight",
    )
    entry.show_table("Known early, judged on complete decisions of other users", columns, rows)


def show_interference(found: Mapping) -> None:
    """Prints what earlier contacts leave of an effect, the pairs that are believed to spoil each other, and what contacts add."""
    rows = []
    if fatigue := found.get("fatigue"):
        rows.append((f"any contact in the last {found['days']} days", "every", _left(fatigue), "", ""))
    rows += [
        (
            f"{_named(pair['beside'])}, {'in the same week' if pair['basis'] == 'same week' else 'some weeks before'}",
            _named(pair["where"]),
            _left(pair),
            f"{pair['probability']:.0%}",
            f"{pair['raw']:.0%} ± {pair['raw_stderr']:.0%}",
        )
        for pair in found["pairs"][: found["handed_over"]]
    ]
    judged = f"{len(found['pairs'])} pairs looked at, {found['handed_over'] or 'none'} believed"
    columns = ("after", "effect of", "is left", "probability", "before shrinking")
    entry.show_table(f"What contacts take from each other: {judged}", columns, rows)
    rows = [
        (
            growth["outcome"],
            f"{growth['added']:+.3f} ± {growth['stderr']:.3f}",
            f"{growth['probability']:.0%}",
            f"{growth['raw']:+.3f} ± {growth['raw_stderr']:.3f}",
        )
        for growth in found["growths"]
    ]
    if rows:
        columns = ("effects on", "log odds or log rate", "probability", "before shrinking")
        entry.show_table("What each earlier contact adds, outcome by outcome", columns, rows)


def _left(kept: Mapping) -> str:
    return f"{kept['kept']:.0%} ± {kept['stderr']:.0%}"


def _named(words: Mapping) -> str:
    return ", ".join(str(value) for value in words.values())


def main(settings: TrainSettings) -> None:
    result = run(settings)
    entry.Printer(width=130).print(table(result.evaluation))
    reliability.show(result.evaluation["reliability"])
    if findings := result.evaluation["surrogates"]:
        show_surrogates(findings)
    if found := result.evaluation.get("interference"):
        show_interference(found)
    print(f"model {result.model_id} written to {result.model}")


if __name__ == "__main__":
    entry.main("train", TrainSettings, main)
