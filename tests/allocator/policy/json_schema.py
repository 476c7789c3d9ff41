"""A small validator of JSON schemas, by the text of draft-07: every keyword that it does not know is an error of the test."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "number": (int, float),
    "integer": int,
    "null": type(None),
}
SAID = {"$schema", "$defs", "title", "description", "format"}
"""Keywords that refuse nothing here."""


def why_not(schema: Mapping[str, Any], value: object) -> str | None:
    """The first reason for which the schema refuses a value."""
    return next(_faults(schema, schema, value, "policy"), None)


def _faults(root: Mapping[str, Any], schema: Any, value: object, place: str) -> Iterator[str]:
    if isinstance(schema, bool):
        yield from () if schema else [f"{place} is not allowed"]
        return
    if "$ref" in schema:
        assert set(schema) == {"$ref"}, "draft-07 ignores what stands beside a reference"
        yield from _faults(root, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], value, place)
        return
    for keyword in schema.keys() - SAID:
        if not KEYWORDS[keyword](root, schema, schema[keyword], value, place):
            yield f"{place}: {keyword} {schema[keyword]} refuses {value}"


def _holds(root: Mapping[str, Any], schema: Any, value: object, place: str) -> bool:
    return next(_faults(root, schema, value, place), None) is None


def _is(value: object, name: str) -> bool:
    kind = TYPES[name]
    return isinstance(value, kind) and (name == "boolean" or not isinstance(value, bool))


def _same(left: object, right: object) -> bool:
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def _number(value: object) -> bool:
    return _is(value, "number")


def _properties(root: Any, schema: Any, word: Any, value: Any, place: str) -> bool:
    return not isinstance(value, dict) or all(
        _holds(root, word[key], each, f"{place}.{key}") for key, each in value.items() if key in word
    )


def _additional(root: Any, schema: Any, word: Any, value: Any, place: str) -> bool:
    return not isinstance(value, dict) or all(
        _holds(root, word, each, f"{place}.{key}")
        for key, each in value.items()
        if key not in schema.get("properties", {})
    )


def _items(root: Any, schema: Any, word: Any, value: Any, place: str) -> bool:
    return not isinstance(value, list) or all(_holds(root, word, each, f"{place}[{n}]") for n, each in enumerate(value))


KEYWORDS: Mapping[str, Any] = {
    "type": lambda root, schema, word, value, place: any(
        _is(value, name) for name in (word if isinstance(word, list) else [word])
    ),
    "const": lambda root, schema, word, value, place: _same(word, value),
    "enum": lambda root, schema, word, value, place: any(_same(each, value) for each in word),
    "pattern": lambda root, schema, word, value, place: (
        not isinstance(value, str) or re.search(word, value) is not None
    ),
    "minLength": lambda root, schema, word, value, place: not isinstance(value, str) or len(value) >= word,
    "minItems": lambda root, schema, word, value, place: not isinstance(value, list) or len(value) >= word,
    "minimum": lambda root, schema, word, value, place: not _number(value) or value >= word,
    "maximum": lambda root, schema, word, value, place: not _number(value) or value <= word,
    "exclusiveMinimum": lambda root, schema, word, value, place: not _number(value) or value > word,
    "exclusiveMaximum": lambda root, schema, word, value, place: not _number(value) or value < word,
    "required": lambda root, schema, word, value, place: not isinstance(value, dict) or set(word) <= set(value),
    "properties": _properties,
    "additionalProperties": _additional,
    "items": _items,
    "anyOf": lambda root, schema, word, value, place: any(_holds(root, each, value, place) for each in word),
    "allOf": lambda root, schema, word, value, place: all(_holds(root, each, value, place) for each in word),
    "oneOf": lambda root, schema, word, value, place: sum(_holds(root, each, value, place) for each in word) == 1,
}
