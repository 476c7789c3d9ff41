"""A policy as text: written from its records, and what is wrong with a draft, line by line."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from allocator.policy.checked import Meant, check_text
from allocator.policy.grammar import Policy
from allocator.policy.tree import PolicyProblem
from ranker.scores import Scores

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


def checked(text: str, scores: Scores) -> CheckedDraft:
    """Everything that is wrong with a draft, against the scores of its run, and what is seldom meant."""
    found = check_text(text, "", {}, Meant(scores=scores), date.today())
    return CheckedDraft(found.policy, tuple(map(_mistake, found.problems)), tuple(map(_mistake, found.warnings)))


def _mistake(found: PolicyProblem) -> Mistake:
    told = found.problem if found.suggestion is None else f"{found.problem}; {found.suggestion}"
    return Mistake(found.line, f"{found.key}: {told}" if found.key else told)


def as_text(words: Mapping[str, Any]) -> str:
    """A policy in the form of its file as a file: a line per rule."""
    lines: list[str] = []
    for key, value in words.items():
        if isinstance(value, list) and value:
            lines += [f"{key}:", *(f"  - {_flow(item)}" for item in value), ""]
        elif (isinstance(value, Mapping) and value) or value not in ([], {}, None):
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
