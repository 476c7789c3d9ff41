"""Which weekly runs are trials: of another policy than the configured one, or of one that `set.` changed. A trial is not published.

Configured is what config.yaml says, the company's own before the shipped one. A copy of the configured file is the configured policy,
whatever it is called.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ranker.files import read_bytes
from scripts.cli import shipped
from scripts.cli.own_configuration import configured_here
from scripts.cli.settings import WeeklySettings

MOST_POLICY_BYTES = 64 << 20


@dataclass(frozen=True)
class Configured:
    """The policy that a week is published with unless it is said otherwise, and what is changed of it."""

    policy: Path
    changes: Mapping[str, Any]


def configured() -> Configured:
    """What config.yaml says, without the command line."""
    config = configured_here(shipped.own())
    return Configured(Path(shipped.by_name(shipped.CONF, str(config["weekly"]["policy"]))), config["set"] or {})


def decided(settings: WeeklySettings) -> tuple[WeeklySettings, str | None]:
    """The settings with `publish` settled, and one sentence that says why the run is not published, or None where it is."""
    reason = _reason(settings)
    weekly = settings.weekly.model_copy(update={"publish": reason is None})
    return settings.model_copy(update={"weekly": weekly}), reason


def _reason(settings: WeeklySettings) -> str | None:
    asked = settings.weekly.publish
    if asked is False:
        return "not published: publish=false"
    tried = [] if asked else list(_tried(settings))
    return f"not published: {' and '.join(tried)}; with publish=true it is" if tried else None


def _tried(settings: WeeklySettings) -> Iterator[str]:
    usual = configured()
    if not _same(settings.weekly.policy, usual.policy):
        yield f"{settings.weekly.policy} is another policy than the configured {usual.policy}"
    if changed := [
        rule for rule in settings.set if rule not in usual.changes or settings.set[rule] != usual.changes[rule]
    ]:
        changes = "changes" if len(changed) == 1 else "change"
        yield f"{', '.join(f'set.{rule}' for rule in changed)} {changes} the policy"


def _same(policy: Path, usual: Path) -> bool:
    """Whether both files say the same, letter by letter."""
    if policy == usual:
        return True
    return usual.is_file() and read_bytes(policy, MOST_POLICY_BYTES) == read_bytes(usual, MOST_POLICY_BYTES)
