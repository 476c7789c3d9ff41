"""A tiny week, and everything that may happen to it: `python -m scripts.faults [only=NAME,NAME every=N first=N]`."""

import sys
import tempfile
from pathlib import Path

from scripts.cli import entry
from scripts.cli.settings import FaultsSettings
from scripts.cli.statuses import FAILED
from scripts.crashes.records import FaultSection
from scripts.crashes.sections import bring_about
from scripts.crashes.told import show_faults


def run(settings: FaultsSettings) -> list[FaultSection]:
    """Goes through all faults, or through those of some sections."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder, entry.progress("Checked") as advance:
        return bring_about(settings, settings.faults, Path(folder), advance)


def main(settings: FaultsSettings) -> None:
    found = run(settings)
    show_faults(found)
    if any(section.faults for section in found):
        sys.exit(FAILED)


if __name__ == "__main__":
    entry.main("faults", FaultsSettings, main)
