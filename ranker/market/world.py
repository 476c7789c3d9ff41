"""The whole market as files, in chunks of listeners: tables of the logged weeks, users to be decided on, the truth.

Every chunk has its own generator, spawned from the seed by the chunk's number. The files depend on the settings and the
seed alone, not on threads. Memory does not depend on the number of listeners.

Axes: U users (listeners), A actions, L contacts of a slate.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from ranker import disk
from ranker.catalogue import CATALOGUE_FILE, Metric, write_catalogue
from ranker.files import json_text
from ranker.log_schema import SCHEMA_FILE
from ranker.market import answers, decisions, listeners
from ranker.market.given_weeks import NO_WEEKS, GivenWeeks
from ranker.market.settings import WORLD_FILE, MarketSettings
from ranker.market.week import (
    NONE,
    Market,
    MarketState,
    MarketTables,
    answered,
    build,
    hand_made,
    lists,
    live,
    snapshot,
    standing,
    together,
)
from ranker.scores import ScoresWriter
from ranker.tables.schema import Category, History, LastOffer, Number, TableSchema, Window, write_table_schema

CHUNK = 16_384
ROWS_PER_FILE = 4_000_000
THREADS = 2
TABLES = ("users", "exposures", "outcomes")
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Chunk:
    """One chunk's tables, its users of the week to come, and what their truth is computed from."""

    tables: MarketTables
    coming: pa.Table
    eligible_UA: np.ndarray
    truth: dict[str, dict[str, np.ndarray]]


@dataclass(frozen=True)
class Summary:
    """What was written: listeners, actions, logged decisions, those of them that showed something, and rows of outcomes."""

    users: int
    actions: int
    decisions: int
    contacts: int
    outcome_rows: int

    @property
    def sentence(self) -> str:
        """All of them."""
        showing = f"{self.decisions:,} decisions of which {self.contacts:,} showed something"
        return f"{self.users:,} listeners, {self.actions} actions, {showing}, {self.outcome_rows:,} outcomes"


def write(
    settings: MarketSettings,
    seed: int,
    out: Path,
    advance: Callable[[int], object] | None = None,
    given: GivenWeeks = NO_WEEKS,
) -> Summary:
    """Writes tables/, users/, catalogue.json and, if settings.truth, truth/ into the existing directory `out`.

    advance: called with the number of listeners just finished. given: weeks that the logging policy did not decide.
    """
    market = build(settings)
    write_catalogue(out / CATALOGUE_FILE, market.catalogue)
    for folder in TABLES:
        disk.make_folder(out / "tables" / folder, parents=True)
    disk.make_folder(out / "users")
    write_table_schema(out / "tables" / SCHEMA_FILE, table_schema(settings))
    truth = _TruthFiles(out / "truth", market, seed, given) if settings.truth else None
    totals = np.zeros(3, np.int64)
    with _Files(out / "tables") as tables, _Files(out) as coming:
        for chunk in _in_order(lambda start: simulate(market, seed, start, given), range(0, settings.users, CHUNK)):
            for name in TABLES:
                tables.write(name, getattr(chunk.tables, name))
            coming.write("users", chunk.coming)
            if truth is not None:
                truth.write(chunk)
            contacts = int((chunk.tables.exposures.column("action").to_numpy() != NONE).sum())
            totals += (len(chunk.tables.exposures), contacts, len(chunk.tables.outcomes))
            if advance is not None:
                advance(len(chunk.coming))
    if truth is not None:
        truth.close()
    return Summary(settings.users, len(market.catalogue.actions), *(int(total) for total in totals))


