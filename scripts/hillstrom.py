"""The public e-mail trial as logs and users: `python -m scripts.hillstrom file=CSV out=DIR`."""

from dataclasses import dataclass
from pathlib import Path

from ranker.trials.hillstrom import read_trial, write_trial
from scripts.cli import entry
from scripts.cli.settings import HillstromSettings
from scripts.runs import stage

TEST_SHARE = 0.5


@dataclass(frozen=True)
class HillstromResult:
    """Where the logs, users and test logs are, and how many customers learn and judge."""

    out: Path
    train: int
    test: int


def run(settings: HillstromSettings) -> HillstromResult:
    """Half of the customers to learn from, half to be scored, allocated and judged; the seed says which."""
    paths = settings.paths
    with stage.write(paths.out, stage="hillstrom", inputs=[paths.file], config={"seed": settings.seed}) as out:
        trial = read_trial(paths.file, TEST_SHARE, settings.seed)
        write_trial(trial, out)
    return HillstromResult(paths.out, len(trial.train), len(trial.test))


def main(settings: HillstromSettings) -> None:
    result = run(settings)
    print(f"{result.train:,} customers to learn from, {result.test:,} held out: {result.out}")


if __name__ == "__main__":
    entry.main("hillstrom", HillstromSettings, main)
