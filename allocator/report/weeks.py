"""Last week beside this week: figure by figure, with what the errors of the figures let be told, in words.

What is counted, such as contacts, has no error. A sum of estimates has a standard error in each week; the two are taken as independent,
which claims less where the weeks share a model. The optimiser leaves open its gap, of the week where that is larger.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from allocator.amounts import number, one, percent, told_apart, with_unit
from allocator.formats import Certificate, ConstraintRecord, MetricTotal, SaidOfConstraint, SaidOfTotal
from allocator.policy.differences import differences
from allocator.policy.grammar import Policy
from allocator.policy.kinds.known import kind_named
from allocator.report.last_week import LastWeek
from ranker.normal import Z95

UNTOLD = "no difference that can be told"
NOT_JUDGED = "not judged: the scores do not say how sure it is"
NOT_TOLD = "last week does not tell it"
GONE = "(not in a catalogue)"
OBJECTIVES_DIFFER = "not compared: the objectives differ"
MINUS = "\u2212"
MOST_SENTENCES = 8
MOST_EDITS = 20
MOST_OFFERS = 40


@dataclass(frozen=True)
class WeekFigure:
    """A figure of one week. se: its standard error, None where it is an estimate whose error is not known; left_open: by the optimiser."""

    value: float
    se: float | None = 0.0
    left_open: float = 0.0


@dataclass(frozen=True)
class WeekChange:
    """From one week to the next. error: what the difference must exceed to be told, None where that is not known."""

    before: WeekFigure
    now: WeekFigure

    @property
    def difference(self) -> float:
        return self.now.value - self.before.value

    @property
    def error(self) -> float | None:
        if self.before.se is None or self.now.se is None:
            return None
        return Z95 * math.hypot(self.before.se, self.now.se) + max(self.before.left_open, self.now.left_open)

    @property
    def is_told(self) -> bool:
        return self.error is not None and abs(self.difference) > self.error

    @property
    def relative(self) -> float | None:
        """Of last week's; None where that is nothing, or of another sign, where a percentage says nothing."""
        if self.before.value == 0 or self.before.value * self.now.value < 0:
            return None
        return self.difference / abs(self.before.value)


@dataclass(frozen=True)
class FigureWords:
    """How a figure is written. amount: without its unit; distance: a size with it; is_count: more and fewer, not more and less."""

    amount: Callable[[float], str]
    distance: Callable[[float], str]
    is_count: bool = False


@dataclass(frozen=True)
class WeekRow:
    """A figure of both weeks. sentence: empty where no difference can be told; is_moved: whether its bounds are others now."""

    name: str
    unit: str
    before: str
    now: str
    difference: str = ""
    percent: str = ""
    verdict: str = ""
    sentence: str = ""
    is_moved: bool = False
    relative: float = 0.0

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """Other bounds first, then what can be told, then by how much it changed."""
        return not self.is_moved, not self.sentence, -abs(self.relative)


@dataclass(frozen=True)
class WeekCell:
    """Contacts of this week, and how many more or fewer than last week."""

    now: int
    before: int

    @property
    def difference(self) -> str:
        return "" if self.now == self.before else signed(self.now - self.before, lambda size: f"{size:,.0f}")

    def plus(self, other: "WeekCell") -> "WeekCell":
        return WeekCell(self.now + other.now, self.before + other.before)


@dataclass(frozen=True)
class PlacedRow:
    name: str
    cells: tuple[WeekCell, ...]
    total: WeekCell


@dataclass(frozen=True)
class Placed:
    """Contacts by offer and surface in both weeks; without columns, by offer alone. The last row adds up the others."""

    row_word: str
    columns: tuple[str, ...]
    rows: tuple[PlacedRow, ...]


@dataclass(frozen=True)
class Weeks:
    """All that is said of last week beside this week. sentences: the differences that can be told; edits: of the policy, in words."""

    lead: str
    sentences: tuple[str, ...] = ()
    figures: tuple[WeekRow, ...] = ()
    constraints: tuple[WeekRow, ...] = ()
    placed: Placed | None = None
    edits: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def signed(value: float, words: Callable[[float], str]) -> str:
    """+12 contacts; nothing is without a sign."""
    return f"{'+' if value > 0 else MINUS if value < 0 else ''}{words(abs(value))}"


