"""A policy against the catalogue and the segments it is meant for: every word must exist, every rule must be able to bite.

Each check takes a record whose fields may be None where the file's value was already refused, and skips those.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from allocator.policy.grammar import ContactRule, EligibilityRule, Fallback, PinnedRule, Share, Tier
from allocator.policy.kinds.base import Constraint
from allocator.policy.suggest import Vocabulary, hint
from allocator.policy.tree import Fault, scalar
from allocator.policy.words import Filter, Rule, composed, percent_meant, shown
from ranker.catalogue import MOST_SEGMENT_VALUES, Catalogue


class Known(Vocabulary):
    """The values of an attribute or a segment, each once."""

    @cached_property
    def texts(self) -> Mapping[tuple[bool, object], str]:
        """Those that are text, by what they would mean without quotes."""
        return {_key(_unquoted(each)): each for each in sorted(e for e in self.words if isinstance(e, str))[::-1]}

    @cached_property
    def others(self) -> Mapping[tuple[bool, object], object]:
        """Those that are none."""
        return {_key(each): each for each in self.words if not isinstance(each, str)}


@dataclass(frozen=True)
class World:
    """What a policy may speak of: actions with their attributes, metrics, and the users' segments with their values.

    segments: None where no users are at hand. A catalogue without metrics is not yet that of scores, and says nothing of them.
    """

    catalogue: Catalogue
    segments: Mapping[str, frozenset[str]] | None

    @property
    def is_of_scores(self) -> bool:
        return bool(self.catalogue.metrics)

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        return tuple(metric.name for metric in self.catalogue.metrics)

    @cached_property
    def ids(self) -> frozenset[str]:
        """Of the actions."""
        return frozenset(self.catalogue.ids)

    @cached_property
    def attributes(self) -> Mapping[str, Mapping[tuple[bool, object], frozenset[int]]]:
        """Attribute -> (whether it is true or false, value) -> which actions have it: rules times actions would take minutes."""
        found: dict[str, dict[tuple[bool, object], set[int]]] = {}
        for position, action in enumerate(self.catalogue.actions):
            for name, value in action.items():
                if value is not None:
                    found.setdefault(name, {}).setdefault(_key(value), set()).add(position)
        return {name: {key: frozenset(where) for key, where in each.items()} for name, each in found.items()}

    @cached_property
    def known(self) -> Mapping[str, Known]:
        """What an attribute is over the actions that have it, each value once."""
        return {name: Known(tuple(value for _, value in each)) for name, each in self.attributes.items()}

    @cached_property
    def known_of_users(self) -> Mapping[str, Known]:
        """What a segment is over the users."""
        return {name: Known(tuple(values)) for name, values in (self.segments or {}).items()}

    @cached_property
    def segment_names(self) -> frozenset[str] | None:
        """None where nothing is known of segments."""
        if self.segments is not None:
            return frozenset(self.segments)
        return frozenset(self.catalogue.segments) if self.is_of_scores else None

    def having(self, attribute: str, value: object) -> frozenset[int]:
        """The actions that have this value."""
        return self.attributes.get(attribute, {}).get(_key(value), frozenset())

    @cached_property
    def texts(self) -> Mapping[str, frozenset[int]]:
        """The attributes that are text on at least one action, and on which."""
        return self._with_type(str)

    @cached_property
    def numbers(self) -> Mapping[str, frozenset[int]]:
        """The attributes that are numbers on at least one action, and on which."""
        return self._with_type(float)

    def _with_type(self, kind: type) -> Mapping[str, frozenset[int]]:
        found = {
            name: frozenset().union(*(where for (_, value), where in each.items() if _is(value, kind)))
            for name, each in self.attributes.items()
        }
        return {name: where for name, where in found.items() if where}

    @cached_property
    def _spellings(self) -> Mapping[str, tuple[str, ...]]:
        """Words of the scores that are not plain ASCII, by their composed form."""
        segments = self.segments or {}
        texts = {str(each) for words in (self.metrics, self.ids, self.attributes, segments) for each in words}
        texts |= {value for each in self.attributes.values() for _, value in each if isinstance(value, str)}
        texts |= {value for values in segments.values() for value in values}
        found: dict[str, list[str]] = {}
        for text in sorted(text for text in texts if not text.isascii()):
            found.setdefault(composed(text), []).append(text)
        return {name: tuple(texts) for name, texts in found.items()}

    def spelled(self, word: str) -> tuple[str, ...]:
        """The word in every way that the scores spell it, whichever Unicode form it has; as it is where they do not have it."""
        return (word,) if word.isascii() else self._spellings.get(composed(word), (word,))

    @cached_property
    def _everything(self) -> frozenset[int]:
        return frozenset(range(len(self.catalogue.actions)))

    def attributes_in(self, *filters: Filter | None) -> list[Mapping[str, object]]:
        """The actions that pass all of these filters, in catalogue order."""
        return [self.catalogue.actions[position] for position in sorted(self.actions_in(*filters))]

    def actions_in(self, *filters: Filter | None) -> frozenset[int]:
        """Which actions pass all of the filters."""
        left = self._everything
        for words in filters:
            for name, values in () if words is None else words.keys:
                left &= frozenset().union(*(self.having(name, value) for value in values))
            if words is not None and words.negated is not None:
                left -= self.actions_in(words.negated)
        return left


def _key(value: object) -> tuple[bool, object]:
    """1 and 1.0 are one number, but true is no number: what `grammar.equal` takes for equal has the same key."""
    return isinstance(value, bool), value


def _is(value: object, kind: type) -> bool:
    if kind is str:
        return isinstance(value, str)
    return isinstance(value, int | float) and not isinstance(value, bool)


def measure(world: World, record: object, *scope: Filter | None) -> Iterator[Fault]:
    """The metric and the attribute of an objective's term, a constraint or what a ratio divides by."""
    metric, times = getattr(record, "metric", None), getattr(record, "times", None)
    if metric is not None and world.is_of_scores and metric not in world.metrics:
        yield Fault(("metric",), f"the scores have no metric '{metric}'{hint(metric, world.metrics)}")
    if times is not None:
        yield from _attribute(world, times, float, scope, "times")


