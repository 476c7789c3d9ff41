"""What faults came to, as one table in the terminal."""

from collections.abc import Sequence

from scripts.cli import entry
from scripts.crashes.records import FaultRow, FaultSection, Sort

MOST_SHOWN = 20
COLUMNS = (
    "fault",
    "places",
    "folders called again",
    "lost or half there",
    "other bytes",
    "left behind",
    "not told",
    "s",
)
SORTS: tuple[Sort, ...] = ("lost or half published", "other bytes", "left behind", "not told")


def show_faults(sections: Sequence[FaultSection]) -> None:
    """Prints a row per kind of fault, and what was wrong."""
    rows = [_row(row) for section in sections for row in section.rows]
    entry.show_table("A week, and what may happen to it", COLUMNS, rows)
    for section in sections:
        for sentence in (section.summary, *(f"{row.kind}: {row.remark}" for row in section.rows if row.remark)):
            print(f"{section.name}: {sentence}" if sentence else section.name)
    faults = [fault for section in sections for fault in section.faults]
    for fault in faults[:MOST_SHOWN]:
        print(f"- {fault.sort}: {fault.sentence}")
    if len(faults) > MOST_SHOWN:
        print(f"- and {len(faults) - MOST_SHOWN:,} more")
    if not faults:
        print("Nothing was lost or half published; every next call ended as if nothing had happened.")


def _row(row: FaultRow) -> tuple[str, ...]:
    counts = (sum(fault.sort == sort for fault in row.faults) for sort in SORTS)
    seconds = f"{row.seconds:,.0f}" if row.seconds else ""
    return (row.kind, f"{row.places:,}", f"{row.checked:,}", *(f"{count:,}" for count in counts), seconds)
