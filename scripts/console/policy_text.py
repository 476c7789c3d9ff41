"""A policy as text: written from its records, and what is wrong with a draft, line by line.

Axes: U users of a sample.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

import numpy as np

from allocator.policy.checked import Meant, check_text
from allocator.policy.grammar import Policy
from allocator.policy.tree import PolicyProblem
from allocator.policy.words import Filter
from allocator.workbench.sample import Sample
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


def checked(text: str, scores: Scores, users: Callable[[Filter], int] | None = None) -> CheckedDraft:
    """Everything that is wrong with a draft, against the scores of its run, and what is seldom meant. users: as `check_text` takes it."""
    found = check_text(text, "", {}, Meant(scores=scores), date.today(), users)
    return CheckedDraft(found.policy, tuple(map(_mistake, found.problems)), tuple(map(_mistake, found.warnings)))


def _mistake(found: PolicyProblem) -> Mistake:
    told = found.problem if found.suggestion is None else f"{found.problem}; {found.suggestion}"
    return Mistake(found.line, f"{found.key}: {told}" if found.key else told)


def users_by_sample(sample: Sample) -> Callable[[Filter], int]:
    """How many of all users a filter has: every filter is a union of segments' cells, whose users a sample stands for exactly where its
    strata are as fine, and nearly so elsewhere."""
    words, cell_U = sample.scores.vocabulary, np.zeros(len(sample), np.int64)
    for name, code_U in sample.segments.items():
        cell_U = np.unique(cell_U * len(words[name]) + code_U, return_inverse=True)[1]
    _, first_c = np.unique(cell_U, return_index=True)
    count_c = np.bincount(cell_U, sample.weight_U)
    cells = [{name: words[name][code_U[user]] for name, code_U in sample.segments.items()} for user in first_c.tolist()]

    @cache
    def counted(users: Filter) -> int:
        if users.is_empty:
            return sample.users
        return round(sum(count for cell, count in zip(cells, count_c, strict=True) if users.matches(cell)))

    return counted


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
