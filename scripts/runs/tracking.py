"""MLflow's record of a week: what went in, what came out, and the model as a challenger. Written after the run.

SQLite under the runs folder unless MLFLOW_TRACKING_URI names a server. Nothing about single users is recorded: datasets are
named, counted and digested, and the allocation itself stays in the run's folder.
"""

import contextlib
import json
import logging
import math
import os
import re
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ranker.files import parquet_files, parquet_rows, parquet_schema, read_json_object
from scripts.cli.settings import Settings
from scripts.runs import stage
from scripts.runs.locks import Held, lock

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger("offermix.tracking")

LONGEST_NAME, LONGEST_PARAM, LARGEST_BATCH = 250, 250, 900
LONGEST_WAIT = 60.0  # seconds; making the database takes a few
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # a server that is down, or swallows packets, costs seconds, not minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclass(frozen=True)
class StageRecord:
    """One stage as a child run: its metrics (with a curve per name where there are steps), params, datasets and files.

    datasets: (path, context). files: (path, folder among the artifacts).
    """

    name: str
    seconds: float = 0.0
    resumed: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    params: Mapping[str, object] = field(default_factory=dict)
    datasets: Sequence[tuple[Path, str]] = ()
    files: Sequence[tuple[Path, str]] = ()


@dataclass(frozen=True)
class WeekRecord:
    """What is recorded of one weekly run."""

    name: str
    folder: Path
    settings: Settings
    finished: bool
    stages: Sequence[StageRecord]
    metrics: Mapping[str, float] = field(default_factory=dict)
    files: Sequence[tuple[Path, str]] = ()


def read_week(
    name: str, folder: Path, settings: Settings, seconds: Mapping[str, tuple[float, bool]], *, finished: bool
) -> WeekRecord:
    """What is recorded of the run in `folder`, as far as it came."""
    certificate = _json(folder / "allocation" / "certificate.json")
    evaluation = _json(folder / "model" / "evaluation.json")
    audit = _json(folder / "allocation" / "audit.json")
    clean = (
        {"audit/clean": float(all(check.get("status") == "PASS" for check in audit["checks"]))}
        if "checks" in audit
        else {}
    )
    week_metrics = certificate_metrics(certificate) | clean
    truth = truth_metrics(_json(folder / "regret" / "regret.json"))

    def child(command: str, **what: object) -> StageRecord:
        took, resumed = seconds.get(command, (0.0, True))
        return StageRecord(command, took, resumed, **what)

    children = {
        "train": child(
            "train",
            metrics=evaluation_metrics(evaluation),
            curves=training_curves(evaluation),
            params=short_params(
                {"model": settings.model.model_dump(), "fit": settings.fit.model_dump(), "seed": settings.seed}
            ),
            datasets=[(folder / "logs", "training")],
            files=[(folder / "model", "model")],
        ),
        "score": child(
            "score",
            datasets=[(folder / "scores", "scores")],
            files=[(folder / "scores" / "catalogue.json", "scores"), (folder / "scores" / stage.MANIFEST, "scores")],
        ),
        "allocate": child(
            "allocate",
            metrics=week_metrics,
            params=short_params({"solve": settings.solve.model_dump(), "set": settings.set}),
            datasets=[(folder / "scores", "scores")],
            files=[(path, "allocation") for path in sorted((folder / "allocation").glob("*.json"))],
        ),
    }
    return WeekRecord(
        name=name,
        folder=folder,
        settings=settings,
        finished=finished,
        stages=[each for command, each in children.items() if finished or command in seconds],
        metrics=(week_metrics | truth | {f"seconds/{command}": took for command, (took, _) in seconds.items()})
        if finished
        else {},
        files=[
            (settings.weekly.policy, "policy"),
            (folder / "regret" / "regret.json", "regret"),
            (folder / "report", "report"),
        ],
    )


def _json(path: Path) -> dict:
    try:
        return read_json_object(path)
    except ValueError:
        return {}


