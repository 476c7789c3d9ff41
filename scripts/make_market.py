"""Makes a synthetic market whose truth is known: tables, users, a catalogue and the truth apart."""

import logging

from ranker.market import world
from scripts.cli import entry
from scripts.cli.settings import MakeMarketSettings
from scripts.runs import stage

log = logging.getLogger("offermix")


def run(settings: MakeMarketSettings) -> world.Summary:
    """Writes the market into `out` and says what is in it."""
    config = {"market": settings.data, "seed": settings.seed}
    with (
        stage.write(settings.paths.out, stage="make_market", config=config) as out,
        entry.progress("Listeners", settings.data.users) as advance,
    ):
        summary = world.write(settings.data, settings.seed, out, advance)
    log.info(
        "Market: %s listeners, %d actions, %s decisions of which %s showed something, %s outcomes -> %s",
        f"{summary.users:,}",
        summary.actions,
        f"{summary.decisions:,}",
        f"{summary.contacts:,}",
        f"{summary.outcome_rows:,}",
        settings.paths.out,
    )
    return summary


if __name__ == "__main__":
    entry.main("make_market", MakeMarketSettings, run)
