"""Trains, calibrates and evaluates a model on logs: `python -m scripts.train logs=DIR model=DIR`."""

import logging
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ranker.catalogue import not_told
from ranker.evaluate.records import EVALUATION, ModelEvaluation
from ranker.evaluate.report import summary, table
from ranker.evaluate.training import evaluated
from ranker.logs import open_logs
from ranker.model.artifact import save_model
from ranker.model.train import train
from scripts.cli import entry
from scripts.cli.settings import TrainSettings
from scripts.pages import reliability, training
from scripts.runs import stage


@dataclass(frozen=True)
class TrainResult:
    """evaluation: what stands beside the model in evaluation.json."""

    model: Path
    model_id: str
    evaluation: ModelEvaluation


def run(settings: TrainSettings) -> TrainResult:
    """Trains a model and evaluates it on users it did not see. Logs and encoded features stay in files while it is made."""
    started = time.perf_counter()
    paths, config = settings.paths, {"model": settings.model, "fit": settings.fit, "seed": settings.seed}
    with (
        entry.naming(logs=paths.logs),
        stage.write(paths.model, stage="train", inputs=[paths.logs], config=config) as out,
        tempfile.TemporaryDirectory(dir=out) as folder,
    ):
        logs = open_logs(paths.logs)
        with entry.progress("Training", settings.model.members * settings.fit.max_epochs) as advance:
            trained = train(logs, settings.model, settings.fit, settings.seed, advance=advance, folder=Path(folder))
        evaluation = evaluated(trained, settings.fit, started)
        model_id = save_model(out, trained.model, summary(evaluation))
        (out / EVALUATION).write_text(evaluation.text())
    if sentence := not_told(trained.model.unidentified):
        logging.getLogger("offermix.train").warning(sentence)
    return TrainResult(paths.model, model_id, evaluation)


def main(settings: TrainSettings) -> None:
    result = run(settings)
    entry.Printer(width=130).print(table(result.evaluation))
    reliability.show(result.evaluation.reliability)
    training.show(result.evaluation)
    print(f"model {result.model_id} written to {result.model}")


if __name__ == "__main__":
    entry.main("train", TrainSettings, main)
