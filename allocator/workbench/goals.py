"""Goals as people write them, `want="books_goal.achieved=40000" by=books_goal.min`, and the field of a policy that is to reach them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from allocator.policy.grammar import Policy
from allocator.policy.overrides import SECTIONS, term_names
from allocator.policy.suggest import hint
from allocator.policy.words import RULES
from allocator.workbench.answers import Amount, Seek
from allocator.workbench.measures import Measurand
from allocator.workbench.seek import PolicyField, changes_of, seek
from allocator.workbench.session import Session
from ranker.files import InputError

SUMS = ("volume", "reach", "churn")
"""Kinds whose bounds are whole numbers."""


@dataclass(frozen=True)
class Goal:
    """want: what is measured, as it was written; target: to which value; by: the path of the field that may change."""

    want: str
    target: float
    by: str


def goal_of(want: str | None, by: str | None) -> Goal:
    """From the words of a command; InputError with everything that is wrong with them."""
    faults = [f"{key}: is missing; give {key}=..." for key, words in (("want", want), ("by", by)) if not words]
    name, equals, amount = (want or "").partition("=")
    target = _number(amount)
    if want and (not equals or not name.strip()):
        faults.append(
            f"want: {want}: is not of the form NAME=AMOUNT, like push_capacity.achieved=40000 or revenue=5000"
        )
    elif want and target is None:
        faults.append(f"want: {want}: '{amount}' is not a number or a percentage like 20%")
    if faults or target is None or by is None:
        raise InputError(faults)
    return Goal(name.strip(), target, by.removeprefix("set."))


def _number(words: str) -> float | None:
    """A number, with thousands apart or a per cent sign; None where it is none."""
    plain = words.strip().replace(",", "").replace("_", "")
    try:
        return float(plain.removesuffix("%").strip()) / 100 if plain.endswith("%") else float(plain)
    except ValueError:
        return None


def seek_goal(
    session: Session, policy: Path | Mapping[str, object], changes: Mapping[str, object], goal: Goal, full: bool = False
) -> Seek:
    """Which value of the field reaches the goal. policy, changes: as `Session.read` takes them.

    Raises Infeasible where the policy as it is contradicts itself, InputError where goal or policy are wrong.
    """
    base = session.read(policy, changes)
    now = session.priced_or_diagnosed(base)
    measure = Measurand.named(goal.want, now, "want")
    value, whole = _value_at(base, goal.by)

    def at(amount: Amount) -> Policy:
        return session.read(policy, merged(changes, changes_of(goal.by, amount)))

    field = PolicyField(goal.by, value, whole, at)
    target = goal.target
    return seek(session, base, field, measure, target, full)


def merged(changes: Mapping[str, object], more: Mapping[str, object]) -> dict[str, object]:
    """Both, the second where they say different things."""
    found = dict(changes)
    for key, value in more.items():
        before = found.get(key)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        found[key] = merged(before, value) if both else value  # type: ignore[arg-type]  # both are mappings then
    return found


def _value_at(policy: Policy, path: str) -> tuple[Amount | None, bool]:
    """The value of a field that is an amount, and whether it can only be whole; None where the rule does not have it."""
    words = policy.to_json()
    rules = {rule["id"]: (section, rule) for section in RULES for rule in words[section]}
    terms = dict(zip(_names(words), words.get("objective", ()), strict=True))
    places: dict[str, tuple[str, dict]] = {f"objective.{name}": ("objective", term) for name, term in terms.items()}
    places |= {name: (str(place[0]), _at(words, place)) for name, place in SECTIONS.items()}
    places |= rules
    name, _, field = path.rpartition(".")
    if name not in places or not field:
        raise InputError([f"by: there is no rule or section '{name or path}'{hint(name or path, list(places))}"])
    section, holder = places[name]
    value = holder.get(field)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float | str)):
        raise InputError([f"by: {path}: is no amount"])
    if section == "experiment" and value is not None:
        value = f"{100 * float(value):.10g}%"
    bound = field in ("min", "max")
    counts = section == "contact" or (section == "constraints" and bound and holder["kind"] in SUMS)
    return value, counts and not isinstance(value, str)


def _names(words: Mapping[str, list]) -> list[str]:
    return term_names((term.get("metric"), term.get("times")) for term in words.get("objective", ()))


def _at(words: Mapping[str, object], place: tuple) -> dict:
    found: object = words
    for step in place:
        found = found.get(step) if isinstance(found, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}
