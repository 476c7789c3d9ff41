"""A table's profile, from its Parquet files a batch at a time: numbers, texts, and entries of the lists of scores.

Axes: R rows, A actions, N entries of a list column.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ranker import disk
from ranker.columns import as_flags, as_lists, is_number, is_text
from ranker.files import batches, parquet_files, parquet_rows, parquet_schema
from ranker.profiles.records import PROFILE, Profile, TableProfile
from ranker.profiles.sketch import NumberSketch, TextSketch, UserSketch, as_floats
from ranker.scores import open_scores

if TYPE_CHECKING:
    from ranker.features import Encoder  # brings torch

log = logging.getLogger("offermix.profiles")
ROWS_AT_ONCE = 131_072
MOST_ROWS = 2_000_000
MOST_ENTRIES = 20_000_000
"""Rows of a table, and entries of all lists of scores, that are looked at; of more, every n-th row. A digest takes 8 million a second."""
NOT_FEATURES = ("user_id", "decision_id", "cluster")


@dataclass
class TableSketch:
    """The sketches of a table. every: of so many rows, one is taken; seen: rows so far."""

    name: str
    every: int = 1
    seen: int = 0
    looked_at: int = 0
    users: UserSketch | None = None
    numbers: dict[str, NumberSketch] = field(default_factory=dict)
    texts: dict[str, TextSketch] = field(default_factory=dict)

    def see(self, batch: pa.RecordBatch) -> None:
        taken = self.taken(batch)
        for name, column in zip(taken.schema.names, taken.columns, strict=True):
            if name in NOT_FEATURES:
                continue
            if is_text(column.type):
                self.texts.setdefault(name, TextSketch(name)).see(column)
            elif is_number(column.type):
                self.numbers.setdefault(name, NumberSketch(name)).see(as_floats(column))

    def see_entries(self, name: str, value_N: np.ndarray) -> None:
        """Entries of a list column that are meant."""
        self.numbers.setdefault(name, NumberSketch(name)).see(value_N)

    def taken(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows whose columns are looked at; users are counted among all of them."""
        if "user_id" in batch.schema.names:
            self.users = UserSketch() if self.users is None else self.users
            self.users.see(batch.column("user_id"))
        first = -self.seen % self.every
        self.seen += len(batch)
        taken = batch if self.every == 1 else batch.take(pa.array(np.arange(first, len(batch), self.every)))
        self.looked_at += len(taken)
        return taken

    def merge(self, other: "TableSketch") -> None:
        """As if the rows of the other came after its own."""
        self.seen, self.looked_at = self.seen + other.seen, self.looked_at + other.looked_at
        if other.users is not None:
            self.users = UserSketch() if self.users is None else self.users
            self.users.merge(other.users)
        for name, number in other.numbers.items():
            self.numbers.setdefault(name, NumberSketch(name)).merge(number)
        for name, text in other.texts.items():
            self.texts.setdefault(name, TextSketch(name)).merge(text)

    def profile(self) -> TableProfile:
        return TableProfile(
            name=self.name,
            rows=self.seen,
            looked_at=self.looked_at,
            users=None if self.users is None else self.users.users,
            numbers=tuple(self.numbers[name].profile() for name in sorted(self.numbers)),
            texts=tuple(self.texts[name].profile() for name in sorted(self.texts)),
        )


def profile_of(name: str, files: Sequence[Path], without: Collection[str] = ()) -> TableProfile:
    """Every column of numbers or texts of these files; without: columns that are left out."""
    rows = sum(map(parquet_rows, files))
    sketch = TableSketch(name, every=max(-(-rows // MOST_ROWS), 1))
    for file in files:
        kinds = parquet_schema(file)
        wanted = [
            each.name for each in kinds if each.name not in without and (is_text(each.type) or is_number(each.type))
        ]
        for batch in batches(file, ROWS_AT_ONCE, wanted):
            sketch.see(batch)
    return sketch.profile()


def profile_of_scores(path: Path) -> TableProfile:
    """Segments, and for each metric the entries of eligible actions; `eligible` is how many actions a user could get."""
    scores = open_scores(path)
    actions = len(scores.catalogue.actions)
    entries = scores.users * actions * len(scores.planes)
    sketch = TableSketch("scores", every=max(-(-entries // MOST_ENTRIES), 1))
    planes = [f"{kind}_{name}" for kind, name in scores.planes]
    listed = [*planes, *(["eligible"] if scores.has_eligible else [])]
    for file in scores.files:
        for batch in batches(file, ROWS_AT_ONCE, ["user_id", *scores.vocabulary, *listed]):
            taken = sketch.taken(batch)
            eligible_RA = np.ones((len(taken), actions), bool)
            if scores.has_eligible:
                eligible_RA = as_flags(pa.chunked_array([taken.column("eligible")]), actions)
            sketch.see_entries("eligible", eligible_RA.sum(axis=1).astype(np.float64))
            for name in scores.vocabulary:
                sketch.texts.setdefault(name, TextSketch(name)).see(taken.column(name))
            for name in planes:
                value_RA = as_lists(taken.column(name), actions)[0].to_numpy(zero_copy_only=False)
                sketch.see_entries(name, value_RA.reshape(-1, actions)[eligible_RA].astype(np.float64))
    return sketch.profile()


def write_profile_of_logs(tables: Path, logs: Path, left_out: Mapping[str, int]) -> None:
    """profile.json beside logs: of the tables that they were made from, and of the logs. left_out: what is not in the logs."""
    found = [profile_of(name, parquet_files(tables / name)) for name in ("users", "exposures", "outcomes")]
    whole = profile_of("logs", parquet_files(logs))
    disk.write_text(logs / PROFILE, Profile(tables=(*found, whole), left_out=dict(left_out)).text())


def write_profile_of_scores(users: Path, scores: Path, encoder: "Encoder") -> None:
    """profile.json beside scores: of the users that were scored, and of the scores; says what the model did not use of them."""
    scored = profile_of("scored users", parquet_files(users))
    left_out = dict(_not_used(scored, encoder, open_scores(scores).catalogue.segments))
    profile = Profile(tables=(scored, profile_of_scores(scores)), left_out=left_out)
    disk.write_text(scores / PROFILE, profile.text())
    for what, rows in left_out.items():
        log.warning("Not used: %s %s", f"{rows:,}", what)


def _not_used(users: TableProfile, encoder: "Encoder", segments: Collection[str]) -> Iterator[tuple[str, int]]:
    """Frequent values of categories that the model never saw, with their rows, and columns that nothing reads."""
    texts = {each.name: each for each in users.texts}
    for column in encoder.categorical:
        seen = set(column.levels)
        values = texts[column.name].values if column.name in texts else {}
        for value, count in values.items():
            if value not in seen:
                yield f"users whose {column.name} is {value}, which the model never saw", count
    read = {each.name for each in encoder.numeric} | {each.name for each in encoder.categorical} | set(segments)
    rows = {each.name: each.rows for each in users.numbers} | {text.name: text.rows for text in users.texts}
    for name in sorted(rows.keys() - read):
        yield f"rows of the column {name}, which nothing reads", rows[name]
