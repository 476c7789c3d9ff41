"""The whole market as files: tables of the logged weeks, users to be decided on, and the truth apart; in chunks of listeners.

Every chunk has a generator of its own, spawned from the seed by the chunk's number: the files depend on the settings and the seed
alone, not on threads, and memory not on the number of listeners.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ranker.market import answers, catalogue, decisions, listeners, outcomes
from ranker.market.settings import MarketSettings
from ranker.scores import Catalogue, Metric, ScoresWriter, write_catalogue
from ranker.tables.schema import Category, History, LastOffer, Number, TableSchema, Window, write_table_schema

CHUNK = 16_384
ROWS_PER_FILE = 4_000_000
THREADS = 2
NONE = "none"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Market:
    """What is built once and shared by all chunks."""

    settings: MarketSettings
    catalogue: Catalogue
    answers: answers.Answers
    belief_SA: np.ndarray
    shown: listeners.Shown

    @property
    def decided_on(self) -> list[date]:
        """The days of the logged decisions, a week apart, the last a week before the snapshot."""
        weeks = self.settings.weeks
        return [self.settings.snapshot - timedelta(weeks=weeks - week) for week in range(weeks)]


@dataclass(frozen=True)
class Chunk:
    """One chunk's tables, its users of the week to come, and what their truth is computed from."""

    users: pa.Table
    exposures: pa.Table
    outcomes: pa.Table
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


def build(settings: MarketSettings) -> Market:
    actions = catalogue.build(settings)
    belief_SA = decisions.heuristic_weights(settings.logging, actions)
    return Market(settings, actions, answers.build(settings, actions), belief_SA, listeners.shown_of(settings, actions))


def write(settings: MarketSettings, seed: int, out: Path, advance: Callable[[int], object] | None = None) -> Summary:
    """Writes tables/, users/, catalogue.json and, if settings.truth, truth/ into the existing directory `out`.

    advance: called with the number of listeners just finished.
    """
    market = build(settings)
    write_catalogue(out / "catalogue.json", market.catalogue)
    for folder in ("users", "exposures", "outcomes"):
        (out / "tables" / folder).mkdir(parents=True)
    (out / "users").mkdir()
    write_table_schema(out / "tables" / "schema.json", table_schema(settings))
    truth = _TruthFiles(out / "truth", market) if settings.truth else None
    totals = np.zeros(3, np.int64)
    with _Files(out / "tables") as tables, _Files(out) as coming:
        for chunk in _in_order(lambda start: simulate(market, seed, start), range(0, settings.users, CHUNK)):
            for name in ("users", "exposures", "outcomes"):
                tables.write(name, getattr(chunk, name))
            coming.write("users", chunk.coming)
            if truth is not None:
                truth.write(chunk)
            contacts = int((chunk.exposures.column("action").to_numpy() != NONE).sum())
            totals += (len(chunk.exposures), contacts, len(chunk.outcomes))
            if advance is not None:
                advance(len(chunk.coming))
    if truth is not None:
        truth.close(seed)
    return Summary(settings.users, len(market.catalogue.actions), *(int(total) for total in totals))


