"""Ids and texts as numbers that stand for them, alike on any machine: for counting and comparing many without keeping them.

Axes: R rows.
"""

import numpy as np
import pandas as pd
import pyarrow as pa

from ranker.columns import as_ids, as_text

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def keys_of(ids: pa.Array) -> np.ndarray:
    """uint64[R]: the ids as numbers, of texts their hash; none may be missing."""
    plain = as_ids(ids)
    if pa.types.is_integer(plain.type):
        numbers: np.ndarray = plain.to_numpy(zero_copy_only=False).astype(np.int64).view(np.uint64)
        return numbers
    return hash_of_text(plain)


def hash_of_text(column: pa.Array) -> np.ndarray:
    """uint64[R]: 0 where missing."""
    encoded = as_text(column).dictionary_encode()
    hashes = pd.util.hash_array(np.asarray(encoded.dictionary.to_pylist(), object))
    return np.append(hashes, np.uint64(0))[encoded.indices.fill_null(len(hashes)).to_numpy(zero_copy_only=False)]


def mixed(key_R: np.ndarray) -> np.ndarray:
    """uint64[R]: spread evenly, so that the lowest or every n-th of them are a fair part."""
    mixed_R: np.ndarray = (key_R ^ (key_R >> np.uint64(31))) * MULTIPLIER
    mixed_R = (mixed_R ^ (mixed_R >> np.uint64(29))) * MULTIPLIER
    return mixed_R ^ (mixed_R >> np.uint64(32))
