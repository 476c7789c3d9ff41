"""Judges a model, and the policy it would lead to, on logs of users who did not train it.

`python -m scripts.evaluate model=DIR logs=DIR [training=DIR] [scores=DIR policy=FILE] out=DIR`

Writes evaluation.json and evaluation.html, and records both in MLflow.
"""

import time

from ranker import disk
from ranker.evaluate.records import EVALUATION, HeldOutEvaluation
from scripts.cli import entry
from scripts.cli.settings import EvaluateSettings
from scripts.judging.evaluation import evaluate
from scripts.pages.evaluation_page import write_page
from scripts.pages.printed import show_evaluation
from scripts.runs import metrics, stage, tracking


def run(settings: EvaluateSettings) -> HeldOutEvaluation:
    """Writes the evaluation into `out`, records it, and returns what is in evaluation.json."""
    started = time.perf_counter()
    paths = settings.paths
    inputs = [
        path for path in (paths.model, paths.logs, paths.training, paths.scores, paths.policy) if path is not None
    ]
    config = {name: getattr(settings, name) for name in ("seed", "evaluate", "solve", "set")}
    config["objective"] = settings.fit.evaluate.objective
    with entry.naming(logs=paths.logs), stage.write(paths.out, "evaluate", inputs, config) as made:
        evaluation = evaluate(settings, started)
        disk.write_text(made / EVALUATION, evaluation.text())
        write_page(evaluation, made / "evaluation.html")
    tracking.record_command(
        "evaluate", settings, metrics.held_out_metrics(evaluation), [(paths.logs, "evaluation")], paths.out
    )
    return evaluation


def main(settings: EvaluateSettings) -> None:
    show_evaluation(run(settings))
    print(f"page: {settings.paths.out / 'evaluation.html'}")


if __name__ == "__main__":
    entry.main("evaluate", EvaluateSettings, main)