def compared(name: str, unit: str, change: WeekChange, words: FigureWords) -> WeekRow:
    """Both weeks, the difference, and whether it is more than the figures' errors."""
    before, now = (words.amount(each.value) for each in (change.before, change.now))
    if before == now and not words.is_count and change.difference:
        before, now = told_apart([change.before.value, change.now.value])
    difference = signed(change.difference, words.distance)
    part = "" if change.relative is None else signed(change.relative, percent)
    row = WeekRow(name, unit, before, now, difference, part, _verdict(change, words), relative=change.relative or 0.0)
    if not change.is_told:
        return row
    share = f" ({part})" if part else ""
    sentence = f"{name}: {words.distance(abs(change.difference))} {_way(change, words)} than last week{share}."
    return replace(row, sentence=sentence)


def _verdict(change: WeekChange, words: FigureWords) -> str:
    if change.difference == 0:
        return "no change"
    if change.error is None:
        return NOT_JUDGED
    return _way(change, words) if change.is_told else UNTOLD


def _way(change: WeekChange, words: FigureWords) -> str:
    return "more" if change.difference > 0 else "fewer" if words.is_count else "less"


def counted(unit: str) -> FigureWords:
    """Of whole things."""
    return FigureWords(lambda value: f"{value:,.0f}", lambda size: _pieces(size, unit), is_count=True)


def _pieces(size: float, unit: str) -> str:
    return f"{size:,.0f} {one(unit) if size == 1 else unit}"


def summed(unit: str) -> FigureWords:
    """Of estimates."""
    return FigureWords(number, lambda size: with_unit(size, unit))


def figure_rows(last: LastWeek, certificate: Certificate, reached: int, value_unit: str) -> Iterator[WeekRow]:
    """Value, users, contacts, users reached and the total of every metric."""
    said = last.said
    if said is None:
        return
    yield _value_row(last, certificate, value_unit)
    counts: tuple[tuple[str, int | None, int, str], ...] = (
        ("Contacts", said.contacts, certificate.contacts, "contacts"),
        ("Users reached", said.reach, reached, "users"),
        ("Users in the scores", said.users, certificate.users, "users"),
    )
    for name, before, now, unit in counts:
        if before is None:
            yield WeekRow(name, "", "", f"{now:,}", verdict=NOT_TOLD)
        else:
            yield compared(name, "", WeekChange(WeekFigure(before), WeekFigure(now)), counted(unit))
    for name, metric in certificate.metrics.items():
        yield _metric_row(name, metric, (said.metrics or {}).get(name), said.gap or 0.0, certificate.gap or 0.0)


def _value_row(last: LastWeek, certificate: Certificate, unit: str) -> WeekRow:
    said, name = last.said, "Value promised"
    if said is None or said.value is None:
        return WeekRow(name, unit, "", number(certificate.value), verdict=NOT_TOLD)
    if said.objective != certificate.objective or (said.risk_z or 0.0) != certificate.risk_z:
        return WeekRow(name, unit, number(said.value), number(certificate.value), verdict=OBJECTIVES_DIFFER)
    before = WeekFigure(said.value, said.value_se, _left_open(said.value, said.gap))
    now = WeekFigure(certificate.value, certificate.value_se, _left_open(certificate.value, certificate.gap))
    return compared(name, unit, WeekChange(before, now), summed(unit))


def _left_open(value: float, gap: float | None) -> float:
    return max(gap or 0.0, 0.0) * abs(value)


def _metric_row(name: str, now: MetricTotal, before: SaidOfTotal | None, gap_before: float, gap_now: float) -> WeekRow:
    words = name.replace("_", " ").capitalize()
    if before is None or before.total is None:
        return WeekRow(words, now.unit, "", number(now.total), verdict=NOT_TOLD)
    if before.unit is not None and before.unit != now.unit:
        verdict = f"not compared: last week counted {before.unit}"
        return WeekRow(words, now.unit, number(before.total), number(now.total), verdict=verdict)
    change = WeekChange(
        WeekFigure(before.total, before.se, _left_open(before.total, gap_before)),
        WeekFigure(now.total, now.se, _left_open(now.total, gap_now)),
    )
    return compared(words, now.unit, change, summed(now.unit))


