"""The JSON schema of policy files, for editors that complete, explain and check while one types.

It is made from the grammar: pydantic's schema of the records, with the forms that values have in a file in place of the records that they
are read as. What a schema cannot say (a minimum above its maximum) is left to `check`: it refuses nothing that the reader takes.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from allocator.policy.check import World
from allocator.policy.grammar import Policy
from allocator.policy.kinds.known import KINDS

Schema = dict[str, Any]
DIALECT = "http://json-schema.org/draft-07/schema#"
"""What editors know best."""
SCALAR: Schema = {"type": ["string", "number", "boolean"]}
VALUES: Schema = {"anyOf": [SCALAR, {"type": "array", "minItems": 1, "items": SCALAR}]}
PERCENT: Schema = {"type": "string", "pattern": r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+) ?%$"}
WORD: Schema = {"type": "string", "minLength": 1}
SOFT = "What each unit by which the bound is missed takes off the value."
FORMS: Mapping[str, Schema] = {
    "Bound": {"anyOf": [{"type": "number"}, PERCENT]},
    "Strength": {
        "anyOf": [
            {"enum": ["hard", "report_only"]},
            {
                "type": "object",
                "properties": {"soft": {"description": SOFT, "type": "number", "minimum": 0}},
                "required": ["soft"],
                "additionalProperties": False,
            },
        ]
    },
    "id": {"type": "string", "pattern": "^[^\\s!-,/:-@\\[-^`{-~]{1,100}$"},
    "share": {"anyOf": [{"type": "number", "minimum": 0, "exclusiveMaximum": 1}, PERCENT]},
    "spoils": {"anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 1}, PERCENT]},
    "certainty": {"anyOf": [{"type": "number", "minimum": 0.5, "exclusiveMaximum": 1}, PERCENT]},
    "salt": {"type": ["string", "number"]},
    "valid_from": {"type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
    "valid_to": {"type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
}
"""A record, or a key, in the form that it has in a file, where that is another than pydantic's."""
FILTERS: Mapping[str, str] = {
    "where": "offers", "of": "offers", "forbid": "offers", "requires": "offers", "users": "listeners",
}  # fmt: skip
ATTRIBUTE: Mapping[str, str] = {"offers": "An attribute of offers", "listeners": "A segment of listeners"}
MOST_EXAMPLES = 4
HOVER: Mapping[str, str] = {
    "version": "Of the grammar: 1.",
    "objective": "What a contact is worth: the sum of weight * metric, times an attribute of the offer where `times` names one.",
    "tiers": "Several objectives in order, in place of `objective`.",
    "Tier.objective": "What is maximised in this turn: the sum of weight * metric over these terms.",
    "Tier.give_up": "The part of this objective that the ones after it may cost, like 1%.",
    "risk": "How far estimates are believed.",
    "z": "Value counts mean - z * standard error; of a metric with negative weight, mean + z.",
    "experiment": "Who gets nothing, to compare with, and who explores.",
    "holdout": "These listeners get nothing; the same people while the salt stays.",
    "exploration": "These listeners get a random eligible contact or nothing, which the next model learns from.",
    "share": "A part of all listeners: 2% or 0.02.",
    "salt": "Another salt draws other people.",
    "eligibility": "Offers that some listeners never get.",
    "contact": "What one listener may get in a week. One contact per slot always holds.",
    "pinned": "Contacts that people have promised, rule after rule.",
    "fallback": "For listeners who would otherwise get nothing.",
    "constraints": "What must hold over everybody.",
    "id": "Names the rule everywhere: letters of any script, digits, _, - and .",
    "label": "How people call the rule.",
    "owner": "Who answers for the rule.",
    "reason": "Why there is the rule.",
    "valid_from": "The first day on which the rule holds.",
    "valid_to": "The last day on which the rule holds.",
    "forbid": "Offers that `users` never get, by attributes of the catalogue.",
    "users": "Listeners in scope, by segment: {market: [SE, NO]}. Several keys must all hold; not: {...} negates.",
    "where": "Offers in scope, by attributes of the catalogue: {surface: push}. Several keys must all hold; not: {...} negates.",
    "of": "The whole that the share is a part of; all contacts in `users` without it.",
    "requires": "A contact in `where` is only for those who get one of these too, or with `days` got one before.",
    "max": "At most. On a volume a number of contacts, or 5%: of all listeners in `users`. On other kinds in their own unit.",
    "min": "At least. On a volume a number of contacts, or 5%: of all listeners in `users`. On other kinds in their own unit.",
    "UserReach.max": "At most so many listeners with a contact in `where`, or 80%: of all listeners in `users`.",
    "UserReach.min": "At least so many listeners with a contact in `where`, or 80%: of all listeners in `users`.",
    "Change.max": "By how much the volume may differ from last week's, like 30%.",
    "Churn.max": "How many listeners may be given something else than last week, like 30% of those in `users`.",
    "ContactRule.max": "Contacts in scope that one listener gets at most.",
    "ContactRule.min": "None of these contacts, or at least so many.",
    "each": "One rule per value of this segment or attribute.",
    "ContactRule.each": "The rule holds for each value of this attribute on its own.",
    "days": "Contacts of so many days before count as well.",
    "spoils": "Keeps apart offers that leave less than this part of each other's effect, like 80%.",
    "action": "The id of an offer; on a fallback also a list of them, the first that is possible is taken.",
    "kind": "volume counts contacts, reach listeners, total a metric; share, average, ratio divide; change, churn look at last week.",
    "strength": "hard always holds; {soft: 0.05} may be broken at 0.05 of value per unit; report_only is measured alone.",
    "certainty": "The probability with which the bound holds by the estimates' own errors, like 90%.",
    "metric": "A metric of the scores.",
    "times": "An attribute of offers that is a number, like discount_eur. Without `metric` it is summed by itself.",
    "weight": "What one unit of the metric is worth.",
    "per": "What the ratio divides by: a metric, an attribute, or both.",
}
"""What an editor shows of a key, by its name or by record and name."""
ONE_OF_TWO = {"anyOf": [{"required": ["metric"]}, {"required": ["times"]}]}
NEVER_EMPTY = ("version", "objective", "tiers")
"""Sections that must say something where they stand."""
RECORDS: Mapping[str, Schema] = {
    "Term": ONE_OF_TWO,
    "Measure": ONE_OF_TWO,
    "Total": ONE_OF_TWO,
    "Ratio": ONE_OF_TWO,
    "ContactRule": {"anyOf": [{"required": ["max"]}, {"required": ["requires"]}]},
    "Policy": {"oneOf": [{"required": ["objective"]}, {"required": ["tiers"]}], "required": ["version"]},
}
"""What must be there besides what each field says."""


