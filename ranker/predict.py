"""Scores for every user: a trained model over streamed users, into a scores dataset.

Axes: U users of a batch, A actions (catalogue order).
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

from ranker.catalogue import Catalogue
from ranker.files import InputError
from ranker.logs import eligible_of, read_users, users_of
from ranker.model.ensemble import USERS_AT_ONCE, ValueModel
from ranker.model.threads import fixed_threads
from ranker.scores import HeldScores, ScoresWriter, scores_table

Given, Made = TypeVar("Given"), TypeVar("Made")
MOST_CORES = 8  # each takes 100 MB or so
MISSING = "unknown"  # segments have a value for every user


def predict(
    model: ValueModel,
    model_id: str,
    users: Path,
    out: Path,
    actions: Sequence[Mapping[str, object]] | None = None,
    advance: Callable[[int], None] = lambda users: None,
    as_of: date | None = None,
) -> int:
    """Writes the scores of all users into the existing directory `out`; returns how many. Memory does not grow with users.

    actions: a catalogue other than the model's; new actions get the effect their attributes predict, and a larger stderr.
    advance: called with the number of users just written. as_of: the day the scores are for, if not the users' or the model's.
    """
    model = model if actions is None else model.for_actions(actions)
    frames = read_users(users, model.schema, len(model.actions))
    first = next(frames, None)
    if first is None or first.empty:
        raise InputError([f"{users}: there are no users"])
    catalogue = _catalogue(model, model_id, first, as_of)
    total = 0
    batches = (
        frame.iloc[start : start + USERS_AT_ONCE]
        for frame in _chain(first, frames)
        for start in range(0, len(frame), USERS_AT_ONCE)
    )
    with ScoresWriter(out, catalogue) as writer:
        for scored in _side_by_side(lambda batch: _scored(model, catalogue, batch), batches):
            writer.write(**scored)
            total += len(scored["user_id"])
            advance(len(scored["user_id"]))
    return total


def predict_held(model: ValueModel, model_id: str, users: pa.Table, as_of: date | None = None) -> HeldScores:
    """The scores of a few users who are in memory: the rows that `predict` writes of the same users, to the last bit.

    users: as a file of users. Raises InputError with everything that is wrong with them.
    """
    frame = users_of(users, model.schema, len(model.actions))
    if frame.empty:
        raise InputError(["users: there are no users"])
    catalogue = _catalogue(model, model_id, frame, as_of)
    with fixed_threads(1, at_once=True):
        parts = [
            scores_table(catalogue, **_scored(model, catalogue, frame.iloc[start : start + USERS_AT_ONCE]))
            for start in range(0, len(frame), USERS_AT_ONCE)
        ]
    return HeldScores.of(pa.concat_tables(parts), catalogue)


def _side_by_side(work: Callable[[Given], Made], given: Iterable[Given]) -> Iterator[Made]:
    """work of each, in order, on all cores. Operations on one thread each: then cores do not wait for each other, and results do not
    depend on how many there are."""
    cores = min(os.cpu_count() or 1, MOST_CORES)
    waiting: deque[Future[Made]] = deque()
    with fixed_threads(1), ThreadPoolExecutor(cores) as pool:
        for each in given:
            waiting.append(pool.submit(work, each))
            if len(waiting) > cores:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _chain(first: pd.DataFrame, rest):
    yield first
    yield from rest


def _catalogue(model: ValueModel, model_id: str, users: pd.DataFrame, as_of: date | None) -> Catalogue:
    """The head of the scores: metrics are the outcomes, segments every string column of the users."""
    kinds = users.dtypes.drop(["user_id", "eligible"], errors="ignore")
    texts = [str(name) for name, kind in kinds.items() if pd.api.types.is_string_dtype(kind)]
    if as_of is None:
        as_of = users["as_of"].max().date() if "as_of" in users else model.as_of
    return Catalogue(tuple(model.actions)).with_scores(
        model.metrics, texts, model_id, as_of, model.interference, model.unidentified, model.error_groups
    )


def _scored(model: ValueModel, catalogue: Catalogue, batch: pd.DataFrame) -> dict:
    """What `ScoresWriter.write` takes."""
    effects = model.effects(model.encoder.encode(batch))
    ids = batch["user_id"]
    return {
        "user_id": pa.array(ids.to_numpy(), pa.int64() if pd.api.types.is_integer_dtype(ids.dtype) else pa.string()),
        "segments": {
            name: pa.array(batch[name].fillna(MISSING).to_numpy(), pa.string()) for name in catalogue.segments
        },
        "mean": {name: effect.mean_UA for name, effect in effects.items()},
        "stderr": {name: effect.stderr_UA for name, effect in effects.items()},
        "eligible_UA": eligible_of(batch),
        "extra": {f"base_{name}": pa.array(effect.none_U.astype(np.float32)) for name, effect in effects.items()},
    }
