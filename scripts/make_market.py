"""Makes a synthetic market whose truth is known, or lets one answer an allocation."""

import logging
from pathlib import Path

import pyarrow as pa

from ranker.market import world
from ranker.market.next_week import write_next_week
from ranker.market.truth import read_world
from ranker.scores import open_scores
from scripts.cli import entry
from scripts.cli.settings import MakeMarketSettings
from scripts.runs import stage
from scripts.runs.made_from import scores_of

log = logging.getLogger("offermix")


def run(settings: MakeMarketSettings) -> world.Summary:
    """Writes the market into `out` and says what is in it."""
    summary = _new(settings) if settings.paths.after is None else _after(settings, settings.paths.after)
    log.info("Market: %s -> %s", summary.sentence, settings.paths.out)
    return summary


def _new(settings: MakeMarketSettings) -> world.Summary:
    config = {"market": settings.data, "seed": settings.seed}
    with (
        stage.write(settings.paths.out, stage="make_market", config=config) as out,
        entry.progress("Listeners", settings.data.users) as advance,
    ):
        return world.write(settings.data, settings.seed, out, advance)


def _after(settings: MakeMarketSettings, allocation: Path) -> world.Summary:
    """The market that the allocation's week was made of, a week later."""
    from allocator.exposures import exposures_of  # brings the allocator, which a new market does without
    from allocator.saved import read_allocation

    market = read_world(settings.paths.market or allocation.parent / "market")
    scores = scores_of(allocation, settings.paths.scores)
    with (
        stage.write(
            settings.paths.out, "make_market", [market.path, scores, allocation], {"later": settings.market.later}
        ) as out,
        entry.progress("Listeners", market.settings.users) as advance,
    ):
        opened = open_scores(scores)
        decided = pa.concat_tables(exposures_of(opened, read_allocation(allocation)).tables())
        return write_next_week(market, decided, out, advance, settings.market.later, opened.catalogue.ids)


if __name__ == "__main__":
    entry.main("make_market", MakeMarketSettings, run)
