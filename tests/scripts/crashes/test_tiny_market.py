"""A tiny market's real week, stopped at some of its writes: the stand-in week has all of them, `python -m scripts.faults` all of these."""

from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

import pytest
from omegaconf import DictConfig

from scripts.cli.entry import validated
from scripts.cli.settings import FaultsSettings
from scripts.crashes.enumerated import check, faults_of, watch
from scripts.crashes.prepared import run_week

EVERY = 120


@pytest.mark.timeout(240)
def test_no_stop_of_a_real_week_loses_or_halves_anything(composed: Callable[..., DictConfig], tmp_path: Path) -> None:
    """Each day begins elsewhere, so that days together try all stops."""
    settings = validated(FaultsSettings, composed())
    week = partial(run_week, settings, settings.faults.users)
    watched = watch(week, tmp_path)
    first = date.today().toordinal() % EVERY
    chosen = watched.states[first::EVERY]
    found = faults_of(watched, chosen, [check(week, state, watched.whole) for state in chosen], 0.0)
    assert found.faults == (), f"first={first}"
    assert found.points > 1_000 and found.checked >= 2
