"""What of a draft can be changed by number and slider: bounds, contacts per listener, weights, shares. Read from the text as it stands."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from allocator.amounts import round_step
from allocator.policy import tree
from allocator.policy.kinds.known import KINDS
from allocator.policy.overrides import SECTIONS, items, term_names
from allocator.policy.tree import Node

BOUNDS = (("min", "at least"), ("max", "at most"))
STEPS = 100
"""Of a slider, about."""


@dataclass(frozen=True)
class Knob:
    """One number of a draft. path: as `set.PATH=VALUE`; words: what it is; suffix: % or nothing. low, high, step: of its slider."""

    path: str
    words: str
    value: float
    suffix: str
    low: float
    high: float
    step: float


@dataclass(frozen=True)
class Row:
    """One rule, or one setting. id: of the rule; kind: empty where it has none; notes: owner, days, strength and reason, in words."""

    id: str
    name: str
    kind: str
    notes: tuple[str, ...]
    knobs: tuple[Knob, ...]


@dataclass(frozen=True)
class RowGroup:
    """Rows under one heading. title: of the section; told: what its numbers do, in a sentence."""

    id: str
    title: str
    told: str
    rows: tuple[Row, ...]


def row_groups(text: str) -> tuple[RowGroup, ...]:
    """The rows of a draft; none where the text is not YAML."""
    root, _ = tree.parse(text)
    if root is None:
        return ()
    groups = (
        RowGroup(
            "constraints", "Constraints", "What must hold over everybody.",
            tuple(_rules(root, "constraints", BOUNDS)),
        ),
        RowGroup(
            "contact", "Contacts of one listener", "How many contacts one listener gets at most in a week.",
            tuple(_rules(root, "contact", (("max", "at most"),))),
        ),
        RowGroup("objective", "What counts", "The weight of each outcome in the value.", tuple(_terms(root))),
        RowGroup(
            "settings", "Caution and experiment", "How much uncertainty takes off; who gets nothing, and who tries.",
            tuple(_settings(root)),
        ),
    )  # fmt: skip
    return tuple(group for group in groups if group.rows)


def path_value(knob_suffix: str, number: str) -> float | int | str:
    """What the file gets for a number that was typed. Raises ValueError where it is none."""
    plain = number.strip().replace(",", "").removesuffix("%").strip()
    value = float(plain)
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(number)
    if knob_suffix == "%":
        return f"{value:.10g}%"
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def _rules(root: Node, section: str, fields: tuple[tuple[str, str], ...]) -> Iterator[Row]:
    for rule in items(root.child(section)):
        own = _text(rule, "id")
        if own is None:
            continue
        kind = _text(rule, "kind") or ""
        knobs = tuple(_knobs(rule, own, kind, fields))
        yield Row(own, _text(rule, "label") or own, kind, tuple(_notes(rule)), knobs)


def _knobs(rule: Node, own: str, kind: str, fields: tuple[tuple[str, str], ...]) -> Iterator[Knob]:
    known = KINDS.get(kind)
    for name, words in fields:
        found = _number(rule.child(name))
        if found is not None:
            value, suffix = found
            part = known is not None and known.is_part and not suffix
            yield _knob(f"{own}.{name}", words, value, suffix, 1.0 if part else None, whole=kind in ("", "volume"))


def _terms(root: Node) -> Iterator[Row]:
    terms = items(root.child("objective"))
    names = term_names((_text(term, "metric"), _text(term, "times")) for term in terms)
    for name, term in zip(names, terms, strict=True):
        found = _number(term.child("weight"))
        if found is not None:
            times = _text(term, "times")
            told = name if times is None else f"{_text(term, 'metric') or ''} times {times}".strip()
            knob = _knob(f"objective.{name}.weight", "weight", found[0], found[1], None)
            yield Row(f"objective.{name}", told, "", (), (knob,))


def _settings(root: Node) -> Iterator[Row]:
    wanted = (
        ("risk", "z", "Caution", "standard errors taken off"),
        ("holdout", "share", "Holdout", "share that gets nothing"),
        ("exploration", "share", "Exploration", "share that gets random offers"),
    )
    for section, name, title, words in wanted:
        node: Node | None = root
        for step in SECTIONS[section]:
            node = None if node is None else node.child(step)
        found = None if node is None else _number(node.child(name))
        if found is not None:
            high = 3.0 if section == "risk" else 30.0 if found[1] else 0.3
            yield Row(section, title, "", (), (_knob(f"{section}.{name}", words, *found, high),))


def _knob(path: str, words: str, value: float, suffix: str, high: float | None, *, whole: bool = False) -> Knob:
    most = high if high is not None else 100.0 if suffix else 3 * abs(value) or 1.0
    low, most = (-most, 0.0) if value < 0 else (0.0, most)
    most = max(most, value)
    step = round_step((most - low) / STEPS)
    return Knob(path, words, value, suffix, low, most, max(step, 1.0) if whole and not suffix else step)


def _number(node: Node | None) -> tuple[float, str] | None:
    """A number and its sign of per cent."""
    if node is None or isinstance(node.value, bool):
        return None
    if isinstance(node.value, int | float):
        return float(node.value), ""
    if isinstance(node.value, str) and node.value.strip().endswith("%"):
        try:
            return float(node.value.strip().removesuffix("%").strip()), "%"
        except ValueError:
            return None
    return None


def _text(node: Node, key: str) -> str | None:
    child = node.child(key)
    return child.value if child is not None and isinstance(child.value, str) else None


def _notes(rule: Node) -> Iterator[str]:
    strength = rule.child("strength")
    if strength is not None:
        plain = strength.plain()
        soft = plain.get("soft") if isinstance(plain, Mapping) else None
        yield f"{plain}".replace("_", " ") if soft is None else f"soft: {soft} of value per unit missed"
    days = [
        f"{word} {day}" for word, key in (("from", "valid_from"), ("until", "valid_to")) if (day := _text(rule, key))
    ]
    if days:
        yield f"holds {' '.join(days)}"
    for key in ("owner", "reason"):
        if told := _text(rule, key):
            yield told if key == "reason" else f"owner: {told}"
