"""YAML text as a tree that remembers its lines, without anything that surprises.

YAML 1.2 with its core schema: NO, on and yes are words, 010 is ten, dates are text. Refused, with their line: anchors, aliases,
tags, merge keys, repeated keys, several documents, interpolation, .inf and .nan, deep nesting, files over 1 MiB.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from ranker.files import InputError

MOST_BYTES = 1 << 20
MOST_LEVELS = 32
MOST_DIGITS = 18
MOST_OF_AN_ID = 100
"""Letters of an id or a key that a message repeats."""
KEPT_TEXTS = 4

Scalar = str | bool | int | float
Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Node:
    """A value of the file: a scalar or None, a tuple of nodes, or a mapping of nodes.

    line: counted from 1. override: the `set.ID.FIELD` that put the value here, if one did.
    """

    value: "Scalar | tuple[Node, ...] | Mapping[str, Node] | None"
    line: int
    override: str | None = None

    @property
    def taken_away(self) -> bool:
        """Whether an override put nothing in the place of an item, which keeps its position for the others' sake."""
        return self.value is None and self.override is not None

    @property
    def is_empty(self) -> bool:
        """Whether it is nothing, or a list in which nothing is left."""
        return self.value is None or (isinstance(self.value, tuple) and all(item.taken_away for item in self.value))

    def plain(self) -> object:
        """The value as plain dicts, lists and scalars."""
        if isinstance(self.value, Mapping):
            return {key: node.plain() for key, node in self.value.items()}
        return [node.plain() for node in self.value] if isinstance(self.value, tuple) else self.value

    def child(self, step: str | int) -> "Node | None":
        if isinstance(self.value, Mapping):
            return self.value.get(step) if isinstance(step, str) else None
        if isinstance(self.value, tuple) and isinstance(step, int) and step < len(self.value):
            return self.value[step]
        return None


@dataclass(frozen=True)
class Fault:
    """Something wrong at a place of the tree, the keys and positions that lead there; or in an override that leads nowhere."""

    path: Path_
    message: str
    line: int | None = None
    override: str | None = None

    def under(self, *path: str | int) -> "Fault":
        return replace(self, path=(*path, *self.path))


