"""How long a question of everybody takes, by the seconds of the run's own allocation."""

import pytest

from allocator.formats import Certificate
from scripts.console.takes import full_takes, in_seconds


def test_a_search_takes_two_allocations_and_a_trade_off_reads_once() -> None:
    seconds = {"open": 1.0, "read": 2.0, "preflight": 1.0, "solve": 8.0, "price": 5.0, "decide": 3.0, "write": 9.0}
    found = full_takes(Certificate.model_construct(seconds=seconds))
    assert found.compared == pytest.approx(24.0), "without writing, and no part of a solve counted twice"
    assert found.frontier(8) == pytest.approx(4.0 + 8.0 + 8 * 2.0)


@pytest.mark.parametrize(
    ("amount", "words"),
    [(0.2, "about a second"), (4.4, "about 4 s"), (43.0, "about 45 s"), (200.0, "about 3 minutes")],
)
def test_seconds_are_told_no_finer_than_they_are_known(amount: float, words: str) -> None:
    assert in_seconds(amount) == words
