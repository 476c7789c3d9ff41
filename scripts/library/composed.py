"""The settings of a verb: the shipped configuration, a company's own before it, and what the caller says over both.

A keyword is a key of the configuration, whole (`seed=1`, `fit={"max_epochs": 5}`, `solve=SolveSettings(...)`) or dotted
(`**{"fit.max_epochs": 5}`); a text for a group chooses one of its options (`solve="fast"`, `debug="tiny"`).
"""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from omegaconf import OmegaConf
from pydantic import BaseModel

from ranker.files import InputError
from scripts.cli.entry import checked, composed
from scripts.cli.keys import did_you_mean
from scripts.cli.own_configuration import FOR_ALL, search
from scripts.cli.settings import Settings
from scripts.cli.shipped import CONF, groups, options, own

S = TypeVar("S", bound=Settings)
UNTRACKED = {"tracking": {"enabled": False}}
_one_at_a_time = threading.Lock()


def settings_for(kind: type[S], paths: Mapping[str, Path | None], given: Mapping[str, object]) -> S:
    """The settings of one command with these paths; MLflow records nothing unless that is asked for.

    Raises InputError with every setting that there is not, or that has a wrong value.
    """
    chosen, values = _parted(given)
    with _one_at_a_time:  # Hydra's own state is one for the process
        content = OmegaConf.to_container(composed(search(own()), chosen), resolve=True)
    content = _over(cast(dict[str, Any], content), UNTRACKED)
    problems: list[str] = []
    for key, value in values.items():
        content = _over(content, _nested(key, value, content, problems))
    if problems:
        raise InputError(problems)
    return checked(kind, {**content, "paths": {**content["paths"], **paths}})


def _parted(given: Mapping[str, object]) -> tuple[list[str], dict[str, object]]:
    """Options of groups as overrides, and all other settings."""
    known = [group for group in groups(CONF) if group != "policy"]
    chosen = {key: value for key, value in given.items() if key in known and isinstance(value, str)}
    problems = [
        f"{group}={option}: conf/{group}/ has no {option}.yaml{did_you_mean(str(option), options(CONF, group))}"
        for group, option in chosen.items()
        if option not in options(CONF, group)
    ]
    if problems:
        raise InputError(problems)
    words = [f"{'+' if group in FOR_ALL else ''}{group}={option}" for group, option in chosen.items()]
    return words, {key: value for key, value in given.items() if key not in chosen}


def _nested(key: str, value: object, content: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """A dotted key as mappings within each other."""
    first, *rest = key.split(".")
    if first == "paths":
        problems.append(f"{key}: paths are arguments of the verb")
    held: Any = content.get(first)
    for part in rest:
        if not isinstance(held, Mapping) and held is not None:
            problems.append(f"{key}: there is no such setting")
            return {}
        held = None if held is None else held.get(part)
    for part in reversed(rest):
        value = {part: value}
    return {first: value}


def _over(content: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values over others, key by key; a model is taken as it is."""
    made = dict(content)
    for key, value in values.items():
        plain = value.model_dump() if isinstance(value, BaseModel) else value
        both = isinstance(plain, Mapping) and isinstance(made.get(key), dict) and not isinstance(value, BaseModel)
        made[key] = _over(made[key], plain) if both else plain
    return made
