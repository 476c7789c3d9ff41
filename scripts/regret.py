"""How far from the best the learned policy is, on a synthetic market's truth.

`python -m scripts.regret market=DIR scores=DIR policy=FILE out=DIR`

Every policy gives to the same free users (neither held out nor exploring) under the same rules; all are judged by what is truly
expected of their contacts, hidden traits included, effects of a slate's contacts added up, and what two products take from each other
taken off. Soft rules' penalties are left out.
"""

from collections.abc import Sequence
from pathlib import Path

from ranker import disk
from ranker.files import InputError
from scripts.cli import entry
from scripts.cli.settings import RegretSettings
from scripts.formats.regret import REGRET, Regret
from scripts.judging.regret import judge
from scripts.pages.printed import show_regret
from scripts.runs import stage


def run(settings: RegretSettings) -> Regret:
    """Writes regret.json into `out` and returns what is in it."""
    paths = settings.paths
    market = [paths.market / part for part in ("truth", "users")]
    _must_be_there(market)
    config = {"seed": settings.seed, "solve": settings.solve, "set": settings.set}
    with stage.write(paths.out, "regret", [*market, paths.scores, paths.policy], config) as made:
        table = judge(settings)
        disk.write_text(made / REGRET, table.text())
    return table


def _must_be_there(folders: Sequence[Path]) -> None:
    """Checked first, since what is missing here is the one thing that real tables can never have."""
    missing = [path for path in folders if not path.is_dir()]
    if missing:
        why = "there is no such folder; only a market that was written with its truth can judge"
        raise InputError([f"{path}: {why}" for path in missing])


def main(settings: RegretSettings) -> None:
    show_regret(run(settings))


if __name__ == "__main__":
    entry.main("regret", RegretSettings, main)