def policy_schema(world: World | None = None) -> Schema:
    """The schema. world: its metrics, attributes, segments and values are offered, and others refused."""
    raw = Policy.model_json_schema(mode="validation")
    raw["properties"]["constraints"]["items"] = {
        "oneOf": [{"$ref": f"#/$defs/{kind.__name__}"} for kind in KINDS.values()]
    }
    records = {**raw.pop("$defs"), "Policy": raw}
    for kind in KINDS.values():
        made = kind.model_json_schema(mode="validation")
        records |= {**made.pop("$defs", {}), kind.__name__: made}
    words = _words(world)
    for form in (*FORMS, "Filter", "Constraint"):
        records.pop(form, None)
    defs = {name: _record(name, words, record) for name, record in records.items()}
    root = defs.pop("Policy")
    filters = {name: _filter(name, {} if world is None else _values(world, name)) for name in ("offers", "listeners")}
    return {"$schema": DIALECT, "title": "offermix policy", **root, "$defs": {**defs, **filters}}


def _record(name: str, words: Mapping[str, Schema], record: Schema) -> Schema:
    properties = {key: _property(name, key, words, info) for key, info in record["properties"].items()}
    needed = dict.fromkeys([*record.get("required", ()), *(["kind"] if "kind" in properties else [])])
    made = {"type": "object", "properties": properties, "additionalProperties": False}
    told = {"description": record["description"]} if "description" in record else {}
    needs = {"required": list(needed)} if needed else {}
    return {**told, **made, **needs, **RECORDS.get(name, {})}


