"""The history of weeks as one MLflow run: each metric has a point per published week, so that MLflow's own chart draws it over time.

A point's step counts weeks since 1970-01-01, so that they are evenly apart over the turn of a year, and its time is the week's day.
"""

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from allocator.formats import Certificate
from ranker.evaluate.objective import OBJECTIVE
from scripts.formats.readout import Readout
from scripts.formats.rehearsal import Rehearsal
from scripts.runs.params import sanitised

if TYPE_CHECKING:
    from mlflow import MlflowClient

HISTORY = "history"
"""The kind of the run, as its tag says."""
EPOCH = date(1970, 1, 1)


def step_of(day: date) -> int:
    """Whole ISO weeks since that of 1970-01-01."""
    return (day.toordinal() - EPOCH.toordinal() + EPOCH.weekday() - day.weekday()) // 7


def week_points(certificate: Certificate, rehearsal: Rehearsal | None) -> dict[str, float]:
    """What a week adds when it is published: value, gap, contacts, reach, the total of each metric, and what was promised of it."""
    points: dict[str, float | int | None] = {
        "value": certificate.value,
        "gap": certificate.gap,
        "contacts": certificate.contacts,
        "reach": next((each.users for each in certificate.funnel if each.stage == "allocated"), None),
    }
    points |= {f"total/{name}": each.total for name, each in certificate.metrics.items()}
    for each in () if rehearsal is None else rehearsal.amounts:
        if each.kind == "value":
            points |= {"held_out/promised": each.promised, "held_out/realised": each.realised.value}
    return {name: float(value) for name, value in points.items() if value is not None and math.isfinite(value)}


def readout_points(found: Readout) -> dict[str, float]:
    """What its readout adds: per outcome what was promised of a user and what came."""
    points: dict[str, float] = {}
    for each in found.metrics:
        if each.lift is not None:
            place = "" if each.name == OBJECTIVE else f"/{each.name}"
            points |= {f"promised{place}": float(each.promised), f"realised{place}": float(each.lift.adjusted.value)}
    return points


def add_points(client: "MlflowClient", experiment: str, day: date, points: Mapping[str, float]) -> str:
    """Adds the points of a week to the experiment's history; those that stand there already are left. The id of the run."""
    from mlflow.entities import Metric

    run_id, step = _run(client, experiment), step_of(day)
    moment = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    entries = [
        Metric(sanitised(name), value, moment, step)
        for name, value in points.items()
        if not any(
            (each.step, each.value) == (step, value) for each in client.get_metric_history(run_id, sanitised(name))
        )
    ]
    if entries:
        client.log_batch(run_id, metrics=entries)
    return run_id


def _run(client: "MlflowClient", experiment: str) -> str:
    found = client.search_runs(
        [experiment], f"tags.`offermix.kind` = '{HISTORY}'", max_results=1, order_by=["start_time"]
    )
    if found:
        return str(found[0].info.run_id)
    made = client.create_run(experiment, run_name="history of weeks", tags={"offermix.kind": HISTORY})
    client.set_terminated(made.info.run_id, "FINISHED")
    return str(made.info.run_id)
