"""What one MLflow run holds: params, metrics, curves, datasets and files, in batches that a server takes."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ranker.files import parquet_files, parquet_rows, parquet_schema
from scripts.runs import digests
from scripts.runs.params import sanitised

if TYPE_CHECKING:
    from mlflow import MlflowClient

LONGEST_PARAM, LARGEST_BATCH = 250, 900


def log_params(client: "MlflowClient", run_id: str, params: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    entries = [Param(sanitised(name), value) for name, value in params.items() if len(value) <= LONGEST_PARAM]
    for start in range(0, len(entries), 100):
        client.log_batch(run_id, params=entries[start : start + 100])


def log_metrics(client: "MlflowClient", run_id: str, *groups: Mapping[str, float]) -> None:
    log_curves(client, run_id, {name: [(0, value)] for group in groups for name, value in group.items()})


def log_curves(client: "MlflowClient", run_id: str, curves: Mapping[str, Sequence[tuple[int, float]]]) -> None:
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


def log_datasets(client: "MlflowClient", run_id: str, datasets: Sequence[tuple[Path, str]]) -> None:
    """Datasets by name, place, digest, columns and rows: nothing of what is in them."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = []
    for path, context in datasets:
        if not path.exists():
            continue
        columns, rows = _shape(path)
        entry = Dataset(
            name=sanitised(path.name),
            digest=digests.digest(path)[:8],
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


def log_file(client: "MlflowClient", run_id: str, path: Path, folder: str) -> None:
    if path.is_dir():
        client.log_artifacts(run_id, str(path), folder or None)
    elif path.exists():
        client.log_artifact(run_id, str(path), folder or None)
