"""Settings and names as MLflow takes them: short, of its letters, and without secrets."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

LONGEST_NAME = 250


def sanitised(name: str) -> str:
    """A name that MLflow takes: letters, digits and `_ - . : / space`, at most 250 of them."""
    kept = re.sub(r"[^\w\-.:/ ]", "_", name).strip(" ./") or "_"
    return re.sub(r"/{2,}", "/", kept)[:LONGEST_NAME]


def short_params(config: Mapping[str, object]) -> dict[str, str]:
    """The settings that fit a table: single values at most two levels deep; the whole configuration is an artifact."""
    params: dict[str, str] = {}
    for name, value in config.items():
        if name in ("paths", "set"):
            continue
        entries = value.items() if isinstance(value, Mapping) else [("", value)]
        for inner, entry in entries:
            if isinstance(entry, bool | int | float | str):
                params[f"{name}.{inner}".rstrip(".")] = str(entry)
    for rule, fields in dict(config.get("set") or {}).items():
        params[f"set.{rule}"] = json.dumps(fields)
    return params


def without_secrets(value: object, name: str = "") -> object:
    """The configuration with anything that is named like a secret masked; none of ours is, but an override might be."""
    if re.search(r"password|passwd|secret|token|credential|api_?key", name, re.IGNORECASE):
        return "***"
    if isinstance(value, Mapping):
        return {key: without_secrets(entry, str(key)) for key, entry in value.items()}
    if isinstance(value, str) and "://" in value:
        return without_password(value)
    return value


def without_places(value: object) -> object:
    """Absolute paths by their last part alone: where things lie on a machine is nobody else's business."""
    if isinstance(value, Mapping):
        return {key: without_places(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_places(entry) for entry in value]
    return Path(value).name if isinstance(value, str) and value.startswith("/") else value


def without_password(text: str) -> str:
    return re.sub(r"(\w+://)[^/@\s]*@", r"\1", text)
