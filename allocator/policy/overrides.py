"""`set.ID.FIELD=VALUE` applied to the tree, before anything is checked, so that every value is checked alike.

ID is that of a rule; FIELD one of its keys, dotted for a key inside (`set.roi.per.times=...`). A mapping is merged into the one
that stands there, anything else replaces it, and null takes the field away. What has no id goes by its path (a rule of that id goes first):
`set.experiment.holdout` or in short `set.holdout`, likewise `exploration`; `set.risk`; `set.fallback`; `set.tiers.0`; and a term of the
objective by its metric and attribute, `set.objective.revenue.weight`, `set.objective.subs.times.discount_eur.weight`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, count

from allocator.policy.suggest import hint
from allocator.policy.tree import Fault, Node, Path_
from allocator.policy.words import RULES, composed

SECTIONS: Mapping[str, Path_] = {
    "risk": ("risk",),
    "fallback": ("fallback",),
    "holdout": ("experiment", "holdout"),
    "exploration": ("experiment", "exploration"),
    "experiment.holdout": ("experiment", "holdout"),
    "experiment.exploration": ("experiment", "exploration"),
}


def apply(root: Node, overrides: Mapping[str, object]) -> tuple[Node, list[Fault]]:
    """The tree with the overrides in place, and what was wrong with them."""
    targets = _targets(root)
    faults, gone = [], []
    for name, value in leaves(overrides):
        rule = _longest(name, targets)
        if rule is None:
            faults.append(_lost(name, _unknown(name, targets)))
        elif name == rule and value is None and targets[rule][0] != "tiers":
            gone.append(name)
        elif name == rule:
            faults.append(_lost(name, _no_field(name, targets[rule])))
        else:
            path = (*targets[rule], *name[len(rule) + 1 :].split("."))
            root = _put(root, path, value, f"set.{name}")
    for name in gone:  # last, whatever else was said of the rule
        root = _put(root, targets[name], None, f"set.{name}")
    return root, faults


def _targets(root: Node) -> Mapping[str, Path_]:
    """What overrides can name, and where it stands."""
    tiers: dict[str, Path_] = {f"tiers.{position}": ("tiers", position) for position, _ in enumerate(_tiers(root))}
    terms = [_terms("objective", ("objective",), root)]
    terms += [_terms(f"{name}.objective", (*place, "objective"), root) for name, place in tiers.items()]
    named = {name: place for each in terms for name, place in each.items()}
    return {**SECTIONS, **tiers, **named, **{composed(str(rule_id)): place for place, rule_id in rule_ids(root)}}


def _tiers(root: Node) -> Sequence[Node]:
    return items(root.child("tiers"))


def _terms(name: str, place: Path_, root: Node) -> Mapping[str, Path_]:
    """The terms of an objective by their names."""
    node: Node | None = root
    for step in place:
        node = None if node is None else node.child(step)
    named = term_names((_word(item, "metric"), _word(item, "times")) for item in items(node))
    return {f"{name}.{composed(term)}": (*place, position) for position, term in enumerate(named)}


def _word(term: Node, key: str) -> object:
    child = term.child(key)
    return None if child is None else child.value


def _no_field(name: str, place: Path_) -> str:
    """Why a name alone, without a field, says nothing."""
    what = "term" if "objective" in place else "tier" if place[0] == "tiers" else "rule"
    field = "weight" if what == "term" else "FIELD"
    return f"names a {what} but no field; write set.{name}.{field}=VALUE"


def _unknown(name: str, targets: Mapping[str, Path_]) -> str:
    """What the name should have begun with."""
    wanted, *rest = name.split(".")
    rule = wanted.split("@")[0]
    if rule != wanted and rule in targets:
        return f"'{wanted}' is one row of {rule}, whose fields hold for every value; write set.{rule}.FIELD=VALUE"
    if wanted == "tiers":
        tiers = sum(len(place) == 2 and place[0] == "tiers" for place in targets.values())
        if not tiers:
            return "the policy has no tiers"
        return f"names none of the {tiers} tiers; write set.tiers.0.FIELD=VALUE for the first, set.tiers.{tiers - 1} for the last"
    inside = [each for each in targets if each.startswith(f"{wanted}.")]
    if inside:
        stem = ".".join([wanted, *rest[:-1]]) if len(rest) > 1 else name
        return f"the policy has no '{stem}'{hint(stem, inside)}"
    if wanted == "objective":
        return "the policy has tiers instead of one objective; write set.tiers.0.objective.METRIC.weight=VALUE"
    known = [each for each, place in targets.items() if place[0] in RULES or (each in SECTIONS and "." not in each)]
    return f"no rule has the id '{wanted}'{hint(wanted, known)}"


def _lost(name: str, message: str) -> Fault:
    return Fault((), message, override=f"set.{name}")


def term_names(terms: Iterable[tuple[object, object]]) -> list[str]:
    """What `set.objective.NAME.weight` calls each term: revenue, subs.times.discount_eur, times.cost_eur, and a second one revenue.2.

    terms: metric and attribute of each.
    """
    names: dict[str, None] = {}
    for metric, times in terms:
        plain = ".".join(
            [*([] if metric is None else [str(metric)]), *([] if times is None else ["times", str(times)])]
        )
        numbered = (f"{plain}.{number}" for number in count(2))
        names[next(name for name in chain([plain], numbered) if name not in names)] = None
    return list(names)


def items(node: Node | None) -> Sequence[Node]:
    return node.value if node is not None and isinstance(node.value, tuple) else ()


def rule_ids(root: Node) -> Iterator[tuple[tuple[str, int], object]]:
    """(section, position) and id of every rule that has one, as the file says it."""
    for section in RULES:
        for position, item in enumerate(items(root.child(section))):
            own = item.child("id")
            if own is not None:
                yield (section, position), own.value


def leaves(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Dotted name and value of everything in a nested mapping; an empty mapping is a value."""
    for key, value in values.items():
        name = f"{prefix}{composed(str(key))}"
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{name}.")
        else:
            yield name, value


def _longest(name: str, targets: Mapping[str, Path_]) -> str | None:
    """The id that the name begins with; ids may have dots, so the longest one that fits."""
    fitting = [each for each in targets if name == each or name.startswith(f"{each}.")]
    return max(fitting, key=len, default=None)


def _put(node: Node, path: Path_, value: object, override: str) -> Node:
    """A copy of the tree with the value at the path; mappings on the way are made where they are missing."""
    if not path:
        return _node(value, node.line, override)
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        listed = list(items(node))
        listed[step] = _put(listed[step], rest, value, override)
        return replace(node, value=tuple(listed))
    entries = dict(node.value) if isinstance(node.value, Mapping) else {}
    if value is None and not rest:
        entries.pop(step, None)
    else:
        below = entries.get(step, Node(None, node.line, override))
        entries[step] = _put(below, rest, value, override)
    made = node.override if isinstance(node.value, Mapping) else override
    return Node(entries, node.line, made)


def _node(value: object, line: int, override: str) -> Node:
    if isinstance(value, Mapping):
        return Node({str(key): _node(each, line, override) for key, each in value.items()}, line, override)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return Node(tuple(_node(each, line, override) for each in value), line, override)
    if isinstance(value, str | bool | int | float) or value is None:
        return Node(value, line, override)
    return Node(str(value), line, override)
