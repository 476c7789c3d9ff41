"""How long a question of everybody takes, by the seconds of the run's own allocation."""

from pathlib import Path

import pytest

from allocator.formats import Certificate
from scripts.console.takes import full_takes, in_seconds
from scripts.formats.manifest import MANIFEST, Manifest


def test_a_search_takes_two_allocations_and_a_trade_off_reads_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {"open": 1.0, "read": 2.0, "preflight": 1.0, "solve": 8.0, "price": 5.0, "decide": 3.0, "write": 9.0}
    certificate = Certificate.model_construct(seconds=seconds)
    monkeypatch.setattr(Certificate, "from_file", lambda path: certificate)
    assert full_takes(tmp_path).compared == pytest.approx(24.0), "no part of a solve is counted twice"
    assert full_takes(tmp_path).frontier(8) == pytest.approx(12.0 + 8 * 8.0)
    (tmp_path / MANIFEST).write_text(Manifest(seconds=30.0).text())
    assert full_takes(tmp_path).compared == pytest.approx(60.0), "with writing and the audit, as it took"


@pytest.mark.parametrize(
    ("amount", "words"),
    [(0.2, "about a second"), (4.4, "about 4 s"), (43.0, "about 45 s"), (200.0, "about 3 minutes")],
)
def test_seconds_are_told_no_finer_than_they_are_known(amount: float, words: str) -> None:
    assert in_seconds(amount) == words
