"""How earlier promises came out, in words: the same in the terminal and on the console's page."""

from collections.abc import Iterator

from allocator.amounts import number, percent
from allocator.workbench.answers import MeanAndError, TrackRecord
from allocator.workbench.sentences import signed
from ranker.normal import Z95

COLUMNS = ("week", "promised", "came (± at 95 %)")


def title(record: TrackRecord) -> str:
    return f"How earlier promises came out: {record.what}"


def rows(record: TrackRecord) -> Iterator[tuple[str, str, str]]:
    """A row per week, the earliest first."""
    for each in record.weeks:
        yield each.week, number(each.promised), f"{number(each.came)} ± {number(Z95 * each.came_se)}"


def kept(record: TrackRecord) -> str:
    return f"{percent(record.kept.mean)} of what was promised came."


def discounted_to(worth: MeanAndError, unit: str) -> str:
    return f"Discounted by that the difference is {signed(worth, unit)}."
