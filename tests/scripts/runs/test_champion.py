"""Champion and challenger: the rule on held-out value and calibration, and what a person changes by hand."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from ranker.evaluate.records import ModelEvaluation
from ranker.files import InputError
from scripts import demote, promote
from scripts.cli.entry import execute, validated
from scripts.cli.settings import ChampionOptions, RegistrySettings
from scripts.runs.champion import CHALLENGER, CHAMPION, model_in_charge, set_champion, verdict, version_under
from scripts.runs.mlflow_store import connect
from tests.scripts.runs.test_tracking import EVALUATION

NAME, RULE = "offermix-ranker", ChampionOptions()


def evaluated(value: float | None, stderr: float = 0.1, slope: float | None = 1.0) -> ModelEvaluation:
    content = copy.deepcopy(EVALUATION)
    content["policies"][0] |= {"value": value, "stderr": stderr}
    nothing = {"value": None, "stderr": None}
    content["calibration_pooled"] = [
        {
            "outcome": "subs", "average": {"predicted": None, "realised": None, "stderr": None}, "users": nothing,
            "actions": {"value": slope, "stderr": 0.1}, "deciles": [],
        }
    ]  # fmt: skip
    return ModelEvaluation.model_validate(content)


@pytest.mark.parametrize(
    ("challenger", "champion", "won", "said"),
    [
        (evaluated(1.2), evaluated(1.0), True, "its held-out value per decision is 1.2 against 1, +0.2"),
        (evaluated(0.9), evaluated(1.0), True, "-0.1 with a standard error of 0.14"),
        (evaluated(0.8), evaluated(1.0), False, "the champion stays: of the challenger, its held-out value"),
        (evaluated(1.2, slope=0.5), evaluated(1.0), False, "further from 1 for subs (0.50 against 1.00)"),
        (evaluated(1.2, slope=0.8), evaluated(1.0), True, "its calibration is no worse"),
        (evaluated(1.2, slope=None), evaluated(1.0), True, "its calibration is no worse"),
        (evaluated(None), evaluated(1.0), False, "the challenger's held-out value is not known"),
        (evaluated(1.0), evaluated(None), True, "the champion's held-out value is not known"),
    ],
)
def test_a_challenger_wins_unless_it_is_shown_to_be_worse(
    challenger: ModelEvaluation, champion: ModelEvaluation, won: bool, said: str
) -> None:
    found = verdict(challenger, champion, RULE)
    assert found.won is won
    assert said in found.sentence


def test_how_sure_one_must_be_is_a_setting() -> None:
    assert not verdict(evaluated(0.9), evaluated(1.0), ChampionOptions(value_errors=0.5)).won


@pytest.fixture
def settings(
    composed: Callable[..., DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., RegistrySettings]:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def of(**registry: str | None) -> RegistrySettings:
        base = validated(RegistrySettings, composed(f"paths.runs='{tmp_path / 'runs'}'"))
        return base.model_copy(update={"registry": base.registry.model_copy(update=registry)})

    return of


@pytest.fixture
def versions(settings: Callable[..., RegistrySettings], tmp_path: Path) -> object:
    """Three versions of the model, of which the first is the champion and the last the challenger."""
    client, _ = connect(settings())
    client.create_registered_model(NAME)
    for number in range(3):
        client.create_model_version(NAME, (tmp_path / f"model{number}").as_uri())
    set_champion(client, NAME, "1", "scripts.weekly", "the only model")
    client.set_registered_model_alias(NAME, CHALLENGER, "3")
    return client


def champion_of(client: object) -> str | None:
    found = version_under(client, NAME, CHAMPION)
    return None if found is None else str(found.version)


def test_a_person_promotes_and_demotes_and_it_stays_on_record(
    versions: object, settings: Callable[..., RegistrySettings], capsys: pytest.CaptureFixture[str]
) -> None:
    said = {"person": "Ada", "reason": "a test on the street"}
    promote.run(settings(version="2", **said))
    assert champion_of(versions) == "2"
    promote.run(settings(**said))
    assert champion_of(versions) == "3" and version_under(versions, NAME, CHALLENGER) is None
    assert "already the champion" in promote.run(settings(version="3", **said))
    demote.run(settings(**said))
    assert champion_of(versions) == "2"
    tags = versions.get_model_version(NAME, "3").tags
    assert (tags["promoted_by"], tags["promoted_because"]) == ("Ada", "a test on the street")
    assert (tags["demoted_by"], tags["champion_before"]) == ("Ada", "2")
    demote.run(settings(**said))
    demote.run(settings(**said))
    assert champion_of(versions) is None
    assert "none was before it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"version": "2"}, "person: is missing; give person=.*\n.*reason: is missing"),
        ({"version": "9", "person": "Ada", "reason": "why not"}, "has no version or alias 9"),
        ({"version": "best", "person": "Ada", "reason": "why not"}, "has no version or alias best"),
    ],
)
@pytest.mark.slow
def test_what_cannot_be_promoted_is_told(
    versions: object, settings: Callable[..., RegistrySettings], asked: dict[str, str], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        promote.run(settings(**asked))
    assert champion_of(versions) == "1"


@pytest.mark.parametrize(("words", "status"), [(["version=2"], 2), (["version=2", "person=Ada", "reason=why not"], 0)])
@pytest.mark.slow
def test_the_command_ends_in_its_status(versions: object, tmp_path: Path, words: list[str], status: int) -> None:
    asked = [*words, f"runs={tmp_path / 'runs'}"]
    assert execute("promote", RegistrySettings, promote.run, asked) == status
    assert champion_of(versions) == ("1" if status else "2")


def test_only_the_champion_is_demoted(versions: object, settings: Callable[..., RegistrySettings]) -> None:
    with pytest.raises(InputError, match="2 is not the champion"):
        demote.run(settings(version="2", person="Ada", reason="why not"))


def test_without_mlflow_a_week_is_scored_with_its_own_model(
    settings: Callable[..., RegistrySettings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "runs" / "2026-W48"
    off = settings().model_copy(update={"tracking": settings().tracking.model_copy(update={"enabled": False})})
    (folder / CHAMPION).mkdir(parents=True)  # as linked from a week that a champion scored
    assert model_in_charge(off, folder) == folder / "model" and not caplog.text
    assert not (folder / CHAMPION).exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hush@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert model_in_charge(settings(), folder) == folder / "model"
    assert "the champion could not be asked for" in caplog.text and "hush" not in caplog.text


def test_the_rule_is_read_from_evaluations_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text(json.dumps(EVALUATION))
    found = ModelEvaluation.from_file(tmp_path / "evaluation.json")
    assert verdict(found, found, RULE).won
