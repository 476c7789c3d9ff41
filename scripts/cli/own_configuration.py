"""A company's own configuration: a folder of options, policies and a config.yaml that says what differs from what is shipped.

What is shipped comes first, then the options that the company's config.yaml chooses, then its values, then the command line. An option of
the company's takes the place of a shipped one of the same name. Everything that is wrong in the folder is told with file and key.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ranker.files import InputError
from scripts.cli.keys import did_you_mean, quoted
from scripts.cli.settings import Settings, problems_of
from scripts.cli.shipped import CONF, CONFIG, groups, options
from scripts.cli.statuses import first_line

PRIMARY, VALUES = "offermix", "own_configuration"
"""Names under which Hydra finds what is put together here."""
GLOBAL = "# @package _global_"
FOR_ALL = ("experiment", "debug")
"""Groups on top of the others, whose files say `# @package _global_`."""
CODE = "_target_"


@dataclass(frozen=True)
class Search:
    """Where Hydra looks: its own folder, the name of the whole configuration there, and the override that names another folder."""

    folder: Path
    name: str
    overrides: tuple[str, ...] = ()


def search(own: Path | None) -> Search:
    """Checks the company's folder and puts both configurations together; InputError with everything that is wrong."""
    if own is None:
        return Search(CONF, "config")
    if problems := list(_problems(own)):
        raise InputError(problems)
    config = dict(_content(own / CONFIG)) if (own / CONFIG).exists() else {}
    chosen = {group: option for entry in _listed(config.pop("defaults", None)) for group, option in _choices(entry)}
    store = ConfigStore.instance()
    store.store(name=VALUES, node=config)
    store.store(name=PRIMARY, node=_primary(chosen))
    return Search(own.resolve(), PRIMARY, (f"hydra.searchpath=[{quoted(f'file://{CONF}')}]",))


def configured_here(own: Path | None) -> Mapping[str, Any]:
    """The values of config.yaml, without the command line: what is shipped, under what the company's says."""
    shipped = OmegaConf.load(CONF / CONFIG)
    held = _content(own / CONFIG) if own is not None and (own / CONFIG).exists() else {}
    return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.merge(shipped, OmegaConf.create(dict(held)))))


def _primary(chosen: Mapping[str, str]) -> dict[str, Any]:
    """The shipped config.yaml with these options, and the company's values behind them."""
    content = dict(_content(CONF / CONFIG))
    entries = [entry for entry in content["defaults"] if not _of_hydra(entry)]
    last = [entry for entry in content["defaults"] if _of_hydra(entry)]
    usual = {group for entry in entries for group, _ in _choices(entry)}
    kept = [{group: chosen.get(group, option) for group, option in _choices(each)} or each for each in entries]
    further = [{group: option} for group, option in chosen.items() if group not in usual]
    return {**content, "defaults": [*kept, *further, VALUES, *last]}


def _of_hydra(entry: object) -> bool:
    return any("hydra" in str(name) for name in (entry if isinstance(entry, Mapping) else [entry]))


def _choices(entry: object) -> Iterator[tuple[str, str]]:
    if isinstance(entry, Mapping):
        yield from ((str(group).removeprefix("override ").strip("/ "), str(option)) for group, option in entry.items())


def _listed(defaults: object) -> Sequence[object]:
    return [] if defaults is None else defaults if isinstance(defaults, list) else [defaults]


def _problems(own: Path) -> Iterator[str]:
    known = groups(CONF)
    for entry in sorted(own.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and entry.name not in known and any(entry.rglob("*.y*ml")):
            yield f"{entry}: there is no group '{entry.name}'{did_you_mean(entry.name, known)}"
        elif entry.is_file() and entry.suffix in (".yaml", ".yml") and entry.name != CONFIG:
            yield f"{entry}: is not read; settings stand in {own / CONFIG}"
    if (own / CONFIG).exists():
        yield from _problems_of_file(own / CONFIG, "", own)
    for group in known:
        if group != "policy":  # never composed, and read by another reader
            for file in sorted((own / group).glob("*.yaml")):
                yield from _problems_of_file(file, group, own)


def _problems_of_file(file: Path, group: str, own: Path) -> Iterator[str]:
    try:
        content = dict(_content(file))
        yield from (f"{file}: {problem}" for problem in _forbidden(content))
    except InputError as error:
        yield from error.problems
        return
    content.pop("hydra", None)  # told of by now
    if group in FOR_ALL and GLOBAL not in file.read_text().splitlines():
        yield f"{file}: needs the line '{GLOBAL}'"
    defaults = _listed(content.pop("defaults", None))
    yield from (
        f"{file}: defaults: {problem}" for entry in defaults for problem in _of_default(entry, group, file.stem)
    )
    try:
        Settings.model_validate(content if group in ("", *FOR_ALL) else {group: content})
    except ValidationError as error:
        yield from (f"{file}: {problem}" for problem in problems_of(error, Settings, _of_a_part))


def _of_a_part(error: ErrorDetails) -> bool:
    """Whether it is wrong by itself: other files may say what is missing, and what another setting is may not be known yet."""
    return error["type"] != "missing" and not (isinstance(error["input"], str) and "${" in error["input"])


def _forbidden(content: object, place: str = "") -> Iterator[str]:
    """Whatever could run code or read the environment: a configuration is data."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            here = f"{place}.{key}" if place else str(key)
            if key == CODE or here.split(".")[0] == "hydra":
                yield f"{here}: is not for a configuration of settings; those of Hydra itself are fixed"
            else:
                yield from _forbidden(value, here)
    elif isinstance(content, list):
        for position, value in enumerate(content):
            yield from _forbidden(value, f"{place}.{position}")
    elif isinstance(content, str) and "${" in content and ":" in content.partition("${")[2]:
        yield f"{place}: {content} calls a resolver; a setting may name another setting alone, as in ${{seed}}"


def _of_default(entry: object, group: str, option: str) -> Iterator[str]:
    if entry == "_self_":
        return
    if isinstance(entry, str) and group:
        if entry == option:
            yield f"{entry} names this file itself; give it another name, or say what differs in {CONFIG}"
        elif entry not in options(CONF, group):
            yield f"{group}/ has no {entry}.yaml{did_you_mean(entry, options(CONF, group))}"
        return
    choices = list(_choices(entry))
    if not choices or group:
        yield f"{entry} is not of the form GROUP: OPTION" if not group else f"{entry} is no option of {group}"
    for name, wanted in choices if not group else ():
        known = [each for each in groups(CONF) if each != "policy"]
        if name not in known:
            yield f"there is no group '{name}'{did_you_mean(name, known)}"
        elif wanted not in options(CONF, name):
            yield f"{name}/ has no {wanted}.yaml{did_you_mean(wanted, options(CONF, name))}"


def _content(file: Path) -> Mapping[str, Any]:
    try:
        content = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f":{error.problem_mark.line + 1}"
        raise InputError([f"{file}{line}: {error.problem}"]) from None
    except (OmegaConfBaseException, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError([f"{file}: cannot be read ({first_line(error)})"]) from None
    except OSError as error:
        raise InputError([f"{file}: cannot be read ({error.strerror})"]) from None
    if not isinstance(content, dict):
        raise InputError([f"{file}: holds a list; settings are keys with values"])
    return cast(dict[str, Any], content)
