"""A policy as text: written from its records, and what is wrong with a draft, line by line."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from allocator.policy.grammar import Policy
from allocator.policy.reader import parse_policy
from ranker.files import InputError
from ranker.scores import Scores

PLACE = re.compile(r"draft:(?P<line>\d+): (?P<rest>.*)", re.DOTALL)
PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
"""Words that YAML reads as themselves without quotes."""
YAML_WORDS = ("true", "false", "null", "yes", "no", "on", "off")


@dataclass(frozen=True)
class Mistake:
    """line: counted from 1; None where it is about the whole text."""

    line: int | None
    sentence: str


@dataclass(frozen=True)
class CheckedDraft:
    """policy: None where there are mistakes. It has every rule, those that are off on the day included."""

    policy: Policy | None
    mistakes: tuple[Mistake, ...]
    warnings: tuple[Mistake, ...] = ()


def checked(text: str, scores: Scores, *, previous: bool) -> CheckedDraft:
    """Everything that is wrong with a draft, against the scores of its run."""
    segments = {name: frozenset(values) for name, values in scores.vocabulary.items()}
    try:
        policy = parse_policy(text, "draft", {}, scores.catalogue, segments, previous=previous)
    except InputError as error:
        return CheckedDraft(None, tuple(_mistake(problem) for problem in error.problems))
    return CheckedDraft(policy, ())


def _mistake(problem: str) -> Mistake:
    found = PLACE.fullmatch(problem)
    if found is None:
        return Mistake(None, problem.removeprefix("draft: "))
    return Mistake(int(found["line"]), found["rest"])


def as_text(words: Mapping[str, Any]) -> str:
    """A policy in the form of its file as a file: a line per rule."""
    lines: list[str] = []
    for key, value in words.items():
        if isinstance(value, list) and value:
            lines += [f"{key}:", *(f"  - {_flow(item)}" for item in value), ""]
        elif isinstance(value, Mapping) and value:
            lines += [f"{key}: {_flow(value)}"]
        elif value not in ([], {}, None):
            lines += [f"{key}: {_flow(value)}"]
    return "\n".join(lines).rstrip() + "\n"


def _flow(value: object) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_word(str(key))}: {_flow(each)}' for key, each in value.items())}}}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    return _word(value) if isinstance(value, str) else repr(value)


def _word(text: str) -> str:
    """Quoted unless YAML reads it as the same text."""
    plain = PLAIN.fullmatch(text) and text.lower() not in YAML_WORDS
    percent = re.fullmatch(r"[0-9.]+%", text)
    return text if plain or percent else "'" + text.replace("'", "''") + "'"
