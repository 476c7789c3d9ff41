"""The actions in their fixed order and what is known of them, `catalogue.json`: beside logs and markets, and the head of scores.

Axes: A actions.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeGuard

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    Strict,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from ranker import disk
from ranker.files import (
    FIRST_DAY,
    LAST_DAY,
    Contract,
    Fault,
    Step,
    also,
    fault,
    faults_of,
    json_text,
    refused,
    repeated,
    told,
    values_at,
)
from ranker.normal import ONE_SIDED_90

if TYPE_CHECKING:
    import numpy as np

CATALOGUE_FILE = "catalogue.json"
BASES = ("history", "same week")
"""What an estimate of one offer beside another rests on: offers of the days before, or of the same seven days."""
MOST_SEGMENT_VALUES = 10_000
FEW_VALUES, MOST_OF_USERS = 20, 0.9
"""A segment has so few values, or no more than so many for each user."""
MOST_HISTORY_DAYS = 366
"""How far back `history/` goes, and so how many days a contact rule may count."""
LARGEST = 1e30
"""Of an action's numbers; sums of what is larger would lose everything else, or overflow."""


Correlation = Annotated[
    float, Strict(), Field(ge=0, le=1, allow_inf_nan=False, exclude_if=lambda value: value == 0), PlainSerializer(float)
]


@dataclass(frozen=True)
class Metric:
    """A metric in its natural unit, never pre-weighted.

    error_correlation: between the errors of different actions' effects, such as that of the outcome without contact, from which all
    effects are taken. The errors of one action, or of one group of actions, are common to all its contacts.
    """

    name: str
    unit: str
    error_correlation: Correlation = 0.0


NotNegative = Annotated[
    float,
    Strict(),
    Field(ge=0, allow_inf_nan=False),
    PlainSerializer(lambda value: value),
    told("must be a number of at least 0"),
]


@dataclass(frozen=True)
class Kept:
    """By what an effect is multiplied, of all metrics alike, with its standard error."""

    kept: NotNegative
    stderr: NotNegative

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
    for why, said in ((NEVER_AT_RANDOM, "given wherever it was possible, never at random"), (NEVER_SHOWN, "not shown")):
        if mine := [each.action for each in found if each.why == why]:
            named = f"{', '.join(mine[:5])}{f' and {len(mine) - 5:,} more' if len(mine) > 5 else ''}"
            parts.append(f"{named} ({said})")
    if not parts:
        return None
    rest = "their scores rest on what actions with the same attributes do, or on the model's word alone."
    return f"The logs do not tell the effect of {'; '.join(parts)}: {rest}"


@dataclass(frozen=True)
class Catalogue:
    """The actions in their fixed order, and what is measured about them. interference: None where nothing was estimated.
    unidentified: actions of whose effects the logs tell nothing. error_groups: attribute whose values share errors."""

    actions: tuple[Mapping[str, object], ...]
    metrics: tuple[Metric, ...] = ()
    segments: tuple[str, ...] = ()
    model_id: str = ""
    as_of: date | None = None
    interference: Interference | None = None
    unidentified: tuple[Unidentified, ...] = ()
    error_groups: str | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(str(action["id"]) for action in self.actions)

    @property
    def slots(self) -> tuple[str, ...]:
        return tuple(str(action["slot"]) for action in self.actions)

    @property
    def error_group_A(self) -> "np.ndarray":
        """int64[A]: which actions share errors, those with one value of the attribute `error_groups`; an action without it is alone."""
        import numpy as np

        value_A = [None if self.error_groups is None else action.get(self.error_groups) for action in self.actions]
        named = [("alone", a) if value is None else ("value", value) for a, value in enumerate(value_A)]
        place = {name: g for g, name in enumerate(dict.fromkeys(named))}
        return np.array([place[name] for name in named], np.int64)

    @property
    def error_correlation(self) -> Mapping[str, float]:
        """Metric -> the correlation of its errors between groups of actions."""
        return {metric.name: metric.error_correlation for metric in self.metrics}

    def numbers(self, attribute: str) -> "np.ndarray":
        """float64[A]: a numeric attribute of every action, 0 where an action does not have it."""
        import numpy as np

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
        error_groups: str | None = None,
    ) -> "Catalogue":
        """The same actions as the head of a scores dataset."""
        known = None if interference is None else interference.among(self.actions)
        metrics, segments, unidentified = tuple(metrics), tuple(segments), tuple(unidentified)
        return Catalogue(self.actions, metrics, segments, model_id, as_of, known, unidentified, error_groups)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unit_is_name(value: object) -> object:
    return {"name": None, "unit": value.get("name"), **value} if isinstance(value, dict) else value


