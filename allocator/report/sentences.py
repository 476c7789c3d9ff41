"""What happened, a plain sentence each: the headline, every constraint with its unit, direction, worth and what is left."""

import math
from collections.abc import Sequence

from allocator.formats import Certificate, ConstraintRecord, ObjectiveTerm
from allocator.policy.grammar import Constraint, Filter
from allocator.report.amounts import exact, number, one, percent, percent_at_most, with_unit
from allocator.report.records import PolicyValue

RATES = ("share", "average", "ratio")
COUNTS = ("volume", "change", "churn")
FINEST = 1e-7
MOST_NAMED = 25


def headline(certificate: Certificate, unit: str) -> str:
    """The one sentence that must be right."""
    worth = f"This allocation is worth {with_unit(certificate.value, unit)}"
    return f"{worth}, {nearness(certificate)}."


def nearness(certificate: Certificate) -> str:
    """How far the value is from what no allocation can exceed, rounded so that the claim stays true."""
    if certificate.bound is None or certificate.gap is None:
        return "with no proven upper limit to compare with"
    return below_the_best(certificate.gap)


def below_the_best(gap: float) -> str:
    """A gap in words, in no finer steps than people care for."""
    if gap <= 1e-12:
        return "exactly the best possible"
    return f"at most {percent_at_most(max(gap, FINEST))} below the best possible"


def against_greedy(certificate: Certificate, unit: str) -> str:
    """What optimising was worth."""
    greedy = certificate.greedy
    if greedy is None:
        return "The greedy comparison was not computed in this run."
    gain = certificate.value - greedy.value
    relative = f" ({percent(abs(gain) / abs(greedy.value))})" if greedy.value else ""
    if not greedy.feasible:
        return (
            f"Picking the most valuable contacts first would give {with_unit(greedy.value, unit)} on paper, but it breaks "
            "at least one hard constraint, so that value cannot be had."
        )
    if gain < 0:
        return f"Picking the most valuable contacts first would be worth {with_unit(-gain, unit)}{relative} more."
    return f"That is {with_unit(gain, unit)}{relative} more than picking the most valuable contacts first."


def formula(terms: Sequence[ObjectiveTerm]) -> str:
    """An objective: '1 x revenue + 12 x subs - 25 x opt_out'."""
    parts = []
    for term in terms:
        sign = "\u2212 " if term.weight < 0 else "+ " if parts else ""
        factors = " \u00d7 ".join(name for name in (term.metric, term.times) if name)
        parts.append(f"{sign}{exact(abs(term.weight))} \u00d7 {factors}")
    return " ".join(parts)


def constraint(record: ConstraintRecord, value_unit: str, rule: Constraint | None = None) -> str:
    """A constraint in one paragraph: where it stands, whether it holds value back, and what room would be worth.

    value_unit: the unit of the objective; rule: how the policy puts it, where that is known. The worth per step is read off the
    price; for larger steps it is an upper limit, because every further step is worth the same or less.
    """
    lead = f"{record.name}: {_opening(record)}{_position(record, rule)}"
    if is_empty(record):
        return f"{record.name}: {_opening(record)}nothing is allocated in its scope, so it holds."
    if record.strength.kind == "report_only":
        return f"{lead} - {_if_it_were_enforced(record)}."
    if is_turned(record):
        below = f"the amount that it divides by is below zero ({number(record.denominator)})"
        return f"{lead} - it holds all the same: {below}, where the quotient says little."
    missed = violation(record)
    if missed > 0 and record.strength.kind == "soft":
        return f"{lead} - missed by {_distance(record, missed)}{_penalty(record, missed, value_unit)}."
    if missed > 0:
        return f"{lead} - broken by {_distance(record, missed)}. This allocation must not be published."
    if record.binding is None:
        return f"{lead} - not binding: {left(record)}; loosening it changes nothing."
    return f"{lead} - {_binding(record)}. {worth(record, value_unit)}{_holds(record)}"


def worth(record: ConstraintRecord, value_unit: str) -> str:
    """What one step of room is worth, and at most what one percent of room is."""
    if record.price == 0:
        return "Loosening it alone would gain nothing."
    size, words = step(record)
    sentence = f"{words} about {with_unit(record.price * size, value_unit)}"
    bound = record.min if record.binding == "min" else record.max
    if record.kind == "tier":
        return f"{sentence}."
    if record.kind in RATES or bound is None or abs(bound) <= 100:
        return f"{sentence}."
    room = abs(bound) / 100
    side = "a floor 1 % lower" if record.binding == "min" else "1 % more room"
    return f"{sentence}; {side} ({with_unit(room, unit_of(record))}) at most about {with_unit(record.price * room, value_unit)}."


