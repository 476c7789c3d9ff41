"""The objects of a run on a store: made below a prefix of their own, each read back, the list of them last; and fetched again.

The prefix has a digest of all names and contents in it. So nothing there ever changes, a call that died is completed by the next one, and
a reader who has the list can check every object.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ranker import disk
from ranker.evaluate.records import EVALUATION
from ranker.files import InputError, sha256_of
from ranker.profiles.records import PROFILE
from scripts.formats.drift import DRIFT
from scripts.formats.gates import GATES
from scripts.formats.manifest import MANIFEST
from scripts.formats.pointer import OBJECTS, ObjectList, Publication, StoredObject, digest_of
from scripts.runs.pointer import digests_of_files
from scripts.stores.objects import LARGEST, ObjectStore

FOLDER, ALLOCATION = "runs", "allocation"
BESIDE = (GATES, f"model/{EVALUATION}", f"logs/{PROFILE}", f"scores/{PROFILE}", f"drift/{DRIFT}")
"""Of a run's folder: what the gates of the next week compare with. Pages of `report/` are uploaded too."""
AT_ONCE = 4
"""Requests; each holds one file in memory."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._=-]*(/[A-Za-z0-9_][A-Za-z0-9._=-]*)*")


@dataclass(frozen=True)
class Upload:
    """What is to be there. prefix: `runs/NAME-DIGEST`; files: by name below it."""

    prefix: str
    files: Mapping[str, Path]
    listed: ObjectList

    @property
    def key(self) -> str:
        """Of the list."""
        return f"{self.prefix}/{OBJECTS}"

    @property
    def content(self) -> bytes:
        """Of the list."""
        return self.listed.text().encode()

    @property
    def fields(self) -> dict[str, str]:
        """What an entry says of it."""
        return {
            "run": self.listed.run,
            "allocation": f"{self.prefix}/{ALLOCATION}",
            "allocation_digest": self.listed.allocation_digest,
            "objects": self.key,
            "objects_digest": digest_of(self.content),
        }


def upload_of(run: Path, allocation: Path, allocation_digest: str) -> Upload:
    """The files of a finished run that are published."""
    files = dict(_files(run, allocation))
    problems = [
        f"{name}: is no name of an object; use letters, digits and . _ - ="
        for name in files
        if not FILE.fullmatch(name)
    ]
    large = [path for path in files.values() if path.stat().st_size > LARGEST]
    problems += [f"{path}: is larger than {LARGEST >> 30} GiB, the most of one object" for path in large]
    if not NAME.fullmatch(run.name):
        problems.insert(0, f"{run.name}: is no name of a run on a store; use letters, digits and . _ -")
    if problems:
        raise InputError(problems)
    objects = {name: StoredObject(sha256=sha256_of(path), bytes=path.stat().st_size) for name, path in files.items()}
    total = hashlib.sha256("".join(f"{name} {held.sha256}\n" for name, held in objects.items()).encode()).hexdigest()
    listed = ObjectList(run=run.name, allocation_digest=allocation_digest, objects=objects)
    return Upload(f"{FOLDER}/{run.name}-{total[:12]}", files, listed)


def _files(run: Path, allocation: Path) -> Iterator[tuple[str, Path]]:
    """By name, in order; of an allocation that stands alone, its files."""
    for name in sorted([*digests_of_files(allocation), MANIFEST]):
        yield f"{ALLOCATION}/{name}", allocation / name
    beside = (
        ()
        if run == allocation
        else (*BESIDE, *(f"report/{page.name}" for page in sorted((run / "report").glob("*.html"))))
    )
    for name in beside:
        if (run / name).is_file():
            yield name, run / name


def upload(store: ObjectStore, wanted: Upload) -> None:
    """Makes every object that is not there yet, reads all of them back, and makes the list last."""
    _at_once(lambda name: _make(store, wanted, name), wanted.files)
    verify(store, wanted.prefix, wanted.listed)
    store.create(wanted.key, wanted.content)
    found = store.read(wanted.key)
    if found is None or found.content != wanted.content:
        raise InputError(
            [f"{store.place(wanted.key)}: is not what was written there; somebody else writes to this prefix"]
        )


def _make(store: ObjectStore, wanted: Upload, name: str) -> None:
    content = wanted.files[name].read_bytes()
    if digest_of(content) != wanted.listed.objects[name].sha256:
        raise InputError([f"{wanted.files[name]}: changed while it was published; call it again"])
    store.create(f"{wanted.prefix}/{name}", content)


def verify(store: ObjectStore, prefix: str, listed: ObjectList) -> None:
    """Reads every object; InputError names each that is not what it was."""
    there = store.sizes(prefix)
    wrong = [name for name, held in listed.objects.items() if there.get(f"{prefix}/{name}") != held.bytes]
    whole = [name for name in listed.objects if name not in wrong]
    digests = _at_once(lambda name: _digest(store.pieces(f"{prefix}/{name}")), whole)
    wrong += [name for name, digest in zip(whole, digests, strict=True) if digest != listed.objects[name].sha256]
    if wrong:
        raise InputError(
            [f"{store.place(prefix)}/{name}: is missing, or not what was written there" for name in sorted(wrong)]
        )


def _digest(pieces: Iterable[bytes]) -> str:
    total = hashlib.sha256()
    for piece in pieces:
        total.update(piece)
    return total.hexdigest()


def _at_once(job: Callable[[str], object], names: Iterable[str]) -> list[object]:
    """Some at a time; the first error ends it."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [pool.submit(job, name) for name in names]
        try:
            return [each.result() for each in jobs]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def list_of(store: ObjectStore, publication: Publication) -> ObjectList:
    """The objects of a publication, as its entry vouches for them."""
    found = store.read(publication.objects)
    if found is None or digest_of(found.content) != publication.objects_digest:
        raise InputError([f"{store.place(publication.objects)}: is missing, or not what was published"])
    return ObjectList.model_validate_json(found.content)


def fetch(store: ObjectStore, publication: Publication, folder: Path) -> None:
    """Downloads every object of a publication into an empty folder, each checked."""
    listed, prefix = list_of(store, publication), publication.objects.rpartition("/")[0]
    for name in listed.objects:
        if not FILE.fullmatch(name):
            raise InputError([f"{store.place(publication.objects)}: names an object that no publication has"])
        disk.make_folder((folder / name).parent, parents=True, there=True)
    _at_once(lambda name: _fetch(store, f"{prefix}/{name}", folder / name, listed.objects[name]), listed.objects)


def _fetch(store: ObjectStore, key: str, path: Path, wanted: StoredObject) -> None:
    disk.write_pieces(path, store.pieces(key))
    if sha256_of(path) != wanted.sha256:
        raise InputError([f"{store.place(key)}: is not what was published"])
