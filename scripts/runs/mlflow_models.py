"""A model as MLflow keeps it: logged with its files and signature, registered as a version, reached by an alias."""

import contextlib
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from allocator.formats import PRICES
from ranker import disk
from ranker.catalogue import CATALOGUE_FILE, read_catalogue
from ranker.files import parquet_schema, sha256_of, some_parquet_files
from ranker.model.artifact import load_model
from ranker.model.settings import MODEL, WEIGHTS
from scripts import served
from scripts.runs import digests
from scripts.served.files import digests_of, model_files

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

REQUIRED = (
    "mlflow",
    "torch",
    "safetensors",
    "numba",
    "ortools",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "pydantic",
    "scikit-learn",
)
CODE = Path(served.__file__).with_name("model_code.py")
MODEL_TYPE = "offermix ranker"
MODEL_ID = "model_id"
"""The tag of a version that names the logged model."""


@dataclass(frozen=True)
class Registrable:
    """A model's folder, the scores that tell which users it takes, and the allocation whose prices it decides by, if any."""

    model: Path
    scores: Path
    allocation: Path | None

    @cached_property
    def files(self) -> dict[str, Path]:
        return model_files(self.model, self.allocation)

    @cached_property
    def tags(self) -> dict[str, str]:
        """What tells it from any other."""
        files = self.files
        found = {"weights_sha256": sha256_of(files[WEIGHTS]), "model_sha256": sha256_of(files[MODEL])}
        return found | ({"prices_sha256": sha256_of(files[PRICES])} if PRICES in files else {})


def version_of(
    client: "MlflowClient", experiment: str, run_id: str, name: str, given: Registrable, tags: Mapping[str, str]
) -> str:
    """The number of the registered version that has these files, which is made where there is none."""
    with contextlib.suppress(Exception):
        client.create_registered_model(name)
    known = client.search_model_versions(f"name = '{name}'", max_results=1000)
    for each in known:
        if all(each.tags.get(tag) == value for tag, value in given.tags.items()) and (
            PRICES in given.files or "prices_sha256" not in each.tags
        ):
            return str(each.version)
    logged = log_model(client, experiment, run_id, name, given, {**tags, **given.tags})
    place, model_id = logged.artifact_location, logged.model_id
    known_by = {**tags, **given.tags, MODEL_ID: model_id}  # MLflow's own stores forget the model that a version is of
    made = client.create_model_version(name, place, run_id, known_by, model_id=model_id)
    return str(made.version)


def log_model(
    client: "MlflowClient", experiment: str, run_id: str, name: str, given: Registrable, tags: Mapping[str, str]
) -> "LoggedModel":
    """The model as an output of the run. Its folder has an MLmodel, requirements, an example of made-up users and our own files."""
    from mlflow.entities import LoggedModelOutput

    logged = client.create_logged_model(experiment, name, run_id, dict(tags), model_type=MODEL_TYPE)
    try:
        with tempfile.TemporaryDirectory() as folder:
            save(Path(folder) / "model", given, logged.model_id, run_id)
            client.log_model_artifacts(logged.model_id, str(Path(folder) / "model"))
    except BaseException:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
    return client.finalize_logged_model(logged.model_id, "READY")


def save(folder: Path, given: Registrable, model_id: str | None = None, run_id: str | None = None) -> None:
    """Writes the folder that MLflow loads."""
    files, ids = given.files, _type_of_ids(given.scores)
    model, ours = load_model(given.model)
    segments = read_catalogue(given.scores / CATALOGUE_FILE).segments
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's of its own types, and of models without the type hints that it reads
        import mlflow.pyfunc
        from mlflow.models import Model

        from scripts.served.inputs import made_up, signature_of
        from scripts.served.offermix_ranker import SHA256

        mlflow.pyfunc.save_model(
            str(folder),
            python_model=str(CODE),
            artifacts={name: str(path) for name, path in files.items()},
            signature=signature_of(model, ids, segments),
            input_example=made_up(model, ids, segments, model.as_of),
            pip_requirements=[f"{each}=={metadata.version(each)}" for each in REQUIRED],
            model_config={SHA256: digests_of(files)},
            metadata={"offermix_model": ours, "offermix_code": digests.code_version()},
            mlflow_model=Model(run_id=run_id, model_id=model_id),
        )
    _without_places(folder)


def _without_places(folder: Path) -> None:
    """MLflow notes where files were taken from, on the machine that registered them, and keeps their rights; nobody who loads the
    model needs either."""
    from mlflow.models import Model

    described = Model.load(str(folder))
    flavor = described.flavors["python_function"]
    flavor["model_code_path"] = CODE.name
    for artifact in flavor["artifacts"].values():
        artifact["uri"] = artifact["path"]
    disk.write_text(folder / "MLmodel", described.to_yaml())
    disk.close_to_others(folder)


def _type_of_ids(scores: Path) -> pa.DataType:
    return parquet_schema(some_parquet_files(scores)[0]).field("user_id").type