def _attribute(world: World, name: str, kind: type, scope: Sequence[Filter | None], key: str) -> Iterator[Fault]:
    wanted, having = ("a number", world.numbers) if kind is float else ("text", world.texts)
    if name not in world.attributes:
        yield Fault((key,), f"no action has an attribute '{name}'{hint(name, having)}")
    elif name not in having:
        yield Fault((key,), f"the attribute '{name}' is not {wanted}{hint(name, having)}")
    else:
        actions = world.actions_in(*scope)
        if actions and not actions & having[name]:
            yield Fault((key,), f"no action in scope has the attribute '{name}' as {wanted}")


def actions(world: World, words: Filter | None, key: str) -> Iterator[Fault]:
    """A filter over actions: known attributes, values that some action has, and at least one action that passes."""
    if words is None:
        return
    faults = list(_action_words(world, words))
    if not faults and not world.actions_in(words):
        faults = [Fault((), "no action passes all of these keys together")]
    yield from (fault.under(key) for fault in faults)


def _action_words(world: World, words: Filter) -> Iterator[Fault]:
    for key, values in words.keys:
        if key not in world.attributes:
            yield Fault((key,), f"no action has an attribute '{key}'{hint(key, world.attributes)}")
            continue
        for value in values:
            if not world.having(key, value):
                known = world.known[key]
                told = _as_other_type(value, known, "the attribute") or known.hint(value)
                yield Fault((key,), f"no action has {key} {shown(value)}{told}")
    if words.negated is not None:
        yield from (fault.under("not") for fault in _action_words(world, words.negated))


def users(world: World, words: Filter | None, key: str = "users") -> Iterator[Fault]:
    """A filter over users: known segments and values that some user has."""
    if words is None:
        return
    for name, values in words.keys:
        if world.segment_names is not None and name not in world.segment_names:
            yield Fault((key, name), _no_segment(world, name, world.segment_names))
        known = None if world.segments is None else world.segments.get(name)
        if known is None:
            continue
        for value in values:
            if value not in known:
                of_users = world.known_of_users[name]
                told = _as_other_type(value, of_users, "a segment") or of_users.hint(value)
                yield Fault((key, name), f"no user has {name} {shown(value)}{told}")
    if words.negated is not None:
        yield from (fault.under(key) for fault in users(world, words.negated, "not"))


def _no_segment(world: World, name: str, known: Collection[str]) -> str:
    if name in world.catalogue.segments:
        return f"'{name}' has more than {MOST_SEGMENT_VALUES:,} different values, or one for nearly every user; group them first"
    ending = hint(name, known) if known else "; the scores have no segments"
    return f"there is no segment '{name}'{ending}"


def _as_other_type(value: object, known: Known, what: str) -> str | None:
    """Where the same is known as text, or as a number: that quotes were forgotten, or are too many."""
    if isinstance(value, str):
        found = known.others.get(_key(_unquoted(value)))
        return None if found is None else f"; {what} is {_kind(found)} here, write {shown(found)} without quotes"
    text = known.texts.get(_key(value))
    return None if text is None else f"; {what} is text here, write '{text}' in quotes"


