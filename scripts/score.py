"""Writes a scores dataset: `python -m scripts.score model=DIR users=DIR scores=DIR [catalogue=FILE]`."""

import time
from dataclasses import dataclass
from pathlib import Path

from ranker.model.artifact import load_model
from ranker.predict import predict
from ranker.scores import read_catalogue
from scripts import command, stage
from scripts.settings import ScoreSettings


@dataclass(frozen=True)
class ScoreResult:
    """Where the scores are, of how many users, in how many seconds."""

    scores: Path
    users: int
    actions: int
    seconds: float


def run(settings: ScoreSettings) -> ScoreResult:
    """Streams the users through the model; memory does not grow with them."""
    started = time.perf_counter()
    paths = settings.paths
    inputs = [path for path in (paths.model, paths.users, paths.catalogue) if path is not None]
    with stage.write(paths.scores, stage="score", inputs=inputs) as out:
        model, model_id = load_model(paths.model)
        actions = None if paths.catalogue is None else read_catalogue(paths.catalogue).actions
        with command.progress("Scoring users") as advance:
            users = predict(model, model_id, paths.users, out, actions, advance)
    count = len(model.actions if actions is None else actions)
    return ScoreResult(paths.scores, users, count, time.perf_counter() - started)


def main(settings: ScoreSettings) -> None:
    result = run(settings)
    print(f"{result.users:,} users x {result.actions} actions scored in {result.seconds:.1f} s: {result.scores}")


if __name__ == "__main__":
    command.main("score", ScoreSettings, main)
