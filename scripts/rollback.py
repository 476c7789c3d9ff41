"""Flips the pointer back to a run that was published before: `python -m scripts.rollback to=RUN`."""

import logging

from scripts.cli import entry
from scripts.cli.settings import RollbackSettings
from scripts.runs.pointer import Flip
from scripts.stores.publishing import rollback

log = logging.getLogger("offermix")


def run(settings: RollbackSettings) -> Flip:
    """`to` is a run's name under `runs`, or its folder; raises scripts.runs.pointer.Refused where it cannot be gone back to."""
    to = settings.paths.to
    runs = settings.paths.runs if len(to.parts) == 1 and not to.is_absolute() else to.parent
    flip = rollback(runs, to.name, settings.publish)
    if flip.moved:
        log.info("Rolled back to %s; before it: %s", flip.pointer.run, flip.pointer.previous or "nothing")
    else:
        log.info("%s is published now; nothing changed", flip.pointer.run)
    return flip


if __name__ == "__main__":
    entry.main("rollback", RollbackSettings, run)
