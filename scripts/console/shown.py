"""Answers as rows of words for the page. Amounts come with their errors, and what errors hide is not shown as an effect."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from allocator.amounts import number, with_unit
from allocator.formats import ConstraintRecord
from allocator.policy.kinds.known import kind_named
from allocator.workbench.answers import Amount, Cell, ConstraintAnswer, EditAnswer, MeanAndError, Point, WhatIf
from allocator.workbench.sentences import signed
from ranker.normal import Z95
from scripts.formats.console import ScenarioFigure

Known = ConstraintAnswer | ConstraintRecord
"""A constraint as an answer has it, or a certificate."""
NOT_SEEN = "no change seen"


@dataclass(frozen=True)
class TotalRow:
    """One total. way: more, less, or nothing where no effect is seen."""

    name: str
    base: str
    new: str
    change: str
    way: str


@dataclass(frozen=True)
class ComparedConstraint:
    """One constraint in both policies. moved: whether what is achieved, binds or is asked for differs."""

    id: str
    name: str
    bounds: str
    base: str
    new: str
    binding: str
    price: str
    moved: bool


@dataclass(frozen=True)
class MatrixPart:
    """Contacts more or less by product and surface, of all listeners or of one segment value. rows: product, and a word per surface."""

    title: str
    surfaces: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def total_rows(answer: WhatIf) -> Iterator[TotalRow]:
    base, new, change = answer.base, answer.new, answer.difference
    amounts = with_unit(base.value, answer.unit), with_unit(new.value, answer.unit)
    yield _total("value", *amounts, change.value, answer.unit)
    yield _total("contacts", number(round(base.contacts)), number(round(new.contacts)), change.contacts, "")
    for name, estimate in change.metrics.items():
        yield _total(name, number(base.metrics[name]), number(new.metrics[name]), estimate, "")
    yield _total("listeners with other contacts", "", "", change.users_moved, "")


def _total(name: str, base: str, new: str, change: MeanAndError, unit: str) -> TotalRow:
    seen = change.seen
    way = "" if not seen else "more" if change.mean > 0 else "less"
    return TotalRow(name.replace("_", " "), base, new, in_words(change, unit), way)


def in_words(change: MeanAndError, unit: str) -> str:
    """'+12 EUR (± 3)', or that no change is seen, and how large it may still be."""
    if change.mean == 0 and change.se == 0:
        return "no change"
    error = f" (±\u00a0{number(Z95 * change.se)})" if change.se else ""
    if not change.seen:
        return f"{NOT_SEEN}{error}"
    return f"{signed(MeanAndError(mean=change.mean, se=0.0), unit)}{error}"


def constraint_rows(answer: WhatIf) -> list[ComparedConstraint]:
    return [_constraint(name, answer, new) for name, new in answer.new.constraints.items()]


def figures(rows: Sequence[ComparedConstraint], ids: Collection[str]) -> dict[str, dict[str, str | bool]]:
    """What the page shows beside the rules of these ids: a swap for each would take a second where there are 150."""
    return {
        row.id: {"was": row.base, "now": row.new, "price": row.price or "nothing", "moved": row.moved}
        for row in rows
        if row.id in ids
    }


def _constraint(name: str, answer: WhatIf, new: ConstraintAnswer) -> ComparedConstraint:
    base = answer.base.constraints.get(name)
    before, after = "not there" if base is None else achieved(base), achieved(new)
    binding = "" if base is None else base.binding or ""
    moved = base is None or before != after or base.binding != new.binding or (base.min, base.max) != (new.min, new.max)
    return ComparedConstraint(
        id=name,
        name=new.label or name,
        bounds=bounds(new),
        base=before,
        new=after,
        binding=_limits(binding, new.binding or ""),
        price=price(new, answer.unit),
        moved=moved,
    )


def _limits(before: str, after: str) -> str:
    """At which limit it is, and was."""
    words = {"min": "at its minimum", "max": "at its maximum", "": "has room"}
    return words[after] if before == after else f"{words[after]} (was {words[before].removeprefix('has ')})"


def achieved(known: Known) -> str:
    if known.achieved is None:
        return "nothing in scope"
    kind = kind_named(known.kind)
    return kind.amount(known.achieved)


def bounds(known: Known) -> str:
    kind = kind_named(known.kind)
    sides = (("at least", known.min), ("at most", known.max))
    return ", ".join(f"{word} {kind.amount(bound, asked=True)}" for word, bound in sides if bound is not None)


def price(known: Known, unit: str) -> str:
    """What one unit more of the bound is worth."""
    if not known.price:
        return ""
    if kind_named(known.kind).is_part:
        return f"{with_unit(known.price / 100, unit)} a point"
    return with_unit(known.price, unit)


def edit_value(edit: EditAnswer, unit: str) -> str:
    """What one edit is worth."""
    return in_words(MeanAndError(mean=edit.value, se=edit.value_se), unit)


def figure_change(figure: ScenarioFigure) -> str:
    """By how much a scenario differs from the run's policy."""
    return in_words(MeanAndError(mean=figure.difference, se=figure.difference_se), "")


def tidy(bound: Amount) -> Amount:
    """A bound that a search found, in no more digits than matter: five."""
    if isinstance(bound, str):
        return f"{_rounded(float(bound.rstrip(' %'))):.10g}%"
    return bound if isinstance(bound, int) else _rounded(bound)


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


def change_of(point: Point) -> str:
    """The change that leads to a point of a trade-off, as RULE.FIELD=VALUE."""
    return "; ".join(
        f"{rule}.{name}={value}" for rule, fields in point.change.items() for name, value in fields.items()
    )


def matrix(cells: Sequence[Cell]) -> list[MatrixPart]:
    """All listeners first, then each segment value in which a change is seen."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.segment, cell.segment_value), []).append(cell)
    return [
        _part(segment, value, inside)
        for (segment, value), inside in sorted(groups.items())
        if any(cell.contacts.seen for cell in inside)
    ]


def _part(segment: str, value: str, cells: Sequence[Cell]) -> MatrixPart:
    seen = [cell for cell in cells if cell.contacts.seen]
    surfaces = tuple(dict.fromkeys(cell.surface for cell in seen))
    known = {(cell.product, cell.surface): cell.contacts for cell in seen}
    products = dict.fromkeys(cell.product for cell in sorted(seen, key=lambda cell: -abs(cell.contacts.mean)))
    rows = tuple(
        (product, tuple(_contacts(known.get((product, surface))) for surface in surfaces)) for product in products
    )
    return MatrixPart("All listeners" if not segment else f"{segment} {value}", surfaces, rows)


def _contacts(found: MeanAndError | None) -> str:
    if found is None:
        return ""
    sign = "+" if found.mean > 0 else "\u2212"
    error = f" ± {number(round(Z95 * found.se))}" if round(Z95 * found.se) else ""
    return f"{sign}{number(round(abs(found.mean)))}{error}"
