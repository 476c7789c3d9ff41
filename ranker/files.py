"""Files as they come: where every reader opens JSON and Parquet, so that whatever is wrong with a file is one sentence with its place.

A JSON file is a frozen model (`Document`): read and written through it, keys in the order of its fields. Where other programs write
it too (`Contract`), sentences stand beside the types (`told`), and faults between several values are told at once with those (`also`).

Arrays in files, for what memory does not hold, are made here too. Their space on the disk is taken before they are mapped: a page of a
mapped file that finds the disk full ends the process by a signal, without a word. Space that is taken in time is an error that can be told.
"""

import errno
import hashlib
import json
import math
import os
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

if TYPE_CHECKING:  # a third of a second that no command needs that reads JSON alone
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

MOST_JSON_BYTES = 64 << 20
MOST_JSON_LEVELS = 64
MOST_DIGITS = 300
"""Of a whole number in JSON; more than that is beyond every float."""
FIRST_DAY, LAST_DAY = date(1000, 1, 1), date(2999, 12, 31)
"""Beyond them a date is a mistake or a placeholder, and arithmetic with it ends somewhere else."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
OF_THE_MACHINE = (*FULL, errno.EIO, errno.ESTALE, errno.ENXIO)
"""What the system says where a disk or a file server fails: nothing that was asked for is wrong, and the same call may do later."""
CANNOT_RESERVE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV)  # filesystems that give no promises


class InputError(ValueError):
    """Input or configuration is wrong. `problems` lists everything found, each sentence opening with its place."""

    def __init__(self, problems: Sequence[str]):
        self.problems = tuple(problems)
        count = len(self.problems)
        heading = "1 problem in the input:" if count == 1 else f"{count} problems in the input:"
        super().__init__("\n".join([heading, *(f"  - {problem}" for problem in self.problems)]))

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...]]]:
        """As it comes back from another process."""
        return type(self), (self.problems,)


def not_a_file(path: Path) -> str | None:
    """Why nothing can be read from the path, in words; None for a file. Devices, sockets and pipes may never end."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "is a link to a file that is not there" if path.is_symlink() else "there is no such file"
    except (OSError, ValueError) as error:
        return f"cannot be read ({getattr(error, 'strerror', None) or error})"
    if stat.S_ISDIR(mode):
        return "is a folder; a file is needed"
    return None if stat.S_ISREG(mode) else "is a device, a socket or a pipe; a file is needed"


def not_a_folder(path: Path) -> str | None:
    """Why the path is no folder, in words."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "is a link to a folder that is not there" if path.is_symlink() else "there is no such directory"
    except (OSError, ValueError) as error:
        return f"cannot be read ({getattr(error, 'strerror', None) or error})"
    return None if stat.S_ISDIR(mode) else "is no directory"


def read_bytes(path: Path, most: int) -> bytes:
    """What the file holds; InputError where that is more than `most` bytes, or not to be read at all."""
    if fault := not_a_file(path):
        raise InputError([f"{path}: {fault}"])
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise InputError([f"{path}: cannot be read ({error.strerror})"]) from None
    if len(content) > most:
        raise InputError([f"{path}: is longer than {most >> 20} MiB, the most that such a file may have"])
    return content


def read_json(path: Path) -> object:
    """The JSON value that a file holds; InputError where there is none, or one that nothing of ours would write."""
    content = read_bytes(path, MOST_JSON_BYTES)
    try:
        value = json.loads(content.decode("utf-8-sig"), parse_int=_whole)
    except UnicodeDecodeError as error:
        raise InputError([f"{path}: is not UTF-8 text (byte {error.start + 1})"]) from None
    except RecursionError:
        raise InputError([f"{path}: nests deeper than {MOST_JSON_LEVELS} levels"]) from None
    except ValueError as error:
        raise InputError([f"{path}: is not valid JSON ({error})"]) from None
    if fault := _strange(value, surrogates=b"\\ud" in content.lower()):
        raise InputError([f"{path}: {fault}"])
    return value


def read_json_object(path: Path) -> dict:
    """The JSON object that a file holds; InputError where there is none."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError([f"{path}: must hold one JSON object"])
    return content


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"the number {text[:20]}... has more than {MOST_DIGITS} digits")
    return int(text)


