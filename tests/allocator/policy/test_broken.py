"""A hundred broken policy files: every mistake is told with its place, at once, and none ends in a traceback."""

import time
from datetime import date
from pathlib import Path

import pytest

from allocator.policy.check import World
from allocator.policy.checked import Meant, check_file
from tests.allocator.policy.broken import FILES, HOSTILE, Broken
from tests.allocator.policy.test_reader import CATALOGUE, SEGMENTS

WORLD = World(CATALOGUE, SEGMENTS)


class Known(Meant):
    """A market without scores on the disk."""

    @property
    def world(self) -> World:
        return WORLD


def test_there_are_a_hundred_of_them_and_twenty_are_hostile() -> None:
    assert len({each.name for each in FILES}) == len(FILES) >= 100
    assert len(HOSTILE) >= 20


@pytest.mark.parametrize("broken", FILES, ids=lambda broken: broken.name)
def test_all_mistakes_of_a_broken_file_are_told_soon(broken: Broken, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes(broken.content)
    start = time.process_time()
    checked = check_file(path, {}, Known(), date(2026, 11, 23))
    assert time.process_time() - start < 10
    told = [problem.sentence for problem in checked.problems]
    assert checked.policy is None
    assert len(told) == len(broken.told) or broken.name == "alias bomb"
    assert all(any(part in sentence for sentence in told) for part in broken.told), told
    assert all(sentence.startswith(f"{path}:") and len(sentence) < len(f"{path}") + 400 for sentence in told)
