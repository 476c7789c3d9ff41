"""What is published on a store, and every entry before it: read, verified, and taken one further by one conditional put.

`published.json` has the same bytes as the last entry, whose name has their digest in it. An entry without followers that is not what
`published.json` holds was written by a publisher that lost or died: it never took effect.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from ranker.files import InputError
from scripts.formats.pointer import POINTER, Publication, digest_of
from scripts.runs.published import Chain, Entry
from scripts.stores.objects import ObjectStore

FOLDER = "published"
ENTRY = re.compile(rf"{FOLDER}/(\d{{8}})-([0-9a-f]{{16}})\.json")


@dataclass(frozen=True)
class Head:
    """What is published, as it was read. version: None where nothing was published yet."""

    publication: Publication | None
    content: bytes
    version: dict[str, str] | None

    @property
    def link(self) -> tuple[int, str | None]:
        """(number, before) of the entry that comes next."""
        return (1, None) if self.publication is None else (self.publication.number + 1, digest_of(self.content))


def read_head(store: ObjectStore) -> Head:
    """What is published now. InputError where it cannot be read: guessing would be worse."""
    found = store.read(POINTER)
    if found is None:
        store.sizes(FOLDER)  # a bucket that is not there is told here, before anything is written
        return Head(None, b"", None)
    publication = _publication(found.content)
    if publication is None:
        raise InputError([f"{store.place(POINTER)}: is no entry of publications; put back what was written"])
    return Head(publication, found.content, found.version)


def key_of(number: int, digest: str) -> str:
    """Of an entry."""
    return f"{FOLDER}/{number:08d}-{digest[:16]}.json"


def advance(store: ObjectStore, head: Head, publication: Publication) -> bool:
    """Writes the entry, then puts it in the place of the head; False where another publisher was first.

    An answer that got lost is no answer: what stands there afterwards tells who was first.
    """
    content = publication.text().encode()
    key = key_of(publication.number, digest_of(content))
    store.create(key, content)
    _check_conditions(store, key, content)
    try:
        moved = store.swap(POINTER, content, head.version)
    except Exception:
        if read_head(store).content == content:
            return True
        raise
    return moved or read_head(store).content == content


def _check_conditions(store: ObjectStore, key: str, content: bytes) -> None:
    """A store that does not keep the conditions of a put would let two publishers win; the entry's own content loses nothing by trying."""
    again = store.create(key, content)
    stale = {"e_tag": '"0123456789abcdef0123456789abcdef"', "version": "1"}
    found = store.read(key)
    if found is None or found.content != content:
        raise InputError([f"{store.place(key)}: is not what was written there; somebody else writes to this prefix"])
    if again or store.swap(key, content, {name: stale[name] for name in found.version}):
        raise InputError(
            [
                f"{store.address}: does not keep the conditions of a put (If-None-Match, If-Match), so two publishers could both win"
            ]
        )


def read_chain(store: ObjectStore) -> Chain:
    """Every entry, from what is published now back to the first one."""
    head, keys = read_head(store), sorted(key for key in store.sizes(FOLDER) if ENTRY.fullmatch(key))
    found: list[Entry] = []
    broken = tuple(_walked(store, head, found))
    known = {entry.place for entry in found}
    aside = tuple(key for key in keys if key not in known)
    beyond = [key for key in aside if int(ENTRY.fullmatch(key)[1]) > head.link[0]]  # type: ignore[index]
    if beyond:
        broken += (
            f"{POINTER}: is entry {head.link[0] - 1}, and {beyond[-1]} is there, which comes later: it was put back",
        )
    return Chain(str(store.address), tuple(reversed(found)), broken, aside)


def _walked(store: ObjectStore, head: Head, found: list[Entry]) -> Iterator[str]:
    """From the head to the first entry; where one is missing or changed, its sentence is the last."""
    number, digest = head.link[0] - 1, head.link[1]
    while digest is not None and number > 0:
        key = key_of(number, digest)
        stored = store.read(key)
        publication = None if stored is None else _publication(stored.content)
        follower = POINTER if not found else found[-1].place
        if stored is None and not found:
            yield f"{POINTER}: is not the last entry: {key}, which has the same content, is not there"
            return
        if stored is None:
            yield f"{key}: entry {number} is missing; {follower} follows it"
            return
        if publication is None or digest_of(stored.content) != digest or publication.number != number:
            yield f"{key}: entry {number} was changed after {follower} was written, which follows it"
            return
        found.append(Entry(key, publication, digest))
        number, digest = number - 1, publication.before
    if number or digest is not None:
        yield f"{found[-1].place if found else POINTER}: entry {number + 1} says nothing of the entry before it"


def last_of(store: ObjectStore, head: Head, run: str) -> Publication | None:
    """The latest entry that published this run or went back to it; InputError where the chain breaks before one is found."""
    publication = head.publication
    while publication is not None and publication.run != run:
        if publication.before is None:
            return None
        key = key_of(publication.number - 1, publication.before)
        stored = store.read(key)
        if stored is None or digest_of(stored.content) != publication.before:
            raise InputError(
                [f"{store.place(key)}: is missing or changed, so what was published before it is not known"]
            )
        publication = _publication(stored.content)
    return publication


def _publication(content: bytes) -> Publication | None:
    try:
        return Publication.model_validate(json.loads(content))
    except (ValidationError, ValueError, RecursionError):
        return None
