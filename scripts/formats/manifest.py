"""manifest.json: from what inputs, with what settings and by which version of the program the files of a stage's folder were made."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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

    What is missing in a file that another program wrote is None: it matches nothing.
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

    def text(self) -> str:
        """As every document, but settings may be infinite."""
        return json_text(self.content(), finite=False)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a stage's folder, or None where there is no readable one."""
    return Manifest.from_file_if_sound(folder / MANIFEST)
