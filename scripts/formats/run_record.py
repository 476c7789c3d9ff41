"""run.json: what a week's folder says of itself when it begins."""

from scripts.formats.document import StrictDocument

RUN = "run.json"


class RunRecord(StrictDocument):
    """identity: a digest of input, settings and program; previous: the allocation that was published when the run began, or None."""

    run: str
    identity: str
    previous: str | None
