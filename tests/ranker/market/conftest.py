"""A market of one small chunk, shared by the tests of this folder."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf

from ranker.market import answers, listeners, week, world
from ranker.market.settings import MarketSettings

MARKET = Path(__file__).resolve().parents[3] / "conf" / "data" / "market.yaml"


@pytest.fixture(scope="session")
def settings_with() -> Callable[..., MarketSettings]:
    """settings_with("users=10", "effects.strength=0"): the market of conf/ with some numbers changed."""

    def change(*overrides: str) -> MarketSettings:
        changed = OmegaConf.load(MARKET)
        for key, _, value in (override.partition("=") for override in overrides):
            OmegaConf.update(changed, key, yaml.safe_load(value))
        return MarketSettings.model_validate(OmegaConf.to_container(changed))

    return change


@pytest.fixture(scope="session")
def market(settings_with: Callable[..., MarketSettings]) -> week.Market:
    return week.build(settings_with("users=8000"))


@pytest.fixture(scope="session")
def chunk(market: week.Market) -> world.Chunk:
    return world.simulate(market, 5, 0)


@pytest.fixture(scope="session")
def day_one(market: week.Market) -> tuple:
    """Listeners, their features and the situation they are in."""
    rng = np.random.default_rng(8)
    people = listeners.draw(market.settings, rng, 0, 3000)
    frame = listeners.features(people, listeners.first_moment(market.settings, rng, people))
    at = answers.situation(market.answers, frame, listeners.signals(market.settings, frame))
    return people, frame, at
