"""The policy of the run beside its file as it stands: the edits of the run, and every rule as it is spelled.

The allocation holds the rules that were in force. The file has more to say: rules that are off, comments, and how a bound was written.
Where the file cannot be read any more, or is another one by now, that is said.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from allocator.amounts import exact
from allocator.policy import tree
from allocator.policy.check import World
from allocator.policy.differences import Edit, differences
from allocator.policy.edit_words import DEFAULTS
from allocator.policy.grammar import Policy
from allocator.policy.overrides import leaves
from allocator.policy.reader import Examined, examine
from allocator.policy.words import RULES
from ranker.files import InputError, read_json
from ranker.scores import Scores

MOST_COMMENTS = 4
NOTHING: Mapping[str, object] = MappingProxyType({})
PLAIN = re.compile(r"[\w.\-/%][\w.\-/% ]*")
"""Text that needs no quotes to be read as text on the page."""


@dataclass(frozen=True)
class ShownEdit:
    """An edit as the page shows it, each value as a policy file spells it."""

    path: str
    before: str
    after: str
    sentence: str = ""


@dataclass(frozen=True)
class PolicyUsed:
    """given: the policy with its rules that are off, where the file still tells them. written: fields of a rule by its id, as spelled.

    edits: of the run. since: by which the file as it stands differs from what was used. opening: the comments that it opens with. note:
    what the file does not tell any more. file: its name.
    """

    given: Policy
    written: Mapping[str, Mapping[str, object]]
    edits: tuple[ShownEdit, ...] = ()
    since: tuple[ShownEdit, ...] = ()
    opening: tuple[str, ...] = ()
    note: str = ""
    file: str = ""


def policy_beside(path: Path) -> Policy | None:
    """The policy that an allocation holds; None where an older one does not. InputError where it is none."""
    if not path.exists():
        return None
    try:
        return Policy.model_validate(read_json(path))
    except ValidationError as error:
        raise InputError([f"{path}: is not a policy ({error.error_count()} faults)"]) from None


def policy_used(used: Policy, file: Path | None, changes: Mapping[str, object], scores: Scores) -> PolicyUsed:
    """used: as the allocation holds it. file: as the run named it. changes: what `set.` asked of the run."""
    asked = tuple(_asked(changes))
    if file is None:
        return PolicyUsed(used, _as_held(used), asked)
    try:
        text = tree.read_text(file)
    except InputError:
        note = f"The policy file {file.name} cannot be read any more; the rules are shown as the allocation holds them."
        return PolicyUsed(used, _as_held(used), asked, note=note, file=file.name)
    return _beside_the_file(used, text, file.name, changes, scores)


def _beside_the_file(used: Policy, text: str, name: str, changes: Mapping[str, object], scores: Scores) -> PolicyUsed:
    world = World(scores.catalogue, {segment: frozenset(values) for segment, values in scores.vocabulary.items()})
    plain, changed = examine(text, name, {}, world), examine(text, name, changes, world)
    opening, day = tuple(_opening(text)), scores.catalogue.as_of
    if changed.policy is None:
        why = f"The file {name} has changed since this run and is no policy for it any more"
        note = f"{why}; the rules are shown as the allocation holds them."
        return PolicyUsed(used, _as_held(used), tuple(_asked(changes)), opening=opening, note=note, file=name)
    edits = (
        tuple(_asked(changes)) if plain.policy is None else _shown(differences(plain.policy, changed.policy), changes)
    )
    since = _shown(differences(used, changed.policy.active(day)))
    if since:
        note = f"The file {name} has changed since this run; the rules are shown as the allocation holds them."
        return PolicyUsed(used, _as_held(used), edits, since, opening, note, name)
    return PolicyUsed(changed.policy, _as_spelled(changed), edits, opening=opening, file=name)


def _as_held(policy: Policy) -> dict[str, Mapping[str, object]]:
    words = policy.to_json()
    return {rule["id"]: rule for section in RULES for rule in words[section]}


def _as_spelled(found: Examined) -> dict[str, Mapping[str, object]]:
    words = None if found.root is None else found.root.plain()
    rules = (rule for section in RULES for rule in _listed(words, section))
    return {str(rule.get("id")): rule for rule in rules}


def _listed(words: object, section: str) -> list[Mapping[str, object]]:
    held = words.get(section) if isinstance(words, Mapping) else None
    return [rule for rule in held if isinstance(rule, Mapping)] if isinstance(held, list) else []


def _opening(text: str) -> Iterator[str]:
    """The comments before anything else: what the file is for, who wrote it."""
    lines = (line.strip() for line in text.splitlines())
    for position, line in enumerate(lines):
        if not line.startswith("#") or position == MOST_COMMENTS:
            return
        yield line.lstrip("#").strip()


def _asked(changes: Mapping[str, object]) -> Iterator[ShownEdit]:
    """The edits as they were asked for, where the file no longer tells from what."""
    for path, value in leaves(changes):
        yield ShownEdit(path, "", spelled(value))


def _shown(edits: Sequence[Edit], changes: Mapping[str, object] = NOTHING) -> tuple[ShownEdit, ...]:
    """changes: what was asked for, spelled as it was asked."""
    asked = dict(leaves(changes))
    return tuple(
        ShownEdit(
            each.path, spelled(_told(each.before)), spelled(_told(asked.get(each.path, each.after))), each.sentence
        )
        for each in edits
    )


def _told(value: object) -> object:
    """A rule without what a file need not say."""
    return {key: each for key, each in value.items() if each not in DEFAULTS} if isinstance(value, Mapping) else value


def spelled(value: object) -> str:
    """A value as a policy file spells it, in one line: {surface: push, product: [a, b]}; nothing as a dash."""
    if value is None:
        return "\u2013"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return exact(float(value)).replace(",", "")
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {spelled(each)}' for key, each in value.items())}}}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(spelled(each) for each in value)}]"
    text = value.isoformat() if isinstance(value, date) else str(value)
    return text if PLAIN.fullmatch(text) else f'"{text}"'