def record_week(
    name: str, folder: Path, settings: Settings, seconds: Mapping[str, tuple[float, bool]], *, finished: bool
) -> str | None:
    """Writes the week to MLflow; the id of its run, or None where it was not recorded, with a warning that says why.

    seconds: per command its wall time and whether it was skipped, since its output was still current.

    A finished run is never lost to a server that is down: every error ends here.
    """
    if not settings.tracking.enabled:
        return None
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
) -> str | None:
    """Writes one command, run by itself, to MLflow: its metrics, settings, datasets and the files of `folder`; the id of its run.

    Never raises, as `record_week`.
    """
    if not settings.tracking.enabled:
        return None
    try:
        client, experiment = connect(settings)
        tags = {"offermix.kind": name, "offermix.code_version": stage.code_version()}
        run_id = client.create_run(experiment, run_name=f"{folder.parent.name} {name}", tags=tags).info.run_id
        _log_params(client, run_id, short_params(settings.model_dump(mode="json")))
        _log_metrics(client, run_id, metrics)
        _log_datasets(client, run_id, datasets)
        _log_file(client, run_id, folder, name)
        client.set_terminated(run_id, "FINISHED")
        return run_id
    except Exception as error:
        _warn(error, folder)
        return None


def _warn(error: Exception, folder: Path) -> None:
    reason = str(error).strip().splitlines() or [""]
    log.warning(
        "MLflow: this run could not be recorded (%s: %s). The run itself is complete; its files are in %s.",
        type(error).__name__,
        _without_password(reason[0])[:300],
        folder,
    )


def _record(record: WeekRecord) -> str:
    client, experiment = connect(record.settings)
    identity = _identity(record)
    known = _recorded_before(client, experiment, identity) if record.finished else None
    if known is not None:
        log.info("MLflow: nothing changed since this run was recorded as %s", known)
        return known
    parent = client.create_run(experiment, run_name=record.name, tags=_tags("week", identity)).info.run_id
    try:
        _log_parent(client, parent, record)
        for each in record.stages:
            child = _log_stage(client, experiment, parent, each, record)
            if each.name == "train":
                _register(client, child, record)
    except BaseException:
        client.set_terminated(parent, "FAILED")
        raise
    client.set_terminated(parent, "FINISHED" if record.finished else "FAILED")
    return parent


def connect(settings: Settings) -> tuple["MlflowClient", str]:
    """A client and the experiment's id; database and experiment are made once, whoever comes first."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient  # costs two seconds, and only a finished run needs it

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)

    runs = Path(os.path.abspath(settings.paths.runs))
    server = os.environ.get("MLFLOW_TRACKING_URI")
    runs.mkdir(parents=True, exist_ok=True)
    # several runs that start on a new SQLite file at once break it (seen: 7 of 8 failed), so they wait for one another
    with _locked(runs / ".mlflow.lock"):
        client = MlflowClient(server or _own_store(runs))
        name = sanitised(settings.tracking.experiment)
        experiment = client.get_experiment_by_name(name)
        if experiment is not None:
            return client, experiment.experiment_id
        location = None if server else (runs / "mlartifacts").as_uri()
        return client, client.create_experiment(name, artifact_location=location)


def _own_store(runs: Path) -> str:
    """The address of the runs' own store. A new one is made aside: one that was cut off (disk full) would stay unusable for all weeks."""
    database, beside = runs / "mlflow.db", runs / f".mlflow.db.{uuid.uuid4().hex[:8]}"
    for left in runs.glob(".mlflow.db.*"):
        left.unlink()
    try:
        if not database.exists() or (_holds_nothing(database) and not _opens(database, runs / f"{beside.name}.copy")):
            _open(beside)
            beside.replace(database)
    finally:
        for left in runs.glob(f"{beside.stem}.*"):
            left.unlink()
    return f"sqlite:///{database}"


def _holds_nothing(database: Path) -> bool:
    """Whether no run was ever recorded there. What is no database at all is not ours to judge."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        try:
            return connection.execute("SELECT 1 FROM runs LIMIT 1").fetchone() is None
        except sqlite3.OperationalError as error:
            return "no such table" in str(error)


def _opens(database: Path, copy: Path) -> bool:
    """Tried on a copy: MLflow would keep its connection to a file that is replaced next."""
    shutil.copy(database, copy)
    try:
        _open(copy)
    except Exception:
        return False
    return True


def _open(database: Path) -> None:
    """Makes the database's tables where they are missing."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(f"sqlite:///{database}", str(database.parent / "mlartifacts")).engine.dispose()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(lock(path, LONGEST_WAIT))
        except Held:
            raise TimeoutError(f"{path}: another run has held it for {LONGEST_WAIT:g} seconds") from None
        yield


