"""File in, policy out, or every mistake at once."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from allocator.policy import check, tree
from allocator.policy.grammar import (
    ContactRule,
    EligibilityRule,
    Experiment,
    Fallback,
    PinnedRule,
    Policy,
    Risk,
    Share,
    Tier,
)
from allocator.policy.kinds.base import Constraint
from allocator.policy.kinds.known import KINDS
from allocator.policy.kinds.volume import Volume
from allocator.policy.overrides import apply, rule_ids
from allocator.policy.suggest import hint, likely
from allocator.policy.tree import Fault, Node, Path_
from allocator.policy.words import LACKING, Bound, Measure, Rule, Term, composed, percent_meant, shown
from ranker.catalogue import Catalogue
from ranker.files import InputError

if TYPE_CHECKING:
    from ranker.scores import Scores

REQUIRED = ("version", "objective")
FILTERS = frozenset({"where", "of", "users", "forbid", "requires"})
WORDS = dict.fromkeys(("metric", "times", "each", "action"), "word")
Read = TypeVar("Read")
Model = TypeVar("Model", bound=BaseModel)
AnyRule = TypeVar("AnyRule", bound=Rule)


def read_policy(
    path: Path,
    overrides: Mapping[str, object],
    catalogue: Catalogue,
    segments: Mapping[str, frozenset[str]],
    *,
    previous: bool = False,
) -> Policy:
    """The policy of a file, checked against what it is meant for.

    overrides: id -> field -> value, as `set.ID.FIELD=VALUE` gives them, or id -> None (see `overrides`). segments: the values that users of
    the scores have. previous: whether there is an earlier allocation for `change` and `churn` to compare with. Raises one InputError with
    every mistake, each as "file:line: key.path: what is wrong".
    """
    return parse_policy(tree.read_text(Path(path)), str(path), overrides, catalogue, segments, previous=previous)


def policy_for(
    source: Policy | Path | str | Mapping[str, object],
    changes: Mapping[str, object],
    scores: "Scores",
    *,
    previous: bool = False,
) -> Policy:
    """The policy of a file, of its content as a mapping, or one that was read already, for the users of these scores.

    changes and previous: as in `read_policy`; a policy that was read already is taken as it is. Raises InputError with every mistake.
    """
    if isinstance(source, Policy):
        return source
    segments = {name: frozenset(values) for name, values in scores.vocabulary.items()}
    if not isinstance(source, Mapping):
        return read_policy(Path(source), changes, scores.catalogue, segments, previous=previous)
    text = json.dumps(source, indent=1, ensure_ascii=False, default=str)  # JSON is YAML, and its lines serve as places
    return parse_policy(text, "policy", changes, scores.catalogue, segments, previous=previous)


def parse_policy(
    text: str,
    name: str,
    overrides: Mapping[str, object],
    catalogue: Catalogue,
    segments: Mapping[str, frozenset[str]],
    *,
    previous: bool = False,
) -> Policy:
    """As `read_policy`, from text; `name` is what errors call it."""
    found = examine(text, name, overrides, check.World(catalogue, segments), previous=previous)
    if found.policy is None:
        raise InputError([problem.sentence for problem in found.problems])
    return found.policy


@dataclass(frozen=True)
class Examined:
    """A policy, or everything that keeps the text from being one. root: the text as a tree, where it is one."""

    policy: Policy | None
    problems: tuple[tree.PolicyProblem, ...]
    root: Node | None


def examine(
    text: str,
    name: str,
    overrides: Mapping[str, object],
    world: check.World | None = None,
    *,
    previous: bool = True,
) -> Examined:
    """Reads as `parse_policy` does and raises nothing. world: what the words must fit; without one the grammar alone is checked."""
    root, faults = tree.parse(text)
    policy = None
    if root is None and not faults:
        faults = [Fault((), "is empty; a policy has at least `version` and `objective`")]
    if root is not None:
        root, more = apply(root, overrides)
        root = root if world is None else _spelled(root, world)
        reading = _Reading(root, world, previous)
        policy = reading.policy()
        refused = {fault.path for fault in faults}
        faults = [*faults, *more, *(fault for fault in reading.faults if fault.path not in refused)]
    problems = dict.fromkeys(tree.problem(name, root, fault) for fault in _in_order(root, faults))
    return Examined(None if problems else policy, tuple(problems), root)


def _spelled(node: Node, world: check.World, role: str = "") -> Node:
    """The tree with words and filters as the scores spell them, so that the same letters match in whichever Unicode form.

    role: whether the node is a filter, the values of one, or a single word of the scores.
    """
    if isinstance(node.value, Mapping):
        entries: dict[str, Node] = {}
        for key, child in node.value.items():
            inner = role == "filter" and key == "not"
            below = "filter" if key in FILTERS or inner else "values" if role == "filter" else WORDS.get(key, "")
            named = world.spelled(key)[0] if role == "filter" and not inner else key
            entries[named] = _spelled(child, world, below)
        return replace(node, value=entries)
    if isinstance(node.value, tuple):
        spelled: list[Node] = []
        for child in node.value:
            read = _spelled(child, world, role)
            spelled += read.value if isinstance(child.value, str) and isinstance(read.value, tuple) else [read]
        return replace(node, value=tuple(spelled))
    if not isinstance(node.value, str) or not role:
        return node
    words = world.spelled(node.value)
    if role == "values" and len(words) > 1:
        return replace(node, value=tuple(replace(node, value=word) for word in words))
    return replace(node, value=words[0])


def _in_order(root: Node | None, faults: Sequence[Fault]) -> list[Fault]:
    """By line, as a reader goes through the file."""

    def line(fault: Fault) -> int:
        node, last = root, 0
        for step in fault.path:
            node = None if node is None else node.child(step)
            last = last if node is None else node.line
        return last if fault.line is None else fault.line

    return sorted(faults, key=line)


@dataclass
class _Reading:
    """The sections of one file, read one after the other; faults pile up, and the policy is built if there are none."""

    root: Node
    world: check.World | None
    previous: bool
    faults: list[Fault] = field(default_factory=list)

    def policy(self) -> Policy | None:
        if not isinstance(self.root.value, Mapping):
            self.faults.append(Fault((), "must be a mapping with `version` and `objective`"))
            return None
        self._top_keys(self.root.value)
        objective = self._list("objective", self._term)
        tiers = self._tiers()
        sections = {
            "risk": self._one("risk", Risk),
            "experiment": self._experiment(),
            "eligibility": self._rules("eligibility", self._eligibility),
            "contact": self._rules("contact", self._contact),
            "pinned": self._rules("pinned", self._pinned),
            "fallback": self._fallback(),
            "constraints": self._rules("constraints", self._constraint),
        }
        if self.faults:
            return None
        last = tiers[-1] if tiers else None
        told = {name: section for name, section in sections.items() if section is not None}
        return Policy(version=1, objective=objective if last is None else last.objective, tiers=tiers, **told)

    def _top_keys(self, entries: Mapping[str, Node]) -> None:
        known = list(Policy.model_fields)
        for key in entries:
            if key not in known:
                self.faults.append(Fault((key,), f"unknown key{hint(key, known)}"))
        tiers = "tiers" in entries
        if tiers and "objective" in entries:
            self.faults.append(Fault(("objective",), "stands beside `tiers`, which have objectives of their own"))
        for key in REQUIRED:
            if key not in entries and not (tiers and key == "objective"):
                self.faults.append(Fault((key,), "is missing"))
        version = self.root.child("version")
        if version is not None and (version.value != 1 or isinstance(version.value, bool)):
            self.faults.append(Fault(("version",), f"only version 1 can be read, not {shown(version.plain())}"))
        objective = self.root.child("objective")
        if objective is not None and objective.is_empty:
            self.faults.append(Fault(("objective",), "needs at least one term like {metric: revenue, weight: 1.0}"))

    def _list(self, section: str, read: Callable[[Node, int], Read]) -> tuple[Read, ...]:
        node = self.root.child(section)
        if node is None or node.value is None:
            return ()
        if not isinstance(node.value, tuple):
            self.faults.append(Fault((section,), f"must be a list, not {shown(node.plain())}"))
            return ()
        return tuple(read(item, position) for position, item in enumerate(node.value) if not item.taken_away)

    def _rules(self, section: str, read: Callable[[Node, int], Read]) -> tuple[Read, ...]:
        """A list of rules; ids are compared over all lists, once the last is read."""
        rules = self._list(section, read)
        if section == "constraints":
            ids = [(place, composed(told)) for place, told in rule_ids(self.root) if isinstance(told, str)]
            self.faults += check.unique_ids(ids)
        return rules

    def _one(self, section: str, model: type[Model]) -> Model | None:
        node = self.root.child(section)
        if node is None or node.value is None:
            return None
        record, faults = _read(model, node)
        self.faults += (fault.under(section) for fault in faults)
        return record

    def _experiment(self) -> Experiment | None:
        node, experiment = self.root.child("experiment"), self._one("experiment", Experiment)
        if node is not None and experiment is not None:
            self.faults += check.shares(
                _partial_share(node.child("holdout"), experiment.holdout),
                _partial_share(node.child("exploration"), experiment.exploration),
            )
        return experiment

    def _term(self, node: Node, position: int) -> Term | None:
        return self._record(Term, node, ("objective", position), check.measure)

    def _tiers(self) -> tuple[Tier | None, ...]:
        tiers = self._list("tiers", self._tier)
        node = self.root.child("tiers")
        if node is not None and not tiers and node.value in (None, ()):
            self.faults.append(Fault(("tiers",), "needs at least two tiers like {objective: [...], give_up: 1%}"))
        self.faults += (fault.under("tiers") for fault in check.tiers(tiers))
        return tiers

    def _tier(self, node: Node, position: int) -> Tier | None:
        return self._record(Tier, node, ("tiers", position), check.tier, check.has_terms)

    def _eligibility(self, node: Node, position: int) -> EligibilityRule | None:
        return self._rule(EligibilityRule, node, ("eligibility", position), check.eligibility)

    def _contact(self, node: Node, position: int) -> ContactRule | None:
        return self._rule(ContactRule, node, ("contact", position), check.contact)

    def _pinned(self, node: Node, position: int) -> PinnedRule | None:
        return self._rule(PinnedRule, node, ("pinned", position), check.pinned)

    def _fallback(self) -> Fallback | None:
        node = self.root.child("fallback")
        if node is None or node.value is None:
            return None
        return self._record(Fallback, node, ("fallback",), check.fallback, check.names_actions)

    def _constraint(self, node: Node, position: int) -> Constraint | None:
        place = ("constraints", position)
        kind = node.child("kind")
        word = kind.value if kind is not None and isinstance(kind.value, str) else None
        known = None if word is None else KINDS.get(word)
        if known is not None and known.compares is not None and not self.previous:
            self.faults.append(
                Fault((*place, "kind"), f"'{word}' compares with an earlier allocation: it needs previous=")
            )
        if not isinstance(node.value, Mapping) or known is not None:
            return _plain_fraction(self._rule(known or Volume, node, place, check.constraint))
        if kind is None:
            self.faults.append(Fault((*place, "kind"), f"is missing{hint('', KINDS)}"))
        else:
            self.faults.append(
                Fault((*place, "kind"), f"{shown(kind.plain())} is no kind of constraint{hint(word, KINDS)}")
            )
        self._guess(node.value, node, place, word)
        return None

    def _guess(self, entries: Mapping[str, Node], node: Node, place: tuple[str, int], word: object) -> None:
        """Reads on as the kind that was probably meant, so that the rule's other mistakes are told as well."""
        meant = likely(word, KINDS)
        if meant is not None:
            rest = {key: each for key, each in entries.items() if key != "kind"}
            self._rule(KINDS[meant], replace(node, value=rest), place, check.constraint)

    def _rule(
        self,
        model: type[AnyRule],
        node: Node,
        place: tuple[str, int],
        words: Callable[[check.World, AnyRule], Iterator[Fault]],
    ) -> AnyRule | None:
        def alone(rule: AnyRule) -> Iterator[Fault]:
            bounds = (rule.strength, *_kept_bounds(node, rule)) if isinstance(rule, Constraint) else ()
            yield from check.alone(rule, refused=None in bounds)

        return self._record(model, node, place, words, alone)

    def _record(
        self,
        model: type[Model],
        node: Node,
        place: Path_,
        words: Callable[[check.World, Model], Iterator[Fault]],
        alone: Callable[[Model], Iterator[Fault]] = lambda record: iter(()),
    ) -> Model | None:
        """words: checks against what the policy is meant for; alone: checks of the record by itself."""
        record, faults = _read(model, node)
        if record is not None:
            faults = [*faults, *alone(record), *(() if self.world is None else words(self.world, record))]
        self.faults += (fault.under(*place) for fault in faults)
        return record