def _unquoted(text: str) -> object:
    """What a file that has the text without quotes means."""
    try:
        return scalar(text)
    except ValueError:
        return text


def _kind(value: object) -> str:
    return "true or false" if isinstance(value, bool) else "a number"


def eligibility(world: World, rule: EligibilityRule) -> Iterator[Fault]:
    yield from actions(world, rule.forbid, "forbid")
    yield from users(world, rule.users)


def contact(world: World, rule: ContactRule) -> Iterator[Fault]:
    yield from actions(world, rule.where, "where")
    if rule.each is not None:
        yield from _attribute(world, rule.each, str, (rule.where,), "each")
    if rule.spoils is not None and world.is_of_scores and world.catalogue.interference is None:
        told = "their catalogue.json has no `interference`, which the ranker writes where logs tell of earlier contacts"
        yield Fault(("spoils",), f"the scores do not say what spoils what: {told}")
    yield from users(world, rule.users)
    if rule.requires is not None:
        yield from _requires(world, rule, rule.requires)
    elif rule.min is not None and (rule.max is None or rule.min <= rule.max):
        yield from _least(world, rule, rule.min)


def together(rule: ContactRule) -> Iterator[Fault]:
    """Keys of a contact rule that cannot stand together, whatever there is in the scores."""
    if rule.requires is not None:
        for key in ("max", "min", "each", "spoils"):
            if getattr(rule, key) is not None:
                yield Fault((key,), "stands beside `requires`; write two rules")
        return
    if rule.spoils is not None:
        if rule.each is not None:
            yield Fault(("spoils",), "stands beside `each`; write two rules")
        if rule.max == 0:
            yield Fault(
                ("max",), "with `spoils` it is at least 1: two that spoil each other are kept apart, not forbidden"
            )
        if rule.min is not None:
            yield Fault(("min",), "stands beside `spoils`; write two rules")
    if rule.min is not None and rule.max is not None and rule.min > rule.max:
        yield Fault(("min",), f"the minimum {rule.min} is above the maximum {rule.max}")


def alone(rule: Rule, *, refused: bool = False) -> Iterator[Fault]:
    """What is wrong with a rule by itself, whatever there is in the scores. refused: whether a bound was refused already."""
    if isinstance(rule, ContactRule):
        yield from together(rule)
    yield from validity(rule)
    if isinstance(rule, Constraint) and not refused:
        yield from rule.bound_faults()


def _requires(world: World, rule: ContactRule, requires: Filter) -> Iterator[Fault]:
    faults = list(actions(world, requires, "requires"))
    yield from faults
    if faults or rule.where is None:
        return
    wanted = world.attributes_in(requires)
    asking = [action for action in world.attributes_in(rule.where) if not requires.matches(action)]
    if world.actions_in(rule.where) and not asking:
        yield Fault(("requires",), "every action in `where` is in `requires` as well, so the rule asks for nothing")
    beside = any(one["slot"] != other["slot"] for one in asking for other in wanted)
    if asking and not beside and rule.days is None:
        why = "none in `where` can stand beside one in `requires`, all of them being of one slot"
        yield Fault(("requires",), f"{why}; with `days` it may come after one")


def _least(world: World, rule: ContactRule, least: int) -> Iterator[Fault]:
    found: dict[object, set[object]] = {}
    for action in world.attributes_in(rule.where):
        if rule.each is None or action.get(rule.each) is not None:
            found.setdefault(None if rule.each is None else action[rule.each], set()).add(action["slot"])
    most = max(map(len, found.values()), default=least)
    if most < least and rule.days is None:
        slots = f"{most} slot{'' if most == 1 else 's'}, and a slot holds one contact"
        yield Fault(("min",), f"a user can never get {least}: the actions in scope are of {slots}")


def tiers(records: Sequence[Tier | None]) -> Iterator[Fault]:
    """Every tier but the last says what it may give up; a tier may be None where it was refused."""
    if len(records) == 1:
        yield Fault((), "one tier is an objective; write it as `objective`")
    for position, tier in enumerate(records):
        if tier is None:
            continue
        last, give_up = position == len(records) - 1, tier.give_up
        if give_up is not None and last:
            yield Fault((position, "give_up"), "nothing comes after the last tier that it could give up for")
        elif give_up is None and not last:
            yield Fault((position,), "does not say what it may give_up for the next tier, like 1%")
        elif give_up is not None and not 0 < tier.part < 1:
            yield Fault(
                (position, "give_up"),
                f"must be above 0% and below 100%, not {shown(give_up.to_json())}{percent_meant(give_up.to_json())}",
            )


