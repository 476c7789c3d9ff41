"""What is known of the differences between users, in words and as a table."""

from collections.abc import Sequence

import numpy as np

from ranker.evaluate.records import ReliabilityFigure
from ranker.evaluate.reliability import LEAST
from scripts.cli import entry


def sentence(found: Sequence[ReliabilityFigure]) -> str | None:
    """Which effects are averages, outcome by outcome; None where none is."""
    told = []
    for outcome, mine in _by_outcome(found).items():
        averages = _averages(mine)
        if averages:
            told.append(f"{outcome} for {'all' if averages == len(mine) else f'{averages} of'} {len(mine)} actions")
    little = f"less than {100 * LEAST:.0f} % of what tells users apart is known"
    return f"A score is no more than its action's average ({little}): {', '.join(told)}." if told else None


def show(found: Sequence[ReliabilityFigure]) -> None:
    """Prints for every outcome how much is known of what tells users apart."""
    rows = []
    for outcome, mine in _by_outcome(found).items():
        known = [record.reliability for record in mine if record.reliability is not None]
        middle = f"{np.median(known):.0%}" if known else "not known"
        rows.append((outcome, middle, f"{_averages(mine)} of {len(mine)}"))
    columns = ("outcome", "known of it", "actions whose score is their average")
    entry.show_table("What tells users apart in an effect, the middle action", columns, rows)


def _by_outcome(found: Sequence[ReliabilityFigure]) -> dict[str, list[ReliabilityFigure]]:
    groups: dict[str, list[ReliabilityFigure]] = {}
    for record in found:
        groups.setdefault(record.outcome, []).append(record)
    return groups


def _averages(found: Sequence[ReliabilityFigure]) -> int:
    return sum(record.average for record in found)
