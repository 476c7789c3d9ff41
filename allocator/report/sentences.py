"""What happened, a plain sentence each: the headline, every constraint with its unit, direction, worth and what is left."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from allocator.amounts import exact, interval, number, percent, percent_at_most, with_unit
from allocator.formats import Certificate, ConstraintRecord, ObjectiveTerm
from allocator.policy.kinds.base import Constraint, Level, Loosening, Side
from allocator.policy.kinds.known import kind_named
from allocator.report.records import PolicyValue
from ranker.normal import quantile

FINEST = 1e-7
MOST_NAMED = 25
NOTHING = 1e-6
"""Of what is achieved: room that nobody can use."""
TIMES_LOST = 10.0
"""What whole contacts lose, times this: steps that gain less are told as what they gain at most."""


@dataclass(frozen=True)
class WholeContacts:
    """Why whole contacts need not gain a price, which is of parts of contacts.

    lost: by how much the allocation is worth less than the best one in parts of contacts; each: what a contact is worth on average.
    """

    lost: float = 0.0
    each: float = 0.0

    @classmethod
    def of(cls, certificate: Certificate) -> "WholeContacts":
        most = certificate.bound if certificate.price_bound is None else certificate.price_bound
        lost = 0.0 if most is None else max(most - certificate.value, 0.0)
        return cls(lost, abs(certificate.value) / certificate.contacts if certificate.contacts else 0.0)

    def least(self, record: ConstraintRecord) -> float:
        """The shortest step of a bound that gains about its price: far more than what was lost, and, where it does not count
        contacts, what a contact is worth, since it has to make room for one."""
        counts = kind_named(record.kind).counts is not None
        return max(TIMES_LOST * self.lost, 0.0 if counts else self.each) / record.price if record.price else 0.0


def headline(certificate: Certificate, unit: str) -> str:
    """The one sentence that must be right: what is expected, and how surely."""
    worth = f"By the scores' estimates this allocation adds {with_unit(certificate.value, unit)}"
    if certificate.value_se is None:
        return f"{worth}; the scores do not say how surely."
    return f"{worth} ({interval(certificate.value, certificate.value_se)})."


def what_value_is(certificate: Certificate) -> str:
    """The one definition of value on the page: of what, over whom, against what, and whether discounts are taken off."""
    taken_off = [term.times for term in certificate.objective if term.times and term.weight < 0]
    discounts = f"{_listed(taken_off)} taken off" if taken_off else "with no discount or other cost taken off"
    summed = f"added up over all {certificate.contacts:,} contacts of the week"
    what = formula(certificate.objective) or "the objective"
    return f"Value is {what}, {summed}: what they bring beyond showing nothing, {discounts}."


def optimality(certificate: Certificate) -> str:
    """How far the optimiser may be from the best allocation by the same scores, and that this says nothing about the scores."""
    if certificate.bound is None or certificate.gap is None:
        return "How much better another allocation could be was not bounded."
    best = "the best possible" if certificate.gap <= 1e-12 else below_the_best(certificate.gap)
    return f"By the same estimates it is {best}; that is proven of the optimiser, and says nothing about the estimates."


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
    parts: list[str] = []
    for term in terms:
        sign = "\u2212 " if term.weight < 0 else "+ " if parts else ""
        factors = " \u00d7 ".join(name for name in (term.metric, term.times) if name)
        parts.append(f"{sign}{exact(abs(term.weight))} \u00d7 {factors}")
    return " ".join(parts)


def constraint(record: ConstraintRecord, value_unit: str, whole: WholeContacts, rule: Constraint | None = None) -> str:
    """A constraint in one paragraph: where it stands, whether it holds value back, and what room would be worth.

    value_unit: the unit of the objective; rule: how the policy puts it, where that is known. The worth per step is read off the
    price; for larger steps it is an upper limit, because every further step is worth the same or less.
    """
    stands = kind_named(record.kind).stands(level(record), rule)
    lead = f"{record.name}: {_opening(record)}{stands}{_estimated(record)}"
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
    return f"{lead} - {_binding(record)}. {worth(record, value_unit, whole)}{_holds(record, whole)}"


def _estimated(record: ConstraintRecord) -> str:
    """How surely a sum of estimates is what it is, or that its bounds leave room for that; counts need neither."""
    if record.se is None or record.achieved is None:
        return ""
    if record.certainty is None:
        return f", an estimate ({interval(record.achieved, record.se)})"
    sides: tuple[Side, ...] = ("min", "max")
    asked = [side for side in sides if getattr(record, side) is not None]
    counted = " and ".join(with_unit(_counted(record, side), unit_of(record)) for side in asked)
    return f", an estimate; {counted} with the margin for {percent(record.certainty, 0)} certainty"


def _counted(record: ConstraintRecord, side: Side) -> float:
    """What a bound is compared with: what is achieved, and the margin of a certainty on the side of the bound."""
    margin = 0.0 if record.certainty is None or record.se is None else quantile(record.certainty) * record.se
    return level(record).achieved + (margin if side == "max" else -margin)


def worth(record: ConstraintRecord, value_unit: str, whole: WholeContacts) -> str:
    """What one step of room is worth, about where its price was seen to hold so far, and at most what one percent of room is."""
    if record.price == 0:
        return "Loosening it alone would gain nothing."
    kind, side = kind_named(record.kind), _side(record)
    stands = _priced(record, whole)
    size, words = kind.step(stands, side)
    step = Loosening(record.price * size, stands.is_certified(side, size), stands.is_plain(size), whole.lost)
    sentence = f"{words} {kind.gain(step, lambda gained: with_unit(gained, value_unit))}"
    bound = stands.at(side)
    if not kind.told_by_percent or abs(bound) <= 100:
        return f"{sentence}."
    room = abs(bound) / 100
    floor = "a floor 1 % lower" if side == "min" else "1 % more room"
    most = with_unit(record.price * room + whole.lost, value_unit)
    return f"{sentence}; {floor} ({with_unit(room, unit_of(record))}) at most about {most}."


def _holds(record: ConstraintRecord, whole: WholeContacts) -> str:
    """How far the price was seen to hold, on the side to which the bound would be loosened, where a step gains it."""
    stands, side = _priced(record, whole), _side(record)
    kind = kind_named(record.kind)
    size, _ = kind.step(stands, side)
    if stands.reach is None or record.price == 0 or not (stands.is_certified(side, size) and stands.is_plain(size)):
        return ""
    return f" {kind.price_holds(stands, side, stands.reach)}"


def _priced(record: ConstraintRecord, whole: WholeContacts) -> Level:
    """Where the constraint stands, with the steps that whole contacts need."""
    return replace(level(record), least=whole.least(record))


def _side(record: ConstraintRecord) -> Side:
    """The side whose price it is."""
    return "min" if record.binding == "min" else "max"


def level(record: ConstraintRecord) -> Level:
    """Where the constraint stands."""
    return Level(record.achieved or 0.0, record.min, record.max, unit_of(record), _reach(record))


def _reach(record: ConstraintRecord) -> float | None:
    """The far end of the price's range, on the side to which the bound would be loosened."""
    if record.price_range is None:
        return None
    low, high = record.price_range
    return low if _side(record) == "min" else high


