"""Writes a scores dataset: `python -m scripts.score model=DIR users=DIR scores=DIR [catalogue=FILE exposures=DIR]`."""

import time
from dataclasses import dataclass
from pathlib import Path

from ranker.catalogue import read_catalogue
from ranker.model.artifact import load_model
from ranker.predict import predict
from ranker.profiles.table import write_profile_of_scores
from ranker.tables.history import check_exposures, write_history
from scripts.cli import entry
from scripts.cli.settings import ScoreSettings
from scripts.runs import stage


@dataclass(frozen=True)
class ScoreResult:
    """Where the scores are, of how many users, in how many seconds. received: earlier contacts beside them; None without exposures."""

    scores: Path
    users: int
    actions: int
    received: int | None
    seconds: float


def run(settings: ScoreSettings) -> ScoreResult:
    """Streams the users through the model; memory does not grow with them."""
    started = time.perf_counter()
    paths = settings.paths
    inputs = [path for path in (paths.model, paths.users, paths.catalogue, paths.exposures) if path is not None]
    received = None
    with stage.write(paths.scores, stage="score", inputs=inputs) as out:
        if paths.exposures is not None:
            check_exposures(paths.exposures, paths.users)
        model, model_id = load_model(paths.model)
        actions = None if paths.catalogue is None else read_catalogue(paths.catalogue).actions
        with entry.progress("Scoring users") as advance:
            users = predict(model, model_id, paths.users, out, actions, advance)
        if paths.exposures is not None:
            with entry.progress("Reading exposures") as advance:
                received = write_history(paths.exposures, model.schema.none, out, advance)
        write_profile_of_scores(paths.users, out, model.encoder)
    count = len(model.actions if actions is None else actions)
    return ScoreResult(paths.scores, users, count, received, time.perf_counter() - started)


def main(settings: ScoreSettings) -> None:
    result = run(settings)
    print(f"{result.users:,} users x {result.actions} actions scored in {result.seconds:.1f} s: {result.scores}")
    if result.received is not None:
        print(f"{result.received:,} contacts of earlier days: {result.scores / 'history'}")


if __name__ == "__main__":
    entry.main("score", ScoreSettings, main)
