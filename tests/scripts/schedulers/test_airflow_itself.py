"""The DAG in Airflow itself, in an environment of its own: it is parsed, and run against a command that ends in every way."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

AIRFLOW = "apache-airflow==3.3.2"
PLACE = "OFFERMIX_TEST_AIRFLOW"
"""An environment that has it already, instead of a new one."""
STAND_IN = """
import pathlib, sys
left = pathlib.Path("statuses").read_text().split()
with open("calls", "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
pathlib.Path("statuses").write_text(" ".join(left[1:] or left))
sys.exit(int(left[0]))
"""
RUN = """
import datetime, json, pathlib, sys
import airflow_dag

found = {}
for minute, statuses in enumerate(sys.argv[1:]):
    pathlib.Path("statuses").write_text(statuses)
    day = datetime.datetime(2026, 11, 23, 5, minute, tzinfo=datetime.UTC)
    run = airflow_dag.dag.test(logical_date=day)
    tasks = {task.task_id: [str(task.state), task.try_number] for task in run.get_task_instances()}
    found[statuses] = [str(run.state), tasks]
pathlib.Path("found").write_text(json.dumps(found))
"""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment with Airflow and nothing of this program."""
    if PLACE in os.environ:
        return Path(os.environ[PLACE]) / "bin"
    uv = ROOT / ".venv" / "bin" / "uv"
    if not uv.exists():
        pytest.skip(f"{uv} is not there to install {AIRFLOW} with")
    place = tmp_path_factory.mktemp("airflow") / "venv"
    for words in (["venv", "--python", sys.executable, place], ["pip", "install", "--python", place, AIRFLOW]):
        made = subprocess.run([uv, *words], capture_output=True, text=True, timeout=900, check=False)
        if made.returncode:
            pytest.skip(f"{AIRFLOW} cannot be installed here: {made.stderr.strip().splitlines()[-1]}")
    return place / "bin"


@pytest.fixture(scope="module")
def called(airflow: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a fresh Airflow whose DAGs call the stand-in."""
    folder = tmp_path_factory.mktemp("off")
    (folder / "dags").mkdir()
    shutil.copy(ROOT / "scripts" / "schedulers" / "airflow_dag.py", folder / "dags")
    (folder / "stand_in.py").write_text(STAND_IN)
    variables = {
        name: held for name, held in os.environ.items() if not name.startswith(("OFFERMIX", "PYTEST", "PYTHON"))
    }
    return variables | {
        "AIRFLOW_HOME": str(folder / "home"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": str(folder / "dags"),
        "OFFERMIX_HOME": str(folder),
        "OFFERMIX_CALL": f"{airflow / 'python'} stand_in.py",
        "OFFERMIX_RETRIES": "2",
        "OFFERMIX_RETRY_SECONDS": "0.2",
        "OFFERMIX_ALERT": "tee -a told",
    }


def test_airflow_parses_the_dag_and_tries_again_what_may_pass_alone(airflow: Path, called: dict[str, str]) -> None:
    folder = Path(called["OFFERMIX_HOME"])

    def run(*words: object) -> str:
        done = subprocess.run(
            [airflow / str(words[0]), *map(str, words[1:])],
            cwd=folder, env=called, capture_output=True, text=True, timeout=500, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("airflow", "db", "migrate")
    assert run("airflow", "dags", "list-import-errors", "-l", "-o", "json").strip().endswith("[]")
    assert "offermix_weekly" in run("airflow", "dags", "list", "-l", "-o", "plain")
    run("python", "-c", RUN, "0", "1 0", "1", "2", "3", "4")
    found = json.loads((folder / "found").read_text())
    weekly = {statuses: (state, *tasks["weekly"]) for statuses, (state, tasks) in found.items()}
    assert weekly == {
        "0": ("success", "success", 1),
        "1 0": ("success", "success", 2),
        "1": ("failed", "failed", 3),
        "2": ("failed", "failed", 1),
        "3": ("failed", "failed", 1),
        "4": ("failed", "failed", 1),
    }
    assert {tuple(tasks["readout"]) for _, tasks in found.values()} == {("skipped", 1)}, "there is no earlier week"
    calls = (folder / "calls").read_text().splitlines()
    assert calls == [f"scripts.weekly run=2026-W48 runs={folder}/runs"] * 9
    assert (folder / "told").read_text().count("weekly failed") == 4, "told once, when no try is left"
