"""The network against ridge and one e-mail for all, on halves of the trial: `python -m scripts.bench_trial file=CSV out=DIR`.

One split proves little: what is printed is the mean over splits, the standard error over splits (too small, as they overlap) and
the average standard error within a split.
"""

import json
from dataclasses import asdict, dataclass

import numpy as np

from ranker.evaluate.trial import Split, judge_split
from ranker.hillstrom import ACTIONS, SCHEMA, read_trial
from ranker.logs import Logs
from scripts import command, stage
from scripts.settings import HillstromSettings

SPLITS = 5
OUTCOME, FIXED = "visit", "mens"


@dataclass(frozen=True)
class BenchResult:
    """A record per split and learner, in order of splits."""

    splits: tuple[Split, ...]


def run(settings: HillstromSettings) -> BenchResult:
    """Trains and judges on every split; writes splits.json."""
    paths = settings.paths
    config = {"model": settings.model, "fit": settings.fit, "seed": settings.seed}
    splits: list[Split] = []
    with stage.write(paths.out, "bench_trial", [paths.file], config) as out:
        with command.progress("Splits of the trial", SPLITS) as advance:
            for seed in range(settings.seed, settings.seed + SPLITS):
                splits += _one(settings, seed)
                advance()
        (out / "splits.json").write_text(json.dumps([asdict(split) for split in splits], indent=1) + "\n")
    return BenchResult(tuple(splits))


def _one(settings: HillstromSettings, seed: int) -> list[Split]:
    trial = read_trial(settings.paths.file, 0.5, seed)
    train, test = (Logs(SCHEMA, ACTIONS, frame, None) for frame in (trial.train, trial.test))
    return judge_split(train, test, settings.model, settings.fit, seed, OUTCOME, FIXED)


def rows(splits: tuple[Split, ...]) -> list[tuple[str, ...]]:
    """A row per learner: mean over splits, standard error over splits, average standard error within a split."""
    table = []
    for learner in dict.fromkeys(split.learner for split in splits):
        own = [split for split in splits if split.learner == learner]
        figures = [_figure([s.qini[a["id"]] for s in own], [s.qini_stderr[a["id"]] for s in own]) for a in ACTIONS]
        value = _figure([s.value for s in own], [s.value_stderr for s in own])
        gain = _figure([s.difference for s in own], [s.difference_stderr for s in own])
        table.append((learner, *figures, value, gain))
    return table


def _figure(values: list[float], within: list[float]) -> str:
    over = np.std(values, ddof=1) / len(values) ** 0.5
    return f"{np.mean(values):+.3f} ± {over:.3f} ({np.mean(within):.3f})"


def main(settings: HillstromSettings) -> None:
    result = run(settings)
    columns = ("learner", "Qini mens x100", "Qini womens x100", "visits %, DR", "against mens to all, points")
    command.show_table(f"{SPLITS} halves: mean ± se over halves (se of one half)", columns, rows(result.splits))


if __name__ == "__main__":
    command.main("bench_trial", HillstromSettings, main)
