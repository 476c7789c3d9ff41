"""Holdout and exploration are stable draws of the stated size, independent of each other and of how ids are stored."""

import numpy as np
import pyarrow as pa
import pytest
import xxhash

from allocator.policy.experiment import exploring, held_out, uniform
from allocator.policy.grammar import Experiment, Policy, Share
from allocator.policy.words import Term


def policy(holdout: float | None, exploration: float | None) -> Policy:
    experiment = Experiment(
        holdout=None if holdout is None else Share(share=holdout, salt="q4"),
        exploration=None if exploration is None else Share(share=exploration, salt="w47"),
    )
    return Policy(objective=(Term(metric="revenue", weight=1.0),), experiment=experiment)


def test_the_hash_is_the_published_one() -> None:
    """XXH64 of the empty text is ef46db3751d8e999 (the algorithm's specification); ours is of "salt:id", its top 53 bits."""
    assert xxhash.xxh64_intdigest(b"") == 0xEF46DB3751D8E999
    assert uniform("q4", np.array([7]))[0] == (xxhash.xxh64_intdigest(b"q4:7") >> 11) / 2**53


@pytest.mark.parametrize(
    "ids",
    [
        np.arange(50),
        np.arange(50).astype(str),
        pa.array(range(50)),
        pa.array([str(user) for user in range(50)]),
        pa.array([str(user) for user in range(50)]).dictionary_encode(),
        pa.chunked_array([list(range(20)), list(range(20, 50))]),
    ],
)
def test_a_person_gets_the_same_draw_however_the_id_is_stored(ids: object) -> None:
    assert uniform("q4", ids).tolist() == [uniform("q4", np.array([user]))[0] for user in range(50)]


def test_draws_are_uniform_and_salts_independent() -> None:
    ids = np.arange(40_000)
    one, other = uniform("q4", ids), uniform("q5", ids)
    assert one.min() >= 0.0
    assert one.max() < 1.0
    counts = np.histogram(one, bins=20, range=(0, 1))[0]
    # Chi-square with 19 degrees of freedom: 43.8 is exceeded once in a thousand.
    assert ((counts - 2000) ** 2 / 2000).sum() < 43.8
    assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(len(ids))


def test_nobody_is_held_out_and_explores() -> None:
    ids = np.arange(20_000)
    held, explores = held_out(policy(0.1, 0.3), ids), exploring(policy(0.1, 0.3), ids)
    assert not (held & explores).any()
    assert held.mean() == pytest.approx(0.1, abs=0.01)
    assert explores.mean() == pytest.approx(0.3 * 0.9, abs=0.015)
    assert not held_out(policy(None, 0.3), ids).any()
    assert not exploring(policy(0.1, None), ids).any()
    assert not held_out(policy(0.0, None), ids).any()
    assert not len(held_out(policy(0.1, None), np.array([], dtype=np.int64)))
