"""Outcomes that never vary are refused before anything is learned, with the reason where it is known."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ranker.files import InputError
from ranker.logs import open_logs
from ranker.model.settings import FitSettings, ModelSettings
from ranker.model.train import train
from ranker.tables.prepare import prepare
from ranker.tables.settings import PrepareOptions
from tests.ranker.tables.test_prepare import change, market, tables

SMALL = (ModelSettings(members=2, hidden=(4,)), FitSettings(max_epochs=1), 0)
__all__ = ["market", "tables"]  # fixtures


def test_every_outcome_that_never_varies_is_named(worlds) -> None:
    made = worlds.make_world(2_000, np.random.default_rng(4)).logs
    logs = replace(made, frame=made.frame.assign(subs=0.0, revenue=7.0))
    with pytest.raises(InputError) as raised:
        train(logs, *SMALL)
    first, second = sorted(raised.value.problems)
    assert first.startswith("logs: column revenue: is 7 in all ")
    assert second.startswith("logs: column subs: is 0 in all ")
    assert "decisions that teach, so nothing can be learned of it; check the table it comes from" in second


def test_one_decision_that_differs_is_enough_not_to_be_refused_for_that(worlds) -> None:
    made = worlds.make_world(2_000, np.random.default_rng(4)).logs
    train(made, *SMALL)


def test_events_recorded_after_the_snapshot_are_counted_and_told(tables: Path, tmp_path: Path) -> None:
    """Every event of an outcome is recorded a day too late: the logs say that nothing happened."""
    events: dict[str, int] = {}

    def late(frame: pd.DataFrame) -> pd.DataFrame:
        events.update(frame["outcome"].value_counts().to_dict())
        return frame.assign(recorded_on=pd.Timestamp("2026-11-23").date())

    change(tables, "outcomes", late)
    for name, settings in (("whole", PrepareOptions()), ("parts", PrepareOptions(rows_at_once=500))):
        (tmp_path / name).mkdir()
        prepare(tables, tmp_path / name, settings)
        told = json.loads((tmp_path / name / "late_events.json").read_text())
        assert told == {"known_before": "2026-11-23", "events": events}
    with pytest.raises(InputError) as raised:
        train(open_logs(tmp_path / "whole"), *SMALL)
    problems = raised.value.problems
    assert len(problems) == len(events) >= 3
    subs = next(problem for problem in problems if "column subs" in problem)
    assert subs.startswith(f"{tmp_path / 'whole'}: column subs: is 0 in all ")
    assert subs.endswith(
        f"{events['subs']:,} events of it were dropped, since they were recorded after the snapshot: "
        "on 2026-11-23 or later"
    )


def test_logs_without_late_events_say_nothing_of_them(market: Path, tmp_path: Path) -> None:
    prepare(market / "tables", tmp_path, PrepareOptions())
    assert not (tmp_path / "late_events.json").exists()
    assert open_logs(tmp_path).late is None
