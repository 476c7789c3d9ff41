"""What profile.json holds, beside logs and beside scores: each table's columns by their distributions, small whatever the table's size."""

from typing import Annotated

from pydantic import Field, Strict

from ranker.files import Document

PROFILE = "profile.json"
Rows = Annotated[int, Strict()]


class NumberProfile(Document):
    """A column of numbers. rows, missing, zeros: counted; low, high, mean: of what is not missing, None where all is.

    quantiles: at the ranks of `RANKS`; sketch: the t-digest of what is neither missing nor zero, in base 64, empty where nothing is.
    """

    name: str
    rows: Rows
    missing: Rows
    zeros: Rows
    low: float | None
    high: float | None
    mean: float | None
    quantiles: tuple[float, ...]
    sketch: str

    @property
    def varies(self) -> bool:
        return self.low is not None and self.low != self.high


class TextProfile(Document):
    """A column of texts. values: rows of the most frequent ones; other: of all others together."""

    name: str
    rows: Rows
    missing: Rows
    values: dict[str, Rows]
    other: Rows


class TableProfile(Document):
    """rows: counted; looked_at: of which columns were taken, evenly spaced; users: how many different ones, within a few per cent."""

    name: str
    rows: Rows
    looked_at: Rows
    users: Rows | None
    numbers: tuple[NumberProfile, ...]
    texts: tuple[TextProfile, ...]

    def number(self, name: str) -> NumberProfile | None:
        return next((each for each in self.numbers if each.name == name), None)


class Profile(Document):
    """The tables that a stage read and wrote. left_out: what it did not use of them, by its words, counted."""

    tables: tuple[TableProfile, ...]
    left_out: dict[str, Rows] = Field(default_factory=dict)

    def table(self, name: str) -> TableProfile | None:
        return next((each for each in self.tables if each.name == name), None)
