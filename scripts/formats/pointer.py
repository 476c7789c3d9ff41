"""published.json, which names the published run, and the entries of the chain of all flips so far.

In a folder of runs the entries are the lines of published_history.jsonl. On an object store each is an object of its own, and
published.json is a copy of the last one. `before` is the sha256 of the entry before, so that none can be changed, taken out or moved
without every later one telling.
"""

import hashlib
import json
from collections.abc import Mapping

from pydantic import Field, ValidationError

from allocator.formats import is_none
from scripts.formats.document import StrictDocument
from scripts.formats.gates import Override

POINTER = "published.json"
HISTORY = "published_history.jsonl"
OBJECTS = "objects.json"


class Pointer(StrictDocument):
    """Which run is published. previous: the one before it, or None; allocation_digest: sha256 over the allocation's files.

    approver: who stood for it, where anyone did; override: who published it in spite of which gates. by, reason: who flipped the pointer
    and why, as configured. number: of the entry, from 1 on; before: sha256 of the entry before it, or None for the first one. Both are None
    in what was written before there was a chain.
    """

    run: str
    at: str
    previous: str | None = None
    allocation: str
    allocation_digest: str
    action: str = "publish"
    approver: str | None = Field(default=None, exclude_if=is_none)
    override: Override | None = Field(default=None, exclude_if=is_none)
    by: str | None = Field(default=None, exclude_if=is_none)
    reason: str | None = Field(default=None, exclude_if=is_none)
    number: int | None = Field(default=None, exclude_if=is_none)
    before: str | None = Field(default=None, exclude_if=is_none)

    def line(self) -> str:
        """As it stands in published_history.jsonl."""
        return json.dumps(self.content())


class Publication(Pointer):
    """An entry on an object store. objects: key of the list of all its objects; objects_digest: sha256 of that list.

    id: drawn at random, so that a publisher knows its own entry again.
    """

    number: int
    objects: str
    objects_digest: str
    id: str


class StoredObject(StrictDocument):
    """One object, as it was when it was written."""

    sha256: str
    bytes: int


class ObjectList(StrictDocument):
    """objects.json, which is written after all that it lists: by name below its own folder."""

    run: str
    allocation_digest: str
    objects: Mapping[str, StoredObject]


def digest_of(entry: str | bytes) -> str:
    """What the next entry says of this one: sha256 of its bytes, without the end of the line."""
    return hashlib.sha256(entry.encode() if isinstance(entry, str) else entry).hexdigest()


def pointer_of(content: object) -> Pointer | None:
    """None where the content is not that of a pointer."""
    try:
        return Pointer.model_validate(content)
    except ValidationError:
        return None
