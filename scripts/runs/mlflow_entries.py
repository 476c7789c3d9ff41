"""What one MLflow run holds: params, metrics, curves, datasets and files, in batches that a server takes."""

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from ranker import disk
from ranker.files import parquet_files, parquet_rows, parquet_schema
from ranker.logs import IMMATURE
from scripts.runs import clock, digests
from scripts.runs.params import sanitised

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.types import DataType, Schema
    from mlflow.types.schema import Array

LONGEST_PARAM, LARGEST_BATCH = 250, 900
MOST_METRICS = 149
"""Of one run: MLflow's pages draw each of them. The others stand in a table."""


def log_params(client: "MlflowClient", run_id: str, params: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    entries = [Param(sanitised(name), value) for name, value in params.items() if len(value) <= LONGEST_PARAM]
    for start in range(0, len(entries), 100):
        client.log_batch(run_id, params=entries[start : start + 100])


def log_metrics(client: "MlflowClient", run_id: str, *groups: Mapping[str, float]) -> None:
    """The first MOST_METRICS of them as metrics; where there are more, all of them in the table `metrics`."""
    everything = {name: value for group in groups for name, value in group.items()}
    log_curves(client, run_id, {name: [(0, value)] for name, value in list(everything.items())[:MOST_METRICS]})
    if len(everything) > MOST_METRICS:
        log_tables(
            client, run_id, {"metrics": [{"metric": name, "value": value} for name, value in everything.items()]}
        )


def log_tables(client: "MlflowClient", run_id: str, tables: Mapping[str, Sequence[Mapping[str, object]]]) -> None:
    """Each as an artifact that MLflow's pages show as a table, and compare between runs."""
    import pandas as pd

    for name, rows in tables.items():
        client.log_table(run_id, pd.DataFrame(rows, dtype=object), f"tables/{sanitised(name)}.json")


def log_model_metrics(
    client: "MlflowClient", run_id: str, model_id: str, dataset: Path, metrics: Mapping[str, float]
) -> None:
    """Metrics of a logged model on a dataset, by the name and digest with which `log_datasets` records it."""
    from mlflow.entities import Metric

    now, digest = clock.milliseconds(), digests.told_digest(dataset)[:8]
    entries = [
        Metric(sanitised(name), value, now, 0, model_id, sanitised(dataset.name), digest)
        for name, value in list(metrics.items())[:MOST_METRICS]
    ]
    for start in range(0, len(entries), LARGEST_BATCH):
        client.log_batch(run_id, metrics=entries[start : start + LARGEST_BATCH])


def log_curves(client: "MlflowClient", run_id: str, curves: Mapping[str, Sequence[tuple[int, float]]]) -> None:
    """Metrics with their steps; what is not finite is left out, since MLflow would store 1.8e308 for it."""
    from mlflow.entities import Metric

    now = clock.milliseconds()
    entries = [
        Metric(sanitised(name), float(value), now, step)
        for name, points in curves.items()
        for step, value in points
        if value is not None and math.isfinite(value)
    ]
    for start in range(0, len(entries), LARGEST_BATCH):
        client.log_batch(run_id, metrics=entries[start : start + LARGEST_BATCH])


def log_datasets(client: "MlflowClient", run_id: str, datasets: Sequence[tuple[Path, str]]) -> None:
    """Datasets by name, place, digest, columns and rows: nothing of what is in them. MLflow's own records hold no count of rows."""
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]  # made when it is imported
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = []
    for path, context in datasets:
        if path.exists():
            files, source = parquet_files(path), LocalArtifactDatasetSource(path.as_posix())
            young = parquet_files(path / IMMATURE)  # decisions whose outcomes are known in part teach as well
            told = MetaDataset(source, sanitised(path.name), digests.told_digest(path)[:8], _columns(files))  # type: ignore[abstract]
            rows = json.dumps({"num_rows": sum(map(parquet_rows, [*files, *young]))})
            tags = [InputTag("mlflow.data.context", context)]
            inputs.append(DatasetInput(Dataset(**told.to_dict(), profile=rows), tags))
    if inputs:
        client.log_inputs(run_id, inputs)


def _columns(files: Sequence[Path]) -> "Schema | None":
    """Names and types of the columns of the first file."""
    from mlflow.types import ColSpec, Schema

    return Schema([ColSpec(_type_of(each.type), each.name) for each in parquet_schema(files[0])]) if files else None


def _type_of(column: pa.DataType) -> "DataType | Array":
    """The nearest type that MLflow has a word for."""
    from mlflow.types import DataType
    from mlflow.types.schema import Array

    if pa.types.is_list(column) or pa.types.is_fixed_size_list(column):
        return Array(_type_of(column.value_type))
    known = (
        (pa.types.is_boolean, DataType.boolean),
        (pa.types.is_integer, DataType.long),
        (pa.types.is_float32, DataType.float),
        (pa.types.is_floating, DataType.double),
        (pa.types.is_temporal, DataType.datetime),
    )
    return next((kind for fits, kind in known if fits(column)), DataType.string)


def log_file(client: "MlflowClient", run_id: str, path: Path, folder: str) -> None:
    if path.is_dir():
        client.log_artifacts(run_id, str(path), folder or None)
    elif path.exists():
        with tempfile.TemporaryDirectory() as place:  # MLflow keeps the rights of what it is given, such as a policy's
            disk.copy(path, Path(place) / path.name)
            client.log_artifact(run_id, str(Path(place) / path.name), folder or None)
