"""A local S3 server for all tests of a worker, and stores with a prefix of their own on it."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from ranker import disk
from scripts.cli.store_address import Address
from scripts.crashes.local_s3 import LocalS3, local_s3
from scripts.stores.objects import ObjectStore

PREFIXES = count(1)


@pytest.fixture(autouse=True)
def without_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a disk keeps is tested elsewhere."""
    monkeypatch.setattr(disk, "_sync", lambda path, flags: None)


@pytest.fixture(scope="session")
def server() -> Iterator[LocalS3]:
    with local_s3() as served:
        yield served


@pytest.fixture
def on_s3(server: LocalS3) -> Iterator[ObjectStore]:
    """Of a prefix of its own; what fails is tried twice."""
    server.answers.clear()
    yield ObjectStore(server.address(f"offers-{next(PREFIXES)}"), retries=1, wait=timedelta(seconds=5))
    server.answers.clear()


@pytest.fixture
def in_memory() -> ObjectStore:
    """The library's own store, which keeps the same conditions."""
    from obstore.store import MemoryStore

    return ObjectStore(Address("s3", "memory", ""), MemoryStore())


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str], Path]:
    """machine(name): a folder of runs of its own."""

    def made(name: str) -> Path:
        (tmp_path / name).mkdir()
        return tmp_path / name

    return made
