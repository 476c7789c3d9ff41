"""A world whose truth is known and a model trained on it, shared by the tests of the ranker."""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from ranker.model.ensemble import ValueModel
from ranker.model.fit import Fit, fit
from ranker.model.fit_calibration import calibrate
from ranker.model.settings import FitSettings, ModelSettings


@dataclass(frozen=True)
class Trained:
    world: object
    fitted: Fit
    model: ValueModel


def _worlds() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ranker_worlds", Path(__file__).parent / "worlds.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def worlds() -> ModuleType:
    """The module that makes worlds."""
    return _worlds()


@pytest.fixture(scope="session")
def train() -> Callable[..., Trained]:
    """train(world, seed=0, **fit settings): fitted and calibrated."""

    def train(world, seed: int = 0, **changes) -> Trained:
        fitted = fit(world.logs, ModelSettings(members=2), FitSettings(**changes), seed)
        return Trained(world, fitted, fitted.model.calibrated(calibrate(fitted.model, fitted.examples, fitted.splits)))

    return train


@pytest.fixture(scope="session")
def trained(worlds, train) -> Trained:
    """A model of a world with strong effects that differ between users."""
    return train(worlds.make_world(24_000, np.random.default_rng(5), varying=2.0), max_epochs=15)
