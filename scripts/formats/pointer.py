"""published.json, which names the published run, and the lines of published_history.jsonl, one for each flip so far."""

from pydantic import ValidationError

from scripts.formats.document import StrictDocument

POINTER = "published.json"
HISTORY = "published_history.jsonl"


class Pointer(StrictDocument):
    """Which run is published. previous: the one before it, or None; allocation_digest: sha256 over the allocation's files."""

    run: str
    at: str
    previous: str | None = None
    allocation: str
    allocation_digest: str
    action: str = "publish"


def pointer_of(content: object) -> Pointer | None:
    """None where the content is not that of a pointer."""
    try:
        return Pointer.model_validate(content)
    except ValidationError:
        return None
