"""Seeds of random problems: the first few with every run, the others with `./scripts/test -m slow`."""

import pytest


def seeds(count: int, *, quick: int, first: int = 0) -> list[object]:
    """`count` seeds from `first` on, all but the first `quick` of them marked slow."""
    slow = (pytest.param(seed, marks=pytest.mark.slow) for seed in range(first + quick, first + count))
    return [*range(first, first + quick), *slow]