def where() -> str:
    """Where MLflow keeps its records, in words for people; a password in the address is left out."""
    server = os.environ.get("MLFLOW_TRACKING_URI")
    return _without_password(server) if server else "SQLite in the runs folder"


def _without_password(text: str) -> str:
    return re.sub(r"(\w+://)[^/@\s]*@", r"\1", text)


def _identity(record: WeekRecord) -> str:
    """Two runs with the same identity made the same files from the same settings."""
    digests = {
        each.name: (stage.read_manifest(record.folder / FOLDERS.get(each.name, each.name)) or {}).get("outputs")
        for each in record.stages
    }
    return stage.config_digest({"name": record.name, "files": digests, "settings": record.settings})


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
        "offermix.code_version": stage.code_version(),
        "mlflow.source.name": "scripts.weekly",
    }


def _log_parent(client: "MlflowClient", run_id: str, record: WeekRecord) -> None:
    config = record.settings.model_dump(mode="json")
    client.log_dict(run_id, without_secrets(config), "config.yaml")
    _log_params(client, run_id, short_params(config))
    _log_metrics(client, run_id, record.metrics)
    for path, folder in record.files:
        _log_file(client, run_id, path, folder)


def _log_stage(client: "MlflowClient", experiment: str, parent: str, each: StageRecord, record: WeekRecord) -> str:
    tags = {"mlflow.parentRunId": parent, "offermix.kind": each.name, "offermix.resumed": str(each.resumed).lower()}
    run_id = client.create_run(experiment, run_name=f"{record.name} {each.name}", tags=tags).info.run_id
    _log_params(client, run_id, {name: str(value) for name, value in each.params.items()})
    _log_metrics(client, run_id, each.metrics, {"seconds": each.seconds})
    _log_curves(client, run_id, each.curves)
    _log_datasets(client, run_id, each.datasets)
    for path, folder in each.files:
        _log_file(client, run_id, path, folder)
    client.set_terminated(run_id, "FINISHED")
    return run_id