def simulate(market: Market, seed: int, start: int, given: GivenWeeks = NO_WEEKS) -> Chunk:
    """The chunk of listeners from `start` on: its weeks of decisions and outcomes, and its truth for the week to come."""
    settings = market.settings
    count = min(CHUNK, settings.users - start)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(start // CHUNK,)))
    people = listeners.draw(settings, rng, start, count)
    moment = listeners.first_moment(settings, rng, people)
    weeks = []
    for day in market.decided_on:
        here = standing(market, people, moment)
        if day in given.days:
            decisions.pass_over(rng, count)
            exposures, slate_UL = given.decided(day, people.user_id, market.catalogue)
            tables, moment = answered(market, rng, people, moment, here, exposures, slate_UL, day)
        else:
            tables, moment = live(market, rng, people, moment, here, hand_made(market, here), day)
        weeks.append(tables)
    here = standing(market, people, moment)
    return Chunk(
        tables=together(weeks),
        coming=snapshot(here.frame, settings.snapshot).append_column("eligible", lists(here.eligible_UA)),
        eligible_UA=here.eligible_UA,
        truth=_truth(market, here, people.z_U) if settings.truth else {},
    )


def table_schema(settings: MarketSettings) -> TableSchema:
    """The description that lies beside the tables."""
    ranges = listeners.numeric_features(settings)
    return TableSchema(
        numeric={name: Number(min=low, max=high, missing=lacks) for name, (low, high, lacks) in ranges.items()},
        categorical={name: _category(name, settings) for name in listeners.CATEGORICAL},
        outcomes=tuple(Window(**outcome.model_dump()) for outcome in settings.outcomes),
        none=NONE,
        snapshot=settings.snapshot,
        history=History(days=28, contacts="contacts_28d", since=tuple(_last_offers(settings))),
    )


def _last_offers(settings: MarketSettings) -> Iterator[LastOffer]:
    for group in listeners.contact_groups(settings):
        attribute = "family" if group == "plan" else "product"
        yield LastOffer(column=f"weeks_since_{group}", where={attribute: group}, days=answers.DAYS)


def _category(name: str, settings: MarketSettings) -> Category:
    closed = {"market": tuple(settings.population.markets), "lifecycle": tuple(settings.population.lifecycles)}
    return Category(values=closed.get(name), missing=name in listeners.MAY_LACK)


def _in_order(work: Callable[[int], Chunk], starts: Iterable[int]) -> Iterator[Chunk]:
    """Works on a few chunks at a time and yields them in order."""
    remaining = iter(starts)
    with ThreadPoolExecutor(THREADS) as pool:
        running: deque[Future[Chunk]] = deque(pool.submit(work, start) for start in islice(remaining, THREADS))
        while running:
            chunk = running.popleft().result()
            running.extend(pool.submit(work, start) for start in islice(remaining, 1))
            yield chunk


def _truth(market: Market, here: MarketState, z_U: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    return {
        "given_all": answers.given_all(market.answers, here.at, z_U),
        "given_observed": answers.given_observed(market.answers, here.at),
    }


class _Files:
    """Parquet files of several folders, a new one after ROWS_PER_FILE rows; use as a context manager."""

    def __init__(self, path: Path):
        self._path = path
        self._open: dict[str, ExitStack] = {}
        self._writers: dict[str, disk.ParquetTables] = {}
        self._rows: dict[str, int] = {}
        self._files: dict[str, int] = {}

    def write(self, folder: str, table: pa.Table) -> None:
        if folder not in self._writers:
            number = self._files.get(folder, 0)
            file = self._path / folder / f"part-{number:05d}.parquet"
            # Strings repeat and are kept as codes; of numbers, a dictionary would cost more time than it saves space.
            strings = [field.name for field in table.schema if pa.types.is_string(field.type)]
            self._open[folder] = ExitStack()
            made = disk.parquet(file, table.schema, compression="snappy", use_dictionary=strings)
            self._writers[folder] = self._open[folder].enter_context(made)
            self._files[folder], self._rows[folder] = number + 1, 0
        self._writers[folder].write_table(table)
        self._rows[folder] += len(table)
        if self._rows[folder] >= ROWS_PER_FILE:
            del self._writers[folder]
            self._open.pop(folder).close()

    def __enter__(self) -> "_Files":
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._open.values():
            file.close()


class _TruthFiles:
    """truth/given_all and truth/given_observed as scores, and truth/world.json about the world itself."""

    def __init__(self, path: Path, market: Market, seed: int, given: GivenWeeks):
        self._path, self._market, self._seed, self._given = path, market, seed, given
        metrics = [Metric(outcome.name, outcome.unit) for outcome in market.settings.outcomes]
        self._writers = {}
        self._sums: dict[str, np.ndarray] = {}
        self._users = 0
        for name in ("given_all", "given_observed"):
            disk.make_folder(path / name, parents=True)
            head = market.catalogue.with_scores(
                metrics, listeners.CATEGORICAL, f"truth/{name}", market.settings.snapshot
            )
            self._writers[name] = ScoresWriter(path / name, head)

    def write(self, chunk: Chunk) -> None:
        """mean_METRIC is the difference to showing nothing, base_METRIC the expectation of showing nothing."""
        segments = {name: chunk.coming.column(name).fill_null(UNKNOWN) for name in listeners.CATEGORICAL}
        for name, expected in chunk.truth.items():
            base = {f"base_{metric}": pa.array(values_UA[:, -1]) for metric, values_UA in expected.items()}
            mean = {metric: values_UA[:, :-1] - values_UA[:, -1:] for metric, values_UA in expected.items()}
            ids = chunk.coming.column("user_id")
            self._writers[name].write(ids, segments, mean, eligible_UA=chunk.eligible_UA, extra=base)
        for metric, values_UA in chunk.truth["given_observed"].items():
            self._sums[metric] = self._sums.get(metric, 0.0) + values_UA.sum(axis=0, dtype=np.float64)
        self._users += len(chunk.coming)

    def close(self) -> None:
        for writer in self._writers.values():
            writer.__exit__(None, None, None)
        disk.write_text(self._path / WORLD_FILE, json_text(self._world(), finite=False))

    def _world(self) -> dict:
        settings = self._market.settings
        ids = self._market.catalogue.ids
        means = {metric: total_A / self._users for metric, total_A in self._sums.items()}
        pair, factor = settings.cannibalisation.products, settings.cannibalisation.factor
        return {
            "about": "Expected outcomes of one contact in the week to come, per listener; see given_all and given_observed.",
            "seed": self._seed,
            "decided_elsewhere": [day.isoformat() for day in self._given.days],
            "users": self._users,
            "snapshot": settings.snapshot.isoformat(),
            "base": {metric: float(mean_A[-1]) for metric, mean_A in means.items()},
            "average_effect": {
                metric: dict(zip(ids, (mean_A[:-1] - mean_A[-1]).tolist(), strict=True))
                for metric, mean_A in means.items()
            },
            "cannibalisation": {
                "products": list(pair),
                "factor": factor,
                "about": "Of each one's effect this factor is left where both are in one slate, or the other came in 28 days.",
            },
            "fatigue": settings.fatigue,
            "settings": settings.model_dump(mode="json"),
        }