def _partial_share(node: Node | None, share: Share | None) -> Share | None:
    """The share, or what of it was not refused."""
    return share if share is not None or node is None or node.value is None else _read(Share, node)[0]


def _kept_bounds(node: Node, rule: Rule) -> Iterator[object]:
    """Each bound that the file gives; None where its value was refused."""
    for key in ("min", "max"):
        given = node.child(key)
        if given is not None and given.value is not None:
            yield getattr(rule, key)


def _plain_fraction(rule: Constraint | None) -> Constraint | None:
    """A bound in per cent as the plain fraction, where the kind means one: 55% of the contacts, not of the users."""
    if rule is None or not rule.percent_is_fraction:
        return rule
    percents = {key: bound for key in ("min", "max") if (bound := getattr(rule, key)) is not None and bound.percent}
    fractions = {key: Bound(float(Fraction(repr(bound.amount)) / 100)) for key, bound in percents.items()}
    return rule.model_copy(update=fractions) if fractions else rule


def _read(model: type[Model], node: Node) -> tuple[Model | None, list[Fault]]:
    """The record of a mapping and its faults; where some fields are refused, a record with None in their place."""
    plain = node.plain()
    if not isinstance(plain, dict):
        words = ", ".join(model.model_fields)
        return None, [Fault((), f"must be a mapping with keys of {words}, not {shown(plain)}")]
    try:
        return model.model_validate(plain), []
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=True)
    faults = [_told(model, each) for each in errors]
    refused = {each["loc"][0] for each in errors if each["loc"]}
    kept = {
        name: adapter.validate_python(plain[name])
        for name, adapter in _adapters(model).items()
        if name in plain and name not in refused
    }
    return model.model_construct(**(dict.fromkeys(model.model_fields.keys() & refused) | kept)), faults


