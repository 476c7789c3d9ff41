"""A policy file checked at once: everything that is wrong with it, what is seldom meant, and the words that it may use."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from allocator.policy.check import World
from allocator.policy.doubts import Crowd, doubts
from allocator.policy.grammar import Policy
from allocator.policy.overrides import rule_ids
from allocator.policy.reader import Examined, examine
from allocator.policy.tree import PolicyProblem, problem, read_text
from allocator.policy.words import Filter, composed
from ranker.catalogue import Catalogue, read_catalogue
from ranker.files import InputError

if TYPE_CHECKING:
    from ranker.scores import Scores


@dataclass(frozen=True)
class Checked:
    """policy: None where anything is wrong. warnings: of a policy that can be used."""

    policy: Policy | None
    problems: tuple[PolicyProblem, ...]
    warnings: tuple[PolicyProblem, ...] = ()


@dataclass(frozen=True)
class Meant:
    """What a policy is meant for: a catalogue, and with scores their users. Either may be missing."""

    catalogue: Catalogue | None = None
    scores: "Scores | None" = None

    @property
    def world(self) -> World | None:
        if self.scores is not None:
            segments = {name: frozenset(values) for name, values in self.scores.vocabulary.items()}
            return World(self.scores.catalogue, segments)
        return None if self.catalogue is None else World(self.catalogue, None)

    @property
    def day(self) -> date | None:
        catalogue = self.catalogue if self.scores is None else self.scores.catalogue
        return None if catalogue is None else catalogue.as_of


def meant_for(scores: Path | None, catalogue: Path | None) -> Meant:
    """The scores, or the catalogue where there are none; InputError where they cannot be read."""
    if scores is not None:
        from ranker.scores import open_scores

        return Meant(scores=open_scores(scores))
    return Meant() if catalogue is None else Meant(read_catalogue(catalogue))


def check_file(path: Path, changes: Mapping[str, object], meant: Meant, today: date) -> Checked:
    """Reads a policy file and raises nothing. today: the day of rules where what it is meant for says none."""
    try:
        text = read_text(path)
    except InputError as error:
        return Checked(
            None, tuple(PolicyProblem(str(path), None, "", each.removeprefix(f"{path}: ")) for each in error.problems)
        )
    return check_text(text, str(path), changes, meant, today)


def check_text(
    text: str,
    name: str,
    changes: Mapping[str, object],
    meant: Meant,
    today: date,
    users: Callable[[Filter], int] | None = None,
) -> Checked:
    """As `check_file`, of a text that is called by a name. users: how many a filter has, where that is known without reading the scores."""
    world = meant.world
    found = examine(text, name, changes, world)
    if found.policy is None:
        return Checked(None, found.problems)
    if users is None and meant.scores is not None:
        users = users_in(meant.scores, found.policy)
    crowd = Crowd(world, users)
    return Checked(found.policy, (), tuple(_warnings(found, name, meant.day or today, crowd)))


def _warnings(found: Examined, name: str, day: date, crowd: Crowd) -> Iterator[PolicyProblem]:
    if found.policy is None or found.root is None:
        return
    places = {composed(str(rule)): place for place, rule in rule_ids(found.root)}
    for doubt in doubts(found.policy, day, crowd):
        yield problem(name, found.root, doubt.fault.under(*places[doubt.rule]))


def users_in(scores: "Scores", policy: Policy) -> Callable[[Filter], int]:
    """How many users of the scores a `users` filter of the policy has; the scores are read once, when that is first asked."""
    named = tuple(dict.fromkeys(name for users in policy.user_filters for name in _segments(users)))

    @cache
    def counts() -> Mapping[tuple[str, ...], int]:
        return scores.segment_counts(named)

    @cache
    def counted(users: Filter) -> int:
        if users.is_empty:
            return scores.users
        return sum(count for values, count in counts().items() if users.matches(dict(zip(named, values, strict=True))))

    return counted


def _segments(users: Filter) -> Iterator[str]:
    yield from (name for name, _ in users.keys)
    if users.negated is not None:
        yield from _segments(users.negated)


def known_words(meant: Meant) -> Mapping[str, Mapping[str, list[object]]]:
    """What filters and metrics may say: attribute -> values of actions, segment -> values of users, metric -> its unit."""
    world = meant.world
    if world is None:
        return {"where": {}, "users": {}, "metric": {}}
    where = {
        name: sorted(known.words, key=lambda value: (str(type(value)), value)) for name, known in world.known.items()
    }
    users: dict[str, list[object]] = {name: [*sorted(values)] for name, values in (world.segments or {}).items()}
    metrics: dict[str, list[object]] = {metric.name: [metric.unit] for metric in world.catalogue.metrics}
    return {"where": where, "users": users, "metric": metrics}