def _holds(record: ConstraintRecord) -> str:
    """How far the price was seen to hold, on the side to which the bound would be loosened."""
    if record.price_range is None or record.price == 0:
        return ""
    low, high = record.price_range
    unit = unit_of(record)
    if record.kind == "tier":
        return f" That rate holds down to {with_unit(low, unit)}; below that, it is less." if low < record.min else ""
    if record.binding == "min":
        return f" Each is worth that down to {with_unit(low, unit)}; below that, less." if low < record.min else ""
    return f" Each is worth that up to {with_unit(high, unit)}; beyond that, less." if high > record.max else ""


def step(record: ConstraintRecord) -> tuple[float, str]:
    """A step that people think in, in the bound's own unit, and the words that open its sentence."""
    floor = record.binding == "min"
    bound = record.min if floor else record.max
    move = "Lowering the floor" if floor else "Raising the limit"
    if record.kind == "share":
        return 0.01, f"{move} by one percentage point would gain"
    if record.kind in RATES and bound:
        size = 10.0 ** (math.floor(math.log10(abs(bound))) - 1)
        return size, f"{move} by {exact(size)} (to {exact(bound - size if floor else bound + size)}) would gain"
    if record.kind == "tier":
        size = abs(record.min) / 100 or 1.0
        return size, f"Giving up another {with_unit(size, unit_of(record))} of it, 1 % of what must be left, would gain"
    if record.kind == "churn":
        return 1.0, f"Letting one more {one(unit_of(record))} change would be worth"
    if floor:
        return 1.0, f"Lowering the floor by one {one(unit_of(record))} would gain"
    return 1.0, f"One more {one(unit_of(record))} would be worth"


def worth_of_one_percent(record: ConstraintRecord) -> float:
    """The most that loosening the binding bound by one percent of itself can gain, in the objective's unit."""
    bound = record.min if record.binding == "min" else record.max
    if record.binding is None or bound is None or record.strength.kind == "report_only":
        return 0.0
    return record.price * abs(bound) / 100


def violation(record: ConstraintRecord) -> float:
    """By how much a bound is missed, 0 where both hold; sums are judged to one part in a billion."""
    if is_empty(record):
        return 0.0
    over = 0.0 if record.max is None else record.achieved - record.max
    under = 0.0 if record.min is None else record.min - record.achieved
    if record.kind in RATES and record.denominator is not None and record.denominator < 0:
        over, under = -over, -under  # the row, numerator - bound * denominator, is what a limit of a rate says
    missed = max(over, under, 0.0)
    scale = max(abs(record.achieved), abs(record.max or 0.0), abs(record.min or 0.0))
    return missed if missed > 1e-9 * scale else 0.0


def is_turned(record: ConstraintRecord) -> bool:
    """Whether a rate divides by less than zero and holds there, although the quotient looks as if it did not."""
    if record.kind not in RATES or record.denominator is None or record.denominator >= 0 or is_empty(record):
        return False
    looks = (record.max is not None and record.achieved > record.max) or (
        record.min is not None and record.achieved < record.min
    )
    return looks and violation(record) == 0


def unit_of(record: ConstraintRecord) -> str:
    """The words behind an amount of this constraint."""
    if record.kind == "share":
        return "of the contacts in scope"
    if record.unit:
        return record.unit
    return {"volume": "contacts", "change": "contacts", "churn": "users"}.get(record.kind, "")


def amount(record: ConstraintRecord, value: float | None, *, asked: bool = False) -> str:
    """An amount of this constraint without its unit; asked: a bound, shown with every digit it was given."""
    if value is None:
        return "none"
    if record.kind == "share":
        return f"{exact(round(100 * value, 7))} %" if asked else percent(value, 2)
    if asked and record.kind != "tier":
        return exact(value)
    if record.kind in COUNTS:
        return f"{value:,.0f}"
    return number(value)


def binding_summary(records: Sequence[ConstraintRecord]) -> str:
    """Which constraints hold the value back: the answer to 'why did my change do nothing?'."""
    enforced = [record for record in records if record.strength.kind != "report_only"]
    if not enforced:
        return "No constraint limits this allocation."
    costly = sorted((r for r in enforced if r.binding and r.price > 0), key=worth_of_one_percent, reverse=True)
    if not costly:
        return f"None of the {len(enforced)} enforced constraints holds the value back: loosening any of them changes nothing."
    names = [record.name for record in costly]
    if len(names) > MOST_NAMED:
        names = [*names[:MOST_NAMED], f"{len(names) - MOST_NAMED:,} others, each less"]
    names = _listed(names)
    verb = "holds" if len(costly) == 1 else "hold"
    return f"{len(costly)} of {len(enforced)} enforced constraints {verb} the value back: {names}. Loosening any other changes nothing."


