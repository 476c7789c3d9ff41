"""Outcomes that are the same in every decision: there is nothing to learn of them, and a model would only seem sure of it.

Axes: R rows, O outcomes.
"""

from collections.abc import Iterator

from ranker.log_schema import LateEvents, LogSchema
from ranker.model.examples import Examples


def constant(learn: Examples, schema: LogSchema, late: LateEvents | None) -> Iterator[str]:
    """A sentence for each outcome that never varies, and why where that is known. late: events that the logs were made without."""
    for position, outcome in enumerate(schema.outcomes):
        rows_R, value_R = learn.known(position)
        if len(rows_R) and value_R.min() == value_R.max():
            told = f"is {value_R[0]:g} in all {len(rows_R):,} decisions that teach, so nothing can be learned of it"
            yield f"column {outcome.name}: {told}; {_reason(outcome.name, late)}"


def _reason(outcome: str, late: LateEvents | None) -> str:
    if late is None or not late.of(outcome):
        return "check the table it comes from, or leave the outcome out of schema.json"
    count, day = late.of(outcome), late.known_before
    events = (
        "1 event of it was dropped, since it was"
        if count == 1
        else f"{count:,} events of it were dropped, since they were"
    )
    return f"{events} recorded after the snapshot: on {day} or later"
