"""What numba compiled is kept somewhere, also where the checkout cannot be written and nobody has a home."""

import os
from pathlib import Path

import numba
import pytest

from allocator.solve import kernel as kernels


def test_without_a_place_beside_the_source_kernels_are_kept_in_a_folder_of_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    njit = numba.njit

    def nowhere(*given: object, **options: object) -> object:
        if options.get("cache") and not numba.config.CACHE_DIR:
            raise RuntimeError("cannot cache function 'double': no locator available for file 'x.py'")
        return njit(*given, **options)

    monkeypatch.setattr(numba, "njit", nowhere)

    @kernels.kernel()
    def double(x):
        return 2 * x

    assert double(3) == 6
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert os.environ["NUMBA_CACHE_DIR"] == str(folder)
    assert list(folder.rglob("*.nbi")) != []


def test_a_folder_that_others_can_write_to_is_not_loaded_from(tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    assert kernels._own_folder(ours) == ours
    ours.chmod(0o777)
    other = kernels._own_folder(ours)
    assert other != ours
    assert other.stat().st_mode & 0o777 == 0o700
    other.rmdir()