def model_against_best_fixed(value: PolicyValue, unit: str) -> str:
    """Whether the learned policy earns its place, in words that respect the interval. unit: of the outcome judged on."""
    difference = value.difference_to_best_fixed
    if difference is None:
        return ""
    judged = "the objective" if value.outcome == "objective" else value.outcome
    if not difference.known:
        return f"There is not enough data to judge the learned policy on {judged}."
    interval = f"(95 % interval {number(difference.low)} to {number(difference.high)})"
    if difference.low > 0:
        verdict = f"beats the best fixed action by {with_unit(difference.value, unit)} per user {interval}"
    elif difference.high < 0:
        verdict = f"is worse than the best fixed action by {with_unit(-difference.value, unit)} per user {interval}"
    else:
        verdict = (
            f"cannot be told apart from the best fixed action: {with_unit(difference.value, unit)} per user {interval}"
        )
    return f"On held-out users, judged on {judged}, the learned policy {verdict}."


def _opening(record: ConstraintRecord) -> str:
    return {"hard": "", "soft": "wanted, not required: ", "report_only": "measured, not enforced: "}[
        record.strength.kind
    ]


def _position(record: ConstraintRecord, rule: Constraint | None) -> str:
    if record.kind == "churn":
        return _churn(record, rule)
    return _amounts(record) + (_either_way(rule) if record.kind == "change" else "")


def _churn(record: ConstraintRecord, rule: Constraint | None) -> str:
    """30 % of all users (6,000) may get something else than before; 5,987 do."""
    most = f"{amount(record, record.max, asked=True)} {unit_of(record)}"
    if rule is not None:
        most = f"{_part(rule)} of {people(rule.users)} ({amount(record, record.max, asked=True)})"
    return f"at most {most} may get something else than before; {amount(record, record.achieved)} do"


def _either_way(rule: Constraint | None) -> str:
    return ", near what was there before" if rule is None else f", {_part(rule)} either way of what was there before"


def _part(rule: Constraint) -> str:
    return f"{exact(round(100 * rule.max.amount, 7))} %"


def _amounts(record: ConstraintRecord) -> str:
    achieved, unit = amount(record, record.achieved), unit_of(record)
    low, high = amount(record, record.min, asked=True), amount(record, record.max, asked=True)
    whole = f"{achieved} {unit}".strip()
    if record.min is None and record.max is None:
        return whole
    if record.min is None and record.kind not in RATES:
        return f"{achieved} of at most {high} {unit} used".replace("  ", " ")
    if record.min is None:
        return f"{whole}, at most {high} allowed"
    if record.max is None:
        return f"{whole}, at least {low} asked for"
    return f"{whole}, between {low} and {high} allowed"


def _binding(record: ConstraintRecord) -> str:
    if record.min is None or record.max is None:
        return "binding"
    return "binding at the floor" if record.binding == "min" else "binding at the limit"


def left(record: ConstraintRecord) -> str:
    """How far each bound is away, in words that also fit a bound that is missed."""
    if is_turned(record):
        return "holds: divided by less than zero"
    parts = []
    if record.min is not None:
        parts.append(_room(record, record.achieved - record.min, "above the floor", "below the floor"))
    if record.max is not None:
        parts.append(_room(record, record.max - record.achieved, "left", "over the limit"))
    return ", ".join(parts) or "it has no bound"


def _room(record: ConstraintRecord, room: float, inside: str, outside: str) -> str:
    if room == 0:
        return "at the floor" if inside == "above the floor" else "nothing left"
    return f"{_distance(record, abs(room))} {inside if room > 0 else outside}"


def _distance(record: ConstraintRecord, size: float) -> str:
    if record.kind == "share":
        return f"{number(round(100 * size, 4))} percentage points"
    if record.kind in COUNTS:
        return f"{size:,.0f} {one(unit_of(record)) if size == 1 else unit_of(record)}"
    return with_unit(size, unit_of(record))


def _penalty(record: ConstraintRecord, missed: float, value_unit: str) -> str:
    """The cost of missing it: a rate's violation counts in its numerator, as the certificate's linear row does."""
    if record.strength.penalty is None:
        return ""
    scale = 1.0 if record.denominator is None else abs(record.denominator)
    each = "" if record.kind in RATES else f" ({with_unit(record.strength.penalty, value_unit)} each)"
    return f", which costs {with_unit(record.strength.penalty * missed * scale, value_unit)} of value{each}"


def _if_it_were_enforced(record: ConstraintRecord) -> str:
    missed = violation(record)
    if record.min is None and record.max is None:
        return "it has no bound"
    return f"outside its bound by {_distance(record, missed)}" if missed else f"within its bound: {left(record)}"


def is_empty(record: ConstraintRecord) -> bool:
    return record.achieved is None or (record.kind in RATES and record.denominator == 0)


def people(users: Filter) -> str:
    """Whom a filter names: 'all users', 'users with market SE or NO'."""
    return "all users" if users.is_empty else f"users with {filter_words(users)}"


def filter_words(words: Filter) -> str:
    """A filter as people say it: 'surface push or email, but not message trial'."""
    held = " and ".join(
        f"{key.replace('_', ' ')} {' or '.join(str(value) for value in values)}" for key, values in words.keys
    )
    if words.negated is None:
        return held
    return f"{held}, but not {filter_words(words.negated)}" if held else f"anything but {filter_words(words.negated)}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
