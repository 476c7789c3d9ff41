"""What is right as it stands and yet seldom meant: a forgotten `%`, a rule whose days are over or nearly so, one that cannot bind."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from allocator.policy.check import World
from allocator.policy.grammar import ContactRule, Policy
from allocator.policy.kinds.base import Constraint
from allocator.policy.off import off
from allocator.policy.tree import Fault
from allocator.policy.words import RULES, Filter, Rule

DAYS_TO_THE_NEXT_RUN = 7
Kind = Literal["percent_forgotten", "off", "ends", "cannot_bind"]


@dataclass(frozen=True)
class Doubt:
    """A doubt about one field of a rule. sentence: names the rule by itself."""

    kind: Kind
    rule: str
    fault: Fault
    sentence: str


@dataclass(frozen=True)
class Crowd:
    """Whom the policy is for: how many users a filter has, and what its words mean. world: None where no catalogue is at hand."""

    world: World | None = None
    users_in: Callable[[Filter], int] | None = None

    def users(self, words: Filter) -> int | None:
        return None if self.users_in is None else self.users_in(words)


def doubts(policy: Policy, day: date | None, crowd: Crowd) -> Iterator[Doubt]:
    """Every doubt about the rules on that day, in the order of the file; without a day, none about days."""
    yield from () if day is None else _off(policy, day)
    rules = policy.active(day)
    caps = () if crowd.world is None else tuple(_caps(rules, crowd.world))
    for rule in (rule for section in RULES for rule in getattr(rules, section)):
        yield from () if day is None else _ends(rule, day)
        if isinstance(rule, ContactRule):
            yield from _told("cannot_bind", rule, _idle_contact(rule, caps, crowd.world))
        if isinstance(rule, Constraint) and rule.strength.kind != "report_only":
            users = crowd.users(rule.users)
            yield from _told("percent_forgotten", rule, rule.doubts(users))
            yield from _told("cannot_bind", rule, rule.idle(_most_each(rule, caps, crowd.world), users))


@dataclass(frozen=True)
class _Cap:
    """A cap on all contacts of every user with some actions."""

    rule: ContactRule
    most: int
    actions: frozenset[int]


def _caps(policy: Policy, world: World) -> Iterator[_Cap]:
    for rule in policy.contact:
        plain = rule.each is None and rule.spoils is None and rule.listeners.is_empty
        if rule.max is not None and plain:
            yield _Cap(rule, rule.max, world.actions_in(rule.where))


def _told(kind: Kind, rule: Rule, faults: Iterator[Fault]) -> Iterator[Doubt]:
    for fault in faults:
        yield Doubt(kind, rule.id, fault, f"{'.'.join([rule.id, *map(str, fault.path)])}: {fault.message}")


def _off(policy: Policy, day: date) -> Iterator[Doubt]:
    rules = {rule.id: rule for section in RULES for rule in getattr(policy, section)}
    for name, sentence in off(policy, day):
        last = rules[name].valid_to
        key = "valid_to" if last is not None and last < day else "valid_from"
        yield Doubt("off", name, Fault((key,), f"the rule is off on {day}"), sentence)


def ends_before_the_next_run(rule: Rule, day: date) -> bool:
    """Of a rule that holds on that day."""
    return rule.valid_to is not None and rule.valid_to < day + timedelta(DAYS_TO_THE_NEXT_RUN)


def _ends(rule: Rule, day: date) -> Iterator[Doubt]:
    """Of a rule that holds on that day."""
    following = day + timedelta(DAYS_TO_THE_NEXT_RUN)
    if ends_before_the_next_run(rule, day):
        told = f"ends on {rule.valid_to}, before the next run ({following})"
        yield Doubt("ends", rule.id, Fault(("valid_to",), f"the rule {told}"), f"{rule.name} {told}")


def _idle_contact(rule: ContactRule, caps: Sequence[_Cap], world: World | None) -> Iterator[Fault]:
    """A cap that no user can come to: too few slots, or another cap that is tighter. Of two equal ones the later is idle."""
    if world is None or rule.max is None or any(each is not None for each in (rule.min, rule.days, rule.spoils)):
        return
    most, actions = _slots(world, rule.where, rule.each), world.actions_in(rule.where)
    if most <= rule.max:
        yield Fault(("max",), f"never limits anybody: the offers in scope are of {most} slot{'' if most == 1 else 's'}")
        return
    tighter = next(_tighter(rule, actions, caps), None)
    if tighter is not None:
        yield Fault(("max",), f"never limits anybody: {tighter.rule.name} allows at most {tighter.most} already")


def _tighter(rule: ContactRule, actions: frozenset[int], caps: Sequence[_Cap]) -> Iterator[_Cap]:
    """Caps that hold all actions of the rule to as little as it does; of two that are the same, the earlier one."""
    own = next((position for position, cap in enumerate(caps) if cap.rule is rule), None)
    for position, cap in enumerate(caps):
        is_same = own is not None and cap.actions == actions and cap.most == rule.max
        is_later = own is not None and position >= own
        if rule.max is not None and cap.most <= rule.max and actions <= cap.actions and not (is_same and is_later):
            yield cap


def _slots(world: World, where: Filter, each: str | None = None) -> int:
    """In how many slots one user may get a contact in scope; with `each`, at most over its values."""
    found: dict[object, set[object]] = {}
    for action in world.attributes_in(where):
        if each is None or action.get(each) is not None:
            found.setdefault(None if each is None else action[each], set()).add(action["slot"])
    return max(map(len, found.values()), default=0)


def _most_each(rule: Constraint, caps: Sequence[_Cap], world: World | None) -> int | None:
    """How many contacts in its scope one user can get at most; None where that is not known."""
    if world is None or not rule.filters:
        return None
    actions = world.actions_in(*rule.filters.values())
    slots = {world.catalogue.slots[position] for position in actions}
    return min([len(slots), *(cap.most for cap in caps if actions <= cap.actions)])
