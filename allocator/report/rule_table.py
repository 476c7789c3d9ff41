"""Every rule of the policy in one table: what it says, its scope, bounds and days as written, and what came of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from allocator.amounts import exact, exact_percent, number, one, percent, with_unit
from allocator.formats import Certificate, ConstraintRecord
from allocator.policy.doubts import ends_before_the_next_run
from allocator.policy.grammar import ContactRule, EligibilityRule, Fallback, PinnedRule, Policy, Share
from allocator.policy.kinds.base import SIDES, Comparing, Constraint, Side
from allocator.policy.kinds.known import kind_named
from allocator.policy.words import Bound, Rule, people
from allocator.report.policy_used import PolicyUsed, spelled
from allocator.report.rules import contact_words, never_words
from allocator.report.sentences import amount, is_empty, unit_of, violation
from ranker.catalogue import Interference

SCOPE = ("where", "of", "per", "metric", "times", "forbid", "requires", "action", "each", "users", "share", "salt")
"""Fields that say what a rule is about, in the order in which people read them."""
SIDE_WORDS: Mapping[Side, str] = {"min": "at least", "max": "at most"}
STRENGTHS = {"hard": "", "soft": "wanted, not required", "report_only": "measured only"}
MOST_PARTS = 24
"""Of a rule with `each`: rows that are shown; those that bind go first."""
OFF, ENDS = "off", "ends"


@dataclass(frozen=True)
class BoundLine:
    """A bound: at least or at most, as written, and as used where that is said in other words."""

    side: str
    written: str
    used: str = ""


@dataclass(frozen=True)
class OutcomeLine:
    """What came of a constraint, or of one value of its `each`. state: binding, broken, missed or empty text."""

    name: str
    bounds: tuple[BoundLine, ...]
    achieved: str
    price: str
    state: str


@dataclass(frozen=True)
class RuleLine:
    """A rule as the page shows it. scope, days: as written. standing: off, ends or nothing, told in `days_words`."""

    id: str
    name: str
    kind: str
    says: str
    scope: tuple[tuple[str, str], ...] = ()
    bounds: tuple[BoundLine, ...] = ()
    unit: str = ""
    days: tuple[str, ...] = ()
    standing: str = ""
    days_words: str = ""
    outcome: OutcomeLine | None = None
    parts: tuple[OutcomeLine, ...] = ()
    more_parts: int = 0
    certainty: str = ""
    strength: str = ""
    owner: str = ""
    reason: str = ""

    @property
    def costs(self) -> bool:
        """Whether it, or one of its rows, is at a bound or beyond it."""
        outcomes = self.parts if self.outcome is None else (self.outcome, *self.parts)
        return any(each.state for each in outcomes)


@dataclass(frozen=True)
class _Table:
    """What the lines are made from. records: those of a rule by its id."""

    used: PolicyUsed
    certificate: Certificate
    value_unit: str
    day: date | None
    interference: Interference | None
    records: Mapping[str, Sequence[ConstraintRecord]] = field(default_factory=dict)


def rule_lines(
    used: PolicyUsed, certificate: Certificate, value_unit: str, day: date | None, known: Interference | None
) -> list[RuleLine]:
    """Constraints first, then what one user may get, then who gets nothing and who gets something random."""
    records: dict[str, list[ConstraintRecord]] = {}
    for record in certificate.constraints:
        records.setdefault(record.id.partition("@")[0], []).append(record)
    table, given = _Table(used, certificate, value_unit, day, known, records), used.given
    rules: tuple[Rule, ...] = (*given.constraints, *given.contact, *given.eligibility, *given.pinned)
    lines = [_line(rule, table) for rule in rules]
    return [*lines, *_fallback(given.fallback, certificate), *_drawn(given)]


def matter_most(lines: Sequence[RuleLine], most: int) -> list[RuleLine]:
    """At most so many, in their order: first to stay are those that bind or are missed, then those whose days are told."""
    ranked = sorted(range(len(lines)), key=lambda place: (not lines[place].costs, not lines[place].standing, place))
    return [lines[place] for place in sorted(ranked[:most])]


def _line(rule: Rule, table: _Table) -> RuleLine:
    written = table.used.written.get(rule.id, {})
    standing, days_words = _standing(rule, table.day)
    outcomes = [_outcome(record, rule, written, table) for record in table.records.get(rule.id, ())]
    outcomes = sorted(outcomes, key=lambda each: not each.state) if _is_split(rule) else outcomes
    return RuleLine(
        id=rule.id,
        name=rule.name,
        kind=_sort(rule),
        says=_says(rule, table.interference),
        scope=tuple(_scope(written)),
        bounds=outcomes[0].bounds if outcomes and not _is_split(rule) else tuple(_bounds(rule, written)),
        unit=_unit(rule, table),
        days=tuple(f"{key}: {spelled(written[key])}" for key in ("valid_from", "valid_to") if written.get(key)),
        standing=standing,
        days_words=days_words,
        outcome=outcomes[0] if outcomes and not _is_split(rule) else None,
        parts=tuple(outcomes[:MOST_PARTS]) if _is_split(rule) else (),
        more_parts=max(len(outcomes) - MOST_PARTS, 0) if _is_split(rule) else 0,
        certainty=_certainty(rule),
        strength=_strength(rule),
        owner=rule.owner or "",
        reason=rule.reason or "",
    )


def _sort(rule: Rule) -> str:
    if isinstance(rule, Constraint):
        return rule.kind
    if isinstance(rule, ContactRule):
        return "contact rule"
    return "eligibility rule" if isinstance(rule, EligibilityRule) else "pinned contact"


def _is_split(rule: Rule) -> bool:
    return isinstance(rule, Constraint) and rule.each is not None


def _says(rule: Rule, known: Interference | None) -> str:
    if isinstance(rule, Constraint):
        asked = " and ".join(_asked(rule, side) for side in SIDES if getattr(rule, side) is not None)
        words = rule.about if not asked else f"{rule.about}: {asked}"
        words += "" if rule.each is None else f", for each {rule.each.replace('_', ' ')} on its own"
    elif isinstance(rule, ContactRule):
        words = contact_words(rule, known)
    elif isinstance(rule, EligibilityRule):
        words = never_words(rule)
    elif isinstance(rule, PinnedRule):
        words = f"{people(rule.users)} get {rule.action} wherever they may"
    else:
        words = rule.id
    return f"{words[:1].upper()}{words[1:]}."


def _asked(rule: Constraint, side: Side) -> str:
    """at most as many as 20 % of all users"""
    bound: Bound = getattr(rule, side)
    if rule.percent_is_fraction:
        part = bound.amount / 100 if bound.percent else bound.amount
        return f"{SIDE_WORDS[side]} {exact_percent(part)}{_of_whom(rule)}"
    if bound.percent:
        many = "" if rule.counts == "users" else "as many as "
        return f"{SIDE_WORDS[side]} {many}{exact(bound.amount)} % of {people(rule.users)}"
    return f"{SIDE_WORDS[side]} {exact(bound.amount)}"


def _of_whom(rule: Constraint) -> str:
    if not isinstance(rule, Comparing):
        return ""
    return " either way" if rule.compares == "contacts" else " of them"


def _scope(written: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The fields as they are spelled; what is empty says nothing."""
    for key in SCOPE:
        if written.get(key) not in (None, {}, "", []):
            yield key, spelled(written[key])


