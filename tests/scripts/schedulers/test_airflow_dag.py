"""The DAG without Airflow: which week, which words, what is tried again, and who is told what."""

import importlib.util
import json
import os
import signal
import sys
import types
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

FILE = ROOT / "scripts" / "schedulers" / "airflow_dag.py"
MONDAY = datetime(2026, 11, 23, 5, tzinfo=UTC)


class FailedForGood(Exception):
    """Stands in for AirflowFailException."""


class Skipped(Exception):
    """Stands in for AirflowSkipException."""


@pytest.fixture
def made() -> dict[str, Any]:
    """What the DAG was made with, and its tasks by their names."""
    return {"tasks": {}}


@pytest.fixture
def dag(made: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[types.ModuleType]:
    """The file as Airflow reads it, with stand-ins for the few names that it takes from there."""

    class FakeDag:
        def __init__(self, **given: Any) -> None:
            made.update(given)

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    def task(**given: Any) -> Any:
        return lambda function: lambda: made["tasks"].update({given["task_id"]: function})

    sdk = types.ModuleType("airflow.sdk")
    sdk.DAG, sdk.Param, sdk.task = FakeDag, lambda *given, **more: given[0], task
    errors = types.ModuleType("airflow.sdk.exceptions")
    errors.AirflowFailException, errors.AirflowSkipException = FailedForGood, Skipped
    for name, module in {"airflow": types.ModuleType("airflow"), "airflow.sdk": sdk, errors.__name__: errors}.items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in [name for name in os.environ if name.startswith("OFFERMIX_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OFFERMIX_HOME", str(tmp_path))
    stand_in = tmp_path / "stand_in.py"
    stand_in.write_text(
        "import sys, pathlib\npathlib.Path('said').write_text(' '.join(sys.argv[1:]))\nexit(int(open('status').read()))"
    )
    monkeypatch.setenv("OFFERMIX_CALL", f"{sys.executable} {stand_in}")
    (tmp_path / "status").write_text("0")
    spec = importlib.util.spec_from_file_location("airflow_dag_by_itself", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module


def context(day: datetime | None = MONDAY, **params: str) -> dict[str, Any]:
    run = types.SimpleNamespace(logical_date=day, run_after=MONDAY + timedelta(days=7))
    task_instance = types.SimpleNamespace(task_id="weekly", start_date=MONDAY)
    given: Mapping[str, Any] = {"week": None, "words": "", **params}
    return {"dag_run": run, "params": given, "task_instance": task_instance, "exception": FailedForGood("why")}


def test_a_missed_week_is_not_made_later_and_one_run_goes_at_a_time(
    dag: types.ModuleType, made: dict[str, Any]
) -> None:
    assert (made["catchup"], made["max_active_runs"], made["schedule"]) == (False, 1, "0 5 * * 1")
    assert made["default_args"]["retries"] == 3 and made["default_args"]["on_failure_callback"] is dag.alert
    assert list(made["tasks"]) == ["weekly", "readout"]


@pytest.mark.parametrize(
    ("given", "week"),
    [
        (context(), "2026-W48"),
        (context(datetime(2027, 1, 1, tzinfo=UTC)), "2026-W53"),
        (context(None), "2026-W49"),
        (context(week="2026-W07"), "2026-W07"),
    ],
    ids=["its date", "new year", "triggered by hand", "asked for"],
)
def test_the_week_is_that_of_the_date_and_not_of_now(
    given: dict[str, Any], week: str, dag: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFFERMIX_TABLES", "/data/{week}")
    monkeypatch.setenv("OFFERMIX_WORDS", "-v publish.approver='Ada L.'")
    given["params"] |= {"words": "publish=false"}
    dag.weekly(**given)
    words = (
        f"scripts.weekly run={week} runs={tmp_path}/runs tables=/data/{week} -v publish.approver=Ada L. publish=false"
    )
    assert (tmp_path / "said").read_text() == words


@pytest.mark.parametrize(
    ("status", "error"),
    [("1", RuntimeError), ("2", FailedForGood), ("3", FailedForGood), ("4", FailedForGood), ("137", RuntimeError)],
)
def test_what_is_for_people_is_not_tried_again(
    status: str, error: type[Exception], dag: types.ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "status").write_text(status)
    with pytest.raises(error, match=f"exit status {status}"):
        dag.weekly(**context())


def test_a_signal_is_tried_again(dag: types.ModuleType) -> None:
    with pytest.raises(RuntimeError, match="ended by signal 9"):
        dag.fail(["python", "scripts.weekly"], -9)


def test_a_command_ends_with_its_task(dag: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that runs too long is interrupted by an alarm, as here."""
    begun, ended = tmp_path / "begun", tmp_path / "ended"
    (tmp_path / "slow.py").write_text(
        "import pathlib, signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path('{ended}').touch(), sys.exit(143)))\n"
        f"pathlib.Path('{begun}').touch()\ntime.sleep(60)"
    )

    def too_long(*_: object) -> None:
        if begun.exists():
            raise TimeoutError
        signal.setitimer(signal.ITIMER_REAL, 0.05)

    kept = signal.signal(signal.SIGALRM, too_long)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(TimeoutError):
            dag.call([sys.executable, str(tmp_path / "slow.py")])
    finally:
        signal.signal(signal.SIGALRM, kept)
    assert ended.exists()


def test_a_readout_is_of_an_earlier_week_and_skipped_without_one(
    dag: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFFERMIX_TABLES", "/data/{week}")
    with pytest.raises(Skipped, match="2026-W40"):
        dag.readout(**context())
    run = tmp_path / "runs" / "2026-W40"
    (run / "allocation").mkdir(parents=True)
    dag.readout(**context())
    words = f"scripts.readout allocation={run}/allocation tables=/data/2026-W48/tables out={run}/readout"
    assert (tmp_path / "said").read_text() == words


def test_who_is_to_be_told_gets_what_the_summary_of_this_call_says(
    dag: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dag.told(context()) == "offermix 2026-W48: weekly failed: why; its log says why"
    folder = tmp_path / "runs" / "2026-W48"
    folder.mkdir(parents=True)
    said = {
        "status": "refused",
        "exit_status": 4,
        "errors": ["too low"],
        "next": "Mend it.",
        "published_now": "2026-W47",
    }
    path = folder / "summary.json"
    path.write_text(json.dumps({**said, "started_at": "2026-11-23T04:59:00+00:00"}))
    assert "its log says why" in dag.told(context()), "a summary of an earlier call"
    path.write_text(json.dumps({**said, "started_at": "2026-11-23T05:00:00+00:00"}))
    text = "offermix 2026-W48: refused, exit status 4.\n- too low\nMend it. Published is 2026-W47."
    monkeypatch.setenv("OFFERMIX_ALERT", f"{sys.executable} -c \"open('{tmp_path}/told', 'w').write(input())\"")
    dag.alert(context())
    assert dag.told(context()) == text
    assert (tmp_path / "told").read_text() == text.splitlines()[0]
