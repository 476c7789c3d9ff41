"""Solves, audits and writes an allocation: `python -m scripts.allocate scores=DIR policy=FILE out=DIR [previous=DIR]`."""

import logging
from dataclasses import replace

from allocator.allocate import Allocation, allocate
from allocator.formats import DIAGNOSIS
from allocator.infeasible.diagnosis import Infeasible
from ranker.scores import open_scores
from scripts.cli import entry
from scripts.cli.progress import Pace
from scripts.cli.settings import AllocateSettings
from scripts.pages.allocation import show_allocation
from scripts.runs import stage

log = logging.getLogger("offermix")


def run(settings: AllocateSettings, pace: Pace | None = None) -> Allocation:
    """Writes the allocation, its certificate, price book and audit, all or nothing.

    pace: of whoever watches. Raises Infeasible where the constraints contradict each other, after writing `diagnosis.json` alone.
    """
    paths = settings.paths
    inputs = [path for path in (paths.scores, paths.policy, paths.previous) if path is not None]
    config = {"solve": settings.solve, "set": settings.set}
    pace = Pace() if pace is None else pace
    try:
        with (
            entry.watched(lambda: f"Allocating {pace.line()}"),
            stage.write(paths.out, "allocate", inputs, config, leftover=DIAGNOSIS) as made,
        ):
            log.info("Reading %s", paths.scores)
            scores = open_scores(paths.scores)
            options = {"changes": settings.set, "previous": paths.previous, "folder": made, "progress": pace}
            made_here = allocate(scores, paths.policy, settings.solve, **options)
    except Infeasible as error:
        stage.write_alone(paths.out, DIAGNOSIS, error.diagnosis.text(), replaces=["allocate"])
        raise
    return replace(made_here, folder=paths.out, seconds={**made_here.seconds, **pace.seconds})


def main(settings: AllocateSettings) -> None:
    result = run(settings)
    for remark in result.certificate.remarks:
        log.warning("%s", remark.ended)
    show_allocation(result)


if __name__ == "__main__":
    entry.main("allocate", AllocateSettings, main)
