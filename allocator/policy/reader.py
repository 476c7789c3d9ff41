"""File in, policy out, or every mistake at once."""

from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML

from allocator.policy.grammar import Policy
from ranker.scores import Catalogue


def read_policy(
    path: Path, overrides: Mapping[str, object], catalogue: Catalogue, segments: Mapping[str, frozenset[str]]
) -> Policy:
    return Policy.model_validate(YAML(typ="safe", pure=True).load(path.read_text()))
