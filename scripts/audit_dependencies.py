"""Asks the advisory database about every pinned package: `./scripts/audit [licences]`; pip-audit runs in an environment of its own.

Exit status: 0 nothing is known; 4 advisories that nobody accepted; 1 nothing was answered."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from importlib import metadata
from pathlib import Path

from ranker.files import InputError
from scripts.cli.statuses import DONE, FAILED, REFUSED, guarded
from scripts.formats.advisories import ACCEPTED, AcceptedAdvisories, AuditReport

HERE = Path(__file__).resolve().parent
TOOL = "uv tool run --quiet --from pip-audit==2.10.1 pip-audit --no-deps --disable-pip --progress-spinner off --format json -s osv"


def run(words: Sequence[str]) -> int:
    """Prints what is known; the status says whether that may stay."""
    if wrong := [word for word in words if word != "licences"]:
        raise InputError([f"{word}: the one word that audit takes is licences" for word in wrong])
    for package in sorted(metadata.distributions() if words else (), key=lambda found: found.name.lower()):
        print(f"{package.name} {package.version}: {_licence(package.metadata)}")
    accepted, report = AcceptedAdvisories.from_file(HERE / ACCEPTED), _asked()
    if isinstance(report, str) or report.unknown:
        told = report if isinstance(report, str) else f"nothing is known of {', '.join(report.unknown)}"
        sys.stderr.write(f"audit: the advisory database gave no answer, so nothing is known either way: {told}\n")
        return FAILED
    left = list(accepted.left(report, date.today()))
    unused = [f"{name}: is accepted, and no package has it" for name in accepted.without_use(report)]
    print(*left, *unused, f"{len(report.dependencies)} packages asked about; {len(left)} advisories left.", sep="\n")
    return REFUSED if left else DONE


def _asked() -> AuditReport | str:
    """The answer, or why there is none."""
    mirror = [f"--osv-url={os.environ['OFFERMIX_ADVISORIES']}"] if "OFFERMIX_ADVISORIES" in os.environ else []
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report"
        command = [*TOOL.split(), *mirror, "--requirement", str(HERE / "requirements.lock"), "--output", str(file)]
        called = subprocess.run(
            command, env={**os.environ, "PATH": search}, capture_output=True, text=True, check=False
        )
        why = [f"pip-audit ended with {called.returncode}", *called.stderr.strip().splitlines()][-1][:300]
        return AuditReport.from_file(file) if file.exists() and file.stat().st_size else why


def _licence(known: metadata.PackageMetadata) -> str:
    classified = [each.split("::")[-1].strip() for each in known.get_all("Classifier") or () if "License ::" in each]
    said = [*(known.get_all("License-Expression") or ()), ", ".join(classified), *(known.get_all("License") or ())]
    return next((each[:60] for each in said if each), "not told")


if __name__ == "__main__":
    sys.exit(guarded("audit", lambda: run(sys.argv[1:])))
