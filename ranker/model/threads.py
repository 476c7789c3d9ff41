"""How many threads torch and linear algebra use: what they sum depends on it, in the last digits."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from threadpoolctl import ThreadpoolController


@cache
def _loaded() -> ThreadpoolController:
    """The libraries that are loaded when this is first called: looking for them takes milliseconds."""
    return ThreadpoolController()


@contextmanager
def fixed_threads(count: int, *, at_once: bool = False) -> Iterator[None]:
    """So many within the block, whatever the machine and its environment say (OMP_NUM_THREADS, OPENBLAS_NUM_THREADS).

    Small matrices gain nothing from many, and threads beyond the cores cost a factor of ten. at_once: libraries that were loaded after
    the first such call are not looked for.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        libraries = _loaded() if at_once else ThreadpoolController()
        with libraries.limit(limits=count, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)
