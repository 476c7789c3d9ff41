"""The policy, read as soon as it is known what it is about, so that a mistake in it is told before a model is trained."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow.compute as pc

from allocator.policy.check import World
from allocator.policy.grammar import Policy
from allocator.policy.reader import examine, read_policy
from allocator.policy.tree import read_text
from ranker.catalogue import (
    CATALOGUE_FILE,
    MOST_SEGMENT_VALUES,
    Catalogue,
    Interference,
    Metric,
    most_values,
    read_catalogue,
)
from ranker.columns import as_text, is_text
from ranker.contact_history import DAYS
from ranker.files import InputError, batches, parquet_files, parquet_rows, parquet_schema
from ranker.log_schema import SCHEMA_FILE, Outcome, read_schema
from ranker.market.catalogue import build
from ranker.market.world import table_schema
from ranker.tables.schema import Window, read_table_schema
from scripts.cli.settings import Settings, WeeklySettings

MISSING = "unknown"  # as scores call a segment that a user does not have


def wrong_without_data(settings: WeeklySettings) -> Iterator[str]:
    """What is wrong with the policy, the offers and the schema as far as that is known before a row is read, in sentences.

    Which values users have, data alone tells.
    """
    problems: list[str] = []
    coming = _coming(settings, problems)
    policy = settings.weekly.policy
    if policy.exists():
        try:
            world = None if coming is None else World(coming, None)
            found = examine(read_text(policy), str(policy), settings.set, world)
            problems += [problem.sentence for problem in found.problems]
        except InputError as error:
            problems += error.problems
    yield from problems


def _coming(settings: WeeklySettings, problems: list[str]) -> Catalogue | None:
    """The catalogue that the scores will have; None where its files are missing or wrong, which is added to the problems."""
    tables = settings.weekly.tables
    if tables is None:
        schema = table_schema(settings.data)
        return _as_scores_have_it(build(settings.data), schema.outcomes, tuple(schema.categorical))
    places = (tables / "tables" / SCHEMA_FILE, tables / CATALOGUE_FILE, tables / "users")
    found = []
    for read, path in zip((read_table_schema, read_catalogue, _text_columns), places, strict=True):
        try:
            found += [read(path)] if path.exists() else []
        except InputError as error:
            problems += error.problems
    if len(found) < len(places):
        return None
    schema, catalogue, columns = found
    return _as_scores_have_it(catalogue, schema.outcomes, sorted({*schema.categorical, *columns}))


def _text_columns(users: Path) -> set[str]:
    return {field.name for file in parquet_files(users) for field in parquet_schema(file) if is_text(field.type)}


def _as_scores_have_it(
    catalogue: Catalogue, outcomes: Iterable[Window | Outcome], segments: Sequence[str]
) -> Catalogue:
    metrics = [Metric(outcome.name, outcome.unit) for outcome in outcomes]
    unknown_yet = Interference(DAYS, None, ())  # whether the logs tell what spoils what is for training to find out
    return Catalogue(catalogue.actions).with_scores(metrics, segments, "", None, unknown_yet)


def early_policy(policy: Path, settings: Settings, logs: Path, users: Path) -> Policy:
    """The policy, checked against the metrics and segments that the scores will have; InputError lists every mistake.

    Whether there is an earlier allocation for its rules to compare with is for the week to find out. Contacts of earlier days are
    refused where users do not say which day it is: then the scores have no history/.
    """
    segments = segments_of(users)
    outcomes = read_schema(logs / SCHEMA_FILE).outcomes
    catalogue = _as_scores_have_it(read_catalogue(logs / CATALOGUE_FILE), outcomes, sorted(segments))
    read = read_policy(policy, settings.set, catalogue, segments, previous=True)
    always = [rule.id for rule in read.contact if rule.days is not None and rule.valid_from is rule.valid_to is None]
    if always and not are_dated(users):
        why = f"counts contacts of earlier days, and {users} has no column as_of to count back from"
        raise InputError([f"{policy}: contact.{name}.days: {why}; add it, or set.{name}.days=null" for name in always])
    return read


def are_dated(users: Path) -> bool:
    """Whether the users to score say which day it is."""
    return all("as_of" in parquet_schema(file).names for file in parquet_files(users))


def objective_of(policy: Policy) -> dict[str, float]:
    """Weight per outcome, for judging a model; terms that depend on the offer (`times`) are left to the allocation."""
    weights: dict[str, float] = {}
    for term in policy.objective:
        if term.times is None:
            weights[term.metric] = weights.get(term.metric, 0.0) + term.weight
    return weights


def segments_of(users: Path) -> dict[str, frozenset[str]]:
    """Every text column of the users, apart from their ids, with its values."""
    found, rows = dict[str, set[str]](), 0
    for file in parquet_files(users):
        names = [field.name for field in parquet_schema(file) if field.name != "user_id" and is_text(field.type)]
        rows += parquet_rows(file)
        for batch in batches(file, 1 << 20, names):
            for name in names:
                values = found.setdefault(name, set())
                if len(values) <= MOST_SEGMENT_VALUES:
                    values.update(pc.unique(as_text(batch.column(name)).fill_null(MISSING)).to_pylist())
    return {name: frozenset(values) for name, values in found.items() if len(values) <= most_values(rows)}
