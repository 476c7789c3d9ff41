"""The policies that come with the project fit the synthetic market."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from allocator.policy.reader import read_policy
from ranker.catalogue import Metric
from ranker.market.catalogue import build
from ranker.market.settings import LIFECYCLES, OUTCOMES, MarketSettings

CONF = Path(__file__).parents[3] / "conf"


@pytest.mark.parametrize("name", ["default", "minimal"])
def test_a_policy_fits_the_market(name: str) -> None:
    market = MarketSettings.model_validate(YAML(typ="safe", pure=True).load(CONF / "data" / "market.yaml"))
    metrics = [Metric(outcome, outcome) for outcome in OUTCOMES]
    catalogue = build(market).with_scores(metrics, ("market", "lifecycle"), "", None)
    segments = {"market": frozenset(market.population.markets), "lifecycle": frozenset(LIFECYCLES)}
    policy = read_policy(CONF / "policy" / f"{name}.yaml", {}, catalogue, segments)
    assert policy.objective
    assert all(rule.label for rule in policy.constraints)
