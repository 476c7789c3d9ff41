"""A run of another policy than the configured one is published only where that is said."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from scripts.cli.entry import validated
from scripts.cli.settings import WeeklySettings
from scripts.runs.trial import configured, decided


@pytest.fixture
def reason(composed: Callable[..., DictConfig]) -> Callable[..., str | None]:
    """reason(*overrides): why a week with these is not published, or None; checks that the settings say the same."""

    def of(*overrides: str) -> str | None:
        settings, why = decided(validated(WeeklySettings, composed(*overrides)))
        assert settings.weekly.publish is (why is None)
        return why

    return of


def test_the_configured_policy_is_that_of_the_configuration(root: Path) -> None:
    assert (root / configured().policy).is_file()
    assert configured().changes == {}


def test_a_run_of_the_configured_policy_is_published(reason: Callable[..., str | None]) -> None:
    assert reason() is None
    assert reason("seed=7", "fit.max_epochs=3") is None, "these leave the policy as it is"


def test_a_copy_of_the_configured_policy_is_the_configured_one(
    reason: Callable[..., str | None], tmp_path: Path
) -> None:
    (tmp_path / "copy.yaml").write_bytes(Path("conf/policy/default.yaml").read_bytes())
    assert reason(f"weekly.policy='{tmp_path}/copy.yaml'") is None


def test_another_policy_is_a_trial(reason: Callable[..., str | None]) -> None:
    other = "weekly.policy=conf/policy/minimal.yaml"
    told = (
        "not published: conf/policy/minimal.yaml is another policy than the configured conf/policy/default.yaml; "
        "with publish=true it is"
    )
    assert reason(other) == told
    assert reason(other, "weekly.publish=true") is None


@pytest.mark.parametrize("change", ["++set.push_capacity.max=30%", "++set.push_capacity=null"])
def test_a_changed_policy_is_a_trial(reason: Callable[..., str | None], change: str) -> None:
    assert reason(change) == "not published: set.push_capacity changes the policy; with publish=true it is"
    assert reason(change, "weekly.publish=true") is None


def test_both_are_told_in_one_sentence(reason: Callable[..., str | None]) -> None:
    told = reason("weekly.policy=conf/policy/minimal.yaml", "++set.push.max=3", "++set.mail.max=3")
    assert told is not None
    assert "another policy than the configured" in told
    assert told.endswith(" and set.push, set.mail change the policy; with publish=true it is")


def test_what_is_not_to_be_published_is_not(reason: Callable[..., str | None]) -> None:
    assert reason("weekly.publish=false") == "not published: publish=false"
