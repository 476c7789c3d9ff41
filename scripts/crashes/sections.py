"""All kinds of fault by name, brought about one after the other."""

import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from scripts.cli.settings import FaultsOptions, Settings
from scripts.crashes.changed_inputs import changed_inputs
from scripts.crashes.clocked import clocks_set_back
from scripts.crashes.damaged import damaged_files
from scripts.crashes.enumerated import enumerate_stops
from scripts.crashes.full_disk import full_disks
from scripts.crashes.injected import refused_acts
from scripts.crashes.killed import killed_processes
from scripts.crashes.prepared import TinyWeeks, prepare_weeks
from scripts.crashes.publications import publications
from scripts.crashes.raced import races
from scripts.crashes.records import FaultSection
from scripts.crashes.untracked import weeks_without_mlflow

FORKED = multiprocessing.get_context("fork")
"""Processes that have everything imported; nothing was computed before they part, so no thread is lost."""
Section = Callable[[TinyWeeks], FaultSection]
SECTIONS: Mapping[str, Section] = MappingProxyType(
    {
        "stops": enumerate_stops,
        "kills": killed_processes,
        "refused": refused_acts,
        "full": full_disks,
        "damaged": damaged_files,
        "inputs": changed_inputs,
        "mlflow": weeks_without_mlflow,
        "races": races,
        "publications": publications,
        "clock": clocks_set_back,
    }
)

USUAL_EVERY: Mapping[str, int] = MappingProxyType(
    {"stops": 1, "kills": 4, "refused": 6, "full": 3, "damaged": 3, "inputs": 3, "mlflow": 7, "races": 4, "publications": 8,
     "clock": 2}
)  # fmt: skip
"""Of so many places one is tried unless a call says otherwise: all stops, and of the others what fits into ten minutes on two cores."""


def bring_about(
    settings: Settings, wanted: FaultsOptions, folder: Path, told: Callable[[], object] = lambda: None
) -> list[FaultSection]:
    """Goes through the sections.

    Args:
        settings: of the command; data, model and fit are made small.
        wanted: which sections, how many users, processes at once, and of how many places one is tried.
        folder: an empty one, for all copies.
        told: is called after every check.
    """
    names = SECTIONS if wanted.only is None else wanted.only
    with ProcessPoolExecutor(max(wanted.processes, 2), FORKED) as pool:
        weeks = prepare_weeks(settings, wanted, folder, pool, told)
        return [SECTIONS[name](replace(weeks, every=wanted.every or USUAL_EVERY[name])) for name in names]
