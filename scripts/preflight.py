"""The policy, read as soon as it is known what it is about, so that a mistake in it is told before a model is trained."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from allocator.policy.grammar import Policy
from allocator.policy.reader import read_policy
from ranker.contact_history import DAYS
from ranker.logs import read_schema
from ranker.scores import Catalogue, InputError, Interference, Metric, read_catalogue
from scripts.settings import Settings

MISSING = "unknown"  # as scores call a segment that a user does not have


def early_policy(policy: Path, settings: Settings, logs: Path, users: Path) -> Policy:
    """The policy, checked against the metrics and segments that the scores will have; InputError lists every mistake.

    Whether there is an earlier allocation for its rules to compare with is for the week to find out. Contacts of earlier days are
    refused where users do not say which day it is: then the scores have no history/.
    """
    segments = segments_of(users)
    schema = read_schema(logs / "schema.json")
    metrics = [Metric(outcome.name, outcome.unit) for outcome in schema.outcomes]
    actions = read_catalogue(logs / "catalogue.json").actions
    unknown_yet = Interference(DAYS, None, ())  # whether the logs tell what spoils what is for training to find out
    catalogue = Catalogue(actions).with_scores(metrics, sorted(segments), "", None, unknown_yet)
    read = read_policy(policy, settings.set, catalogue, segments, previous=True)
    always = [rule.id for rule in read.contact if rule.days is not None and rule.valid_from is rule.valid_to is None]
    if always and not are_dated(users):
        why = f"counts contacts of earlier days, and {users} has no column as_of to count back from"
        raise InputError([f"{policy}: contact.{name}.days: {why}; add it, or set.{name}.days=null" for name in always])
    return read


def are_dated(users: Path) -> bool:
    """Whether the users to score say which day it is."""
    return all("as_of" in pq.read_schema(file).names for file in users.glob("*.parquet"))


def objective_of(policy: Policy) -> dict[str, float]:
    """Weight per outcome, for judging a model; terms that depend on the offer (`times`) are left to the allocation."""
    weights: dict[str, float] = {}
    for term in policy.objective:
        if term.times is None:
            weights[term.metric] = weights.get(term.metric, 0.0) + term.weight
    return weights


def segments_of(users: Path) -> dict[str, frozenset[str]]:
    """Every text column of the users, apart from their ids, with its values."""
    found: dict[str, set[str]] = {}
    for file in sorted(users.glob("*.parquet")):
        try:
            parquet = pq.ParquetFile(file)
        except pa.ArrowException as error:
            raise InputError([f"{file}: is not a readable Parquet file ({error})"]) from None
        names = [field.name for field in parquet.schema_arrow if field.name != "user_id" and _is_text(field.type)]
        for batch in parquet.iter_batches(1 << 20, columns=names):
            for name in names:
                column = batch.column(name).cast(pa.string()).fill_null(MISSING)
                found.setdefault(name, set()).update(pc.unique(column).to_pylist())
    return {name: frozenset(values) for name, values in found.items()}


def _is_text(kind: pa.DataType) -> bool:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain)
