"""One field of a policy's text changed in place: comments, order and layout of everything else stay as they are.

A field goes by the path that `set.PATH=VALUE` has: push_capacity.max, objective.subs.weight, experiment.holdout.share.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from allocator.policy.overrides import SECTIONS, term_names
from allocator.policy.words import RULES

Amount = int | float | str
Step = str | int


class CannotEdit(ValueError):
    """The text has no place for the field; the message says why."""


@dataclass
class Spot:
    """Where a value stands in the text. entries: of a mapping, key -> (start of the key, value); items: of a list."""

    start: int
    end: int
    column: int
    flow: bool = False
    value: str | None = None
    entries: dict[str, tuple[int, "Spot"]] | None = None
    items: list["Spot"] | None = None

    def child(self, step: Step) -> "Spot | None":
        if isinstance(step, int):
            return self.items[step] if self.items is not None and step < len(self.items) else None
        found = None if self.entries is None else self.entries.get(step)
        return None if found is None else found[1]

    def word(self, key: str) -> str | None:
        found = self.child(key)
        return None if found is None else found.value


def with_field(text: str, path: str, value: Amount) -> str:
    """The text with the field at that value, added to its rule where it has none. Raises CannotEdit."""
    root = spots(text)
    holder, rest = _holder(root, path)
    for step in rest[:-1]:
        inner = holder.child(step)
        if inner is None or inner.entries is None:
            raise CannotEdit(f"{path}: the text has no place for it; write it there")
        holder = inner
    found = holder.child(rest[-1])
    if found is None:
        return _with_entry(text, holder, f"{rest[-1]}: {written(value)}")
    if found.value is None:
        raise CannotEdit(f"{path}: is no single value; change it in the text")
    return text[: found.start] + written(value) + text[found.end :]


def with_fields(text: str, changes: Mapping[str, Amount]) -> str:
    """Several fields, by path."""
    for path, value in changes.items():
        text = with_field(text, path, value)
    return text


def written(value: Amount) -> str:
    """An amount as people write it in a policy."""
    if isinstance(value, str):
        return value.strip()
    return f"{value:.10g}" if abs(value) < 1e10 else repr(value)


def spots(text: str) -> Spot:
    """Where everything stands. Raises CannotEdit where the text is no YAML mapping."""
    try:
        root = _Reader().read(text)
    except (YAMLError, ValueError, IndexError, AttributeError, AssertionError, KeyError, TypeError, RecursionError):
        raise CannotEdit("the text is not valid YAML; mend it there first") from None
    if root is None or root.entries is None:
        raise CannotEdit("the text is no policy yet; write `version` and `objective` first")
    return root


def _holder(root: Spot, path: str) -> tuple[Spot, list[str]]:
    """The mapping that a path begins with, and the steps that are left."""
    fitting = [name for name in _targets(root) if path.startswith(f"{name}.")]
    if not fitting:
        raise CannotEdit(f"{path}: the text has no such rule or section")
    name = max(fitting, key=len)
    return _targets(root)[name], path[len(name) + 1 :].split(".")


def _targets(root: Spot) -> dict[str, Spot]:
    found = {}
    for name, place in SECTIONS.items():
        spot: Spot | None = root
        for step in place:
            spot = None if spot is None else spot.child(step)
        if spot is not None and spot.entries is not None:
            found[name] = spot
    terms = root.child("objective")
    if terms is not None and terms.items:
        names = term_names((term.word("metric"), term.word("times")) for term in terms.items)
        found |= {f"objective.{name}": term for name, term in zip(names, terms.items, strict=True)}
    return found | dict(_rules(root))


def _rules(root: Spot) -> Iterator[tuple[str, Spot]]:
    for section in RULES:
        rules = root.child(section)
        for rule in [] if rules is None or rules.items is None else rules.items:
            if (own := rule.word("id")) is not None:
                yield own, rule


def _with_entry(text: str, holder: Spot, entry: str) -> str:
    """The text with one more entry at the end of a mapping."""
    if holder.entries is None:
        raise CannotEdit(f"{entry}: the text has no place for it; write it there")
    if holder.flow:
        comma = ", " if holder.entries else ""
        return f"{text[: holder.end - 1].rstrip()}{comma}{entry}{text[holder.end - 1 :]}"
    line_end = text.find("\n", holder.end)
    line_end = len(text) if line_end < 0 else line_end
    return f"{text[:line_end]}\n{' ' * holder.column}{entry}{text[line_end:]}"


@dataclass
class _Reader:
    """Builds spots from the events of YAML."""

    open: list[tuple[Spot, list[tuple[int, str]]]] = field(default_factory=list)
    root: Spot | None = None

    def read(self, text: str) -> Spot | None:
        for event in YAML(typ="safe", pure=True).parse(text):
            if isinstance(event, ScalarEvent):
                mark = event.start_mark
                quoted = event.style in ("'", '"', "|", ">")
                self._place(Spot(mark.index, event.end_mark.index, mark.column, quoted, event.value))
            elif isinstance(event, MappingStartEvent | SequenceStartEvent):
                mark, mapping = event.start_mark, isinstance(event, MappingStartEvent)
                spot = Spot(mark.index, mark.index, mark.column, bool(event.flow_style))
                spot.entries, spot.items = ({}, None) if mapping else (None, [])
                self.open.append((spot, []))
            elif isinstance(event, MappingEndEvent | SequenceEndEvent):
                spot, _ = self.open.pop()
                spot.end = event.end_mark.index if spot.flow else _end(spot)
                self._place(spot)
        return self.root

    def _place(self, spot: Spot) -> None:
        if not self.open:
            self.root = self.root or spot
            return
        holder, keys = self.open[-1]
        if holder.items is not None:
            holder.items.append(spot)
        elif not keys:
            keys.append((spot.start, spot.value or ""))
        else:
            start, key = keys.pop()
            if holder.entries is not None:
                holder.entries.setdefault(key, (start, spot))


def _end(spot: Spot) -> int:
    """Where the last thing in a block stands: its own end is that of the blank lines after it."""
    inner: Sequence[Spot] = spot.items or [value for _, value in (spot.entries or {}).values()]
    return max((each.end for each in inner), default=spot.start)
