"""The answer of a what-if in the terminal: a sentence, totals side by side, each edit, and why an edit changes nothing."""

from collections.abc import Iterator

from allocator.amounts import number, with_unit
from allocator.policy.kinds.known import kind_named
from allocator.workbench.answers import ConstraintAnswer, MeanAndError, TrackRecord, WhatIf
from allocator.workbench.sentences import signed
from scripts.cli import entry
from scripts.pages import track_record

MOST_CELLS = 12
TOTALS = ("", "base", "new", "difference (± at 95 %)")
CONSTRAINTS = ("constraint", "base", "new", "bound", "binding", "worth of one unit more")
EDITS = ("edit", "value", "listeners moved", "what it is")
CELLS = ("product", "surface", "contacts more or less (± at 95 %)")


def show_what_if(answer: WhatIf) -> None:
    """Prints the answer."""
    print(answer.headline)
    print(_basis(answer))
    entry.show_table("Totals", TOTALS, list(_totals(answer)))
    entry.show_table("Constraints", CONSTRAINTS, list(_constraints(answer)))
    if len(answer.edits) > 1:
        entry.show_table("Edits; they add up to the difference", EDITS, list(_edits(answer)))
    if cells := list(_cells(answer)):
        entry.show_table("Where contacts change most", CELLS, cells)
    if answer.robust is not None:
        rows = [
            (each.view, "cannot be kept" if each.value is None else signed(each.value, answer.unit))
            for each in answer.robust.verdicts
        ]
        entry.show_table("The difference by other views of the scores", ("view", "new less base"), rows)
        print(answer.robust.sentence)
    if answer.rules:
        entry.show_table(
            "What each rule costs in all (value without it less value with it)", ("rule", "value"), list(_rules(answer))
        )
    if answer.track_record is not None and answer.discounted is not None:
        _show_record(answer.track_record, answer.discounted, answer.unit)
    for sentence in answer.why:
        print(f"- {sentence}")


def _show_record(record: TrackRecord, worth: MeanAndError, unit: str) -> None:
    entry.show_table(track_record.title(record), track_record.COLUMNS, list(track_record.rows(record)))
    print(f"{track_record.kept(record)} {track_record.discounted_to(worth, unit)}")


def _rules(answer: WhatIf) -> Iterator[tuple[str, str]]:
    for name, cost in (answer.rules or {}).items():
        if cost is None or cost.mean:
            yield name, "cannot be said" if cost is None else signed(cost, answer.unit)


def _basis(answer: WhatIf) -> str:
    day = "" if answer.as_of is None else f" of {answer.as_of}"
    if answer.full:
        return f"From two allocations of all {answer.users:,} listeners{day}, {answer.seconds:.1f} s. Nothing was published."
    return (
        f"From {answer.sample:,} of {answer.users:,} listeners{day}, {answer.seconds:.1f} s; "
        "an allocation of all of them differs by about the errors shown. Nothing was published."
    )


def _totals(answer: WhatIf) -> Iterator[tuple[str, str, str, str]]:
    base, new, change = answer.base, answer.new, answer.difference
    yield (
        "value",
        with_unit(base.value, answer.unit),
        with_unit(new.value, answer.unit),
        signed(change.value, answer.unit),
    )
    yield "contacts", number(base.contacts), number(new.contacts), signed(change.contacts, "")
    for name, estimate in change.metrics.items():
        yield name, number(base.metrics[name]), number(new.metrics[name]), signed(estimate, "")
    yield "listeners moved", "", "", signed(change.users_moved, "")


def _constraints(answer: WhatIf) -> Iterator[tuple[str, ...]]:
    for name, new in answer.new.constraints.items():
        base = answer.base.constraints.get(name)
        yield (
            new.label or name,
            "" if base is None else _achieved(base),
            _achieved(new),
            _bounds(new),
            _binding(base, new),
            f"{new.price:,.4g}" if new.price else "",
        )


def _achieved(known: ConstraintAnswer) -> str:
    return "" if known.achieved is None else kind_named(known.kind).amount(known.achieved)


def _bounds(known: ConstraintAnswer) -> str:
    kind = kind_named(known.kind)
    sides = (("at least", known.min), ("at most", known.max))
    return ", ".join(f"{word} {kind.amount(bound, asked=True)}" for word, bound in sides if bound is not None)


def _binding(base: ConstraintAnswer | None, new: ConstraintAnswer) -> str:
    before = None if base is None else base.binding
    if before == new.binding:
        return new.binding or ""
    return f"{before or 'no'} -> {new.binding or 'no'}"


def _edits(answer: WhatIf) -> Iterator[tuple[str, str, str, str]]:
    for edit in answer.edits:
        value = signed(MeanAndError(mean=edit.value, se=edit.value_se), answer.unit)
        yield edit.path, value, f"{edit.users_moved:,.0f}", edit.sentence


def _cells(answer: WhatIf) -> Iterator[tuple[str, str, str]]:
    everybody = [cell for cell in answer.matrix if not cell.segment and cell.contacts.seen]
    for cell in sorted(everybody, key=lambda cell: -abs(cell.contacts.mean))[:MOST_CELLS]:
        yield cell.product, cell.surface, signed(cell.contacts, "")
