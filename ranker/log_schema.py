"""The columns of logs, `schema.json`: features, outcomes, what is known of them early, and the action that is none."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    Strict,
    ValidationInfo,
    model_validator,
)

from ranker import disk
from ranker.contact_history import MOST_DAYS, HistoryColumns
from ranker.files import Contract, Document, Fault, fault, repeated, told, values_at, with_faults

SCHEMA_FILE, LATE_FILE = "schema.json", "late_events.json"
Kind = Literal["binary", "count", "amount", "real"]
KINDS: tuple[str, ...] = get_args(Kind)
DECISION = "decision_id"  # optional: contacts of a user and day with the same one were decided together, and share their outcomes
RESERVED = ("user_id", "as_of", "action", "propensity", "eligible", DECISION)


class LateEvents(Document):
    """Events that logs were made without, since they were recorded on the day `known_before` or later. events: how many, by outcome."""

    known_before: date
    events: Mapping[str, int]

    def of(self, outcome: str) -> int:
        return self.events.get(outcome, 0)


@dataclass(frozen=True)
class Outcome:
    """What is measured after a decision. kind: binary, count, amount (>= 0, mostly zero) or real."""

    name: Annotated[str, Field(min_length=1)]
    kind: Annotated[Kind, told(lambda value: f"'{value}' is not one of {', '.join(KINDS)}")]
    unit: Annotated[str, told("must be a string")]


def _one_of_those_named(outcome: str, info: ValidationInfo) -> str:
    """Where a schema is read, and so its outcomes are known."""
    if info.context is not None and outcome not in values_at(info.context, "whole", "outcomes", "*", "name"):
        raise fault("is none of the outcomes")
    return outcome


@dataclass(frozen=True)
class Early:
    """A column of what is recorded of an outcome `days` days after the decision; missing where the decision is younger."""

    name: str
    outcome: Annotated[str, AfterValidator(_one_of_those_named)]
    days: Annotated[int, Strict(), Field(ge=0, le=MOST_DAYS), told("must be a whole number of days after the decision")]


@dataclass(frozen=True)
class LogSchema:
    """The columns of the logs: features, outcomes, what is known of them early, and the id of showing nothing.

    history: the features that tell of earlier contacts.
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    none: str
    early: tuple[Early, ...] = ()
    history: HistoryColumns | None = None

    @property
    def features(self) -> tuple[str, ...]:
        return (*self.numeric, *self.categorical)

    @property
    def measured(self) -> dict[str, str]:
        """Every column that tells what came of a decision, and its kind."""
        kinds: dict[str, str] = {outcome.name: outcome.kind for outcome in self.outcomes}
        return kinds | {early.name: kinds[early.outcome] for early in self.early}


def _names_differ(content: object) -> Iterator[Fault]:
    features = [name for kind in ("numeric", "categorical") for name in values_at(content, "features", kind, "*")]
    outcomes = [name for key in ("outcomes", "early") for name in values_at(content, key, "*", "name")]
    names = [*features, *outcomes]
    for name, count in repeated(names):
        yield (), f"'{name}' stands {count} times among features and outcomes"
    for name in dict.fromkeys(name for name in RESERVED if name in names):
        yield (), f"'{name}' is the name of another column of the logs and can be no feature or outcome"


def _unit_is_name(value: object) -> object:
    return {"name": None, "kind": None, "unit": value.get("name"), **value} if isinstance(value, dict) else value


def _days_are_told(value: object) -> object:
    return {"days": None, **value} if isinstance(value, dict) else value


def _there(history: HistoryColumns | None) -> HistoryColumns:
    if history is None:
        raise fault("is null")
    return history


ColumnNames = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...], told("must be a list of column names", of=None)
]


class FeatureNames(Contract):
    """The features by their kind."""

    model_config = ConfigDict(extra="forbid")

    numeric: ColumnNames = ()
    categorical: ColumnNames = ()


OutcomePart = Annotated[
    Outcome, BeforeValidator(_unit_is_name), told("must be an object with a name and a kind", of=("name",))
]
EarlyPart = Annotated[
    Early,
    BeforeValidator(_days_are_told),
    told("must be an object with a name, an outcome of those named, and days", of=("name", "outcome")),
]


class LogSchemaRecord(Contract):
    """A `LogSchema`: what the `schema.json` of logs holds."""

    features: Annotated[
        FeatureNames,
        told(
            'must be an object like {"numeric": ["age"], "categorical": ["market"]}',
            unknown="is not known; the kinds are numeric and categorical",
        ),
    ]
    outcomes: Annotated[
        tuple[OutcomePart, ...],
        Field(min_length=1),
        told('must be a list of objects like {"name": "visit", "kind": "binary"}'),
    ]
    none: Annotated[str, Field(min_length=1), told("must be the action id that stands for showing nothing")] = "none"
    early: Annotated[tuple[EarlyPart, ...], told("must be a list"), Field(exclude_if=lambda early: not early)] = ()
    history: Annotated[
        HistoryColumns | None,
        BeforeValidator(_days_are_told),
        AfterValidator(_there),
        told(
            'must be an object like {"days": 28, "contacts": "contacts_28d"}',
            unknown="is not known; the keys are days, contacts and since",
        ),
        Field(exclude_if=lambda history: history is None),
    ] = None

    @model_validator(mode="wrap")
    @classmethod
    def _every_name_once(
        cls, content: object, handler: ModelWrapValidatorHandler["LogSchemaRecord"], info: ValidationInfo
    ) -> "LogSchemaRecord":
        return with_faults(content, handler, _names_differ(content))

    @classmethod
    def of(cls, schema: LogSchema) -> "LogSchemaRecord":
        names = FeatureNames.model_construct(numeric=schema.numeric, categorical=schema.categorical)
        return cls.model_construct(**vars(schema) | {"features": names})

    def log_schema(self) -> LogSchema:
        names = self.features
        return LogSchema(names.numeric, names.categorical, self.outcomes, self.none, self.early, self.history)


def read_schema(path: Path) -> LogSchema:
    """Reads and validates a `schema.json`; InputError lists everything wrong in it."""
    return LogSchemaRecord.from_file(path).log_schema()


def write_schema(path: Path, schema: LogSchema) -> None:
    disk.write_text(path, LogSchemaRecord.of(schema).text())
