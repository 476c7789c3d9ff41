"""The scores and the policy that an allocation was made from: what a readout compares the week with."""

from dataclasses import dataclass
from datetime import date

from allocator.policy.grammar import Policy
from allocator.policy.reader import policy_for
from ranker.catalogue import CATALOGUE_FILE
from ranker.files import InputError
from ranker.scores import Scores, open_scores
from scripts.cli.settings import ReadoutSettings
from scripts.formats.manifest import MANIFEST, read_manifest
from scripts.runs import digests


@dataclass(frozen=True)
class ReadoutSources:
    """What the allocation was made from. overrides: of the policy, as the allocation had them."""

    scores: Scores
    policy: Policy
    day: date


def sources_of(settings: ReadoutSettings) -> ReadoutSources:
    """The scores and the policy that the allocation was made from: named, or found by its manifest, unchanged since."""
    paths = settings.paths
    manifest = read_manifest(paths.allocation)
    if manifest is None or manifest.stage != "allocate":
        raise InputError([f"{paths.allocation / MANIFEST}: is no manifest of allocate"])
    problems, found = [], {}
    for (name, digest), key in zip((manifest.inputs or {}).items(), ("scores", "policy"), strict=False):
        path = getattr(paths, key) or paths.allocation.parent / name
        if not path.exists():
            problems.append(f"{path}: is not there, and the allocation was made from it; give {key}=...")
        elif digests.digest(path) != digest:
            problems.append(f"{path}: is not what the allocation was made from; give {key}=...")
        found[key] = path
    if problems:
        raise InputError(problems)
    scores = open_scores(found["scores"])
    overrides = manifest.config.get("set") or {}
    policy = policy_for(found["policy"], overrides, scores, previous=True)
    day = scores.catalogue.as_of
    if day is None:
        raise InputError([f"{found['scores'] / CATALOGUE_FILE}: as_of: is missing; it says which week to read"])
    if settings.readout.groups == "salt" and (policy.holdout is None or policy.holdout.share == 0):
        why = "is missing, so there is nobody to compare with; readout.groups=recorded takes the arms of the exposures"
        raise InputError([f"{found['policy']}: experiment.holdout: {why}"])
    return ReadoutSources(scores, policy.active(day), day)
