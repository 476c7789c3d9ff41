"""The composed configuration becomes frozen settings, or every error of it is listed."""

import re
from collections.abc import Callable
from pathlib import Path

import hydra
import pytest
from omegaconf import DictConfig, OmegaConf
from pydantic import ValidationError

from allocator.solve.settings import SolveSettings
from ranker.scores import InputError
from scripts.cli import settings as kinds
from scripts.cli.entry import validated
from scripts.cli.keys import KEYS, options
from scripts.cli.settings import Settings, TrainSettings, WeeklySettings, known_keys

ROOT = Path(__file__).resolve().parents[3]
MAIN = re.compile(r'entry\.main\("(\w+)", (\w+), \w+\)')
FILES = sorted([*(ROOT / "scripts").glob("*.py"), *(ROOT / "scripts").glob("*/__main__.py")])
COMMANDS = dict(match for file in FILES for match in MAIN.findall(file.read_text()))


def test_the_default_configuration_is_valid(composed: Callable[..., DictConfig]) -> None:
    assert validated(WeeklySettings, composed()).publish.max_gap == 1e-4


def test_what_conf_composes_is_the_default_of_every_setting(root: Path) -> None:
    """Numbers of the market have one home, conf/data/, and no defaults in the program."""
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(root / "conf")):
        settings = validated(WeeklySettings, hydra.compose("config"))
    differ, compared = {}, 0
    for group in set(Settings.model_fields) - {"data", "seed", "set"}:
        held = getattr(settings, group)
        defaults = type(held)()
        for name in type(held).model_fields:
            compared += 1
            if getattr(held, name) != getattr(defaults, name):
                differ[f"{group}.{name}"] = getattr(held, name)
    assert differ == {}
    assert compared > 80
    assert (settings.seed, settings.set) == (Settings.model_fields["seed"].default, {})


def test_every_setting_of_a_group_file_stands_in_it(root: Path) -> None:
    written = OmegaConf.to_container(OmegaConf.load(root / "conf" / "solve" / "default.yaml"))
    assert set(written) == set(SolveSettings.model_fields)


def test_every_option_of_every_group_composes_to_valid_settings(
    composed: Callable[..., DictConfig], root: Path
) -> None:
    for group in ("data", "model", "fit", "solve"):
        for option in options(root / "conf", group):
            validated(WeeklySettings, composed(f"{group}={option}"))
    for group in ("experiment", "debug"):
        for option in options(root / "conf", group):
            validated(
                WeeklySettings, composed(f"+{group}@_global_={option}" if group == "experiment" else f"debug={option}")
            )


def test_a_market_of_its_own_keeps_its_runs_and_records_apart_from_real_weeks(root: Path) -> None:
    """Else its week would be compared with a real one, or published in its place, and its model would become the champion."""

    def kept(*words: str) -> tuple[object, ...]:
        with hydra.initialize_config_dir(version_base="1.3", config_dir=str(root / "conf")):
            settings = validated(WeeklySettings, hydra.compose("config", list(words)))
        return settings.paths.runs, settings.tracking.experiment, settings.tracking.registered_model

    real = kept()
    assert real == (Path("runs"), "offermix", "offermix-ranker")
    found = [
        kept(f"+{group}={option}") for group in ("debug", "experiment") for option in options(root / "conf", group)
    ]
    assert len(found) == 5
    assert all(mine != theirs for each in found for mine, theirs in zip(each, real, strict=True))
    assert all(runs.parent == Path("runs") for runs, *_ in found)
    assert kept("+debug=tiny", "paths.runs='elsewhere'")[0] == Path("elsewhere")


def test_every_missing_path_of_a_command_is_listed(composed: Callable[..., DictConfig]) -> None:
    with pytest.raises(InputError) as raised:
        validated(TrainSettings, composed())
    assert [problem.split(":")[0] for problem in raised.value.problems] == ["logs", "model"]


def test_every_error_is_listed_with_its_key_and_value(composed: Callable[..., DictConfig]) -> None:
    wrong = composed("paths.logs=l", "paths.model=m")
    OmegaConf.set_struct(wrong, False)
    wrong.seed, wrong.fit.max_epochs, wrong.publish.max_gp = -1, "many", 3
    with pytest.raises(InputError) as raised:
        validated(TrainSettings, wrong)
    text = "\n".join(raised.value.problems)
    assert len(raised.value.problems) == 3
    for part in (
        "seed: is -1",
        "fit.max_epochs: is 'many'",
        "publish.max_gp: there is no such setting; did you mean 'max_gap'?",
    ):
        assert part in text


def test_settings_cannot_be_changed(composed: Callable[..., DictConfig]) -> None:
    settings = validated(WeeklySettings, composed())
    with pytest.raises(ValidationError):
        settings.seed = 7


def test_each_command_has_settings_and_its_keys_exist() -> None:
    assert COMMANDS.keys() == KEYS.keys()
    keys = known_keys()
    for command, name in COMMANDS.items():
        assert issubclass(getattr(kinds, name), Settings)
        assert [key.target for key in KEYS[command][1] if key.target not in keys] == []


def test_what_a_command_requires_is_among_its_keys() -> None:
    for command, name in COMMANDS.items():
        paths = getattr(kinds, name).model_fields["paths"].annotation
        required = {field for field, info in paths.model_fields.items() if info.is_required()}
        assert required <= {key.target.removeprefix("paths.") for key in KEYS[command][1]}
