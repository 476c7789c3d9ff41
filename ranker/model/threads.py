"""How many threads torch and linear algebra use: what they sum depends on it, in the last digits."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def fixed_threads(count: int) -> Iterator[None]:
    """So many within the block, whatever the machine and its environment say (OMP_NUM_THREADS, OPENBLAS_NUM_THREADS).

    Small matrices gain nothing from many, and threads beyond the cores cost a factor of ten.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)
