"""Called by hatchling when it builds the wheel: hands it what `wheel` says is installed."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WheelContents(BuildHookInterface[Any]):  # type: ignore[misc]  # hatchling is there while a wheel is built alone
    """An editable install is the checkout itself, on the path."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Writes the files beside the build, where hatchling takes them from."""
        if version == "editable":
            return
        sys.path.insert(0, self.root)
        from ranker import disk
        from scripts.library.wheel import contents

        self.made = tempfile.TemporaryDirectory()
        for name, content in contents(Path(self.root)).items():
            place = Path(self.made.name) / name
            disk.make_folder(place.parent, parents=True, there=True)
            disk.write_bytes(place, content)
            build_data["force_include"][str(place)] = name

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != "editable":
            self.made.cleanup()
