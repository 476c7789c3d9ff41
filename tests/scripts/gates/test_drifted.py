"""The drift of a week is told column by column, as few flat figures, on a page and in a sentence."""

import math
from pathlib import Path

import numpy as np
import pytest

from ranker.profiles.records import PROFILE, Profile
from scripts.formats.drift import DRIFT, DriftRecord
from scripts.gates.drifted import drifted
from scripts.gates.week_seen import WeekSeen
from scripts.pages.drift_page import headline, page_of, show_drift, write_page
from scripts.runs.metrics import drift_metrics, drift_points, drift_tables
from tests.scripts.gates.test_data import ROWS, write_week


def seen(run: Path) -> WeekSeen:
    return WeekSeen(run.name, run, run / "allocation")


@pytest.fixture
def record(tmp_path: Path) -> DriftRecord:
    """A week whose listeners play ten times as much, and of whom some are of a new market; it left out late events."""
    last = write_week(tmp_path, "W47", 0)
    plays = 10 * np.random.default_rng(2).poisson(20, ROWS).astype(float)
    market = ["FI" if row % 10 == 0 else "SE" if row % 2 else "NO" for row in range(ROWS)]
    now = write_week(tmp_path, "W48", 1, scored_users__plays=plays, scored_users__market=market)
    profile = Profile.from_file(now / "logs" / PROFILE)
    (now / "logs" / PROFILE).write_text(profile.model_copy(update={"left_out": {"events recorded late": 7}}).text())
    return drifted(seen(now), seen(last))


def test_every_table_of_both_weeks_is_compared(record: DriftRecord, tmp_path: Path) -> None:
    assert [each.table for each in record.tables] == ["exposures", "logs", "scored users", "scores"]
    columns = {each.column: each for each in record.tables[2].columns}
    assert columns["plays"].shift == pytest.approx(180 / math.sqrt(20), rel=0.1)
    assert columns["market"].unseen == ("FI",)
    assert columns["market"].moved == pytest.approx(0.1, abs=0.03)
    assert record.left_out == {"events recorded late": 7}
    (tmp_path / DRIFT).write_text(record.text())
    assert DriftRecord.from_file(tmp_path / DRIFT) == record


def test_figures_are_flat_few_and_finite(record: DriftRecord) -> None:
    figures = drift_metrics(record)
    assert len(figures) < 40
    assert all(math.isfinite(figure) for figure in figures.values())
    assert figures["drift/scored_users/rows_ratio"] == 1.0
    assert figures["drift/scored_users/largest_shift"] > 30
    assert figures["drift/scored_users/unseen_values"] == 1.0
    assert figures["drift/left_out"] == 7.0


def test_few_of_them_are_charted_over_weeks(record: DriftRecord) -> None:
    figures = drift_metrics(record)
    names = ("drift/scored_users/largest_shift", "drift/scores/largest_shift")
    assert drift_points(record) == {name: figures[name] for name in names}


def test_the_table_of_columns_begins_with_what_moved_most(record: DriftRecord) -> None:
    rows = [row for row in drift_tables(record)["drift"] if row["table"] == "scored users"]
    assert rows[0]["column"] == "plays" and rows[0]["known"] == "both"
    assert {row["column"]: row["unseen_values"] for row in rows}["market"] == 1


def test_the_page_and_the_table_say_what_moved_most(
    record: DriftRecord, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert headline(record).startswith("Since W47, plays of scored users moved most: by 4")
    assert page_of(record).notices == ("market of scored users has values never seen before: FI.",)
    write_page(record, tmp_path / "drift.html")
    page = (tmp_path / "drift.html").read_text()
    assert "events recorded late" in page
    assert "://" not in page.split("<script", 1)[0]
    show_drift(record)
    printed = capsys.readouterr().out
    assert "W48 beside W47" in printed
    assert printed.strip().endswith("spreads.")


def test_a_first_week_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    record = drifted(seen(write_week(tmp_path, "W47", 0)), None)
    assert (record.week, record.tables) == (None, ())
    assert headline(record) == "Nothing was published before to compare with."
    assert page_of(record).tiles == ()
