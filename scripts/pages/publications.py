"""The chain of publications as a table in the terminal: who published what, when and why."""

from scripts.cli import entry
from scripts.formats.pointer import Pointer
from scripts.runs.published import Chain

COLUMNS = ("entry", "run", "at", "", "by", "why")


def show_chain(chain: Chain) -> None:
    """Prints a row per entry, and the digest of the last one, which is worth noting elsewhere."""
    rows = [
        (
            str(each.pointer.number or position),
            each.pointer.run,
            each.pointer.at,
            each.pointer.action,
            each.pointer.by or "",
            _why(each.pointer),
        )
        for position, each in enumerate(chain.entries, 1)
    ]
    if not rows:
        print(f"{chain.place}: nothing was published there.")
        return
    entry.show_table(f"Publications of {chain.place}", COLUMNS, rows)
    if not chain.broken:
        print(f"The chain holds. Digest of entry {rows[-1][0]}: {chain.entries[-1].digest}")
    if chain.unchained:
        print(f"{chain.unchained} of them were written before there was a chain; only the last of these is held by it.")
    for name in chain.aside:
        print(f"{name}: never took effect; its publisher lost a race or died.")


def _why(pointer: Pointer) -> str:
    parts = [] if pointer.approver is None else [f"approved by {pointer.approver}"]
    if pointer.override is not None:
        parts.append(
            f"{pointer.override.by} overrode {len(pointer.override.refusals)} gates: {pointer.override.reason}"
        )
    elif pointer.reason is not None:
        parts.append(pointer.reason)
    return "; ".join(parts)
