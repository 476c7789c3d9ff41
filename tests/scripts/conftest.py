"""What tests of commands share: the settings of `allocate`, over a policy of their own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.command import validated
from scripts.settings import AllocatePaths, AllocateSettings, Settings
from tests.allocator.instances import OBJECTIVE


@pytest.fixture(scope="session")
def settings_for(composed: Callable) -> Callable[..., AllocateSettings]:
    """settings_for(folder, rules, ...): the command's settings, the policy written into the folder."""
    base = validated(Settings, composed())

    def make(folder: Path, rules: str, previous: Path | None = None, **solve: object) -> AllocateSettings:
        policy = folder / "policy.yaml"
        policy.write_text(OBJECTIVE + rules)
        paths = AllocatePaths(scores=folder / "scores", policy=policy, out=folder / "out", previous=previous)
        options = base.solve.model_copy(update={"gap": 1e-3, "nodes": 200, **solve})
        held = {name: getattr(base, name) for name in Settings.model_fields} | {"paths": paths, "solve": options}
        return AllocateSettings.model_construct(**held)

    return make
