"""An allocation as tables in the terminal: what it came to, and every constraint."""

from collections.abc import Iterator

from allocator.allocate import Allocation
from allocator.amounts import interval, number
from allocator.formats import ConstraintRecord
from allocator.policy.kinds.known import kind_named
from allocator.progress import times_in_words
from ranker.normal import Z90
from scripts.cli import entry

COLUMNS = ("constraint", "at least", "at most", "achieved (± 90 %)", "binding", "worth of one unit more", "which holds")


def show_allocation(made: Allocation) -> None:
    """Prints both tables."""
    entry.show_table("Allocation", ("", ""), list(_summary(made)))
    entry.show_table("Constraints", COLUMNS, [_cells(record) for record in made.certificate.constraints])


def _cells(record: ConstraintRecord) -> tuple[str, ...]:
    held, kind = record.price_range, kind_named(record.kind)
    return (
        record.label or record.id,
        *("" if bound is None else kind.amount(bound, asked=True) for bound in (record.min, record.max)),
        _achieved(record),
        record.binding or "",
        _worth(record),
        "" if held is None else f"from {kind.amount(held[0])} to {kind.amount(held[1])}",
    )


def _achieved(record: ConstraintRecord) -> str:
    """Of a sum of estimates with half of its 90 % interval."""
    if record.achieved is None:
        return ""
    amount = kind_named(record.kind).amount(record.achieved)
    return amount if record.se is None else f"{amount} ± {number(Z90 * record.se)}"


def _worth(record: ConstraintRecord) -> str:
    """Of one unit; of a part, which stands in per cent here, of one percentage point."""
    if not record.price:
        return ""
    return f"{record.price / 100:,.4g} a point" if kind_named(record.kind).is_part else f"{record.price:,.4g}"


def _summary(made: Allocation) -> Iterator[tuple[str, str]]:
    held = made.certificate
    yield "Users", f"{held.users:,}"
    yield "Contacts", f"{held.contacts:,}"
    surely = "" if held.value_se is None else f" ({interval(held.value, held.value_se)})"
    yield "Value, an estimate", f"{held.value:,.4f}{surely}"
    yield "Optimiser's gap", f"{held.gap:.2e}: by the same estimates no allocation is worth more than {held.bound:,.4f}"
    if held.greedy is not None:
        broken = "" if held.greedy.feasible else " (and breaks constraints)"
        yield "Best-first instead", f"{held.greedy.value:,.4f}{broken}"
    yield "Audit", f"clean, {len(made.audit.checks)} checks passed"
    yield "Passes", f"{held.passes_over('all_users')} over all users, {held.passes_over('samples')} over samples"
    yield "Seconds", times_in_words(made.seconds)
    yield "Written to", str(made.folder)
