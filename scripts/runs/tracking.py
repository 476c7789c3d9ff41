"""MLflow's record of a week: what went in, what came out, and the model as a challenger. Written after the run.

Nothing about single users is recorded: datasets are named, counted and digested, and the allocation itself stays in the run's folder.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from allocator.formats import CERTIFICATE, Certificate
from ranker.evaluate.records import EVALUATION, ModelEvaluation
from scripts.cli.settings import Settings
from scripts.formats.drift import DRIFT, DriftRecord
from scripts.formats.manifest import read_manifest
from scripts.formats.readout import Readout
from scripts.formats.rehearsal import REHEARSAL, Rehearsal
from scripts.runs import clock, digests
from scripts.runs.champion import CHALLENGER, CHAMPION, set_champion
from scripts.runs.history import add_points, readout_points, week_points
from scripts.runs.metrics import (
    drift_points,
    evaluation_metrics,
    readout_metrics,
)
from scripts.runs.mlflow_entries import (
    log_curves,
    log_datasets,
    log_file,
    log_metrics,
    log_model_metrics,
    log_params,
    log_tables,
)
from scripts.runs.mlflow_models import MODEL_ID, Registrable, version_of
from scripts.runs.mlflow_store import alone, connect, where
from scripts.runs.params import sanitised, short_params, without_password, without_places, without_secrets
from scripts.runs.published import current
from scripts.runs.week_record import StageRecord, Tables, WeekRecord, read_week

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger("offermix.tracking")


def record_week(
    name: str, folder: Path, settings: Settings, seconds: Mapping[str, tuple[float, bool]], *, finished: bool
) -> str | None:
    """Writes the week to MLflow; the id of its run, or None where it was not recorded, with a warning that says why.

    seconds: per command its wall time and whether it was skipped, since its output was still current.

    A finished run is never lost to a server that is down: every error ends here.
    """
    if not settings.tracking.enabled:
        return None
    log.info("Recording in MLflow (%s) ...", where())
    try:
        return _record(read_week(name, folder, settings, seconds, finished=finished))
    except Exception as error:
        _warn(error, folder)
        return None


def record_command(
    name: str,
    settings: Settings,
    metrics: Mapping[str, float],
    datasets: Sequence[tuple[Path, str]],
    folder: Path,
    tables: Tables = MappingProxyType({}),
) -> str | None:
    """Writes one command, run by itself, to MLflow: its metrics, settings, datasets, tables and the files of `folder`; the id of its run.

    Never raises, as `record_week`.
    """
    if not settings.tracking.enabled:
        return None
    try:
        client, experiment = connect(settings)
        tags = {"offermix.kind": name, "offermix.code_version": digests.code_version()}
        run_id = client.create_run(experiment, run_name=f"{folder.parent.name} {name}", tags=tags).info.run_id
        log_params(client, run_id, short_params(_without_places(settings)))
        log_metrics(client, run_id, metrics)
        log_datasets(client, run_id, datasets)
        log_tables(client, run_id, tables)
        log_file(client, run_id, folder, name)
        client.set_terminated(run_id, "FINISHED")
        return run_id
    except Exception as error:
        _warn(error, folder)
        return None


def record_readout(settings: Settings, found: Readout, allocation: Path, folder: Path) -> str | None:
    """Writes a readout to MLflow, and its figures to the run of the week that it is about and to the history; never raises."""
    told = readout_metrics(found)
    run_id = record_command("readout", settings, told, [], folder)
    if run_id is None:
        return None
    try:
        client, experiment = connect(settings)
        week = allocation.resolve().parent.name
        asked = f"tags.`offermix.week` = '{sanitised(week)}' and tags.`offermix.kind` = 'week' and attributes.status = 'FINISHED'"
        for run in client.search_runs([experiment], asked, max_results=1):
            log_metrics(client, run.info.run_id, {f"readout/{name}": value for name, value in told.items()})
            if day := run.data.tags.get("offermix.as_of"):
                with alone(settings.paths.runs):
                    add_points(client, experiment, date.fromisoformat(day), readout_points(found))
    except Exception as error:
        _warn(error, folder)
    return run_id


def _first_line(error: Exception) -> str:
    return without_password((str(error).strip().splitlines() or [""])[0])[:300]


def _warn(error: Exception, folder: Path) -> None:
    log.warning(
        "MLflow: this run could not be recorded (%s: %s). The run itself is complete; its files are in %s.",
        type(error).__name__,
        _first_line(error),
        folder,
    )


def _record(record: WeekRecord) -> str:
    client, experiment = connect(record.settings)
    identity = _identity(record)
    known = _recorded_before(client, experiment, identity) if record.finished else None
    if known is not None:
        log.info("MLflow: nothing changed since this run was recorded as %s", known)
        return known
    ended = clock.milliseconds()
    start = ended - round(1000 * record.seconds)
    tags = _tags("week", identity) | record.tags
    parent = client.create_run(experiment, start, tags, record.name).info.run_id
    try:
        _log_parent(client, parent, record)
        for each in record.stages:
            child = _log_stage(client, experiment, parent, each, record, start)
            start += round(1000 * each.seconds)
            if each.name == "train" and record.finished:
                _register(client, experiment, child, record)
        if record.finished and record.published:
            _add_to_history(client, experiment, record)
    except BaseException:
        client.set_terminated(parent, "FAILED", ended)
        raise
    client.set_terminated(parent, "FINISHED" if record.finished else "FAILED", ended)
    return parent


def _add_to_history(client: "MlflowClient", experiment: str, record: WeekRecord) -> None:
    certificate = Certificate.from_file_if_sound(record.folder / "allocation" / CERTIFICATE)
    rehearsal = Rehearsal.from_file_if_sound(record.folder / "rehearsal" / REHEARSAL)
    drift = DriftRecord.from_file_if_sound(record.folder / "drift" / DRIFT)
    if certificate is not None and record.day is not None:
        with alone(record.folder.parent):
            points = week_points(certificate, rehearsal) | ({} if drift is None else drift_points(drift))
            add_points(client, experiment, record.day, points)


def _identity(record: WeekRecord) -> str:
    """Two runs with the same identity made the same files from the same settings."""
    files = {each.name: _outputs(record.folder / FOLDERS.get(each.name, each.name)) for each in record.stages}
    return digests.config_digest({"name": record.name, "files": files, "settings": record.settings})


def _outputs(folder: Path) -> object:
    manifest = read_manifest(folder)
    return None if manifest is None else manifest.content()["outputs"]


FOLDERS = {"train": "model", "score": "scores", "allocate": "allocation"}


def _recorded_before(client: "MlflowClient", experiment: str, identity: str) -> str | None:
    found = client.search_runs(
        [experiment], f"tags.`offermix.identity` = '{identity}' and attributes.status = 'FINISHED'", max_results=1
    )
    return found[0].info.run_id if found else None


def _tags(kind: str, identity: str) -> dict[str, str]:
    return {
        "offermix.kind": kind,
        "offermix.identity": identity,
        "offermix.code_version": digests.code_version(),
        "mlflow.source.name": "scripts.weekly",
    }


def _without_places(settings: Settings) -> dict[str, object]:
    return cast(dict[str, object], without_places(settings.model_dump(mode="json")))


def _log_parent(client: "MlflowClient", run_id: str, record: WeekRecord) -> None:
    config = _without_places(record.settings)
    client.log_dict(run_id, without_secrets(config), "config.yaml")
    log_params(client, run_id, short_params(config))
    log_metrics(client, run_id, record.metrics)
    log_tables(client, run_id, record.tables)
    for path, folder in record.files:
        log_file(client, run_id, path, folder)


def _log_stage(
    client: "MlflowClient", experiment: str, parent: str, each: StageRecord, record: WeekRecord, start: int
) -> str:
    tags = {"mlflow.parentRunId": parent, "offermix.kind": each.name, "offermix.resumed": str(each.resumed).lower()}
    run_id = client.create_run(experiment, start, tags, f"{record.name} {each.name}").info.run_id
    log_params(client, run_id, {name: str(value) for name, value in each.params.items()})
    log_metrics(client, run_id, each.metrics, {"seconds": each.seconds})
    log_curves(client, run_id, each.curves)
    log_tables(client, run_id, each.tables)
    log_datasets(client, run_id, each.datasets)
    for path, folder in each.files:
        log_file(client, run_id, path, folder)
    client.set_terminated(run_id, "FINISHED", start + round(1000 * each.seconds))
    return run_id


def _register(client: "MlflowClient", experiment: str, run_id: str, record: WeekRecord) -> None:
    """The trained model, and the champion with this week's prices; of a published week the model that scored it is the champion."""
    folder, name = record.folder, sanitised(record.settings.tracking.registered_model)
    scores, allocation, kept = folder / FOLDERS["score"], folder / FOLDERS["allocate"], folder / CHAMPION
    tags = {"offermix_run": record.name, "code_version": digests.code_version()}
    try:
        lost = kept.is_dir()
        trained = Registrable(folder / FOLDERS["train"], scores, None if lost else allocation)
        version = version_of(client, experiment, run_id, name, trained, tags)
        evaluation = ModelEvaluation.from_file_if_sound(folder / FOLDERS["train"] / EVALUATION)
        model_id = client.get_model_version(name, version).tags.get(MODEL_ID)
        if evaluation is not None and model_id is not None:
            log_model_metrics(client, run_id, model_id, folder / "logs", evaluation_metrics(evaluation))
        client.set_registered_model_alias(name, CHALLENGER, version)
        last = current(folder.parent)
        if last is not None and last.run == record.name:
            if lost:
                version = version_of(client, experiment, run_id, name, Registrable(kept, scores, allocation), tags)
            set_champion(client, name, version, "scripts.weekly", f"its scores and prices are those of {record.name}")
    except Exception as error:
        log.warning("MLflow: the model was not registered (%s: %s)", type(error).__name__, _first_line(error))
