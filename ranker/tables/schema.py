"""The schema of tables, `tables/schema.json`: features with their ranges, outcomes with their attribution windows.

Dates count whole days. An event dated before a day is known at the start of that day. A snapshot of features of day d
is the state at the start of d, and a decision of day d may use it.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from ranker import disk
from ranker.contact_history import MOST_DAYS, HistoryColumns, Since
from ranker.files import FIRST_DAY, LAST_DAY, Document
from ranker.log_schema import RESERVED, Early, LogSchema, Outcome


class SchemaPart(Document):
    """Every number is finite, and every key is known."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    def text(self) -> str:
        return self.model_dump_json(indent=1) + "\n"


class Number(SchemaPart):
    """A numeric feature: its range, and whether it may be missing."""

    min: float | None = None
    max: float | None = None
    missing: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> "Number":
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        return self


class Category(SchemaPart):
    """A categorical feature: its values where they are a closed list, and whether it may be missing."""

    values: tuple[str, ...] | None = None
    missing: bool = False


class Window(SchemaPart):
    """An outcome: summed over days [from_day, to_day) after the decision; complete `matures_after` days after the decision.

    early_days: ages of a decision at which what is recorded of it by then is told beside it, before it is complete.
    """

    name: str = Field(min_length=1)
    kind: Literal["binary", "count", "amount", "real"]
    unit: str = Field(min_length=1)
    from_day: int = Field(ge=0, le=MOST_DAYS)
    to_day: int = Field(ge=1, le=MOST_DAYS)
    matures_after: int = Field(ge=1, le=MOST_DAYS)
    early_days: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _in_order(self) -> "Window":
        if not self.from_day < self.to_day <= self.matures_after:
            raise ValueError("from_day < to_day <= matures_after must hold")
        if not all(self.from_day < day < self.matures_after for day in self.early_days):
            raise ValueError("early_days must lie between from_day and matures_after")
        if len(set(self.early_days)) < len(self.early_days):
            raise ValueError("early_days must differ")
        return self

    @property
    def early(self) -> tuple[Early, ...]:
        return tuple(Early(f"{self.name}_{day}d", self.name, day) for day in self.early_days)


class LastOffer(SchemaPart):
    """A numeric feature that tells how long ago actions `where` were offered last, in units of `days` days; missing: never."""

    column: str = Field(min_length=1)
    where: Mapping[str, str] = Field(min_length=1)
    days: int = Field(ge=1, le=MOST_DAYS)


class History(SchemaPart):
    """Which numeric features tell of earlier contacts. contacts: counts those of the last `days` days."""

    days: int = Field(ge=1, le=MOST_DAYS)
    contacts: str | None = None
    since: tuple[LastOffer, ...] = ()

    @property
    def columns(self) -> HistoryColumns:
        since = tuple(Since(each.column, dict(each.where), each.days) for each in self.since)
        return HistoryColumns(self.days, self.contacts, since)


class TableSchema(SchemaPart):
    """snapshot: the day on which the tables were taken; nothing dated on it or later is known."""

    numeric: Mapping[str, Number]
    categorical: Mapping[str, Category]
    outcomes: tuple[Window, ...] = Field(min_length=1)
    none: str = Field("none", min_length=1)
    snapshot: date
    history: History | None = None

    @field_validator("snapshot")
    @classmethod
    def _is_a_day_of_ours(cls, snapshot: date) -> date:
        if not FIRST_DAY <= snapshot <= LAST_DAY:
            raise ValueError(f"{snapshot} is not between the years {FIRST_DAY.year} and {LAST_DAY.year}")
        return snapshot

    @model_validator(mode="after")
    def _history_is_there(self) -> "TableSchema":
        told = () if self.history is None else self.history.columns.columns
        if lacking := [name for name in told if name not in self.numeric]:
            raise ValueError(f"history: {', '.join(lacking)}: is none of the numeric features")
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> "TableSchema":
        told = [name for outcome in self.outcomes for name in (outcome.name, *(early.name for early in outcome.early))]
        names = Counter([*self.numeric, *self.categorical, *told])
        if repeated := sorted(name for name, count in names.items() if count > 1):
            raise ValueError(f"{', '.join(repeated)}: stands more than once among features and outcomes")
        if reserved := sorted(names.keys() & set(RESERVED)):
            raise ValueError(f"{', '.join(reserved)}: is the name of another column of the logs")
        return self

    @property
    def matures_after(self) -> int:
        """Days until a decision is mature for every outcome."""
        return max(outcome.matures_after for outcome in self.outcomes)

    @property
    def ages(self) -> tuple[int, ...]:
        """Days after a decision at which more of it is known, outcomes and early ones."""
        return tuple(day for outcome in self.outcomes for day in (*outcome.early_days, outcome.matures_after))

    def log_schema(self) -> LogSchema:
        outcomes = tuple(Outcome(o.name, o.kind, o.unit) for o in self.outcomes)
        early = tuple(early for outcome in self.outcomes for early in outcome.early)
        history = None if self.history is None else self.history.columns
        return LogSchema(tuple(self.numeric), tuple(self.categorical), outcomes, self.none, early, history)


def read_table_schema(path: Path) -> TableSchema:
    """Reads and validates a tables' `schema.json`; InputError lists everything wrong in it."""
    return TableSchema.from_file(path)


def write_table_schema(path: Path, schema: TableSchema) -> None:
    disk.write_text(path, schema.text())
