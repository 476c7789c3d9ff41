"""The wheel as a company installs it: in an environment of its own, called from a folder that is no checkout.

It is built with the project's own tool. The new environment sees the heavy packages of this one. Its offermix cannot be written to: where
folders of compiled code would be made, files stand.
"""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.runs import digests
from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
OTHERS = ("ranker", "allocator", "scripts", "conf")
SMALL = (
    "debug=tiny",
    "data.users=500",
    "model.hidden=[4]",
    "fit.max_epochs=1",
    "publish.max_gap=0.01",
    "solve.gap=1e-3",
)
CLASH = """version: 1
objective: [{metric: revenue, weight: 1.0}]
contact: [{id: total, max: 1}]
constraints: [{id: more_than_there_are, kind: volume, where: {product: audiobooks}, min: 100000}]
"""
Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Installed:
    """bin: of the environment; here: an empty folder."""

    bin: Path
    package: Path
    here: Path

    def call(self, *words: object, program: str = "offermix", timeout: float = 900) -> Done:
        surroundings = {
            key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "NUMBA", "MLFLOW"))
        }
        command = [str(self.bin / program), *map(str, words)]
        surroundings |= {"OMP_NUM_THREADS": "1", "HOME": str(self.here / "no-home")}
        return subprocess.run(
            command, cwd=self.here, env=surroundings, capture_output=True, text=True, timeout=timeout, check=False
        )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "uv", "build", "--wheel", "--out-dir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if built.returncode and any(
        word in built.stderr for word in ("hatchling", "network", "connect", "No module named uv")
    ):
        pytest.skip(f"a wheel cannot be built here: {built.stderr.strip().splitlines()[-1]}")
    assert built.returncode == 0, built.stderr
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Beside it, packages of other people that are called as ours are in a checkout."""
    folder = tmp_path_factory.mktemp("company")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    words = [sys.executable, "-m", "uv", "pip", "install", "--no-deps", "--python", str(python), str(wheel)]
    subprocess.run(words, capture_output=True, timeout=120, check=True)
    (packages,) = (folder / "env" / "lib").glob("python*/site-packages")
    (packages / "heavy.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    for other in OTHERS:
        (packages / other).mkdir()
        (packages / other / "__init__.py").write_text("raise RuntimeError('somebody else has this name')\n")
    for place in [packages / "offermix", *(packages / "offermix").rglob("*")]:
        if place.is_dir():
            (place / "__pycache__").touch()
    (folder / "here").mkdir()
    return Installed(python.parent, packages / "offermix", folder / "here")


def test_nothing_of_tests_or_of_the_workplace_is_in_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"offermix"}
    assert not [name for name in names if "tests/" in name or Path(name).name.startswith(("test_", "."))]


def test_the_command_says_what_there_is_and_which_program(installed: Installed) -> None:
    assert "check_policy" in installed.call("--help").stdout
    assert installed.call("--version").stdout == f"offermix 0.1.0, code 0.1.0+{digests.sources_digest()[:12]}\n"
    assert "offermix weekly key=value ..." in installed.call("weekly", "--help").stdout
    assert installed.call("-m", "offermix", "--version", program="python").returncode == 0


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("wekly",), 2, "did you mean 'weekly'?"),
        (("check_policy", "policy=default"), 0, "Nothing is wrong"),
        (("check_policy", "policy=conf/policy/default.yaml"), 2, "conf/policy/default.yaml: there is no such file"),
        (("weekly", "policy=conf/policy/default.yaml"), 2, "conf/policy/default.yaml: there is no such file"),
        (("train", "logs=nowhere", "model=m", "fit.max_epochs=x"), 2, "fit.max_epochs: is 'x'"),
        (("weekly", "--config-dir", "nowhere"), 2, "--config-dir=nowhere: there is no such folder"),
    ],
)
def test_wrong_input_ends_as_in_a_checkout(
    installed: Installed, words: tuple[str, ...], status: int, told: str
) -> None:
    called = installed.call(*words)
    assert (called.returncode, "Traceback" in called.stderr) == (status, False), called.stderr
    assert told in called.stdout + called.stderr


def test_a_company_runs_its_weeks_by_its_own_configuration(installed: Installed) -> None:
    assert installed.call("init", "own").returncode == 0
    own = installed.here / "own"
    (own / "config.yaml").write_text("defaults:\n  - solve: nightly\nreadout: {margin: 0.2}\n")
    (own / "solve").mkdir()
    (own / "solve" / "nightly.yaml").write_text("defaults: [fast, _self_]\nnodes: 200\n")
    week = installed.call("weekly", "--config-dir", own, "run=first", *SMALL)
    assert week.returncode == 0, week.stderr[-3000:]
    run = installed.here / "runs" / "first"
    assert json.loads((installed.here / "runs" / "published.json").read_text())["run"] == "first", week.stdout[-3000:]
    assert (run / "report" / "report.html").is_file() and (installed.here / "runs" / "mlflow.db").is_file()
    manifest = json.loads((run / "allocation" / "manifest.json").read_text())
    assert manifest["config"]["solve"]["nodes"] == 200
    assert sorted(manifest["configuration"]) == ["config.yaml", "policy/default.yaml", "solve/nightly.yaml"]
    assert manifest["code_version"] == f"0.1.0+{digests.sources_digest()[:12]}"
    again = installed.call("weekly", "--config-dir", own, "run=first", *SMALL)
    assert again.returncode == 0 and "runs again" not in again.stderr, again.stderr[-3000:]
    asked = installed.call(
        "what_if", "scores=runs/first/scores", "policy=default", "set.push_capacity.max=10%", "sample=300"
    )
    assert asked.returncode == 0, asked.stderr
    (installed.here / "clash.yaml").write_text(CLASH)
    contradicts = installed.call("allocate", "scores=runs/first/scores", "policy=clash.yaml", "out=clash")
    assert contradicts.returncode == 3 and "Traceback" not in contradicts.stderr, contradicts.stderr
    refused = installed.call("weekly", "--config-dir", own, "run=second", *SMALL, "publish.min_value=9", "seed=1")
    assert refused.returncode == 4, refused.stderr[-3000:]
    assert json.loads((installed.here / "runs" / "published.json").read_text())["run"] == "first"


def test_a_notebook_has_the_five_verbs(installed: Installed) -> None:
    code = (
        "import logging, offermix, scripts_of_a_company; logging.getLogger('offermix').addHandler(logging.NullHandler());"
        "logs = offermix.prepare('market/tables');"
        "model = offermix.train(logs, debug='tiny', fit={'max_epochs': 1}); "
        "scores = offermix.score(model, 'market/users');"
        "contacts = offermix.allocate(scores, 'default', solve='fast').contacts; print(len(contacts), len(scores.frame))"
    )
    market = installed.call("make_market", "users=500", "data.weeks=6", "out=market")
    assert market.returncode == 0, market.stderr
    (installed.here / "scripts_of_a_company.py").write_text("import pandas\n")
    called = installed.call("-c", code, program="python")
    assert called.returncode == 0, called.stderr[-3000:]
    contacts, users = map(int, called.stdout.split())
    assert contacts > 0 and users == 500
    assert called.stderr == "", "no progress is forced on a notebook"


def test_types_are_told_to_those_who_check_theirs(installed: Installed) -> None:
    file = installed.here / "typed.py"
    file.write_text(
        "import offermix\n\nresult = offermix.allocate('scores', 'default')\nreveal_type(result.certificate.value)\nresult.certify()\n"
    )
    words = ("-m", "mypy", "--follow-imports=silent", "--ignore-missing-imports", "--cache-dir", os.devnull, file)
    checked = installed.call(*words, program="python").stdout
    assert 'Revealed type is "float"' in checked.replace("builtins.", ""), checked
    assert '"AllocatedContacts" has no attribute "certify"' in checked


def test_nothing_was_written_into_the_package(installed: Installed) -> None:
    assert all(place.is_file() for place in installed.package.rglob("__pycache__"))
