"""The week that is stopped: a few hundred listeners, every stage of a real one, the market in place of a company's tables."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from scripts.cli.settings import Settings, WeeklySettings

FIRST, SECOND = date(2026, 11, 16), date(2026, 11, 23)
"""Snapshots of the week that is published before, and of the one that is stopped."""
SMALL_DATA = {"weeks": 6, "truth": False}
SMALL_MODEL = {"members": 2, "hidden": (4,)}
SMALL_FIT = {"max_epochs": 1}
WIDE_GAP = {"gap": 1e-2}
ANSWERED = {"override": "faults", "reason": "A tiny week is published whatever its gates say."}


Changes = Mapping[str, Mapping[str, Any]]
"""Of a group of settings, fields that are otherwise."""


def tiny_week(
    settings: Settings, users: int, runs: Path, snapshot: date, changes: Changes | None = None
) -> WeeklySettings:
    """The settings of a week of so many listeners in its own folder, published whatever its gap, and not recorded in MLflow."""
    data = settings.data.model_copy(update={"users": users, "snapshot": snapshot, **SMALL_DATA})
    made = {
        "data": data,
        "model": settings.model.model_copy(update=SMALL_MODEL),
        "fit": settings.fit.model_copy(update=SMALL_FIT),
        "solve": settings.solve.model_copy(update=WIDE_GAP),
        "publish": settings.publish.model_copy(update=ANSWERED),
        "tracking": settings.tracking.model_copy(update={"enabled": False}),
        "paths": settings.paths.model_copy(update={"runs": runs}),
        "weekly": settings.weekly.model_copy(update={"publish": True}),
    }
    made |= {name: made[name].model_copy(update=fields) for name, fields in (changes or {}).items()}
    held = {name: getattr(settings, name) for name in Settings.model_fields}
    return WeeklySettings.model_construct(**(held | made))


def overrides(users: int, runs: Path, snapshot: date) -> list[str]:
    """The same, as words of the command line."""
    fields: dict[str, Mapping[str, object]] = {
        "data": {"users": users, "snapshot": snapshot, **SMALL_DATA},
        "model": SMALL_MODEL,
        "fit": SMALL_FIT,
        "solve": WIDE_GAP,
        "publish": ANSWERED,
        "tracking": {"enabled": False},
    }
    words = [f"{group}.{name}={_word(value)}" for group, held in fields.items() for name, value in held.items()]
    return [f"runs={runs}", "publish=true", *words]


def _word(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{','.join(map(str, value))}]"
    return f"'{value}'" if isinstance(value, str | date) else str(value).lower()
