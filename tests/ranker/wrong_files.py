"""What is said of a JSON file whose content is wrong."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ranker.files import InputError


def problems_of(read: Callable[[Path], object], file: Path, content: object) -> list[str]:
    """The faults that a reader tells of a file with this content, without the file's name."""
    file.write_text(json.dumps(content))
    with pytest.raises(InputError) as raised:
        read(file)
    return [problem.removeprefix(f"{file}: ") for problem in raised.value.problems]
