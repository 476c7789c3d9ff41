"""Arrays in files, for what memory does not hold. Their space on the disk is taken before they are mapped.

A page of a mapped file that finds the disk full ends the process by a signal, without a word. Space that is taken in time is an error
that can be told.
"""

import errno
import math
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO

import numpy as np

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CANNOT_RESERVE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV)  # filesystems that give no promises


def unnamed(shape: tuple[int, ...], dtype: type, folder: Path | None = None) -> np.memmap:
    """An array of zeros in a file of `folder` (None: the system's for temporary files) that is gone when nobody reads it any more."""
    place = Path(tempfile.gettempdir()) if folder is None else folder
    with tempfile.TemporaryFile(dir=place) as file:
        _take(file, _bytes(shape, dtype), place)
        return np.memmap(file, dtype, "r+", shape=shape)


def named(path: Path, shape: tuple[int, ...], dtype: type) -> np.memmap:
    """An array of zeros in a new .npy file."""
    head = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with path.open("xb") as file:
        np.lib.format.write_array_header_1_0(file, head)
        _take(file, file.tell() + _bytes(shape, dtype), path.parent)
    return np.lib.format.open_memmap(path, "r+")


def _bytes(shape: tuple[int, ...], dtype: type) -> int:
    return math.prod(shape) * np.dtype(dtype).itemsize


def _take(file: IO[bytes], size: int, folder: Path) -> None:
    """Takes so many bytes; OSError names the folder, what is needed there and what is free."""
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno in CANNOT_RESERVE:
            file.truncate(size)
            return
        if error.errno not in FULL:
            raise
        free = shutil.disk_usage(folder).free
        told = f"{error.strerror}: {size:,} bytes are needed and {free:,} are free"
        raise OSError(error.errno, told, str(folder)) from None
