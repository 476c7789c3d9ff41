"""Flips the pointer to a finished, audited run: `python -m scripts.publish run=DIR`."""

import logging

from scripts.cli import entry
from scripts.cli.settings import PublishSettings
from scripts.runs.pointer import Flip, publish

log = logging.getLogger("offermix")


def run(settings: PublishSettings) -> Flip:
    """Checks the guardrails and publishes; raises scripts.runs.pointer.Refused with every reason where one does not hold."""
    flip = publish(settings.paths.run, settings.publish)
    if flip.moved:
        log.info("Published %s; before it: %s", flip.pointer.run, flip.pointer.previous or "nothing")
    else:
        log.info("%s is published already; nothing changed", flip.pointer.run)
    return flip


if __name__ == "__main__":
    entry.main("publish", PublishSettings, run)
