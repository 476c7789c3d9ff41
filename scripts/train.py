"""Trains, calibrates and evaluates a model on logs: `python -m scripts.train logs=DIR model=DIR`."""

import logging
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ranker import disk
from ranker.catalogue import not_told
from ranker.evaluate.records import EVALUATION, ModelEvaluation
from ranker.evaluate.report import summary, table
from ranker.evaluate.training import evaluated
from ranker.logs import open_logs
from ranker.model.artifact import save_model
from ranker.model.train import train
from scripts.cli import entry
from scripts.cli.settings import TrainSettings
from scripts.pages import training
from scripts.runs import stage


@dataclass(frozen=True)
class TrainResult:
    """evaluation: what stands beside the model in evaluation.json."""

    model: Path
    model_id: str
    evaluation: ModelEvaluation


def run(settings: TrainSettings) -> TrainResult:
    """Trains a model and evaluates it on users it did not see. Logs and encoded features stay in files while it is made."""
    started, paths = time.perf_counter(), settings.paths
    config = {"model": settings.model, "fit": settings.fit, "seed": settings.seed}
    with (
        entry.naming(logs=paths.logs),
        stage.write(paths.model, stage="train", inputs=[paths.logs], config=config) as out,
        tempfile.TemporaryDirectory(dir=out) as folder,
    ):
        with entry.progress("Training", settings.model.members * settings.fit.max_epochs) as advance:
            logs = open_logs(paths.logs)
            trained = train(logs, settings.model, settings.fit, settings.seed, advance=advance, folder=Path(folder))
        evaluation = evaluated(trained, settings.fit, started)
        model_id = save_model(out, trained.model, summary(evaluation))
        disk.write_text(out / EVALUATION, evaluation.text())
    if sentence := not_told(trained.model.unidentified):
        logging.getLogger("offermix.train").warning(sentence)
    return TrainResult(paths.model, model_id, evaluation)


def main(settings: TrainSettings) -> None:
    result = run(settings)
    entry.Printer(width=130).print(table(result.evaluation))
    training.show(result.evaluation)
    print(f"model {result.model_id} written to {result.model}")


if __name__ == "__main__":
    entry.main("train", TrainSettings, main)
