"""What the models of commands share: nothing is converted, and an unknown key is an error."""

from typing import Annotated, TypeVar

from pydantic import ConfigDict, Strict

from ranker.files import Document

T = TypeVar("T")
Many = Annotated[tuple[T, ...], Strict(False)]
"""A list of the file."""
Number = int | float


class StrictDocument(Document):
    """What one file of a command holds, or a part of it."""

    model_config = ConfigDict(strict=True, extra="forbid", ser_json_inf_nan="constants")


class Interval(StrictDocument):
    """An estimate with its standard error; low and high bound a 95 % interval."""

    value: Number
    stderr: Number
    low: Number
    high: Number
