"""What stops of a week came to, as a table in the terminal."""

from scripts.cli import entry
from scripts.crashes.records import Faults

MOST_SHOWN = 20


def show_faults(found: Faults) -> None:
    """Prints a row per kind of stop, and what was lost."""
    rows = [
        (each.kind, f"{each.points:,}", f"{each.states:,}", f"{len(each.faults):,}" if each.faults else "none")
        for each in found.kinds
    ]
    rows.append(
        ("together", f"{found.points:,}", f"{found.checked:,}", f"{len(found.faults):,}" if found.faults else "none")
    )
    entry.show_table("A week stopped", ("stop", "points", "different states checked", "lost or half there"), rows)
    some = "" if found.checked == found.states else f" of {found.states:,}"
    print(
        f"{found.acts:,} writes, syncs, renames, links and removals of a week; {found.checked:,}{some} states checked in "
        f"{found.seconds:,.0f} s. In each, readers see what is published, the next call ends well, and leaves the same bytes."
        if not found.faults
        else f"{found.acts:,} writes, syncs, renames, links and removals of a week; {found.seconds:,.0f} s."
    )
    for fault in found.faults[:MOST_SHOWN]:
        print(f"- {fault}")
    if len(found.faults) > MOST_SHOWN:
        print(f"- and {len(found.faults) - MOST_SHOWN:,} more")
