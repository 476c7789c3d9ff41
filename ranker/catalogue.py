"""The actions in their fixed order and what is known of them, `catalogue.json`: beside logs and markets, and the head of scores."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeGuard

import numpy as np

from ranker.columns import FIRST_DAY, LAST_DAY
from ranker.files import InputError, json_text, read_json_object
from ranker.normal import ONE_SIDED_90

CATALOGUE_FILE = "catalogue.json"
BASES = ("history", "same week")
"""What an estimate of one offer beside another rests on: offers of the days before, or of the same seven days."""
LARGEST = 1e30
"""Of an action's numbers; sums of what is larger would lose everything else, or overflow."""


@dataclass(frozen=True)
class Metric:
    """A metric in its natural unit, never pre-weighted."""

    name: str
    unit: str


@dataclass(frozen=True)
class Kept:
    """By what an effect is multiplied, of all metrics alike, with its standard error."""

    kept: float
    stderr: float

    @property
    def at_most(self) -> float:
        """The upper 90 % bound."""
        return self.kept + ONE_SIDED_90 * self.stderr

    def to_json(self) -> dict:
        return {"kept": self.kept, "stderr": self.stderr}


@dataclass(frozen=True)
class Pair:
    """What is left of the effect of actions `where` beside an offer of actions `beside`: attribute -> value each. basis: of BASES."""

    where: Mapping[str, object]
    beside: Mapping[str, object]
    effect: Kept
    basis: str

    def to_json(self) -> dict:
        return {"where": dict(self.where), "beside": dict(self.beside), **self.effect.to_json(), "basis": self.basis}


@dataclass(frozen=True)
class Interference:
    """What contacts take from each other's effects. fatigue: left by each contact of the last `days` days; None where not estimated.

    pairs: those that are believed to take from each other; of all others nothing is known to be lost.
    """

    days: int
    fatigue: Kept | None
    pairs: tuple[Pair, ...]

    def among(self, actions: Sequence[Mapping[str, object]]) -> "Interference":
        """The same without the pairs that these actions do not have."""
        found = [pair for pair in self.pairs if all(_any_has(actions, side) for side in (pair.where, pair.beside))]
        return Interference(self.days, self.fatigue, tuple(found))

    def spoiling(self, limit: float) -> tuple[Pair, ...]:
        """The pairs of which less than `limit` of an effect is left, by the upper bound of the estimate."""
        return tuple(pair for pair in self.pairs if pair.effect.at_most < limit)

    def to_json(self) -> dict:
        fatigue = {} if self.fatigue is None else {"fatigue": self.fatigue.to_json()}
        return {"days": self.days, **fatigue, "pairs": [pair.to_json() for pair in self.pairs]}

    @staticmethod
    def from_json(content: Mapping) -> "Interference":
        fatigue = content.get("fatigue")
        return Interference(
            days=content["days"],
            fatigue=None if fatigue is None else Kept(float(fatigue["kept"]), float(fatigue["stderr"])),
            pairs=tuple(
                Pair(pair["where"], pair["beside"], Kept(float(pair["kept"]), float(pair["stderr"])), pair["basis"])
                for pair in content["pairs"]
            ),
        )


def _any_has(actions: Sequence[Mapping[str, object]], words: Mapping[str, object]) -> bool:
    return any(all(action.get(key) == value for key, value in words.items()) for action in actions)


NEVER_AT_RANDOM, NEVER_SHOWN = "never at random", "never shown"


@dataclass(frozen=True)
class Unidentified:
    """An action whose effect the logs do not tell, and why. Its score rests on what actions with the same attributes do."""

    action: str
    why: str

    def to_json(self) -> dict:
        return {"action": self.action, "why": self.why}


def not_told(found: Sequence[Unidentified]) -> str | None:
    """A sentence for people about effects that are not identified; None where all are."""
    parts = []
    for why, told in ((NEVER_AT_RANDOM, "given wherever it was possible, never at random"), (NEVER_SHOWN, "not shown")):
        if mine := [each.action for each in found if each.why == why]:
            named = f"{', '.join(mine[:5])}{f' and {len(mine) - 5:,} more' if len(mine) > 5 else ''}"
            parts.append(f"{named} ({told})")
    if not parts:
        return None
    rest = "their scores rest on what actions with the same attributes do, or on the model's word alone."
    return f"The logs do not tell the effect of {'; '.join(parts)}: {rest}"