def worth_of_one_percent(record: ConstraintRecord) -> float:
    """What loosening the binding bound by one percent of itself is worth at its price, in the objective's unit."""
    bound = record.min if record.binding == "min" else record.max
    if record.binding is None or bound is None or record.strength.kind == "report_only":
        return 0.0
    return record.price * abs(bound) / 100


def violation(record: ConstraintRecord) -> float:
    """By how much a bound is missed, 0 where both hold; sums are judged to one part in a billion."""
    if is_empty(record):
        return 0.0
    achieved = level(record).achieved
    over = 0.0 if record.max is None else _counted(record, "max") - record.max
    under = 0.0 if record.min is None else record.min - _counted(record, "min")
    if kind_named(record.kind).is_rate and record.denominator is not None and record.denominator < 0:
        over, under = -over, -under  # the row, numerator - bound * denominator, is what a limit of a rate says
    missed = max(over, under, 0.0)
    scale = max(abs(achieved), abs(record.max or 0.0), abs(record.min or 0.0))
    return missed if missed > 1e-9 * scale else 0.0


def is_turned(record: ConstraintRecord) -> bool:
    """Whether a rate divides by less than zero and holds there, although the quotient looks as if it did not."""
    if not kind_named(record.kind).is_rate or record.denominator is None or record.denominator >= 0 or is_empty(record):
        return False
    achieved = level(record).achieved
    above = record.max is not None and achieved > record.max
    below = record.min is not None and achieved < record.min
    return (above or below) and violation(record) == 0


def unit_of(record: ConstraintRecord) -> str:
    """The words behind an amount of this constraint."""
    return kind_named(record.kind).words_of(record.unit or "")