def constraint_rows_of(last: LastWeek, certificate: Certificate, policy: Policy | None) -> Iterator[WeekRow]:
    """Every constraint of either week: what was achieved and what was asked for."""
    before = {} if last.said is None or last.said.constraints is None else dict(last.said.named)
    if last.said is None or last.said.constraints is None:
        return
    for record in certificate.constraints:
        yield _constraint_row(record, before.pop(record.id, None), _is_sure(record, policy))
    for name, gone in before.items():
        yield WeekRow(_name_of(name, gone), "", _told(gone), "", verdict="not in this week's policy")


def _constraint_row(record: ConstraintRecord, before: SaidOfConstraint | None, is_sure: bool) -> WeekRow:
    kind = kind_named(record.kind)
    unit = kind.words_of(record.unit or "")
    now = _told(record)
    if before is None:
        return WeekRow(record.name, unit, "", now, verdict="new this week")
    if before.kind != record.kind or (before.unit or record.unit) != record.unit:
        return WeekRow(record.name, unit, "", now, verdict="not compared: another rule had this id")
    moved = _moved(record, before)
    if record.achieved is None or before.achieved is None:
        return WeekRow(
            record.name, unit, _told(before), now, verdict="nothing in scope", sentence=moved, is_moved=bool(moved)
        )
    sure = 0.0 if is_sure else None
    change = WeekChange(
        WeekFigure(before.achieved, sure if before.se is None else before.se),
        WeekFigure(record.achieved, sure if record.se is None else record.se),
    )
    words = FigureWords(kind.amount, lambda size: kind.distance(size, unit), kind.counts is not None)
    row = compared(record.name, unit, change, words)
    said = " ".join(each for each in (moved, row.sentence) if each)
    return replace(row, before=_told(before), now=now, sentence=said, is_moved=bool(moved))


def _is_sure(record: ConstraintRecord, policy: Policy | None) -> bool:
    """Whether it counts contacts, or sums attributes that are known, rather than estimates."""
    kind = kind_named(record.kind)
    if kind.counts is not None or kind.is_part:
        return True
    rule_id = record.id.partition("@")[0]
    rule = None if policy is None else next((each for each in policy.constraints if each.id == rule_id), None)
    return rule is not None and not rule.metrics


def _told(record: ConstraintRecord | SaidOfConstraint) -> str:
    """4,000 (at most 4,000)"""
    kind = kind_named(record.kind or "")
    achieved = "nothing in scope" if record.achieved is None else kind.amount(record.achieved)
    asked = _asked(record)
    return f"{achieved} ({asked})" if asked else achieved


def _asked(record: ConstraintRecord | SaidOfConstraint) -> str:
    kind = kind_named(record.kind or "")
    sides = (("at least", record.min), ("at most", record.max))
    return ", ".join(f"{word} {kind.amount(bound, asked=True)}" for word, bound in sides if bound is not None)


def _moved(record: ConstraintRecord, before: SaidOfConstraint) -> str:
    """That its bounds are others now: a percentage of other users is another number as well."""
    if (record.min, record.max) == (before.min, before.max):
        return ""
    unit = kind_named(record.kind).words_of(record.unit or "")
    return f"{record.name}: {_asked(record) or 'no bound'} {unit} this week, {_asked(before) or 'no bound'} last week."


def _name_of(name: str, record: SaidOfConstraint) -> str:
    return record.label or name.replace("_", " ").capitalize()


