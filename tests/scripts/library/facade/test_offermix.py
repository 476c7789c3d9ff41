"""`import offermix` takes no time, and has what it says it has."""

import subprocess
import sys
from pathlib import Path

import offermix
import pytest


def test_every_name_is_there() -> None:
    assert set(dir(offermix)) == {*offermix.__all__, "__version__"}
    for name in dir(offermix):
        assert getattr(offermix, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'alocate'"):
        offermix.alocate  # noqa: B018


def test_importing_it_loads_nothing(root: Path) -> None:
    code = "import sys, offermix; print(sorted({'torch', 'ortools', 'pandas', 'hydra', 'pydantic'} & set(sys.modules)))"
    folder = root / "scripts" / "library" / "facade"
    called = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert called.stdout.strip() == "[]"
