"""Earlier promises and what came of them: read from readouts, pooled by weight, and taken off a new promise."""

from pathlib import Path

import numpy as np
import pytest

from allocator.workbench.answers import KeptPromise, MeanAndError
from ranker.evaluate.objective import OBJECTIVE
from scripts.formats.document import Interval
from scripts.formats.readout import READOUT, Decision, GroupSizes, LiftReading, OutcomeReading, Readout, UserCounts
from scripts.judging.track_record import WEEKS, discounted, record_of, track_record


def around(value: float, stderr: float) -> Interval:
    return Interval(value=value, stderr=stderr, low=value - 2 * stderr, high=value + 2 * stderr)


def write_readout(runs: Path, day: str, promised: float, came: float, stderr: float) -> None:
    lift = LiftReading(
        holdout=around(1, 0.1), chosen=around(1, 0.1), plain=around(0, 0.2), adjusted=around(came, stderr), relative=None,
        users_holdout=100, users_chosen=900, covariates=1,
    )  # fmt: skip
    metric = OutcomeReading(
        name=OBJECTIVE, lower_is_better=False, success=True, margin=None, promised=promised, lift=lift, detectable=None,
        more_than_exploring=None,
    )  # fmt: skip
    readout = Readout(
        day=day, known_before=day, level=0.05, verdict=Decision(ship=True, sentence="", conditions=()),
        sample_ratio=GroupSizes(observed={}, expected={}, p_value=1.0, holds=True),
        users=UserCounts(allocated_for=1_000, read=1_000), contacts_per_user={}, exposed_in_holdout=None, immature={},
        metrics=(metric,), segments=(), offers=(), as_priced=None,
    )  # fmt: skip
    folder = runs / day / "readout"
    folder.mkdir(parents=True)
    (folder / READOUT).write_text(readout.text())


def test_the_last_weeks_are_pooled_and_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    for week in range(1, 11):
        write_readout(tmp_path, f"2026-09-{week:02d}", promised=1.0, came=0.0 if week <= 2 else 0.5, stderr=0.1)
    (tmp_path / "broken" / "readout").mkdir(parents=True)
    (tmp_path / "broken" / "readout" / READOUT).write_text("{}")
    record = track_record(tmp_path)
    assert record is not None
    assert [each.week for each in record.weeks] == [f"2026-09-{week:02d}" for week in range(3, 11)]
    assert len(record.weeks) == WEEKS
    assert record.kept.mean == pytest.approx(0.5)
    assert record.kept.se == pytest.approx(0.1 * np.sqrt(8) / 8)


def test_there_is_no_record_without_readouts_or_promises(tmp_path: Path) -> None:
    assert track_record(tmp_path) is None
    assert record_of([KeptPromise(week="w", promised=0.0, came=1.0, came_se=0.1)]) is None


def test_a_promise_is_discounted_with_both_errors() -> None:
    """Against many draws of both estimates."""
    record = record_of([KeptPromise(week="w", promised=2.0, came=1.0, came_se=0.2)])
    assert record is not None
    found = discounted(MeanAndError(mean=100.0, se=5.0), record)
    generator = np.random.default_rng(0)
    drawn = generator.normal(100, 5, 200_000) * generator.normal(0.5, 0.1, 200_000)
    assert found.mean == pytest.approx(drawn.mean(), rel=0.01)
    assert found.se == pytest.approx(drawn.std(), rel=0.02)