def _bounds(rule: Rule, written: Mapping[str, object]) -> Iterator[BoundLine]:
    """As written; that they are used as they stand."""
    for side in SIDES:
        if written.get(side) is not None:
            yield BoundLine(SIDE_WORDS[side], spelled(written[side]))


def _outcome(record: ConstraintRecord, rule: Rule, written: Mapping[str, object], table: _Table) -> OutcomeLine:
    return OutcomeLine(
        name=record.id.partition("@")[2],
        bounds=tuple(_used_bounds(record, rule, written)),
        achieved="nothing in scope" if is_empty(record) else amount(record, record.achieved),
        price=price_words(record, table.value_unit),
        state=_state(record),
    )


def _used_bounds(record: ConstraintRecord, rule: Rule, written: Mapping[str, object]) -> Iterator[BoundLine]:
    """5 %, and the 1,000 contacts that it comes to."""
    for side in SIDES:
        used = getattr(record, side)
        if used is None:
            continue
        said = "" if written.get(side) is None else spelled(written[side])
        words = amount(record, used, asked=True)
        is_same = words.replace(",", "").replace(" ", "") == said.replace(" ", "")
        yield BoundLine(SIDE_WORDS[side], said or words, "" if is_same or not said else words)


def _unit(rule: Rule, table: _Table) -> str:
    if isinstance(rule, ContactRule):
        return "contact of one user" if rule.max == 1 else "contacts of one user"
    records = table.records.get(rule.id, ())
    return unit_of(records[0]) if records else ""


