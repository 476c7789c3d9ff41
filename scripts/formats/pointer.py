"""published.json, which names the published run, and the lines of published_history.jsonl, one for each flip so far."""

from pydantic import Field, ValidationError

from allocator.formats import is_none
from scripts.formats.document import StrictDocument
from scripts.formats.gates import Override

POINTER = "published.json"
HISTORY = "published_history.jsonl"


class Pointer(StrictDocument):
    """Which run is published. previous: the one before it, or None; allocation_digest: sha256 over the allocation's files.

    approver: who stood for it, where anyone did; override: who published it in spite of which gates.
    """

    run: str
    at: str
    previous: str | None = None
    allocation: str
    allocation_digest: str
    action: str = "publish"
    approver: str | None = Field(default=None, exclude_if=is_none)
    override: Override | None = Field(default=None, exclude_if=is_none)


def pointer_of(content: object) -> Pointer | None:
    """None where the content is not that of a pointer."""
    try:
        return Pointer.model_validate(content)
    except ValidationError:
        return None
