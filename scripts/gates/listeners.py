"""Listeners of two weeks: whose contacts changed, and which values of a segment have listeners and contacts. Streamed.

Axes: N rows, L listeners.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ranker.columns import as_text
from ranker.files import batches, some_parquet_files
from ranker.hashed import hash_of_text, keys_of, mixed
from ranker.scores import Scores, open_scores
from scripts.formats.gates import PartitionCount

Partitions = Mapping[str, Mapping[str, PartitionCount]]
ROWS_AT_ONCE = 262_144
MOST_CONTACTS = 4_000_000
"""More are not compared one by one: a part of the listeners, drawn by a hash, tells the share as well."""


def churn(before: Path, after: Path, contacts: int) -> tuple[int, int]:
    """(listeners who had contacts before, those of them who now have others or none); of a part of them where there are many.

    contacts: of the week before, by which the part is chosen.
    """
    part = np.uint64(2 ** max(int(np.ceil(np.log2(max(contacts, 1) / MOST_CONTACTS))), 0))
    key_L, slate_L = _slates(before, part)
    new_key_L, new_slate_L = _slates(after, part)
    if not len(new_key_L):
        return len(key_L), len(key_L)
    place_L = np.minimum(np.searchsorted(new_key_L, key_L), len(new_key_L) - 1)
    same_L = (new_key_L[place_L] == key_L) & (new_slate_L[place_L] == slate_L)
    return len(key_L), int((~same_L).sum())


def _slates(allocation: Path, part: np.uint64) -> tuple[np.ndarray, np.ndarray]:
    """Keys of listeners, rising, and for each the sum of the hashes of the actions: alike whatever their order."""
    keys, actions = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
    for file in some_parquet_files(allocation):
        for batch in batches(file, ROWS_AT_ONCE, ["user_id", "action"]):
            key_N = mixed(keys_of(batch.column("user_id")))
            chosen_N = key_N % part == 0
            keys.append(key_N[chosen_N])
            actions.append(hash_of_text(batch.column("action"))[chosen_N])
    key_L, place_N = np.unique(np.concatenate(keys), return_inverse=True)
    slate_L = np.zeros(len(key_L), np.uint64)
    np.add.at(slate_L, place_N, np.concatenate(actions))
    return key_L, slate_L


def partitions(allocation: Path, scores: Path) -> Partitions:
    """By segment and value: listeners in the scores, and those of them with a contact. 8 bytes for each contact."""
    opened = open_scores(scores)
    keys = [keys_of(batch.column(0)) for file in some_parquet_files(allocation) for batch in _ids(file)]
    reached_L = np.unique(np.concatenate([np.zeros(0, np.uint64), *keys]))
    counts = {name: np.zeros((2, len(values)), np.int64) for name, values in opened.vocabulary.items()}
    for user_id, codes in _segments(opened, tuple(counts)):
        reached_N = np.isin(keys_of(user_id), reached_L, kind="sort")
        for name, code_N in zip(counts, codes, strict=True):
            width = counts[name].shape[1]
            counts[name] += np.stack([np.bincount(c, minlength=width) for c in (code_N, code_N[reached_N])])
    return {
        name: {
            value: PartitionCount(listeners=int(listeners), reached=int(reached))
            for value, listeners, reached in zip(opened.vocabulary[name], *counts[name], strict=True)
        }
        for name in counts
    }


def _ids(file: Path) -> Iterator[pa.RecordBatch]:
    return batches(file, ROWS_AT_ONCE, ["user_id"])


def _segments(scores: Scores, names: tuple[str, ...]) -> Iterator[tuple[pa.Array, list[np.ndarray]]]:
    for file in scores.files:
        for batch in batches(file, ROWS_AT_ONCE, ["user_id", *names]):
            codes = [pc.index_in(as_text(batch.column(name)), pa.array(scores.vocabulary[name])) for name in names]
            yield batch.column("user_id"), [each.fill_null(0).to_numpy(zero_copy_only=False) for each in codes]
