"""The files of a registered model: weights and description, and the rules and prices of a week to decide by; with their digests."""

from collections.abc import Mapping
from pathlib import Path

from allocator.formats import CERTIFICATE, POLICY, PRICES
from ranker.evaluate.records import EVALUATION
from ranker.files import InputError, sha256_of
from ranker.model.settings import MODEL, WEIGHTS

OF_THE_MODEL = (MODEL, WEIGHTS, EVALUATION)
OF_THE_WEEK = (POLICY, CERTIFICATE, PRICES)


def model_files(model: Path, allocation: Path | None) -> dict[str, Path]:
    """By name, the files to register: those of a model's folder, and of an allocation where there is one to decide by."""
    files = {name: model / name for name in OF_THE_MODEL if (model / name).exists()}
    if allocation is not None and all((allocation / name).exists() for name in OF_THE_WEEK):
        files |= {name: allocation / name for name in OF_THE_WEEK}
    return files


def digests_of(files: Mapping[str, Path]) -> dict[str, str]:
    """sha256 of each."""
    return {name: sha256_of(path) for name, path in files.items()}


def check_digests(folder: Path, wanted: Mapping[str, str]) -> None:
    """Raises InputError where a file is missing, or is not the one that was registered."""
    problems = []
    for name, sha256 in wanted.items():
        if not (folder / name).is_file():
            problems.append(f"{name}: is missing from the registered model")
        elif sha256_of(folder / name) != sha256:
            problems.append(f"{name}: is not the file that was registered (its sha256 differs)")
    if problems:
        raise InputError(problems)