def _property(record: str, key: str, words: Mapping[str, Schema], info: Schema) -> Schema:
    """A key of a record in the form of the file, with what an editor shows of it."""
    form = _form(record, key, words, info)
    if {"type": "null"} in info.get("anyOf", ()) or (record == "Policy" and key not in NEVER_EMPTY):
        form = {"anyOf": [form, {"type": "null"}]}
    elif "$ref" in form:
        form = {"allOf": [form]}  # beside a reference an editor shows nothing
    return {"description": HOVER.get(f"{record}.{key}") or HOVER[key], **form}


def _form(record: str, key: str, words: Mapping[str, Schema], info: Schema) -> Schema:
    if key in FILTERS:
        return {"$ref": f"#/$defs/{FILTERS[key]}"}
    if key == "action":
        word = words.get("action", WORD)
        return _one_or_more(word) if record == "Fallback" else word
    form = {**FORMS, **words}.get(key)
    return _plain(info) if form is None else form


def _plain(info: Any) -> Any:
    """pydantic's schema without titles, defaults and null, and with the forms of records."""
    if isinstance(info, list):
        return [_plain(each) for each in info if each != {"type": "null"}]
    if not isinstance(info, dict):
        return info
    if "$ref" in info and (form := FORMS.get(info["$ref"].rpartition("/")[2])) is not None:
        return form
    kept = {key: _plain(value) for key, value in info.items() if key not in ("title", "default")}
    return kept["anyOf"][0] if len(kept.get("anyOf", ())) == 1 else kept


def _words(world: World | None) -> Mapping[str, Schema]:
    """Keys that hold a word of the scores."""
    if world is None:
        return {}
    each = sorted({*world.attributes, *(world.segments or {})})
    known = {"action": list(world.catalogue.ids), "times": sorted(world.numbers), "each": each}
    known |= {"metric": list(world.metrics)} if world.is_of_scores else {}
    return {key: {"enum": words} for key, words in known.items() if words}


def _values(world: World, sort: str) -> Mapping[str, list[object]]:
    known = world.known if sort == "offers" else world.known_of_users
    return {name: sorted(each.words, key=lambda value: (str(type(value)), value)) for name, each in known.items()}


def _filter(name: str, values: Mapping[str, list[object]]) -> Schema:
    negated = {"not": {"description": "What must not hold.", "allOf": [{"$ref": f"#/$defs/{name}"}]}}
    known = {key: _attribute(name, each) for key, each in values.items()}
    rest: Schema | bool = False if values else VALUES
    return {"type": "object", "properties": {**known, **negated}, "additionalProperties": rest}


def _attribute(filter_name: str, values: Sequence[object]) -> Schema:
    examples = ", ".join(map(str, values[:MOST_EXAMPLES]))
    return {"description": f"{ATTRIBUTE[filter_name]}, like {examples}.", **_one_or_more({"enum": list(values)})}


def _one_or_more(word: Schema) -> Schema:
    return {"anyOf": [word, {"type": "array", "minItems": 1, "items": word}]}


def keys(schema: object) -> Iterator[tuple[str, Schema]]:
    """Every key that the schema knows, at any depth, with what it says of it."""
    if isinstance(schema, Mapping):
        yield from schema.get("properties", {}).items()
    inside = schema.values() if isinstance(schema, Mapping) else schema if isinstance(schema, list) else ()
    for each in inside:
        yield from keys(each)
