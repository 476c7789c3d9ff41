"""Functions that numba compiles, once for a machine: where what it compiled is kept, also where the checkout cannot be written."""

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import numba

NOWHERE = "no locator available"  # what numba says where neither the checkout nor a home directory can be written

Taken = ParamSpec("Taken")
Made = TypeVar("Made")


def kernel(
    *, forceinline: bool = False, nogil: bool = False, parallel: bool = False
) -> Callable[[Callable[Taken, Made]], Callable[Taken, Made]]:
    """numba.njit with a cache: beside the source, in NUMBA_CACHE_DIR or the user's cache folder; else in one for temporary files."""

    def with_cache(function: Callable[Taken, Made]) -> Callable[Taken, Made]:
        made = numba.njit(cache=True, forceinline=forceinline, nogil=nogil, parallel=parallel)(function)
        _begin_anew_where_damaged(made)
        return made

    def compiled(function: Callable[Taken, Made]) -> Callable[Taken, Made]:
        try:
            return with_cache(function)
        except RuntimeError as error:
            if NOWHERE not in str(error):
                raise
        keep_in(_own_folder(Path(tempfile.gettempdir()) / f"offermix-kernels-{os.getuid()}"))
        return with_cache(function)

    return compiled


def _begin_anew_where_damaged(compiled: object) -> None:
    """What cannot be loaded is compiled again: a file that was cut off, or one of an earlier version that names what is not there any more,
    which numba would raise before it looks how old it is."""
    cache = compiled._cache  # type: ignore[attr-defined]  # numba has no other place to say so
    load = cache.load_overload

    def load_overload(*asked: object) -> object:
        try:
            return load(*asked)
        except Exception:
            cache.flush()
            return None

    cache.load_overload = load_overload


def keep_in(folder: Path) -> None:
    """Of this process and those that it starts."""
    os.environ["NUMBA_CACHE_DIR"] = numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]  # numba sets its options by name


def _own_folder(folder: Path) -> Path:
    """The folder, where nobody else can write to it; otherwise a new one, since loading what is kept there runs it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    held = folder.lstat()
    ours = stat.S_ISDIR(held.st_mode) and held.st_uid == os.getuid() and not held.st_mode & 0o022
    return folder if ours else Path(tempfile.mkdtemp(prefix="offermix-kernels-"))
