"""The entry of commands that answer at once: the words and exit statuses of all commands, read without Hydra, which takes long to load."""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ranker import disk
from ranker.files import InputError
from scripts.cli import shipped
from scripts.cli.keys import AT_ONCE, POLICY_FILES, Key, did_you_mean, given_twice, row_of_a_rule
from scripts.cli.loudness import IN_WORDS, loudness_of, silent
from scripts.cli.shipped import CONF, called, policy_file
from scripts.cli.statuses import guarded, reader_left

PLAIN = re.compile(r"[A-Za-z_][\w.-]*|[0-9]+(\.[0-9]+)? ?%|[0-9]{4}-[0-9]{2}-[0-9]{2}")
"""Text without quotes."""
NAMED: Mapping[str, object] = {"null": None, "true": True, "false": False}


@dataclass(frozen=True)
class Given:
    """What a command line gave. set: `set.PATH=VALUE`, as the policy's reader takes it."""

    paths: Mapping[str, Path] = field(default_factory=dict)
    yes: frozenset[str] = frozenset()
    set: Mapping[str, object] = field(default_factory=dict)

    def path(self, key: str) -> Path:
        return self.paths[key]


def main(name: str, run: Callable[[Given], int], needed: Sequence[str]) -> None:
    """Runs a command as `python -m scripts.NAME key=value ...` and exits with a status of contracts.md."""
    disk.keep_from_others()
    status = guarded(name, lambda: _run(name, run, needed, sys.argv[1:]))
    reader_left()
    sys.exit(status)


def _run(name: str, run: Callable[[Given], int], needed: Sequence[str], argv: Sequence[str]) -> int:
    if {"--help", "-h"} & set(argv):
        print(help_text(name))
        return 0
    loudness, words = loudness_of(argv)
    words, own = shipped.named_in(words)
    with silent(loudness), shipped.before_it(own):
        return run(given(name, words, needed))


def given(name: str, argv: Sequence[str], needed: Sequence[str] = ()) -> Given:
    """The words of a command line; InputError lists every one that cannot be understood, and what is missing."""
    known = {key.name: key for key in AT_ONCE[name][1]}
    paths: dict[str, Path] = {}
    yes: set[str] = set()
    changes: dict[str, object] = {}
    problems = []
    for word in argv:
        key, _, value = word.partition("=")
        try:
            if key.startswith("set."):
                changes[key.removeprefix("set.")] = _changed(word, key, value)
            elif _own(word, known).kind == "yes":
                yes |= {key} if _is_yes(word, value) else set()
            else:
                paths[key] = Path(policy_file(CONF, value) if key in POLICY_FILES else value)
        except ValueError as error:
            problems.append(f"{word}: {error}")
    problems += given_twice(argv)
    problems += [f"{key}: is missing; give {key}=..." for key in needed if key not in paths]
    if problems:
        raise InputError(problems)
    return Given(paths, frozenset(yes), changes)


def _own(word: str, known: Mapping[str, Key]) -> Key:
    key, equals, value = word.partition("=")
    if not equals or not key:
        raise ValueError("is not of the form key=value")
    if key not in known:
        raise ValueError(f"there is no key '{key}'{did_you_mean(key, list(known))}")
    if not value:
        raise ValueError("names no path" if known[key].kind != "yes" else "is true or false")
    return known[key]


def _is_yes(word: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise ValueError(f"is true or false, not {value}")
    return value.lower() == "true"


def _changed(word: str, key: str, value: str) -> object:
    if "=" not in word or (key.count(".") < 2 and value != "null"):
        raise ValueError("is not of the form set.ID.FIELD=VALUE")
    if "@" in key:
        raise ValueError(row_of_a_rule(key))
    return value_of(value)


def value_of(text: str) -> object:
    """A value as Hydra reads it; lists, mappings and quotes are left to Hydra itself."""
    if text.lower() in NAMED:
        return NAMED[text.lower()]
    if re.fullmatch(r"[-+]?(0|[1-9][0-9]*)", text):
        return int(text)
    if re.fullmatch(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?", text):
        return float(text)
    return text if PLAIN.fullmatch(text) else _by_hydra(text)


def _by_hydra(text: str) -> Any:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(f"value={text}")
    except (HydraException, RecursionError):
        return text
    return text if override.is_sweep_override() else override.value()


def show_json(content: object) -> None:
    """Prints an answer for programs."""
    print(json_of(content))


def json_of(content: object) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False)


def help_text(name: str) -> str:
    """What `--help` prints."""
    what, keys = AT_ONCE[name]
    width = max(len(key.name) for key in keys)
    lines = [f"{called(name)} key=value ...", "", f"{what[0].upper()}{what[1:]}.", "", "Keys:"]
    lines += [f"  {key.name.ljust(width)}  {key.meaning}" for key in keys]
    rule = "One field of one rule of the policy: set.ID.FIELD=VALUE, like set.push_capacity.max=5%"
    return "\n".join([*lines, "", rule, IN_WORDS])
