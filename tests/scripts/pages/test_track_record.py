"""Earlier promises in words: a row per week with its error, and what the promise comes to."""

from allocator.workbench.answers import KeptPromise, MeanAndError
from scripts.judging.track_record import discounted, record_of
from scripts.pages import track_record


def test_weeks_are_told_with_their_errors_and_the_promise_with_both() -> None:
    record = record_of([KeptPromise(week="2026-11-23", promised=2.0, came=1.5, came_se=0.1)])
    assert record is not None
    assert list(track_record.rows(record)) == [("2026-11-23", "2", "1.50 ± 0.196")]
    assert track_record.kept(record) == "75.0 % of what was promised came."
    worth = discounted(MeanAndError(mean=-40.0, se=0.0), record)
    assert track_record.discounted_to(worth, "EUR") == (
        "Discounted by that the difference is \u221230 EUR (± 3.92 at 95 %)."
    )
