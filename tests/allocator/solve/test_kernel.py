"""What numba compiled is kept somewhere, also where the checkout cannot be written and nobody has a home."""

import os
import subprocess
import sys
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


WITH_A_TUPLE = """
from typing import NamedTuple
from allocator.solve.kernel import kernel

class {name}(NamedTuple):
    x: float

@kernel()
def double(given):
    return 2 * given.x

print(double({name}(3.0)))
"""


@pytest.mark.slow
def test_what_an_earlier_version_compiled_or_a_crash_cut_off_is_compiled_again(tmp_path: Path) -> None:
    """The name of a record is kept with what was compiled; numba looks for it before it looks how old the file is."""
    module, cache = tmp_path / "kernels.py", tmp_path / "cache"

    def run(name: str) -> str:
        module.write_text(WITH_A_TUPLE.format(name=name))
        surroundings = {
            **os.environ,
            "NUMBA_CACHE_DIR": str(cache),
            "PYTHONPATH": os.pathsep.join([str(tmp_path), os.getcwd()]),
        }
        words = [sys.executable, "-c", "import kernels"]
        done = subprocess.run(words, env=surroundings, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr[-500:]
        return done.stdout

    assert run("Old") == run("Renamed") == "6.0\n"
    for file in cache.rglob("*.nb?"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert run("Renamed") == "6.0\n"
    assert len(list(cache.rglob("*.nbi"))) == 1
