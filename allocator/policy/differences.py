"""What differs between two policies: edits that can be applied one by one, each with its sentence.

Policies are compared in keyed form: their JSON, with every list of rules or terms as a mapping, like constraints -> id -> field. Edits are
as small as they can be while any choice of them leaves every rule well formed: fields that only make sense together are one edit, of the
whole rule.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from pydantic import ValidationError

from allocator.policy import check, edit_words
from allocator.policy.grammar import RULE_OF, Policy, canonical
from allocator.policy.overrides import term_names
from allocator.policy.words import RULES

Words = dict[str, Any]
"""A policy, or a part of one, in keyed form."""
Place = tuple[str, ...]
FREE = frozenset({"label", "owner", "reason", "where", "of", "users", "forbid", "strength"})
"""Fields of a rule that go with any values of the others."""
GOALS = ("objective", "tiers")


@dataclass(frozen=True)
class Edit:
    """One difference. path: as in `set.PATH=VALUE`. before, after: in the form of the file, None where there is nothing.

    Of a whole rule the path is its id; one that is added has nothing before, one that is taken away nothing after. place: the way there in
    keyed form. behind: of something added to a list, what stands before it in the new policy.
    """

    path: str
    before: object
    after: object
    sentence: str = field(default="", compare=False)
    place: Place = field(default=(), compare=False, repr=False)
    behind: Place = field(default=(), compare=False, repr=False)


def differences(base: Policy, new: Policy) -> list[Edit]:
    """Every edit that leads from one policy to the other, in the order of the file; none where they mean the same."""
    old, now = _keyed(base), _keyed(new)
    return [*_goals(old, now), *_settings(old, now), *_rules(old, now)]


def with_edits(base: Policy, edits: Iterable[Edit]) -> Policy:
    """The base policy with some of the edits that lead to a new one; with all of them it is the new policy, in its order.

    Every rule is well formed whichever edits are chosen; whether the rules can be kept together is another matter.
    """
    words = _keyed(base)
    for edit in sorted(edits, key=lambda edit: (not _is_list(edit.place), len(edit.behind))):
        _apply(words, edit)
    return Policy.model_validate(_unkeyed(words))


def _keyed(policy: Policy) -> Words:
    words = policy.to_json()
    rules = {section: {rule["id"]: rule for rule in words[section]} for section in RULES}
    return {**words, **rules, **_keyed_goals({name: words[name] for name in GOALS if name in words})}


def _keyed_goals(words: Mapping[str, Sequence[Words]]) -> Words:
    if "tiers" in words:
        tiers = {str(position): {**tier, **_keyed_goals(tier)} for position, tier in enumerate(words["tiers"])}
        return {"tiers": tiers}
    names = term_names((term.get("metric"), term.get("times")) for term in words["objective"])
    return {"objective": dict(zip(names, words["objective"], strict=True))}


def _unkeyed(words: Words) -> Words:
    return {**words, **{section: list(words[section].values()) for section in RULES}, **_unkeyed_goals(words)}


def _unkeyed_goals(words: Words) -> Words:
    if "tiers" in words:
        return {"tiers": [{**tier, **_unkeyed_goals(tier)} for tier in words["tiers"].values()]}
    return {"objective": list(words["objective"].values())}


def _is_list(place: Place) -> bool:
    """Whether the place is a list of rules or of terms, rather than something in one."""
    return place in {(name,) for name in (*RULES, "objective")} or (
        place[:1] == ("tiers",) and place[2:] == ("objective",)
    )


def _apply(words: Words, edit: Edit) -> None:
    if not edit.place:
        for name in GOALS:
            words.pop(name, None)
        words |= _keyed_goals(edit.after)  # type: ignore[arg-type]
    elif _is_list(edit.place):
        _reorder(_at(words, edit.place), edit.after)  # type: ignore[arg-type]
    else:
        _put(words, edit)


def _put(words: Words, edit: Edit) -> None:
    *way, last = edit.place
    holder = _at(words, way)
    is_new = last not in holder
    if len(way) == 1 and way[0] in RULES:
        for section in RULES:
            if section != way[0]:
                words[section].pop(last, None)
    if edit.after is None:
        holder.pop(last, None)
        return
    holder[last] = edit.after
    if is_new and _is_list(tuple(way)):
        known = [key for key in holder if key != last]
        first = max((known.index(key) + 1 for key in edit.behind if key in holder and key != last), default=0)
        _reorder(holder, [*known[:first], last, *known[first:]])


def _at(words: Words, way: Sequence[str]) -> Words:
    for step in way:
        words = words.setdefault(step, {})
    return words


def _reorder(holder: Words, order: Sequence[str]) -> None:
    """Those that are named exchange their places; others keep theirs."""
    named = iter([key for key in order if key in holder])
    kept = dict(holder)
    keys = [next(named) if key in order else key for key in kept]
    holder.clear()
    holder.update({key: kept[key] for key in keys})


def _differ(before: object, after: object) -> bool:
    return canonical(before) != canonical(after)


def _goals(old: Words, new: Words) -> Iterator[Edit]:
    """Term by term where something of every objective stays; otherwise some choice of edits would leave nothing to maximise."""
    before, after = _objectives(old), _objectives(new)
    if before.keys() == after.keys() and all(before[place].keys() & after[place].keys() for place in before):
        for position in old.get("tiers", ()):
            yield from _fields(("tiers", position), old["tiers"][position], new["tiers"][position], ("give_up",))
        for place in before:
            yield from _list(place, before[place], after[place])
    else:
        goals = _unkeyed_goals(old), _unkeyed_goals(new)
        yield Edit("objective", *goals, edit_words.other_goals(*goals))


def _objectives(words: Words) -> Mapping[Place, Words]:
    """Every objective's terms, by place."""
    if "tiers" in words:
        return {("tiers", position, "objective"): tier["objective"] for position, tier in words["tiers"].items()}
    return {("objective",): words["objective"]}


