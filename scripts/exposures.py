"""A week's decisions as rows of exposures: `python -m scripts.exposures allocation=DIR out=DIR [shown=DIR scores=DIR]`."""

import logging

from allocator.exposures import Exposures, exposures_of
from allocator.saved import read_allocation
from ranker import disk
from ranker.scores import open_scores
from scripts.cli import entry
from scripts.cli.settings import ExposuresSettings
from scripts.judging.shown_contacts import read_shown
from scripts.runs import stage
from scripts.runs.made_from import scores_of

log = logging.getLogger("offermix")


def run(settings: ExposuresSettings) -> Exposures:
    """Writes `part-*.parquet` into `out`: they belong beside the other files of tables/exposures."""
    paths, scores = settings.paths, scores_of(settings.paths.allocation, settings.paths.scores)
    inputs = [path for path in (paths.allocation, scores, paths.shown) if path is not None]
    with stage.write(paths.out, "exposures", inputs) as made, entry.progress("Contacts shown") as advance:
        shown = None if paths.shown is None else read_shown(paths.shown, advance)
        found = exposures_of(open_scores(scores), read_allocation(paths.allocation), shown)
        for number, table in enumerate(found.tables()):
            disk.write_table(made / f"part-{number:05d}.parquet", table, compression="zstd")
    return found


def main(settings: ExposuresSettings) -> None:
    found = run(settings)
    log.info(
        "%s contacts and %s listeners who were decided to get nothing -> %s",
        f"{found.contacts:,}",
        f"{found.nothing:,}",
        settings.paths.out,
    )
    for sentence in found.left_out:
        log.warning("%s", sentence)


if __name__ == "__main__":
    entry.main("exposures", ExposuresSettings, main)
