"""Flips the pointer to a finished, audited run: `python -m scripts.publish run=DIR`."""

import logging

from scripts.cli import entry
from scripts.cli.settings import PublishSettings
from scripts.pages.gates import show_gates, show_refusal
from scripts.runs.pointer import Flip
from scripts.stores.publishing import publish

log = logging.getLogger("offermix")


def run(settings: PublishSettings) -> Flip:
    """Asks the gates and publishes; raises scripts.runs.pointer.Refused with every reason where one does not let it through."""
    flip = publish(settings.paths.run, settings.publish)
    if flip.moved:
        log.info("Published %s; before it: %s", flip.pointer.run, flip.pointer.previous or "nothing")
    else:
        log.info("%s is published already; nothing changed", flip.pointer.run)
    return flip


def main(settings: PublishSettings) -> None:
    try:
        gates = run(settings).gates
    except Exception as error:
        show_refusal(error)
        raise
    if gates is not None:
        show_gates(gates)


if __name__ == "__main__":
    entry.main("publish", PublishSettings, main)