def simulate(market: Market, seed: int, start: int) -> Chunk:
    """The chunk of listeners from `start` on: its weeks of decisions and outcomes, and its truth for the week to come."""
    settings = market.settings
    count = min(CHUNK, settings.users - start)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(start // CHUNK,)))
    people = listeners.draw(settings, rng, start, count)
    moment = listeners.first_moment(settings, rng, people)
    snapshots, exposures, results = [], [], []
    for day in market.decided_on:
        frame = listeners.features(people, moment)
        signals_US = listeners.signals(settings, frame)
        eligible_UA = listeners.eligible(frame, market.catalogue)
        options = decisions.choices(settings.logging, signals_US @ market.belief_SA, eligible_UA)
        holdout_U = decisions.in_holdout(settings.logging, day, people.user_id)
        made = decisions.decide(rng, options, holdout_U, settings.logging.holdout)
        at = answers.situation(market.answers, frame, signals_US)
        drawn = outcomes.draw(settings, market.answers, rng, at, made.action_U, people.z_U)
        snapshots.append(_snapshot(frame, day))
        exposures.append(_exposures(market.catalogue, people.user_id, day, made, eligible_UA))
        results.append(_outcome_table(outcomes.rows(settings, rng, people.user_id, np.datetime64(day), drawn)))
        moment = listeners.next_moment(rng, moment, people, market.shown, made.action_U)
    frame = listeners.features(people, moment)
    eligible_UA = listeners.eligible(frame, market.catalogue)
    return Chunk(
        users=pa.concat_tables(snapshots),
        exposures=pa.concat_tables(exposures),
        outcomes=pa.concat_tables(results),
        coming=_snapshot(frame, settings.snapshot).append_column("eligible", _lists(eligible_UA)),
        eligible_UA=eligible_UA,
        truth=_truth(market, frame, people.z_U) if settings.truth else {},
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


def _snapshot(frame: pd.DataFrame, day: date) -> pa.Table:
    columns = {"user_id": pa.array(frame["user_id"]), "as_of": _days(day, len(frame))}
    for name in frame.columns[1:]:
        values = pa.array(frame[name], from_pandas=True)
        columns[name] = values.cast(pa.string()) if name in listeners.CATEGORICAL else values
    return pa.table(columns)


def _exposures(
    actions: Catalogue, user_id: np.ndarray, day: date, made: decisions.Decisions, eligible_UA: np.ndarray
) -> pa.Table:
    ids = pa.array([*actions.ids, NONE])
    return pa.table(
        {
            "user_id": pa.array(user_id),
            "decided_on": _days(day, len(user_id)),
            "action": ids.take(pa.array(made.action_U)),
            "arm": pa.array(decisions.ARMS).take(pa.array(made.arm_U)),
            "propensity": pa.array(made.propensity_U),
            "eligible": _lists(eligible_UA),
        }
    )


def _outcome_table(frame: pd.DataFrame) -> pa.Table:
    return pa.table(
        {
            "user_id": pa.array(frame["user_id"]),
            "outcome": pa.array(frame["outcome"], pa.string()),
            "occurred_on": pa.array(frame["occurred_on"].to_numpy("datetime64[D]")),
            "recorded_on": pa.array(frame["recorded_on"].to_numpy("datetime64[D]")),
            "value": pa.array(frame["value"], pa.float64()),
        }
    )


def _days(day: date, count: int) -> pa.Array:
    return pa.array(np.full(count, np.datetime64(day, "D")))


def _lists(flags_UA: np.ndarray) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(flags_UA).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, flags_UA.shape[1])


def _truth(market: Market, frame: pd.DataFrame, z_U: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    at = answers.situation(market.answers, frame, listeners.signals(market.settings, frame))
    return {
        "given_all": answers.given_all(market.answers, at, z_U),
        "given_observed": answers.given_observed(market.answers, at),
    }


class _Files:
    """Parquet files of several folders, a new one after ROWS_PER_FILE rows; use as a context manager."""

    def __init__(self, path: Path):
        self._path = path
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._rows: dict[str, int] = {}
        self._files: dict[str, int] = {}

    def write(self, folder: str, table: pa.Table) -> None:
        if folder not in self._writers:
            number = self._files.get(folder, 0)
            file = self._path / folder / f"part-{number:05d}.parquet"
            # Strings repeat and are kept as codes; of numbers, a dictionary would cost more time than it saves space.
            strings = [field.name for field in table.schema if pa.types.is_string(field.type)]
            self._writers[folder] = pq.ParquetWriter(file, table.schema, compression="snappy", use_dictionary=strings)
            self._files[folder], self._rows[folder] = number + 1, 0
        self._writers[folder].write_table(table)
        self._rows[folder] += len(table)
        if self._rows[folder] >= ROWS_PER_FILE:
            self._writers.pop(folder).close()

    def __enter__(self) -> "_Files":
        return self

    def __exit__(self, *error: object) -> None:
        for writer in self._writers.values():
            writer.close()


class _TruthFiles:
    """truth/given_all and truth/given_observed as scores, and truth/world.json about the world itself."""

    def __init__(self, path: Path, market: Market):
        self._path, self._market = path, market
        metrics = [Metric(outcome.name, outcome.unit) for outcome in market.settings.outcomes]
        self._writers = {}
        self._sums: dict[str, np.ndarray] = {}
        self._users = 0
        for name in ("given_all", "given_observed"):
            (path / name).mkdir(parents=True)
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

    def close(self, seed: int) -> None:
        for writer in self._writers.values():
            writer.__exit__(None, None, None)
        (self._path / "world.json").write_text(json.dumps(self._world(seed), indent=1) + "\n")

    def _world(self, seed: int) -> dict:
        settings = self._market.settings
        ids = self._market.catalogue.ids
        means = {metric: total_A / self._users for metric, total_A in self._sums.items()}
        pair, factor = settings.cannibalisation.products, settings.cannibalisation.factor
        return {
            "about": "Expected outcomes of one contact in the week to come, per listener; see given_all and given_observed.",
            "seed": seed,
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