def has_terms(record: Tier) -> Iterator[Fault]:
    if record.objective == ():
        yield Fault(("objective",), "needs at least one term like {metric: revenue, weight: 1.0}")


def tier(world: World, record: Tier) -> Iterator[Fault]:
    for position, term in enumerate(record.objective or ()):
        yield from (fault.under("objective", position) for fault in measure(world, term))


def pinned(world: World, rule: PinnedRule) -> Iterator[Fault]:
    yield from _action_ids(world, rule.action)
    yield from users(world, rule.users)


def names_actions(record: Fallback) -> Iterator[Fault]:
    """At least one action, and each once."""
    if record.action == ():
        yield Fault(("action",), "the list is empty; name at least one action")
    for name, count in Counter(record.action or ()).items():
        if count > 1:
            yield Fault(("action",), f"'{name}' stands {count} times")


def fallback(world: World, record: Fallback) -> Iterator[Fault]:
    """Known actions and known segments."""
    yield from _action_ids(world, *dict.fromkeys(record.action or ()))
    yield from users(world, record.users)


def _action_ids(world: World, *named: str | None) -> Iterator[Fault]:
    for name in named:
        if name is not None and name not in world.ids:
            yield Fault(("action",), f"there is no action '{name}'{hint(name, world.catalogue.ids)}")


def constraint(world: World, rule: Constraint) -> Iterator[Fault]:
    """Words and scope of a constraint; its bounds are for the kind to judge."""
    filters = rule.filters
    scope_faults = [fault for key, words in filters.items() for fault in actions(world, words, key)]
    if filters and not scope_faults and not world.actions_in(*filters.values()):
        keys = " and ".join(f"`{key}`" for key in filters)
        scope_faults = [Fault(("where",), f"no action is in both {keys}")]
    yield from scope_faults
    yield from users(world, rule.users)
    yield from _each(world, rule)
    where = filters.get("where")
    yield from measure(world, rule, where)
    for key in rule.measures:
        yield from (fault.under(key) for fault in measure(world, getattr(rule, key), where))


def _each(world: World, rule: Constraint) -> Iterator[Fault]:
    """A constraint's `each` is a segment, or an attribute that an action in scope has."""
    name, segments = rule.each, world.segment_names
    if name is None or (name in segments if segments is not None else name not in world.attributes):
        return
    if rule.each_is_segment:
        told = f"{rule.kind} counts users, by segment alone"
        yield Fault(("each",), f"there is no segment '{name}'{hint(name, segments or ())}; {told}")
    elif name not in world.attributes:
        known = {*(segments or ()), *world.attributes}
        yield Fault(("each",), f"there is no segment and no attribute of actions '{name}'{hint(name, known)}")
    elif not any(action.get(name) is not None for action in world.attributes_in(*rule.filters.values())):
        yield Fault(("each",), f"no action in scope has the attribute '{name}'")


def validity(rule: Rule) -> Iterator[Fault]:
    first, last = rule.valid_from, rule.valid_to
    if isinstance(first, date) and isinstance(last, date) and first > last:
        yield Fault(("valid_to",), f"{last} is before valid_from {first}")


def shares(holdout: Share | None, exploration: Share | None) -> Iterator[Fault]:
    """Holdout and exploration together: users are left over, and the two draws are independent."""
    if holdout is None or exploration is None:
        return
    if None not in (holdout.share, exploration.share) and holdout.share + exploration.share >= 1:
        total = holdout.share + exploration.share
        yield Fault(
            ("experiment",), f"holdout and exploration together take {total:g} of the users; less than 1 is needed"
        )
    if holdout.salt is not None and holdout.salt == exploration.salt:
        yield Fault(
            ("experiment", "exploration", "salt"),
            "must differ from the holdout's salt, or the users who would explore are those held out",
        )


def unique_ids(ids: Sequence[tuple[tuple[str, int], str]]) -> Iterator[Fault]:
    """ids: (section, position) and id of every rule; an id names one rule of the whole policy."""
    counts = Counter(name for _, name in ids)
    first: dict[str, tuple[str, int]] = {}
    for place, name in ids:
        if counts[name] > 1 and name in first:
            section, position = first[name]
            yield Fault((*place, "id"), f"the id '{name}' is taken by {section}[{position}]; ids name one rule each")
        first.setdefault(name, place)
