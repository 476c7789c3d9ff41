"""A JSON file as a frozen model: nothing is converted, an unknown key is an error, and the keys are written in the order of the fields."""

import json
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Strict, ValidationError

from ranker.files import InputError, read_json_object

T = TypeVar("T")
Many = Annotated[tuple[T, ...], Strict(False)]
"""A list of the file."""
Number = int | float


class Document(BaseModel):
    """What one file holds, or a part of it."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", ser_json_inf_nan="constants")

    def content(self) -> dict[str, Any]:
        """As JSON reads it back."""
        return self.model_dump(mode="json")

    def text(self) -> str:
        """What is written."""
        return json.dumps(self.content(), indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """InputError where the file cannot be read, or holds something else."""
        try:
            return cls.model_validate(read_json_object(path))
        except ValidationError as error:
            found = error.errors(include_url=False)
            raise InputError([f"{path}: {'.'.join(map(str, each['loc']))}: {each['msg']}" for each in found]) from None

    @classmethod
    def from_file_if_sound(cls, path: Path) -> Self | None:
        """None in place of InputError."""
        try:
            return cls.from_file(path)
        except InputError:
            return None


class Interval(Document):
    """An estimate with its standard error; low and high bound a 95 % interval."""

    value: Number
    stderr: Number
    low: Number
    high: Number
