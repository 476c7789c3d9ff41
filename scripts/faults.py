"""A tiny week stopped at every write, and what becomes of it: `python -m scripts.faults [every=N]`."""

import sys
import tempfile
from pathlib import Path

from scripts.cli import entry
from scripts.cli.settings import FaultsSettings
from scripts.cli.statuses import FAILED
from scripts.crashes.enumerated import enumerate_stops
from scripts.crashes.records import Faults
from scripts.crashes.told import show_faults


def run(settings: FaultsSettings) -> Faults:
    """Checks what all stops leave, or of every n states one."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder, entry.progress("Stops checked") as advance:
        return enumerate_stops(settings, settings.faults, Path(folder), lambda all_: advance(1, f"of {all_:,}"))


def main(settings: FaultsSettings) -> None:
    found = run(settings)
    show_faults(found)
    if found.faults:
        sys.exit(FAILED)


if __name__ == "__main__":
    entry.main("faults", FaultsSettings, main)