def amount(record: ConstraintRecord, value: float | None, *, asked: bool = False) -> str:
    """An amount of this constraint without its unit; asked: a bound, shown with every digit it was given."""
    if value is None:
        return "none"
    return kind_named(record.kind).amount(value, asked=asked)


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
    verb = "holds" if len(costly) == 1 else "hold"
    held = f"{len(costly)} of {len(enforced)} enforced constraints {verb} the value back: {_listed(names)}"
    return f"{held}. Loosening any other changes nothing."


def model_against_best_fixed(value: PolicyValue, unit: str) -> str:
    """Whether the learned policy earns its place, in words that respect the interval. unit: of the outcome judged on."""
    difference = value.difference_to_best_fixed
    if difference is None:
        return ""
    judged = "the objective" if value.outcome == "objective" else value.outcome
    found = difference.interval
    if found is None:
        return f"There is not enough data to judge the learned policy on {judged}."
    per_user = f"per user (95 % interval {number(found.low)} to {number(found.high)})"
    if found.low > 0:
        verdict = f"beats the best fixed action by {with_unit(found.value, unit)} {per_user}"
    elif found.high < 0:
        verdict = f"is worse than the best fixed action by {with_unit(-found.value, unit)} {per_user}"
    else:
        verdict = f"cannot be told apart from the best fixed action: {with_unit(found.value, unit)} {per_user}"
    return f"On held-out users, judged on {judged}, the learned policy {verdict}."


def _plain(amount: str) -> str:
    """Without the zeros that tell nothing: 80.00 and 80 are read as the same."""
    return amount.rstrip("0").rstrip(".") if "." in amount else amount


def _opening(record: ConstraintRecord) -> str:
    return {"hard": "", "soft": "wanted, not required: ", "report_only": "measured, not enforced: "}[
        record.strength.kind
    ]


def _binding(record: ConstraintRecord) -> str:
    """Binding, at which of two bounds, and by how much the whole contacts of this allocation stay away from it."""
    where = ""
    if record.min is not None and record.max is not None:
        where = " at the floor" if record.binding == "min" else " at the limit"
    return f"binding{where}{_to_spare(record)}"


def _to_spare(record: ConstraintRecord) -> str:
    stands, side = level(record), _side(record)
    counted = _counted(record, side)
    spare = counted - stands.at(side) if side == "min" else stands.at(side) - counted
    seen = _plain(amount(record, counted)) != _plain(amount(record, stands.at(side)))
    return f", with {_distance(record, spare)} to spare" if spare > 0 and seen else ""


def left(record: ConstraintRecord) -> str:
    """How far each bound is away, in words that also fit a bound that is missed."""
    if is_turned(record):
        return "holds: divided by less than zero"
    return ", ".join(_rooms(record)) or "it has no bound"


def _rooms(record: ConstraintRecord) -> Iterator[str]:
    if record.min is not None:
        yield _room(record, _counted(record, "min") - record.min, "above the floor", "below the floor")
    if record.max is not None:
        yield _room(record, record.max - _counted(record, "max"), "left", "over the limit")


def _room(record: ConstraintRecord, room: float, inside: str, outside: str) -> str:
    if 0 <= room <= NOTHING * abs(level(record).achieved):
        return "at the floor" if inside == "above the floor" else "nothing left"
    return f"{_distance(record, abs(room))} {inside if room > 0 else outside}"


def _distance(record: ConstraintRecord, size: float) -> str:
    return kind_named(record.kind).distance(size, unit_of(record))


def _penalty(record: ConstraintRecord, missed: float, value_unit: str) -> str:
    """The cost of missing it: a rate's violation counts in its numerator, as the certificate's linear row does."""
    if record.strength.penalty is None:
        return ""
    scale = 1.0 if record.denominator is None else abs(record.denominator)
    each = "" if kind_named(record.kind).is_rate else f" ({with_unit(record.strength.penalty, value_unit)} each)"
    return f", which costs {with_unit(record.strength.penalty * missed * scale, value_unit)} of value{each}"


def _if_it_were_enforced(record: ConstraintRecord) -> str:
    missed = violation(record)
    if record.min is None and record.max is None:
        return "it has no bound"
    return f"outside its bound by {_distance(record, missed)}" if missed else f"within its bound: {left(record)}"


def is_empty(record: ConstraintRecord) -> bool:
    return record.achieved is None or (kind_named(record.kind).is_rate and record.denominator == 0)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
