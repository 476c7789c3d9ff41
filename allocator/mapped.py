"""Arrays in unnamed files, for what memory does not hold. Their space on the disk is taken before they are mapped.

A page of a mapped file that finds the disk full ends the process by a signal, without a word. The ranker has the like of its own: of
the ranker, only the scores are known here.
"""

import errno
import math
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CANNOT_RESERVE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV)  # filesystems that give no promises


def mapped(shape: tuple[int, ...], dtype: type, folder: Path) -> np.memmap:
    """An array of zeros in a file of the folder that is gone when nobody reads it any more; OSError says what a full disk lacks."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    with tempfile.TemporaryFile(dir=folder) as file:
        file.truncate(size)
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno in FULL:
                free = shutil.disk_usage(folder).free
                told = f"{error.strerror}: {size:,} bytes are needed and {free:,} are free"
                raise OSError(error.errno, told, str(folder)) from None
            if error.errno not in CANNOT_RESERVE:
                raise
        return np.memmap(file, dtype, "r+", shape=shape)
