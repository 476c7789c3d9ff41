"""The market's numbers are checked all at once, and every option of conf/data is valid."""

from pathlib import Path

import hydra
import pytest
from omegaconf import OmegaConf
from pydantic import ValidationError

from ranker.market import catalogue
from ranker.market.settings import MarketSettings

CONF = Path(__file__).resolve().parents[3] / "conf"


@pytest.mark.parametrize("option", sorted(file.stem for file in (CONF / "data").glob("*.yaml")))
def test_every_option_of_data_is_a_valid_market(option: str) -> None:
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        composed = hydra.compose(f"data/{option}")
    MarketSettings.model_validate(OmegaConf.to_container(composed.data))


def test_all_wrong_names_are_told_together(settings_with) -> None:
    with pytest.raises(ValidationError) as raised:
        settings_with(
            "slots.0.offers=[lite/shouting, unicorn]",
            "effects.affinity.surfaces.fridge.thrift=1",
            "cannibalisation.products=[audiobooks, premium_dou]",
        )
    for name in ("shouting", "unicorn", "fridge", "premium_dou"):
        assert f"'{name}' is not known" in str(raised.value)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("population.markets.US=0.5", "the shares of markets add up to 1.2"),
        ("fatigue=-0.1", "greater than 0"),
        ("effects.responses.subs.signals.shoesize=1", "Input should be"),
        ("outcomes.0.to_day=9", "7 days long"),
        ("outcomes.1.matures_after=30", "complete"),
        ("colour=blue", "Extra inputs"),
    ],
)
def test_a_wrong_number_is_refused(settings_with, override: str, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        settings_with(override)


def test_the_catalogue_is_the_one_of_the_business(market) -> None:
    actions = market.catalogue.actions
    assert len(actions) == len(set(market.catalogue.ids)) == 60
    assert len({action["product"] for action in actions}) == 12
    assert len({action["slot"] for action in actions}) == 8
    assert {action["surface_kind"] for action in actions} == {"discovery", "messaging", "consideration"}
    assert {a["message"] for a in actions if a["family"] == "plan"} == {"trial", "savings", "features"}
    trial = next(action for action in actions if action["id"] == "home_1/family/trial")
    assert trial["product"] == "premium_family"
    assert trial["discount_eur"] == pytest.approx(0.5 * 21.99, abs=0.006)


def test_an_offer_without_message_is_plain(settings_with) -> None:
    actions = catalogue.build(settings_with("slots.0.offers=[merch]")).actions
    assert (actions[0]["id"], actions[0]["message"], actions[0]["discount_eur"]) == ("home_1/merch", "plain", 0.0)