@cache
def _adapters(model: type[BaseModel]) -> Mapping[str, TypeAdapter]:
    """What validates each field alone; made once, since making it takes longer than reading a rule."""
    return {name: TypeAdapter(info.rebuild_annotation()) for name, info in model.model_fields.items()}


def _told(model: type[BaseModel], error: ErrorDetails) -> Fault:
    """What pydantic found, in our words."""
    place, value, context = error["loc"], error["input"], error.get("ctx", {})
    if error["type"] == LACKING:
        return Fault((*place, context["key"]), error["msg"])
    told: dict[str, Callable[[], str]] = {
        "extra_forbidden": lambda: _unknown_key(model, place),
        "missing": lambda: "is missing",
        "float_type": lambda: f"{shown(value)} is not a number",
        "int_type": lambda: f"{shown(value)} is not a whole number",
        "int_from_float": lambda: f"{shown(value)} is not a whole number",
        "finite_number": lambda: "must be a finite number",
        "greater_than_equal": lambda: f"must be at least {context['ge']:g}, not {shown(value)}",
        "less_than_equal": lambda: (
            f"must be at most {context['le']:g}, not {shown(value)}{_part(context['le'], value)}"
        ),
        "greater_than": lambda: f"must be above {context['gt']:g}, not {shown(value)}",
        "less_than": lambda: f"must be below {context['lt']:g}, not {shown(value)}{_part(context['lt'], value)}",
        "string_type": lambda: f"must be text, not {shown(value)}; in quotes, a number is text too",
        "string_too_short": lambda: "must not be empty",
        "string_pattern_mismatch": lambda: f"{shown(value)} may have at most 100 letters, digits, '_', '-' and '.'",
        "tuple_type": lambda: f"must be a list, not {shown(value)}",
        "model_type": lambda: f"must be a mapping, not {shown(value)}",
    }
    return Fault(tuple(place), told.get(error["type"], lambda: error["msg"])())


def _part(limit: float, value: object) -> str:
    """Of what is a part of one."""
    return percent_meant(value) if limit == 1 else ""


def _unknown_key(model: type[BaseModel], place: Sequence[str | int]) -> str:
    """Says which key was meant; a key that only other kinds of constraint have is named as such."""
    key = str(place[-1])
    inner: dict[str, type[BaseModel]] = {"holdout": Share, "exploration": Share, "per": Measure}
    owner = inner.get(str(place[-2]), model) if len(place) > 1 else model
    if len(place) > 2 and place[-3] == "objective":
        owner = Term
    others = [kind for kind, each in KINDS.items() if key in each.model_fields]
    if owner in KINDS.values() and others:
        own = next(kind for kind, each in KINDS.items() if each is owner)
        told = f"'{key}' is for {', '.join(others)}; a constraint of kind {own} has no such key"
        return f"{told}{KINDS[own].advice.get(key, '')}"
    return f"unknown key{hint(key, owner.model_fields)}"