def _log_params(client: "MlflowClient", run_id: str, params: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    entries = [Param(sanitised(name), value) for name, value in params.items() if len(value) <= LONGEST_PARAM]
    for start in range(0, len(entries), 100):
        client.log_batch(run_id, params=entries[start : start + 100])


def _log_metrics(client: "MlflowClient", run_id: str, *groups: Mapping[str, float]) -> None:
    _log_curves(client, run_id, {name: [(0, value)] for group in groups for name, value in group.items()})


def _log_curves(client: "MlflowClient", run_id: str, curves: Mapping[str, Sequence[tuple[int, float]]]) -> None:
    """Metrics with their steps; what is not finite is left out, since MLflow would store 1.8e308 for it."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    entries = [
        Metric(sanitised(name), float(value), now, step)
        for name, points in curves.items()
        for step, value in points
        if value is not None and math.isfinite(value)
    ]
    for start in range(0, len(entries), LARGEST_BATCH):
        client.log_batch(run_id, metrics=entries[start : start + LARGEST_BATCH])


def _log_datasets(client: "MlflowClient", run_id: str, datasets: Sequence[tuple[Path, str]]) -> None:
    """Datasets by name, place, digest, columns and rows: nothing of what is in them."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = []
    for path, context in datasets:
        if not path.exists():
            continue
        columns, rows = _shape(path)
        entry = Dataset(
            name=sanitised(path.name),
            digest=stage.digest(path)[:8],
            source_type="local",
            source=json.dumps({"uri": path.as_posix()}),
            schema=json.dumps({"columns": columns}),
            profile=json.dumps({"num_rows": rows}),
        )
        inputs.append(DatasetInput(entry, [InputTag("mlflow.data.context", context)]))
    if inputs:
        client.log_inputs(run_id, inputs)


def _shape(path: Path) -> tuple[list[str], int]:
    """Column names and the number of rows of the Parquet files of a folder."""
    files = parquet_files(path)
    return (list(parquet_schema(files[0]).names) if files else [], sum(map(parquet_rows, files)))


def _log_file(client: "MlflowClient", run_id: str, path: Path, folder: str) -> None:
    if path.is_dir():
        client.log_artifacts(run_id, str(path), folder or None)
    elif path.exists():
        client.log_artifact(run_id, str(path), folder or None)


def _register(client: "MlflowClient", run_id: str, record: WeekRecord) -> None:
    """The trained model as the challenger: files without code (model.json, weights.safetensors), tagged with their digests."""
    folder = record.folder / FOLDERS["train"]
    weights = stage.digest(folder / "weights.safetensors")
    name = sanitised(record.settings.tracking.registered_model)
    with contextlib.suppress(Exception):
        client.create_registered_model(name)
    version = _registered_before(client, name, weights)
    if version is None:
        tags = {
            "weights_sha256": weights,
            "model_sha256": stage.digest(folder / "model.json"),
            "offermix_run": record.name,
            "code_version": stage.code_version(),
        }
        version = client.create_model_version(name, f"runs:/{run_id}/model", run_id=run_id, tags=tags).version
    client.set_registered_model_alias(name, "challenger", version)


def _registered_before(client: "MlflowClient", name: str, weights: str) -> str | None:
    known = client.search_model_versions(f"name = '{name}'", max_results=1000)
    return next((each.version for each in known if each.tags.get("weights_sha256") == weights), None)


def sanitised(name: str) -> str:
    """A name that MLflow takes: letters, digits and `_ - . : / space`, at most 250 of them."""
    kept = re.sub(r"[^\w\-.:/ ]", "_", name).strip(" ./") or "_"
    return re.sub(r"/{2,}", "/", kept)[:LONGEST_NAME]


def short_params(config: Mapping[str, object]) -> dict[str, str]:
    """The settings that fit a table: single values at most two levels deep; the whole configuration is an artifact."""
    params: dict[str, str] = {}
    for name, value in config.items():
        if name in ("paths", "set"):
            continue
        entries = value.items() if isinstance(value, Mapping) else [("", value)]
        for inner, entry in entries:
            if isinstance(entry, bool | int | float | str):
                params[f"{name}.{inner}".rstrip(".")] = str(entry)
    for rule, fields in dict(config.get("set") or {}).items():
        params[f"set.{rule}"] = json.dumps(fields)
    return params


def without_secrets(value: object, name: str = "") -> object:
    """The configuration with anything that is named like a secret masked; none of ours is, but an override might be."""
    if re.search(r"password|passwd|secret|token|credential|api_?key", name, re.IGNORECASE):
        return "***"
    if isinstance(value, Mapping):
        return {key: without_secrets(entry, str(key)) for key, entry in value.items()}
    if isinstance(value, str) and "://" in value:
        return _without_password(value)
    return value


def certificate_metrics(certificate: Mapping[str, object]) -> dict[str, float]:
    """value, bound, gap, contacts ... and `constraint/ID/achieved|slack|price` of a certificate."""
    metrics = {name: certificate.get(name) for name in ("value", "bound", "gap", "contacts", "users")}
    passes = certificate.get("passes")
    metrics |= (
        {f"passes/{name}": count for name, count in passes.items()}
        if isinstance(passes, Mapping)
        else {"passes": passes}
    )
    greedy = certificate.get("greedy") or {}
    metrics["greedy/value"] = greedy.get("value")
    for name, entry in (certificate.get("metrics") or {}).items():
        metrics[f"total/{name}"] = entry.get("total")
    for entry in constraints_of(certificate):
        for part in ("achieved", "slack", "price"):
            metrics[f"constraint/{entry['id']}/{part}"] = entry.get(part)
    return _numbers(metrics)


def constraints_of(certificate: Mapping[str, object]) -> list[Mapping]:
    """The constraints of a certificate, whether they stand as a list or under their ids."""
    held = certificate.get("constraints") or []
    if isinstance(held, Mapping):
        return [{"id": name, **entry} for name, entry in held.items()]
    return list(held)


def evaluation_metrics(evaluation: Mapping[str, object]) -> dict[str, float]:
    """Off-policy values, Qini and calibration of an evaluation.json."""
    metrics: dict[str, object] = {f"rows/{name}": rows for name, rows in (evaluation.get("rows") or {}).items()}
    for each in evaluation.get("policies") or ():
        place = f"policy/{each.get('name')}/{each.get('outcome')}/{each.get('estimator')}"
        metrics |= {f"{place}/value": each.get("value"), f"{place}/stderr": each.get("stderr")}
    for each in evaluation.get("qini") or ():
        metrics[f"qini/{each.get('model')}/{each.get('outcome')}/{_flat(each.get('action'))}"] = each.get("qini")
    for each in evaluation.get("calibration") or ():
        place = f"calibration/{each.get('outcome')}/{_flat(each.get('action'))}"
        metrics |= {f"{place}/slope": each.get("slope"), f"{place}/slope_stderr": each.get("stderr")}
    if "unidentified" in evaluation:
        metrics["actions/unidentified"] = len(evaluation["unidentified"])
    for each in evaluation.get("reliability") or ():
        metrics[f"reliability/{each['outcome']}/{_flat(each['action'])}"] = each["reliability"]
    return _numbers(metrics)


def held_out_metrics(evaluation: Mapping[str, object]) -> dict[str, float]:
    """Values, budgets, Qini and calibration of the evaluation.json that `scripts.evaluate` writes."""
    metrics: dict[str, object] = dict(evaluation_metrics(evaluation))
    for each in (evaluation.get("allocated") or {}).get("policies") or ():
        place = f"allocated/{each['name']}/{each['outcome']}/{each['estimator']}"
        metrics |= {f"{place}/{part}": each[part] for part in ("value", "stderr", "effective_sample_size")}
    for each in evaluation.get("promised") or ():
        metrics |= {
            f"promised/{each['outcome']}": each["predicted"],
            f"realised/{each['outcome']}": each["realised"]["value"],
        }
    for each in evaluation.get("budgets") or ():
        metrics[f"budgets/{each['name']}/{each['outcome']}"] = each["mean_over_budgets"]["value"]
    for each in evaluation.get("qini") or ():
        metrics[f"auuc/{each['model']}/{each['outcome']}/{_flat(each['action'])}"] = each["auuc"]
    for each in evaluation.get("calibration_pooled") or ():
        for part in ("users", "actions"):
            place = f"held_out_slope/{each['outcome']}/{part}"
            metrics |= {place: each[part]["value"], f"{place}/stderr": each[part]["stderr"]}
    return _numbers(metrics)


def readout_metrics(found: Mapping[str, object]) -> dict[str, float]:
    """`lift/OUTCOME`, its stderr and what was promised, the sample ratio's p-value and the verdict of a readout.json."""
    metrics: dict[str, object] = {
        "ship": float(found["verdict"]["ship"]),
        "sample_ratio/p_value": found["sample_ratio"]["p_value"],
    }
    for each in found["metrics"]:
        if each["lift"] is not None:
            adjusted = each["lift"]["adjusted"]
            metrics |= {f"lift/{each['name']}": adjusted["value"], f"lift/{each['name']}/stderr": adjusted["stderr"]}
            metrics |= {f"promised/{each['name']}": each["promised"], f"detectable/{each['name']}": each["detectable"]}
    return _numbers(metrics)


def truth_metrics(regret: Mapping[str, object]) -> dict[str, float]:
    """`truth/POLICY/value|share_of_oracle|regret|regret_stderr` of a regret.json."""
    parts = ("value", "share_of_oracle", "regret", "regret_stderr")
    return _numbers(
        {f"truth/{each['policy']}/{part}": each.get(part) for each in regret.get("policies") or () for part in parts}
    )


def training_curves(evaluation: Mapping[str, object]) -> dict[str, list[tuple[int, float]]]:
    """Losses by epoch of an evaluation.json."""
    curve = (evaluation.get("training") or {}).get("curve") or ()
    return {
        f"loss/{part}": [
            (int(point["epoch"]), point[part]) for point in curve if point.get(part) is not None and "epoch" in point
        ]
        for part in ("train", "validation")
    }


def _flat(action: object) -> str:
    return str(action).replace("/", ":")


def _numbers(metrics: Mapping[str, object]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