def placed(
    last: LastWeek, contacts: Mapping[str, int], actions: Sequence[Mapping[str, object]], row: str, column: str | None
) -> Placed | None:
    """Contacts by offer and surface in both weeks. contacts: of this week, by action id; row, column: attributes of actions."""
    if last.contacts is None:
        return None
    cells: dict[tuple[str, str], WeekCell] = {}
    for words, now, before in ((actions, contacts, {}), (last.actions, {}, last.contacts)):
        by_id = {str(action["id"]): action for action in words}
        for action_id in {**now, **before}:
            place = _place(by_id.get(action_id), row, column)
            more = WeekCell(now.get(action_id, 0), before.get(action_id, 0))
            cells[place] = cells.get(place, WeekCell(0, 0)).plus(more)
    names = list(dict.fromkeys(each for each, _ in cells))
    columns = [] if column is None else list(dict.fromkeys(each for _, each in cells))
    rows = [_placed_row(name, [cells.get((name, each), WeekCell(0, 0)) for each in columns or [""]]) for name in names]
    rows = sorted((each for each in rows if each.total != WeekCell(0, 0)), key=lambda each: -each.total.now)
    if not rows:
        return None
    if len(rows) > MOST_OFFERS:
        fewer = rows[MOST_OFFERS - 1 :]
        others = [_sum(each.cells[place] for each in fewer) for place in range(len(columns or [""]))]
        rows = [*rows[: MOST_OFFERS - 1], _placed_row(f"{len(fewer)} others", others)]
    sums = [_sum(each.cells[place] for each in rows) for place in range(len(columns or [""]))]
    return Placed(row, tuple(columns), (*rows, _placed_row("All", sums)))


def _place(action: Mapping[str, object] | None, row: str, column: str | None) -> tuple[str, str]:
    if action is None:
        return GONE, "" if column is None else GONE
    label = action.get("id" if row == "action" else row)
    beside = "" if column is None else action.get(column)
    return "(none)" if label is None else str(label), "(none)" if beside is None else str(beside)


def _placed_row(name: str, cells: Sequence[WeekCell]) -> PlacedRow:
    return PlacedRow(name, tuple(cells), _sum(cells))


def _sum(cells: Iterator[WeekCell] | Sequence[WeekCell]) -> WeekCell:
    total = WeekCell(0, 0)
    for each in cells:
        total = total.plus(each)
    return total


def edits_since(last: LastWeek, policy: Policy | None) -> Iterator[str]:
    """What differs between the policies of both weeks, in sentences."""
    if last.policy is None or policy is None:
        return
    told = differences(last.policy, policy)
    yield from (edit.sentence for edit in told[:MOST_EDITS])
    if len(told) > MOST_EDITS:
        yield f"{len(told) - MOST_EDITS} further edits."


def beside(
    last: LastWeek | None,
    certificate: Certificate,
    policy: Policy | None,
    placements: Placed | None,
    reached: int,
    value_unit: str,
) -> Weeks:
    """Everything that the page says of last week. placements: contacts of both weeks; reached: users, this week."""
    if last is None:
        return Weeks("This run knows of no allocation before it, so nothing is set beside this week.")
    if last.said is None:
        return Weeks("Nothing can be set beside this week.", missing=last.missing)
    figures = tuple(figure_rows(last, certificate, reached, value_unit))
    constraints = tuple(sorted(constraint_rows_of(last, certificate, policy), key=lambda row: row.rank))
    names = {record.name for record in certificate.constraints if record.binding is not None}
    about = [row.sentence for row in constraints if row.sentence and (row.name in names or row.is_moved)]
    more = [f"{len(about) - MOST_SENTENCES} further constraints that bind, or have other bounds, are in the table."]
    return Weeks(
        lead=_lead(last),
        sentences=(*_of_figures(figures), *about[:MOST_SENTENCES], *(more if len(about) > MOST_SENTENCES else ())),
        figures=figures,
        constraints=constraints,
        placed=placements,
        edits=tuple(edits_since(last, policy)),
        missing=last.missing,
    )


def _of_figures(figures: Sequence[WeekRow]) -> Iterator[str]:
    """What can be told of value and totals; value is spoken of in any case, since everybody asks."""
    value = figures[0]
    if not value.sentence and value.before:
        both = f"{value.now} {value.unit} this week, {value.before} {value.unit} last week"
        yield f"{value.name}: {both}; {value.verdict}."
    yield from (row.sentence for row in figures if row.sentence)
    if untold := [row.name for row in figures[1:] if row.verdict == UNTOLD]:
        yield f"{UNTOLD.capitalize()} in: {', '.join(untold)}."


def _lead(last: LastWeek) -> str:
    day = None if last.said is None else last.said.as_of
    when = "" if day is None else f", of the week of {day}"
    return (
        f"Last week is the allocation {last.name}{when}. A difference is told where it is more than the 95 % error of both weeks' "
        "figures and what the optimiser leaves open. Numbers of contacts and users are counted and have no error."
    )
