"""Finished runs of a few small files, and the two places where they are published: a folder on this disk, and a local S3 server."""

import contextlib
import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from allocator.formats import AUDIT, CERTIFICATE, PRICES
from ranker import disk
from ranker.files import InputError
from scripts.cli.settings import PublishOptions
from scripts.crashes.local_s3 import local_s3
from scripts.formats.manifest import MANIFEST, Manifest, Output
from scripts.formats.pointer import Pointer
from scripts.runs import pointer as local
from scripts.runs.pointer import Flip, allocation_digest
from scripts.runs.published import Chain, chain_of, current
from scripts.stores import publishing
from scripts.stores.chain import read_chain, read_head
from scripts.stores.objects import ObjectStore
from scripts.stores.uploaded import list_of, verify

Backend = Literal["local disk", "local S3"]
BACKENDS: tuple[Backend, ...] = ("local disk", "local S3")
ROWS = 64 << 10
"""Bytes of a run's rows."""
OPTIONS = PublishOptions(by="faults")


@dataclass(frozen=True)
class Place:
    """runs: the folder of runs of one publisher; store: where it publishes besides."""

    runs: Path
    store: ObjectStore | None = None

    def publish(self, name: str) -> Flip:
        if self.store is None:
            return local.publish(self.runs / name, OPTIONS)
        return publishing.publish_on(self.store, self.runs / name, OPTIONS)

    def rollback(self, name: str) -> Flip:
        if self.store is None:
            return local.rollback(self.runs, name, why=OPTIONS)
        return publishing.rollback_on(self.store, self.runs, name, OPTIONS)

    def read(self) -> Pointer:
        """What a reader does: the pointer once, then every file that belongs to it, by its digest. InputError where it is not whole."""
        if self.store is not None:
            published = read_head(self.store).publication
            if published is not None:
                verify(self.store, published.objects.rpartition("/")[0], list_of(self.store, published))
                return published
        pointer = current(self.runs)
        if self.store is not None or pointer is None:
            raise InputError(["nothing is published"])
        if allocation_digest(self.runs / pointer.allocation) != pointer.allocation_digest:
            raise InputError([f"{pointer.run}: is not what was published"])
        return pointer

    def chain(self) -> Chain:
        return chain_of(self.runs) if self.store is None else read_chain(self.store)


@contextlib.contextmanager
def place_at(backend: Backend, folder: Path, prefix: str = "offers") -> Iterator[Place]:
    """A folder of runs below an empty folder and, where asked for, a server for as long as it is needed."""
    runs = folder / "runs"
    disk.make_folder(runs)
    if backend == "local disk":
        yield Place(runs)
        return
    with local_s3() as server:
        yield Place(runs, ObjectStore(server.address(prefix)))


def tiny_run(runs: Path, name: str) -> Path:
    """The folder of a finished run as far as publishing looks at it."""
    allocation = runs / name / "allocation"
    disk.make_folder(allocation, parents=True)
    files = {
        "part-0.parquet": (name.encode() * (ROWS // len(name) + 1))[:ROWS],
        CERTIFICATE: b'{"status": "optimal", "gap": 0.0}',
        AUDIT: b'{"checks": [{"name": "slots", "status": "PASS", "detail": "0 rows"}]}',
        PRICES: b"{}",
    }
    for file, content in files.items():
        disk.write_bytes(allocation / file, content)
    outputs = {
        file: Output(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)) for file, content in files.items()
    }
    disk.write_text(allocation / MANIFEST, Manifest(stage="allocate", outputs=outputs).text())
    return runs / name


@contextlib.contextmanager
def without_words() -> Iterator[None]:
    """Thousands of publications say nothing that anybody reads."""
    log = logging.getLogger("offermix.publish")
    kept = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(kept)