def _state(record: ConstraintRecord) -> str:
    if record.strength.kind == "report_only" or is_empty(record):
        return ""
    if violation(record) > 0:
        return "missed" if record.strength.kind == "soft" else "broken"
    return "binding" if record.binding else ""


def price_words(record: ConstraintRecord, value_unit: str) -> str:
    """What a unit of its bound is worth; a share's by the percentage point."""
    if record.binding is None or record.price == 0:
        return ""
    kind = kind_named(record.kind)
    if kind.is_part:
        return f"{with_unit(record.price / 100, value_unit)} per percentage point"
    if kind.is_rate:
        return f"{with_unit(record.price, value_unit)} per 1 {unit_of(record)}"
    return f"{with_unit(record.price, value_unit)} per {one(unit_of(record)) or 'unit'}"


def _standing(rule: Rule, day: date | None) -> tuple[str, str]:
    if day is None:
        return "", ""
    if rule.valid_to is not None and rule.valid_to < day:
        return OFF, "expired: off this week"
    if rule.valid_from is not None and rule.valid_from > day:
        return OFF, "not begun: off this week"
    return (ENDS, "expires within the next run") if ends_before_the_next_run(rule, day) else ("", "")


def _certainty(rule: Rule) -> str:
    held = getattr(rule, "certainty", None)
    return "" if held is None else percent(held, 0)


def _strength(rule: Rule) -> str:
    if not isinstance(rule, Constraint):
        return ""
    words = STRENGTHS[rule.strength.kind]
    return words if rule.strength.penalty is None else f"{words}: {number(rule.strength.penalty)} of value a unit"


def _fallback(rule: Fallback | None, certificate: Certificate) -> Iterator[RuleLine]:
    if rule is None:
        return
    says = f"{people(rule.users)} to whom nothing else is given get {', else '.join(rule.action)}."
    scope = (("action", spelled(rule.action)), ("users", spelled(rule.users.to_json())))
    given = certificate.fallback
    came = None if given is None else OutcomeLine("", (), f"{given.contacts:,} contacts", "", "")
    yield RuleLine(
        "fallback",
        "Fallback",
        "fallback",
        says[:1].upper() + says[1:],
        scope[: 1 if rule.users.is_empty else 2],
        outcome=came,
    )


def _drawn(policy: Policy) -> Iterator[RuleLine]:
    """The groups that the salted hash draws."""
    groups: tuple[tuple[str, Share | None, str], ...] = (
        ("holdout", policy.holdout, "of all users get nothing, to compare with."),
        ("exploration", policy.exploration, "get one random contact or nothing, for the next model to learn from."),
    )
    for name, share, words in groups:
        if share is not None and share.share:
            part = exact_percent(share.share)
            scope = (("share", part.replace(" ", "")), ("salt", spelled(share.salt)))
            yield RuleLine(f"experiment.{name}", name.capitalize(), name, f"{part} {words}", scope)
