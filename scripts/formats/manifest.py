"""manifest.json: from what inputs, with what settings and by which version of the program the files of a stage's folder were made."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict

from ranker.files import json_text
from scripts.formats.document import Number, StrictDocument

MANIFEST = "manifest.json"


class Output(StrictDocument):
    """One file of the folder, as it was when the stage ended."""

    model_config = ConfigDict(extra="ignore")

    sha256: str | None = None
    bytes: int | None = None


class Manifest(StrictDocument):
    """inputs: path relative to the folder above -> digest, in the order in which the stage names them; outputs: by name.
    configuration: of the files of a company's own (`--config-dir`), name -> digest; what of the settings mattered stands in config.

    What is missing in a file that another program wrote is None: it matches nothing. own_digest: sha256 of all else, so that a manifest
    that a disk gives back otherwise, or that somebody edits, is none.
    """

    model_config = ConfigDict(extra="ignore")

    stage: str | None = None
    code_version: str | None = None
    sources_digest: str | None = None
    config_digest: str | None = None
    config: Mapping[str, Any] | None = None
    configuration: Mapping[str, str] | None = None
    inputs: Mapping[str, str] | None = None
    outputs: Mapping[str, Output] | None = None
    seconds: Number | None = None
    finished_at: str | None = None
    own_digest: str | None = None

    def text(self) -> str:
        """As every document, but settings may be infinite."""
        return json_text(self.content(), finite=False)

    def sealed(self) -> Self:
        """With a digest of all else that it says."""
        return self.model_copy(update={"own_digest": self._digest()})

    @property
    def is_as_sealed(self) -> bool:
        """Also where it never was: by a program that seals none."""
        return self.own_digest is None or self.own_digest == self._digest()

    def _digest(self) -> str:
        said = self.model_copy(update={"own_digest": None}).content()
        return hashlib.sha256(json_text(said, finite=False).encode()).hexdigest()


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a stage's folder, or None where there is no readable one, or one that says what was not written."""
    found = Manifest.from_file_if_sound(folder / MANIFEST)
    return found if found is not None and found.is_as_sealed else None