@dataclass(frozen=True)
class Catalogue:
    """The actions in their fixed order, and what is measured about them. interference: None where nothing was estimated.
    unidentified: actions of whose effects the logs tell nothing."""

    actions: tuple[Mapping[str, object], ...]
    metrics: tuple[Metric, ...] = ()
    segments: tuple[str, ...] = ()
    model_id: str = ""
    as_of: date | None = None
    interference: Interference | None = None
    unidentified: tuple[Unidentified, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(str(action["id"]) for action in self.actions)

    @property
    def slots(self) -> tuple[str, ...]:
        return tuple(str(action["slot"]) for action in self.actions)

    def numbers(self, attribute: str) -> np.ndarray:
        """float64[A]: a numeric attribute of every action, 0 where an action does not have it."""
        found = [action.get(attribute) for action in self.actions]
        return np.array([float(x) if _is_number(x) else 0.0 for x in found])

    def with_scores(
        self,
        metrics: Sequence[Metric],
        segments: Sequence[str],
        model_id: str,
        as_of: date | None,
        interference: Interference | None = None,
        unidentified: Sequence[Unidentified] = (),
    ) -> "Catalogue":
        """The same actions as the head of a scores dataset."""
        known = None if interference is None else interference.among(self.actions)
        return Catalogue(self.actions, tuple(metrics), tuple(segments), model_id, as_of, known, tuple(unidentified))

    def to_json(self) -> dict:
        content = {
            "actions": [dict(action) for action in self.actions],
            "metrics": [{"name": metric.name, "unit": metric.unit} for metric in self.metrics],
            "segments": list(self.segments),
            "model_id": self.model_id,
            "as_of": None if self.as_of is None else self.as_of.isoformat(),
        }
        content |= {} if self.interference is None else {"interference": self.interference.to_json()}
        return content | ({"unidentified": [each.to_json() for each in self.unidentified]} if self.unidentified else {})


def read_catalogue(path: Path, *, with_metrics: bool = False) -> Catalogue:
    """Reads and validates a `catalogue.json`; InputError lists everything wrong in it.

    with_metrics: require the metrics that a scores dataset must have.
    """
    content = read_json_object(path)
    problems = [*action_problems(content.get("actions")), *_head_problems(content, with_metrics)]
    interference = content.get("interference")
    if interference is not None:
        problems += _interference_problems(interference, content.get("actions"))
    unidentified = content.get("unidentified", [])
    problems += _unidentified_problems(unidentified)
    if problems:
        raise InputError([f"{path}: {problem}" for problem in problems])
    as_of = content.get("as_of")
    return Catalogue(
        actions=tuple(content["actions"]),
        metrics=tuple(Metric(m["name"], m.get("unit", m["name"])) for m in content.get("metrics", [])),
        segments=tuple(content.get("segments", [])),
        model_id=str(content.get("model_id", "")),
        as_of=None if as_of is None else date.fromisoformat(as_of),
        interference=None if interference is None else Interference.from_json(interference),
        unidentified=tuple(Unidentified(each["action"], each["why"]) for each in unidentified),
    )


def _unidentified_problems(content: object) -> Iterator[str]:
    form = f'{{"action": "push/books", "why": "{NEVER_SHOWN}"}}'
    if not isinstance(content, list):
        yield f"unidentified: must be a list of objects like {form}"
        return
    for position, each in enumerate(content):
        if not isinstance(each, dict) or not all(isinstance(each.get(key), str) for key in ("action", "why")):
            yield f"unidentified[{position}]: must be an object like {form}"


def write_catalogue(path: Path, catalogue: Catalogue | Mapping[str, object]) -> None:
    """catalogue: or what the file is to hold, as it stands."""
    content = catalogue.to_json() if isinstance(catalogue, Catalogue) else catalogue
    path.write_text(json_text(content, finite=False))


def action_problems(actions: object) -> Iterator[str]:
    """What is wrong with the actions of a catalogue."""
    if not isinstance(actions, list) or not actions:
        yield "actions: must be a list with at least one action"
        return
    for position, action in enumerate(actions):
        place = f"actions[{position}]"
        if not isinstance(action, dict):
            yield f"{place}: must be an object"
            continue
        for key in ("id", "slot"):
            if not isinstance(action.get(key), str) or not action[key]:
                yield f"{place}.{key}: must be a non-empty string"
        for key, value in action.items():
            if not isinstance(value, str | bool | int | float) and value is not None:
                yield f"{place}.{key}: must be a string, a number, true or false"
            elif isinstance(value, float) and not np.isfinite(value):
                yield f"{place}.{key}: must be a finite number"
            elif isinstance(value, int | float) and abs(value) > LARGEST:
                yield f"{place}.{key}: must be a number of at most {LARGEST:g}"
    ids = Counter(action["id"] for action in actions if isinstance(action, dict) and isinstance(action.get("id"), str))
    for repeated in (name for name, count in ids.items() if count > 1):
        yield f"actions: the id '{repeated}' stands {ids[repeated]} times"


def _head_problems(content: Mapping, with_metrics: bool) -> Iterator[str]:
    metrics = content.get("metrics", [])
    if not isinstance(metrics, list) or not all(
        isinstance(m, dict) and isinstance(m.get("name"), str) for m in metrics
    ):
        yield 'metrics: must be a list of objects like {"name": "subs", "unit": "subscribers"}'
    else:
        if with_metrics and not metrics:
            yield "metrics: a scores dataset needs at least one"
        for name, count in Counter(m["name"] for m in metrics).items():
            if count > 1:
                yield f"metrics: '{name}' stands {count} times"
        for metric in metrics:
            if not isinstance(metric.get("unit", ""), str):
                yield f"metrics: the unit of '{metric['name']}' must be text"
    segments = content.get("segments", [])
    if not isinstance(segments, list) or not all(isinstance(s, str) and s for s in segments):
        yield "segments: must be a list of column names"
    else:
        for name, count in Counter(segments).items():
            if count > 1:
                yield f"segments: '{name}' stands {count} times"
            if name in ("user_id", "eligible"):
                yield f"segments: '{name}' is the name of another column of the scores"
    try:
        day = date.fromisoformat(content["as_of"]) if content.get("as_of") is not None else FIRST_DAY
    except (TypeError, ValueError):
        yield f"as_of: '{content['as_of']}' is not a date like 2026-11-23"
    else:
        if not FIRST_DAY <= day <= LAST_DAY:
            yield f"as_of: {day} is not between the years {FIRST_DAY.year} and {LAST_DAY.year}"


def _interference_problems(content: object, actions: object) -> Iterator[str]:
    if not isinstance(content, dict):
        yield 'interference: must be an object like {"days": 28, "pairs": []}'
        return
    days, pairs = content.get("days"), content.get("pairs")
    if not isinstance(days, int) or isinstance(days, bool) or days < 1:
        yield "interference.days: must be a whole number of at least 1"
    if content.get("fatigue") is not None:
        yield from _kept_problems(content["fatigue"], "interference.fatigue")
    if not isinstance(pairs, list):
        yield "interference.pairs: must be a list"
        return
    actions = [action for action in actions if isinstance(action, dict)] if isinstance(actions, list) else []
    for position, pair in enumerate(pairs):
        place = f"interference.pairs[{position}]"
        yield from _kept_problems(pair, place)
        if not isinstance(pair, dict):
            continue
        for key in ("where", "beside"):
            words = pair.get(key)
            if not isinstance(words, dict) or not words:
                yield f'{place}.{key}: must be an object like {{"product": "audiobooks"}}'
            elif not _any_has(actions, words):
                named = ", ".join(f"{name} '{value}'" for name, value in words.items())
                yield f"{place}.{key}: no action has {named}"
        if pair.get("basis") not in BASES:
            yield f"{place}.basis: '{pair.get('basis')}' is not one of {', '.join(BASES)}"


def _kept_problems(content: object, place: str) -> Iterator[str]:
    if not isinstance(content, dict):
        yield f'{place}: must be an object like {{"kept": 0.9, "stderr": 0.02}}'
        return
    for key in ("kept", "stderr"):
        value = content.get(key)
        if not _is_number(value) or not np.isfinite(float(value)) or value < 0:
            yield f"{place}.{key}: must be a number of at least 0"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
