"""The scores that an allocation was made from: named, or found by its manifest."""

from pathlib import Path

from ranker.files import InputError
from scripts.formats.manifest import MANIFEST, read_manifest
from scripts.runs.digests import told_digest


def scores_of(allocation: Path, named: Path | None = None) -> Path:
    """Raises InputError where they are not there, or by their manifest hold something else than the allocation was made from."""
    manifest = read_manifest(allocation)
    if manifest is None or manifest.stage != "allocate" or not manifest.inputs:
        if named is not None:
            return named
        raise InputError(
            [f"{allocation / MANIFEST}: is no manifest of allocate, so the scores are not known; give scores=..."]
        )
    name, known = next(iter(manifest.inputs.items()))
    path = named or allocation.parent / name
    if not path.exists():
        raise InputError([f"{path}: is not there, and the allocation was made from it; give scores=..."])
    if told_digest(path) != known:
        raise InputError([f"{path}: is not what the allocation was made from; give scores=..."])
    return path
