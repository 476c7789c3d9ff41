"""Addresses of artifacts in MLflow's store, which follow a runs folder that was moved or copied.

MLflow keeps absolute addresses of experiments and runs, and none of its commands changes them. They are put right in its own records, in
one transaction, when the store is next opened.
"""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

ARTIFACTS = "mlartifacts"
"""The folder of artifacts, beside the database."""
log = logging.getLogger("offermix.tracking")


def follow(store: "SqlAlchemyStore", here: Path) -> None:
    """Points experiments to the folder `here`, beside the store's database; runs and models where their files lie there or nowhere else."""
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
    from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlLoggedModel, SqlRun

    with store.ManagedSessionMaker(read_only=False) as session:
        told = session.query(SqlExperiment.experiment_id, SqlExperiment.artifact_location).all()
        experiments = list(_elsewhere(told, here))
        for key, _, new in experiments:
            moved = {SqlExperiment.artifact_location: new}
            session.query(SqlExperiment).filter(SqlExperiment.experiment_id == key).update(moved)
        places: tuple[Any, ...] = (
            SqlRun.artifact_uri,
            SqlLoggedModel.artifact_location,
            SqlModelVersion.source,
            SqlModelVersion.storage_location,
        )
        for column in places:
            told = session.query(column, column).distinct().all() if experiments else []
            for _, old, new in _elsewhere(told, here):
                if _lies_at(new) or not _lies_at(old):
                    session.query(column.class_).filter(column == old).update({column: new})
    if experiments:
        log.info("MLflow: the runs folder was moved; artifacts are read and written in %s", here)


def _elsewhere(rows: Iterable[tuple[object, str | None]], here: Path) -> Iterator[tuple[object, str, str]]:
    """(key, address, address beside the database) of those that lie in such a folder at another place."""
    for key, old in rows:
        if old is not None and (new := beside(old, here)) != old:
            yield key, old, new


def beside(address: str, here: Path) -> str:
    """The same address in the artifacts' folder `here`; as it is where it names no such folder on a disk, or this very one."""
    path = path_of(address)
    if path is None or ARTIFACTS not in path.parts:
        return address
    depth = len(path.parts) - path.parts[::-1].index(ARTIFACTS)
    there, inside = Path(*path.parts[:depth]), path.parts[depth:]
    if there == here or (there.exists() and here.exists() and there.samefile(here)):
        return address
    moved = here.joinpath(*inside)
    return moved.as_uri() if address.startswith("file:") else str(moved)


def _lies_at(address: str) -> bool:
    path = path_of(address)
    return path is not None and path.exists()


def path_of(address: str) -> Path | None:
    """None for what is no place on a disk."""
    if address.startswith("file:"):
        return Path(unquote(urlsplit(address).path))
    return Path(address) if address.startswith("/") else None