def _strange(value: object, surrogates: bool) -> str | None:
    """What no reader could work with: too many levels, or halves of characters (looked for where there may be any)."""
    level = [value]
    for _ in range(MOST_JSON_LEVELS):
        texts = [each for each in level if isinstance(each, str)]
        texts += [key for each in level if isinstance(each, dict) for key in each]
        if surrogates and not all(map(_is_text, texts)):
            return "has text with half a character (a lone surrogate)"
        lists = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = [each for values in lists for each in values]
        if not level:
            return None
    return f"nests deeper than {MOST_JSON_LEVELS} levels"


def _is_text(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def json_text(content: Mapping[str, object], *, finite: bool = True) -> str:
    """What is written of a JSON object; finite: ValueError where a number is not."""
    return json.dumps(content, indent=1, allow_nan=not finite) + "\n"


def places(error: ValidationError, whole: str = "") -> Iterator[str]:
    """Everything that is wrong with the content of a model, each with its key; whole: the key of what is wrong with all of it."""
    for each in error.errors(include_url=False):
        place, said = ".".join(map(str, each["loc"])) or whole, each["msg"].removeprefix("Value error, ")
        yield f"{place}: {said}" if place else said


def _as_it_stands(value: object, checked: ValidatorFunctionWrapHandler) -> object:
    found = checked(value)
    return value if type(value) is int else found


Figure = Annotated[float, WrapValidator(_as_it_stands), PlainSerializer(lambda value: value)]
"""A number that is written as it is: 3 stays 3, and does not become 3.0."""


class Document(BaseModel):
    """What one JSON file holds, or a part of it."""

    model_config = ConfigDict(frozen=True)

    def content(self) -> dict[str, Any]:
        """As JSON reads it back."""
        return self.model_dump(mode="json")

    def text(self) -> str:
        """What is written."""
        return json_text(self.content())

    @classmethod
    def problems(cls, error: ValidationError) -> Iterator[str]:
        """What is said of a file whose content is refused."""
        return places(error)

    @classmethod
    def from_file(cls, path: Path, **known: object) -> Self:
        """InputError where the file cannot be read, or lists every key that is missing, not known or of another type.

        known: what validators find in their context, beside `whole`, the content as it stands in the file.
        """
        content = read_json_object(path)
        try:
            return cls.model_validate(content, context={"whole": content, **known})
        except ValidationError as error:
            raise InputError([f"{path}: {problem}" for problem in cls.problems(error)]) from None

    @classmethod
    def from_file_if_sound(cls, path: Path) -> Self | None:
        """None in place of InputError."""
        try:
            return cls.from_file(path)
        except InputError:
            return None


class Contract(Document):
    """A document that other programs write too: its validators say in our words what is wrong, and what stands there instead.

    A key that is missing is told as one that is null. It is written from records that are not validated again.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, ser_json_inf_nan="constants")

    @model_validator(mode="before")
    @classmethod
    def _missing_is_null(cls, value: object) -> object:
        return {**dict.fromkeys(_needed(cls)), **value} if isinstance(value, dict) else value

    def content(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True, warnings=False)

    def text(self) -> str:
        return json_text(self.content(), finite=False)

    @classmethod
    def problems(cls, error: ValidationError) -> Iterator[str]:
        for place, said in faults_of(error):
            steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in place]
            yield f"{''.join(steps).removeprefix('.')}: {said}" if place else said


@cache
def _needed(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(info.alias or name for name, info in model.model_fields.items() if info.is_required())


Validated = TypeVar("Validated")
Step = int | str
Fault = tuple[tuple[Step, ...], str]
"""Where in a value something is wrong, and what."""
OF_THE_OBJECT = ("missing", "extra_forbidden", "unexpected_keyword_argument")
"""Errors that pydantic reports at a key, and that are about which keys an object has."""


def fault(message: str) -> PydanticCustomError:
    """An error of a validator, whose text is ours, braces and all."""
    return PydanticCustomError("told", "{message}", {"message": message})


def faults_of(error: ValidationError) -> list[Fault]:
    """All that is wrong with a value."""
    return [(each["loc"], each["msg"]) for each in error.errors(include_url=False, include_context=False)]


def refused(faults: Iterable[Fault]) -> ValidationError:
    """What a validator raises that finds several things wrong."""
    lines = [InitErrorDetails(type=fault(said), loc=place, input=None) for place, said in faults]
    return ValidationError.from_exception_data("content", lines)


def told(
    sentence: str | Callable[[object], str], *, of: Collection[Step] | None = (), unknown: str | None = None
) -> WrapValidator:
    """A sentence in place of pydantic's, where a value is of another type, lacks a key or has one too many.

    Args:
        sentence: what is said, or how it is said of the value that stands there.
        of: keys whose faults it stands for too; None: all that lies within.
        unknown: what is said of a key that is not known, at its place.
    """

    def checked(value: object, handler: ValidatorFunctionWrapHandler) -> object:
        try:
            return handler(value)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False)
        within = [each for each in found if each["loc"]]  # a list is too short where its items are refused
        inner: list[Fault] = []
        for each in within or found:
            place, about_keys = each["loc"], each["type"] in OF_THE_OBJECT and len(each["loc"]) == 1
            if about_keys and unknown is not None:
                inner.append((place, unknown))
            elif not place or about_keys or of is None or place[0] in of:
                raise fault(sentence if isinstance(sentence, str) else sentence(value))
            else:
                inner.append((place, each["msg"]))
        raise refused(inner)

    return WrapValidator(checked)


def with_faults(value: object, handler: Callable[[object], Validated], further: Iterable[Fault]) -> Validated:
    """What the value is validated to; further faults of it are told at once with those that its type has found."""
    further = list(further)
    try:
        found = handler(value)
    except ValidationError as error:
        raise refused([*faults_of(error), *further]) from None
    if further:
        raise refused(further)
    return found


def also(faults: Callable[[Any, ValidationInfo], Iterable[Fault]]) -> WrapValidator:
    """Looks for further faults in a value as it stands in the file."""

    def checked(value: object, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> object:
        return with_faults(value, handler, faults(value, info))

    return WrapValidator(checked)


def values_at(content: object, *path: str) -> Iterator[Any]:
    """What stands at a place of a JSON value, `*` being every position of a list; nothing where there is no such place."""
    if not path:
        yield content
        return
    below: Iterable[object] = ()
    if path[0] == "*":
        below = content if isinstance(content, list) else ()
    elif isinstance(content, dict) and path[0] in content:
        below = [content[path[0]]]
    for each in below:
        yield from values_at(each, *path[1:])


def repeated(values: Iterable[object]) -> Iterator[tuple[str, int]]:
    """Texts that stand more than once, and how often."""
    counts = Counter(value for value in values if isinstance(value, str))
    return ((text, count) for text, count in counts.items() if count > 1)


def sha256_of(file: Path) -> str:
    """Of its content, in hexadecimal digits."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def parquet_files(folder: Path) -> list[Path]:
    """Its *.parquet, sorted; hidden ones are nobody's data. Empty where there is no such folder."""
    if not_a_folder(folder):
        return []
    return sorted(file for file in folder.glob("*.parquet") if not file.name.startswith("."))


def some_parquet_files(folder: Path) -> list[Path]:
    """At least one file; InputError where there is no such folder or none in it."""
    if fault := not_a_folder(folder):
        raise InputError([f"{folder}: {fault}"])
    if not (files := parquet_files(folder)):
        raise InputError([f"{folder}: there are no *.parquet files"])
    return files


def unreadable() -> tuple[type[Exception], ...]:
    """What Arrow raises over damaged files; ValueError has the text that is not UTF-8 among others."""
    import pyarrow as pa

    return pa.ArrowException, OSError, ValueError, MemoryError, OverflowError, KeyError


def open_parquet(file: Path) -> "pq.ParquetFile":
    """The file, which the caller closes; InputError where it is none, or one whose columns cannot be told apart."""
    import pyarrow.parquet as pq

    if fault := not_a_file(file):
        raise InputError([f"{file}: {fault}"])
    try:
        parquet = pq.ParquetFile(file, pre_buffer=False, coerce_int96_timestamp_unit="us")
        names = parquet.schema_arrow.names
    except unreadable() as error:
        raise InputError([f"{file}: is not a readable Parquet file ({type(error).__name__})"]) from None
    if repeated := {name: count for name, count in Counter(names).items() if count > 1}:
        parquet.close()
        raise InputError([f"{file}: column {name}: stands {count} times" for name, count in repeated.items()])
    return parquet


def parquet_schema(file: Path) -> "pa.Schema":
    """Names and types of the columns; InputError as of `open_parquet`."""
    with open_parquet(file) as parquet:
        return parquet.schema_arrow


def parquet_rows(file: Path) -> int:
    """How many rows the file says that it has; InputError as of `open_parquet`."""
    with open_parquet(file) as parquet:
        return int(parquet.metadata.num_rows)


def parquet_table(file: Path, columns: Sequence[str] | None = None) -> "pa.Table":
    """The whole file, or some of its columns; InputError as of `batches`."""
    import pyarrow as pa

    with open_parquet(file) as parquet:
        names = parquet.schema_arrow.names if columns is None else list(columns)
        if lacking := [name for name in names if name not in parquet.schema_arrow.names]:
            raise InputError([f"{file}: column {name}: is missing" for name in lacking])
        fields = [parquet.schema_arrow.field(name) for name in names]
        kept = pa.schema(fields, parquet.schema_arrow.metadata)
        found = list(batches_of(parquet, file, 1 << 20, names))
        return pa.Table.from_batches(found, kept) if found else kept.empty_table()


def batches(file: Path, rows: int, columns: Sequence[str]) -> "Iterator[pa.RecordBatch]":
    """The columns, at most `rows` rows at a time; InputError where the pages are damaged."""
    with open_parquet(file) as parquet:
        yield from batches_of(parquet, file, rows, columns)


def batches_of(
    parquet: "pq.ParquetFile", file: Path, rows: int, columns: Sequence[str], groups: Sequence[int] | None = None
) -> "Iterator[pa.RecordBatch]":
    """As `batches`, of an open file; groups: of these row groups alone."""
    found = parquet.iter_batches(rows, row_groups=groups, columns=list(columns))
    while True:
        try:
            batch = next(found)
        except StopIteration:
            return
        except unreadable() as error:
            raise InputError(_unread(file, columns, type(error).__name__)) from None
        if wrong := [name for name in batch.schema.names if not _is_valid(batch.column(name))]:
            raise InputError([f"{file}: column {name}: is damaged, or has text that is not UTF-8" for name in wrong])
        yield batch


def _unread(file: Path, columns: Sequence[str], error: str) -> list[str]:
    """Which columns cannot be read, where the others can."""
    import pyarrow.parquet as pq

    wrong = []
    for name in columns:
        try:
            pq.read_table(file, columns=[name], partitioning=None)
        except unreadable():
            wrong.append(name)
    if not wrong or len(wrong) == len(columns):
        return [f"{file}: the rows cannot be read ({error})"]
    return [
        f"{file}: column {name}: cannot be read: it is damaged, or a list of fixed size is missing" for name in wrong
    ]


def _is_valid(column: "pa.Array") -> bool:
    try:
        column.validate(full=True)
    except unreadable():
        return False
    return True


def unnamed(shape: tuple[int, ...], dtype: type, folder: Path | None = None) -> "np.memmap":
    """An array of zeros in a file of `folder` (None: the system's for temporary files) that is gone when nobody reads it any more."""
    import numpy as np

    place = Path(tempfile.gettempdir()) if folder is None else folder
    with tempfile.TemporaryFile(dir=place) as file:
        _take(file, _bytes(shape, dtype), place)
        return np.memmap(file, dtype, "r+", shape=shape)


def named(path: Path, shape: tuple[int, ...], dtype: type) -> "np.memmap":
    """An array of zeros in a new .npy file."""
    import numpy as np

    head = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with path.open("xb") as file:
        np.lib.format.write_array_header_1_0(file, head)
        _take(file, file.tell() + _bytes(shape, dtype), path.parent)
    return np.lib.format.open_memmap(path, "r+")


def _bytes(shape: tuple[int, ...], dtype: type) -> int:
    import numpy as np

    return math.prod(shape) * np.dtype(dtype).itemsize


def _take(file: IO[bytes], size: int, folder: Path) -> None:
    """Takes so many bytes; OSError names the folder, what is needed there and what is free."""
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno in CANNOT_RESERVE:
            file.truncate(size)
            return
        if error.errno not in FULL:
            raise
        free = shutil.disk_usage(folder).free
        told = f"{error.strerror}: {size:,} bytes are needed and {free:,} are free"
        raise OSError(error.errno, told, str(folder)) from None