def _settings(old: Words, new: Words) -> Iterator[Edit]:
    for place in (("risk",), ("experiment", "holdout"), ("experiment", "exploration"), ("fallback",)):
        before, after = _at(old, place[:-1]).get(place[-1]), _at(new, place[:-1]).get(place[-1])
        if before is not None and after is not None:
            yield from _fields(place, before, after, tuple({**before, **after}))
        elif before is not None or after is not None:
            yield Edit(".".join(place), before, after, edit_words.whole(place, before, after), place)


def _rules(old: Words, new: Words) -> Iterator[Edit]:
    for section in RULES:
        yield from _list((section,), old[section], new[section], _elsewhere(section, old), _elsewhere(section, new))


def _elsewhere(section: str, words: Words) -> Words:
    """The rules of the other sections."""
    return {name: rule for other in RULES if other != section for name, rule in words[other].items()}


def _list(
    place: Place, old: Words, new: Words, moved: Words | None = None, gone: Words | None = None
) -> Iterator[Edit]:
    """The edits of a list of rules or terms. moved: what stood in other lists before; gone: what stands there now."""
    for key in old:
        if key not in new and key not in (gone or {}):
            yield _whole((*place, key), old[key], None)
    for position, (key, after) in enumerate(new.items()):
        before = old.get(key)
        if before is None:
            yield _whole((*place, key), (moved or {}).get(key), after, tuple(new)[:position])
        elif _are_apart(place, before, after):
            yield from _fields((*place, key), before, after, tuple({**before, **after}))
        elif _differ(before, after):
            yield _whole((*place, key), before, after)
    stayed, now = [key for key in old if key in new], [key for key in new if key in old]
    if stayed != now:
        path = ".".join([*place, "order"])
        yield Edit(path, stayed, now, edit_words.other_order(place, [new[key] for key in now]), place)


def _whole(place: Place, before: Words | None, after: Words | None, behind: Place = ()) -> Edit:
    return Edit(_path(place), before, after, edit_words.whole(place, before, after), place, behind)


def _fields(place: Place, old: Words, new: Words, names: Sequence[str]) -> Iterator[Edit]:
    for name in names:
        before, after = old.get(name), new.get(name)
        if _differ(before, after):
            sentence = edit_words.of_field(place, old, new, name)
            yield Edit(f"{_path(place)}.{name}", before, after, sentence, (*place, name))


def _path(place: Place) -> str:
    """A rule goes by its id, whatever list it stands in."""
    return place[1] if place[0] in RULES else ".".join(place)


def _are_apart(place: Place, old: Words, new: Words) -> bool:
    """Whether each choice of the changed fields makes a rule that is well formed."""
    if place[0] not in RULES:
        return True
    changed = [name for name in {**old, **new} if name not in FREE and _differ(old.get(name), new.get(name))]
    if "kind" in changed:
        return False
    chosen = (names for size in range(1, len(changed)) for names in combinations(changed, size))
    return all(_is_well_formed(place[0], {**old, **{name: new.get(name) for name in names}}) for names in chosen)


def _is_well_formed(section: str, words: Words) -> bool:
    try:
        rule = RULE_OF[section].validate_python({name: value for name, value in words.items() if value is not None})
    except ValidationError:
        return False
    return not any(check.alone(rule))
