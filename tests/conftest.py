"""What several tests share: the repository's root, a shrunk configuration, and a way to call a command as people do."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hydra
import pytest
from omegaconf import DictConfig

ROOT = Path(__file__).resolve().parent.parent

Called = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def composed() -> Callable[..., DictConfig]:
    """composed(*overrides): the configuration as Hydra composes it, shrunk to what a test needs."""

    def compose(*overrides: str) -> DictConfig:
        with hydra.initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
            return hydra.compose("config", ["+debug=tiny", *overrides])

    return compose


@pytest.fixture(scope="session")
def call() -> Callable[..., Called]:
    """call(*words, cwd=..., **environment): python with these words, from the root unless told otherwise."""

    def run(*words: object, cwd: Path = ROOT, timeout: float = 240, **environment: str) -> Called:
        variables = {"OMP_NUM_THREADS": "2", "PYTHONPATH": str(ROOT), **os.environ, **environment}
        command = [sys.executable, *(str(word) for word in words)]
        return subprocess.run(
            command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=timeout, check=False
        )

    return run
