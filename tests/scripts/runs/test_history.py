"""Weeks on record: their history as one run, what a readout adds to both, and the week that broke a guardrail found by a search."""

import json
from collections.abc import Callable
from datetime import date

import mlflow
import pytest
from omegaconf import DictConfig

from scripts.cli.entry import validated
from scripts.cli.settings import WeeklySettings
from scripts.formats.document import Interval
from scripts.formats.readout import (
    ConditionReading,
    Decision,
    GroupSizes,
    LiftReading,
    OutcomeReading,
    Readout,
    UserCounts,
)
from scripts.runs import stage
from scripts.runs.history import step_of
from scripts.runs.mlflow_store import connect
from scripts.runs.tracking import record_readout, record_week
from tests.scripts.runs.test_tracking import CERTIFICATE, SECONDS

WEEKS = {"2026-W52": date(2026, 12, 21), "2026-W53": date(2026, 12, 28), "2027-W01": date(2027, 1, 4)}
BROKEN = "2026-W53"


def around(value: float) -> Interval:
    return Interval(value=value, stderr=0.1, low=value - 0.2, high=value + 0.2)


def outcome(name: str, came: float, margin: float | None) -> OutcomeReading:
    lift = LiftReading(
        holdout=around(1), chosen=around(1), plain=around(0), adjusted=around(came), relative=None, users_holdout=10,
        users_chosen=90, covariates=1,
    )  # fmt: skip
    return OutcomeReading(
        name=name, lower_is_better=margin is not None, success=margin is None, margin=margin, promised=0.5, lift=lift,
        detectable=None, more_than_exploring=None,
    )  # fmt: skip


def read_out(day: date, met: bool) -> Readout:
    conditions = (
        ConditionReading(metric="objective", asked="better", met=True),
        ConditionReading(metric="opt_out", asked="no worse", met=met),
    )
    return Readout(
        day=day.isoformat(), known_before=day.isoformat(), level=0.05,
        verdict=Decision(ship=met, sentence="", conditions=conditions),
        sample_ratio=GroupSizes(observed={}, expected={}, p_value=1.0, holds=True),
        users=UserCounts(allocated_for=100, read=100), contacts_per_user={}, exposed_in_holdout=None, immature={},
        metrics=(outcome("objective", 0.4, None), outcome("opt_out", 0.1, 0.1)), segments=(), offers=(), as_priced=None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def settings(composed: Callable[..., DictConfig], tmp_path_factory: pytest.TempPathFactory) -> WeeklySettings:
    """Three weeks over the turn of a year, each published, recorded and read out."""
    runs = tmp_path_factory.mktemp("history") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        found = validated(WeeklySettings, composed(f"paths.runs='{runs}'"))
        for place, (name, day) in enumerate(WEEKS.items()):
            folder = runs / name
            with stage.write(folder / "allocation", stage="allocate") as out:
                funnel = [{"stage": "allocated", "contacts": 7, "users": 5 + place}]
                content = CERTIFICATE | {"as_of": day.isoformat(), "value": 10.0 + place, "funnel": funnel}
                (out / "certificate.json").write_text(json.dumps(content))
            pointer = dict.fromkeys(("at", "allocation", "allocation_digest"), "x") | {"run": name}
            (runs / "published.json").write_text(json.dumps(pointer))
            assert record_week(name, folder, found, SECONDS, finished=True)
            (folder / "readout").mkdir()
            read = found.model_copy(
                update={"paths": found.paths.model_copy(update={"allocation": folder / "allocation"})}
            )
            assert record_readout(read, read_out(day, name != BROKEN), folder / "allocation", folder / "readout")
        yield found


def points(settings: WeeklySettings, name: str) -> list[tuple[int, float]]:
    client, experiment = connect(settings)
    (run,) = client.search_runs([experiment], "tags.`offermix.kind` = 'history'")
    return sorted((each.step, each.value) for each in client.get_metric_history(run.info.run_id, name))


def test_the_history_has_a_point_per_week_evenly_apart(settings: WeeklySettings) -> None:
    first = step_of(date(2026, 12, 21))
    assert points(settings, "value") == [(first, 10.0), (first + 1, 11.0), (first + 2, 12.0)]
    assert points(settings, "reach") == [(first, 5.0), (first + 1, 6.0), (first + 2, 7.0)]
    assert points(settings, "total/subs") == [(first + week, 0.3) for week in range(3)]
    assert points(settings, "promised") == [(first + week, 0.5) for week in range(3)]
    assert points(settings, "realised") == [(first + week, 0.4) for week in range(3)]
    assert points(settings, "realised/opt_out") == [(first + week, 0.1) for week in range(3)]


def test_a_week_that_is_recorded_again_adds_no_point(settings: WeeklySettings) -> None:
    again = settings.model_copy(update={"seed": 1})
    assert record_week("2027-W01", settings.paths.runs / "2027-W01", again, SECONDS, finished=True)
    assert len(points(settings, "value")) == 3


def test_steps_are_weeks_of_the_calendar() -> None:
    assert step_of(date(1970, 1, 1)) == step_of(date(1969, 12, 29)) == 0
    assert step_of(date(1970, 1, 5)) == 1
    assert step_of(date(2027, 1, 10)) - step_of(date(2026, 12, 27)) == 2


def test_the_week_that_broke_a_guardrail_is_found_by_a_search(settings: WeeklySettings) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{settings.paths.runs / 'mlflow.db'}")
    found = mlflow.search_runs(
        experiment_names=[settings.tracking.experiment],
        filter_string="tags.`offermix.kind` = 'week' and metrics.`readout/guardrail_broken/opt_out` = 1",
    )
    assert found["tags.offermix.week"].tolist() == [BROKEN]
    assert found["metrics.readout/lift/opt_out"].tolist() == [0.1]
