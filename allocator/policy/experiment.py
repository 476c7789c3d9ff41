"""Who is held out and who explores, by salted hash: the same person gets the same answer in every run, on every machine.

Axes: U users.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import xxhash

from allocator.policy.grammar import Policy


@dataclass(frozen=True)
class Shares:
    """How likely any user is to be held out, to explore, or neither, before the salts are drawn; they add up to 1."""

    held: float
    explores: float
    free: float


def shares(policy: Policy) -> Shares:
    """Exploration is a share of those who are not held out: different salts draw independently."""
    held = 0.0 if policy.holdout is None else policy.holdout.share
    explores = 0.0 if policy.exploration is None else (1 - held) * policy.exploration.share
    return Shares(held, explores, 1 - held - explores)


def uniform(salt: str, user_ids: np.ndarray | pa.Array | pa.ChunkedArray) -> np.ndarray:
    """float64[U] in [0, 1): the first 53 bits of XXH64 of "salt:user_id". An id's number and its text are one person."""
    hashed = xxhash.xxh64_intdigest
    digests = (hashed(f"{salt}:{user}".encode()) for user in _listed(user_ids))
    bits_U = np.fromiter(digests, np.uint64, count=len(user_ids))
    return (bits_U >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def _listed(user_ids: np.ndarray | pa.Array | pa.ChunkedArray) -> Iterable[object]:
    """The ids as Python values: a numpy integer would print like one, but only slowly."""
    return user_ids.tolist() if isinstance(user_ids, np.ndarray) else user_ids.to_pylist()


def held_out(policy: Policy, user_ids: np.ndarray | pa.Array | pa.ChunkedArray) -> np.ndarray:
    """bool[U]: users who get nothing, so that there is something to compare with."""
    if policy.holdout is None:
        return np.zeros(len(user_ids), bool)
    return uniform(policy.holdout.salt, user_ids) < policy.holdout.share


def exploring(
    policy: Policy, user_ids: np.ndarray | pa.Array | pa.ChunkedArray, held_U: np.ndarray | None = None
) -> np.ndarray:
    """bool[U]: users who get a random eligible slate. Nobody who is held out explores; held_U saves working that out again."""
    if policy.exploration is None:
        return np.zeros(len(user_ids), bool)
    drawn_U = uniform(policy.exploration.salt, user_ids) < policy.exploration.share
    return drawn_U & ~(held_out(policy, user_ids) if held_U is None else held_U)
