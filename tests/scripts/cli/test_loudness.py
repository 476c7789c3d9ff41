"""How much a call tells: the words for it, and what each of them lets through."""

import logging

import pytest

from ranker.files import InputError
from scripts.cli.loudness import Loudness, loudness_of


@pytest.mark.parametrize(
    ("words", "steps"),
    [([], 0), (["-v"], 1), (["-vv"], 2), (["-v", "--verbose"], 2), (["-vvv"], 2), (["-q"], -1), (["--quiet"], -1)],
)
def test_flags_are_taken_out_of_the_words(words: list[str], steps: int) -> None:
    assert loudness_of(["logs=l", *words, "model=m"]) == (Loudness(steps), ["logs=l", "model=m"])


def test_less_and_more_at_once_is_wrong() -> None:
    with pytest.raises(InputError, match="-q and -v"):
        loudness_of(["-q", "-v"])


@pytest.mark.parametrize(
    ("name", "level", "from_steps"),
    [
        ("offermix.train", logging.DEBUG, 1),
        ("offermix.train", logging.INFO, 0),
        ("offermix.train", logging.WARNING, -1),
        ("numba", logging.INFO, 2),
        ("py.warnings", logging.WARNING, 1),
        ("mlflow", logging.ERROR, -1),
        ("numba", logging.DEBUG, 3),
    ],
)
def test_what_is_shown_grows_with_every_step(name: str, level: int, from_steps: int) -> None:
    record = logging.LogRecord(name, level, "", 0, "words", (), None)
    assert [steps for steps in (-1, 0, 1, 2) if Loudness(steps).shows(record)] == list(range(from_steps, 3))
