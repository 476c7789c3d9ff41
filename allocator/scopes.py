"""Which actions a filter of the policy speaks of.

Axes: A actions.
"""

from collections.abc import Mapping

import numpy as np

from allocator.policy.words import Filter, filter_from_words
from ranker.catalogue import Catalogue


def chosen(where: Filter, catalogue: Catalogue) -> np.ndarray:
    return np.array([where.matches(action) for action in catalogue.actions], bool)


def has(words: Mapping[str, object], catalogue: Catalogue) -> np.ndarray:
    """bool[A]: the actions with these values."""
    return chosen(filter_from_words(words), catalogue)