def read_text(path: Path) -> str:
    """The text of a policy file; InputError where it cannot be read, is too long or is not UTF-8."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise InputError([f"{path}: there is no such file"]) from None
    except (OSError, ValueError) as error:
        raise InputError([f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})"]) from None
    if len(content) > MOST_BYTES:
        raise InputError([f"{path}: is longer than 1 MiB, the most a policy may have"])
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError([f"{path}: is not UTF-8 text (byte {error.start + 1})"]) from None


@lru_cache(maxsize=KEPT_TEXTS)
def parse(text: str) -> tuple[Node | None, Sequence[Fault]]:
    """The tree of the only document in the text, and everything in it that is refused; no tree where the YAML is broken.

    Kept for the last texts: whoever tries edits reads one text again and again, and scanning it is most of the work.
    """
    builder = _Builder()
    try:
        builder.build(YAML(typ="safe", pure=True).parse(text))
    except YAMLError as error:
        builder.faults.append(_syntax_fault(error))
        return None, tuple(builder.faults)
    except _TooDeep as error:
        return None, (Fault((), f"nests deeper than {MOST_LEVELS} levels", error.line),)
    except (ValueError, IndexError, AttributeError, AssertionError, KeyError, TypeError, RecursionError) as error:
        # The scanner trips over some malformed text instead of naming it.
        return None, (*builder.faults, Fault((), f"is not valid YAML ({type(error).__name__} while reading it)", None))
    return builder.root, tuple(builder.faults)


def _syntax_fault(error: YAMLError) -> Fault:
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        parts = [" ".join(str(part).split()) for part in (error.problem, error.context) if part]
        return Fault((), f"is not valid YAML: {', '.join(parts)}", None if mark is None else mark.line + 1)
    return Fault((), f"is not valid YAML: {' '.join(str(error).split())}")


class _TooDeep(Exception):
    def __init__(self, line: int):
        self.line = line


@dataclass
class _Open:
    """A mapping or a sequence that is still being read; `key` waits for its value."""

    line: int
    path: Path_
    entries: dict[str, Node] | None = None
    items: list[Node] = field(default_factory=list)
    key: str | None = None

    def step(self) -> str | int | None:
        return self.key if self.entries is not None else len(self.items)


@dataclass
class _Builder:
    root: Node | None = None
    faults: list[Fault] = field(default_factory=list)
    _open: list[_Open] = field(default_factory=list)
    _documents: int = 0

    def build(self, events: Iterator[Event]) -> None:
        for event in events:
            line = event.start_mark.line + 1
            if isinstance(event, DocumentStartEvent):
                self._document(event, line)
            elif isinstance(event, AliasEvent):
                self._refuse(line, f"aliases are not allowed (*{event.anchor}); write the value out")
                self._place(Node(None, line))
            elif isinstance(event, ScalarEvent):
                self._scalar(event, line)
            elif isinstance(event, MappingStartEvent | SequenceStartEvent):
                self._start(event, line)
            elif isinstance(event, MappingEndEvent | SequenceEndEvent):
                done = self._open.pop()
                self._place(Node(tuple(done.items) if done.entries is None else done.entries, done.line))

    def _document(self, event: DocumentStartEvent, line: int) -> None:
        self._documents += 1
        if self._documents == 2:
            self._refuse(line, "a second document starts here; a policy is one document")
        if event.tags:
            self._refuse(line, "%TAG directives are not allowed")
        if event.version is not None and tuple(event.version) != (1, 2):
            self._refuse(line, "%YAML must be 1.2")

    def _start(self, event: MappingStartEvent | SequenceStartEvent, line: int) -> None:
        self._no_properties(event, line)
        if len(self._open) >= MOST_LEVELS:
            raise _TooDeep(line)
        entries: dict[str, Node] | None = {} if isinstance(event, MappingStartEvent) else None
        self._open.append(_Open(line, self._path(), entries))

    def _scalar(self, event: ScalarEvent, line: int) -> None:
        self._no_properties(event, line)
        if "${" in event.value:
            self._refuse(line, "interpolation (${...}) is not allowed in a policy; write the value out")
        here = self._open[-1] if self._open else None
        if here is not None and here.entries is not None and here.key is None:
            self._key(here, here.entries, event, line)
            return
        try:
            value = event.value if event.style in ("'", '"', "|", ">") else scalar(event.value)
        except ValueError as error:
            self._refuse(line, str(error))
            value = None
        self._place(Node(value, line))

    def _key(self, here: _Open, entries: dict[str, Node], event: ScalarEvent, line: int) -> None:
        if event.value == "<<" and event.style not in ("'", '"'):
            here.key = event.value
            self._refuse(line, "merge keys (<<) are not allowed; write the keys out")
        elif event.value in entries:
            first = entries[event.value].line
            self._refuse(line, f"the key '{event.value}' stands twice (first on line {first})")
        here.key = event.value

    def _place(self, node: Node) -> None:
        """Puts a finished node where it belongs; a list or mapping that stands as a key is refused."""
        if not self._open:
            if self._documents <= 1:
                self.root = node
            return
        here = self._open[-1]
        if here.entries is None:
            here.items.append(node)
        elif here.key is None:
            self._refuse(node.line, "a key must be a word, not a list or a mapping")
            here.key = f"?{len(here.entries)}"
        else:
            here.entries.setdefault(here.key, node)
            here.key = None

    def _no_properties(self, event: ScalarEvent | MappingStartEvent | SequenceStartEvent, line: int) -> None:
        if event.anchor is not None:
            self._refuse(line, f"anchors are not allowed (&{event.anchor})")
        if event.tag is not None:
            self._refuse(line, f"tags are not allowed ({event.tag})")

    def _path(self) -> Path_:
        if not self._open:
            return ()
        step = self._open[-1].step()
        return self._open[-1].path if step is None else (*self._open[-1].path, step)

    def _refuse(self, line: int, message: str) -> None:
        self.faults.append(Fault(self._path(), message, line))


def scalar(text: str) -> Scalar | None:
    """A plain scalar by the core schema of YAML 1.2 (section 10.3.2); ValueError for numbers without a finite value."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    if re.fullmatch(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", text):
        if len(text) > MOST_DIGITS:
            raise ValueError(f"the number {text[:20]}... has more than {MOST_DIGITS} digits")
        return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)
    if re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", text):
        number = float(text)
        if abs(number) == float("inf"):
            raise ValueError(f"{text[:40]} is too large a number")
        return number
    if re.fullmatch(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", text):
        raise ValueError(f"{text} is not allowed; leave a bound out where there is none")
    return text


@dataclass(frozen=True)
class PolicyProblem:
    """A fault as people and programs read it. line: counted from 1, None of what has no line, such as a value of the command line."""

    file: str
    line: int | None
    key: str
    problem: str
    suggestion: str | None = None

    @property
    def sentence(self) -> str:
        """file:line: key.path: what is wrong; what instead."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        told = self.problem if self.suggestion is None else f"{self.problem}; {self.suggestion}"
        return ": ".join(part for part in (place, self.key, told) if part)


def problem(name: str, root: Node | None, fault: Fault) -> PolicyProblem:
    """The fault with its place; rules are called by their ids, values set on the command line by their `set.` key."""
    labels: list[str] = []
    node, line, override = root, None if root is None else root.line, fault.override
    for step in fault.path:
        child = None if node is None else node.child(step)
        labels.append(_label(step, child))
        if child is not None:
            line, override = child.line, child.override
        node = child
    key = ".".join(labels).replace(".[", "[")
    told = parted(fault.message)
    if override is None:
        return PolicyProblem(name, line if fault.line is None else fault.line, key, *told)
    rest = key if fault.path and node is None else ""
    return PolicyProblem(name, fault.line, ": ".join(part for part in (override, rest) if part), *told)


QUOTED = re.compile(r"""(?<!\w)'.*?'(?!\w)|"(\\.|[^"\\])*\"""")


def parted(message: str) -> tuple[str, str | None]:
    """What is wrong, and what instead: a message says it behind its first semicolon that is not quoted."""
    bare = QUOTED.sub(lambda quoted: "x" * len(quoted[0]), message)
    first = bare.find("; ")
    return (message, None) if first < 0 else (message[:first], message[first + 2 :])


def _label(step: str | int, child: Node | None) -> str:
    if isinstance(step, str):
        return step[:MOST_OF_AN_ID]
    own = None if child is None else child.child("id")
    return own.value[:MOST_OF_AN_ID] if own is not None and isinstance(own.value, str) and own.value else f"[{step}]"
