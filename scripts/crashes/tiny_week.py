"""The week that is stopped: a few hundred listeners, every stage of a real one, the market in place of a company's tables."""

from datetime import date
from pathlib import Path

from scripts.cli.settings import Settings, WeeklySettings

FIRST, SECOND = date(2026, 11, 16), date(2026, 11, 23)
"""Snapshots of the week that is published before, and of the one that is stopped."""
SMALL_DATA = {"weeks": 6, "truth": False}
SMALL_MODEL = {"members": 2, "hidden": (4,)}
SMALL_FIT = {"max_epochs": 1}
WIDE_GAP = {"gap": 1e-2}


def tiny_week(settings: Settings, users: int, runs: Path, snapshot: date) -> WeeklySettings:
    """The settings of a week of so many listeners in its own folder, published whatever its gap, and not recorded in MLflow."""
    data = settings.data.model_copy(update={"users": users, "snapshot": snapshot, **SMALL_DATA})
    made = {
        "data": data,
        "model": settings.model.model_copy(update=SMALL_MODEL),
        "fit": settings.fit.model_copy(update=SMALL_FIT),
        "solve": settings.solve.model_copy(update=WIDE_GAP),
        "publish": settings.publish.model_copy(
            update={"override": "faults", "reason": "A tiny week is published whatever its gates say."}
        ),
        "tracking": settings.tracking.model_copy(update={"enabled": False}),
        "paths": settings.paths.model_copy(update={"runs": runs}),
        "weekly": settings.weekly.model_copy(update={"publish": True}),
    }
    held = {name: getattr(settings, name) for name in Settings.model_fields}
    return WeeklySettings.model_construct(**(held | made))
