"""What several tests share: the root, a shrunk configuration, the settings of `allocate`, and a way to call a command as people do."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hydra
import pytest
from omegaconf import DictConfig

from scripts.cli.entry import validated
from scripts.cli.settings import AllocatePaths, AllocateSettings, Settings
from tests.allocator.instances import OBJECTIVE

ROOT = Path(__file__).resolve().parent.parent

AS_A_REAL_WEEK = ("paths.runs=runs", "tracking.experiment=offermix", "tracking.registered_model=offermix-ranker")
"""What a small market of its own keeps apart."""
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
            return hydra.compose("config", ["+debug=tiny", *AS_A_REAL_WEEK, *overrides])

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


@pytest.fixture(scope="session")
def settings_for(composed: Callable) -> Callable[..., AllocateSettings]:
    """settings_for(folder, rules, ...): the command's settings, the policy written into the folder."""
    base = validated(Settings, composed())

    def make(folder: Path, rules: str, previous: Path | None = None, **solve: object) -> AllocateSettings:
        policy = folder / "policy.yaml"
        policy.write_text(OBJECTIVE + rules)
        paths = AllocatePaths(scores=folder / "scores", policy=policy, out=folder / "out", previous=previous)
        options = base.solve.model_copy(update={"gap": 1e-3, "nodes": 200, **solve})
        held = {name: getattr(base, name) for name in Settings.model_fields} | {"paths": paths, "solve": options}
        return AllocateSettings.model_construct(**held)

    return make
