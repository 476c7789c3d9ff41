"""Flips the pointer to a finished, audited run: `python -m scripts.publish run=DIR`."""

import logging

from allocator.publish import Flip, publish
from scripts import command
from scripts.settings import PublishSettings

log = logging.getLogger("offermix")


def run(settings: PublishSettings) -> Flip:
    """Checks the guardrails and publishes; raises allocator.publish.Refused with every reason where one does not hold."""
    flip = publish(settings.paths.run, settings.publish.max_gap)
    if flip.moved:
        log.info("Published %s; before it: %s", flip.pointer.run, flip.pointer.previous or "nothing")
    else:
        log.info("%s is published already; nothing changed", flip.pointer.run)
    return flip


if __name__ == "__main__":
    command.main("publish", PublishSettings, run)