def _missing_is_null(value: object) -> object:
    return {"kept": None, "stderr": None, **value} if isinstance(value, dict) else value


def _some_action_has(words: Mapping[str, object], info: ValidationInfo) -> Mapping[str, object]:
    """Where a file is read, and so its actions are known."""
    actions = [action for action in values_at(info.context, "whole", "actions", "*") if isinstance(action, dict)]
    if info.context is not None and not _any_has(actions, words):
        named = ", ".join(f"{name} '{value}'" for name, value in words.items())
        raise fault(f"no action has {named}")
    return words


NO_KEPT = 'must be an object like {"kept": 0.9, "stderr": 0.02}'
ONE_UNIDENTIFIED = f'{{"action": "push/books", "why": "{NEVER_SHOWN}"}}'
Text = Annotated[str, Field(min_length=1), told("must be a non-empty string")]
Number = Annotated[float, Strict(), Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
Whole = Annotated[int, Strict(), Field(ge=-int(LARGEST), le=int(LARGEST))]
Attribute = str | Annotated[bool, Strict()] | Whole | Number | None


class NamedAction(Contract):
    """What every action has."""

    id: Text
    slot: Text


def _lacks_names(action: object, info: ValidationInfo) -> Iterator[Fault]:
    try:
        if isinstance(action, dict):
            NamedAction.model_validate(action)
    except ValidationError as error:
        yield from faults_of(error)


def _attributes(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    """A sentence per attribute, where pydantic has one for every type that it could have."""
    try:
        return handler(value)
    except ValidationError as error:
        found: dict[Step, set[str]] = {}
        for each in error.errors(include_url=False, include_context=False):
            if not each["loc"]:
                raise fault("must be an object") from None
            found.setdefault(each["loc"][0], set()).add(each["type"])
    raise refused(((key,), _said_of(types)) for key, types in found.items())


def _said_of(types: Collection[str]) -> str:
    if "finite_number" in types:
        return "must be a finite number"
    beyond = "less_than_equal" in types or "greater_than_equal" in types
    return f"must be a number of at most {LARGEST:g}" if beyond else "must be a string, a number, true or false"


def _ids_stand_once(actions: object, info: ValidationInfo) -> Iterator[Fault]:
    for name, count in repeated(values_at(actions, "*", "id")):
        yield (), f"the id '{name}' stands {count} times"


MUST_BE: Mapping[tuple[Step, ...], str] = {
    ("unit",): "must be text",
    ("error_correlation",): "must be a number from 0 to 1",
}


def _metrics(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    """A metric is called by its name."""
    try:
        return handler(value)
    except ValidationError as error:
        places = [place for place, _ in faults_of(error)]
    if not isinstance(value, list) or any(place[1:] not in MUST_BE for place in places):
        raise fault('must be a list of objects like {"name": "subs", "unit": "subscribers"}')
    raise refused(((), f"the {place[1]} of '{value[int(place[0])]['name']}' {MUST_BE[place[1:]]}") for place in places)


def _metrics_stand_once(metrics: object, info: ValidationInfo) -> Iterator[Fault]:
    if metrics in ([], ()) and info.context is not None and info.context.get("with_metrics"):
        yield (), "a scores dataset needs at least one"
    for name, count in repeated(values_at(metrics, "*", "name")):
        yield (), f"'{name}' stands {count} times"


def _segments_stand_once(segments: object, info: ValidationInfo) -> Iterator[Fault]:
    for name, count in repeated(values_at(segments, "*")):
        yield (), f"'{name}' stands {count} times"
    for name in ("user_id", "eligible"):
        if name in values_at(segments, "*"):
            yield (), f"'{name}' is the name of another column of the scores"


def _day(value: object) -> object:
    return date.fromisoformat(value) if isinstance(value, str) else value


def _within_our_years(day: date) -> date:
    if not FIRST_DAY <= day <= LAST_DAY:
        raise fault(f"{day} is not between the years {FIRST_DAY.year} and {LAST_DAY.year}")
    return day


Action = Annotated[dict[str, Attribute], WrapValidator(_attributes), also(_lacks_names)]
Actions = Annotated[
    tuple[Action, ...],
    Field(min_length=1),
    told("must be a list with at least one action"),
    also(_ids_stand_once),
]
Metrics = Annotated[
    tuple[Annotated[Metric, BeforeValidator(_unit_is_name), told("must be an object", of=("name",))], ...],
    WrapValidator(_metrics),
    also(_metrics_stand_once),
]
Segments = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    told("must be a list of column names", of=None),
    also(_segments_stand_once),
]
Day = Annotated[
    date,
    Strict(),
    BeforeValidator(_day),
    told(lambda value: f"'{value}' is not a date like 2026-11-23"),
    AfterValidator(_within_our_years),
]
KeptPart = Annotated[Kept, BeforeValidator(_missing_is_null), told(NO_KEPT)]
Words = Annotated[
    dict[str, Any],
    Field(min_length=1),
    told('must be an object like {"product": "audiobooks"}'),
    AfterValidator(_some_action_has),
]
Basis = Annotated[Literal["history", "same week"], told(lambda value: f"'{value}' is not one of {', '.join(BASES)}")]


class PairRecord(Contract):
    """A `Pair`, its effect beside what it is of."""

    where: Words
    beside: Words
    kept: NotNegative
    stderr: NotNegative
    basis: Basis

    @classmethod
    def of(cls, pair: Pair) -> "PairRecord":
        return cls.model_construct(**vars(pair) | vars(pair.effect))

    def pair(self) -> Pair:
        return Pair(self.where, self.beside, Kept(self.kept, self.stderr), self.basis)


class InterferenceRecord(Contract):
    """An `Interference`."""

    days: Annotated[int, Strict(), Field(ge=1), told("must be a whole number of at least 1")]
    fatigue: KeptPart | None = Field(default=None, exclude_if=lambda kept: kept is None)
    pairs: Annotated[
        tuple[Annotated[PairRecord, told(NO_KEPT)], ...],
        told("must be a list"),
    ]

    @classmethod
    def of(cls, known: Interference) -> "InterferenceRecord":
        pairs = tuple(PairRecord.of(pair) for pair in known.pairs)
        return cls.model_construct(days=known.days, fatigue=known.fatigue, pairs=pairs)

    def interference(self) -> Interference:
        return Interference(self.days, self.fatigue, tuple(record.pair() for record in self.pairs))


InterferencePart = Annotated[InterferenceRecord, told('must be an object like {"days": 28, "pairs": []}')]
UnidentifiedPart = Annotated[
    tuple[Annotated[Unidentified, told(f"must be an object like {ONE_UNIDENTIFIED}", of=None)], ...],
    told(f"must be a list of objects like {ONE_UNIDENTIFIED}"),
]


class CatalogueRecord(Contract):
    """A `Catalogue`: what `catalogue.json` holds."""

    actions: Actions
    metrics: Metrics = Field(default=(), validate_default=True)
    segments: Segments = ()
    model_id: Annotated[str, BeforeValidator(str)] = ""
    as_of: Day | None = None
    interference: InterferencePart | None = Field(default=None, exclude_if=lambda known: known is None)
    unidentified: UnidentifiedPart = Field(default=(), exclude_if=lambda found: not found)
    error_groups: Annotated[str | None, told("must be the name of an attribute")] = Field(
        default=None, exclude_if=lambda name: name is None
    )

    @classmethod
    def of(cls, catalogue: Catalogue) -> "CatalogueRecord":
        known = catalogue.interference
        return cls.model_construct(
            **vars(catalogue)
            | {
                "actions": tuple(dict(action) for action in catalogue.actions),
                "interference": None if known is None else InterferenceRecord.of(known),
            }
        )

    def catalogue(self) -> Catalogue:
        known = None if self.interference is None else self.interference.interference()
        held = (self.metrics, self.segments, self.model_id, self.as_of, known, self.unidentified, self.error_groups)
        return Catalogue(self.actions, *held)


def most_values(users: int) -> int:
    """How many values a segment of so many users may have: with more it is an id by another name, which no message tells."""
    return min(MOST_SEGMENT_VALUES, max(FEW_VALUES, int(users * MOST_OF_USERS)))


def read_catalogue(path: Path, *, with_metrics: bool = False) -> Catalogue:
    """Reads and validates a `catalogue.json`; InputError lists everything wrong in it.

    with_metrics: require the metrics that a scores dataset must have.
    """
    return CatalogueRecord.from_file(path, with_metrics=with_metrics).catalogue()


def write_catalogue(path: Path, catalogue: Catalogue | Mapping[str, object]) -> None:
    """catalogue: or what the file is to hold, as it stands."""
    content = CatalogueRecord.of(catalogue).content() if isinstance(catalogue, Catalogue) else catalogue
    disk.write_text(path, json_text(content, finite=False))
