"""Users alike in every `users` filter of the policy, as classes that all tables have a row for.

Axes: U users, S user classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product as cross

import numpy as np

from allocator.policy.grammar import Policy
from allocator.policy.words import Filter
from ranker.files import InputError
from ranker.scores import Scores, Shard

MOST_CLASSES = 100_000


@dataclass(frozen=True)
class UserClasses:
    """Users alike in every `users` filter of the policy. code: segment values -> class, position S in all class tables."""

    segments: tuple[str, ...]
    shape: tuple[int, ...]
    class_of_cell: np.ndarray
    records: tuple[Mapping[str, str], ...]

    def __len__(self) -> int:
        return len(self.records)

    def members(self, users: Filter) -> np.ndarray:
        """bool[S]: the classes that a filter of the policy passes."""
        return np.array([users.matches(record) for record in self.records], bool)

    def of(self, shard: Shard) -> np.ndarray:
        """int32[U]."""
        if not self.segments:
            return np.zeros(len(shard), np.int32)
        cell = np.ravel_multi_index(tuple(shard.segments[name] for name in self.segments), self.shape)
        return self.class_of_cell[cell]


def user_classes_of(policy: Policy, vocabulary: Mapping[str, tuple[str, ...]]) -> UserClasses:
    """Cells of the segments that any `users` filter names, merged where all filters agree."""
    filters = policy.user_filters
    by_value = [
        (rule.each, rule.users) for rule in policy.constraints if rule.each is not None and rule.each in vocabulary
    ]
    named = {name for name, _ in by_value}
    segments = tuple(name for name in vocabulary if name in named or any(_names(users, name) for users in filters))
    shape = tuple(len(vocabulary[name]) for name in segments)
    cells = int(np.prod(shape, dtype=object)) if shape else 1
    if cells > 5_000_000:
        raise InputError(
            [f"policy: the users filters name {len(segments)} segments with {cells:,} combinations; too many"]
        )
    signatures: dict[tuple[bool | str | None, ...], int] = {}
    records: list[Mapping[str, str]] = []
    class_of_cell = np.empty(cells, np.int32)
    for cell, values in enumerate(cross(*(vocabulary[name] for name in segments))):
        record = dict(zip(segments, values, strict=True))
        signature = (
            *(users.matches(record) for users in filters),
            *(record[name] if users.matches(record) else None for name, users in by_value),
        )
        if signature not in signatures:
            signatures[signature] = len(records)
            records.append(record)
        class_of_cell[cell] = signatures[signature]
    if len(records) > MOST_CLASSES:
        raise InputError(
            [f"policy: the users filters tell {len(records):,} kinds of users apart; at most {MOST_CLASSES:,}"]
        )
    return UserClasses(segments, shape, class_of_cell, tuple(records))


def _names(users: Filter | None, segment: str) -> bool:
    if users is None:
        return False
    return any(key == segment for key, _ in users.keys) or _names(users.negated, segment)


def class_sizes(scores: Scores, classes: UserClasses, weight_U: np.ndarray | None = None) -> np.ndarray:
    """int64[S]: users of each class. weight_U: how many users each of the scores stands for; by default itself."""
    weight_U = np.ones(scores.users) if weight_U is None else weight_U
    sizes, start = np.zeros(len(classes)), 0
    if not classes.segments:
        sizes[0] = weight_U.sum()
    for codes in scores.segment_codes(classes.segments) if classes.segments else ():
        class_n = classes.class_of_cell[np.ravel_multi_index(codes, classes.shape)]
        sizes += np.bincount(class_n, weight_U[start : start + len(class_n)], minlength=len(classes))
        start += len(class_n)
    return np.rint(sizes).astype(np.int64)
