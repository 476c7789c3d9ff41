"""Real processes of MLflow: `mlflow models serve` answers with scores and decisions, as the model does that it loaded by alias."""

import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from scripts.cli.settings import WeeklySettings
from scripts.runs.champion import model_in_charge
from scripts.runs.mlflow_store import QUIET
from scripts.runs.tracking import record_week

MODEL = "models:/offermix-ranker@champion"
SECONDS = 120


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def process(words: list[str], ready: str, root: Path, **environment: str) -> Iterator[None]:
    """A process of MLflow, until this address answers; it and its children end with the block."""
    variables = {**os.environ, **QUIET, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", **environment}
    variables["PATH"] = f"{Path(sys.executable).parent}:{variables['PATH']}"
    command = [sys.executable, "-m", "mlflow", *words]
    with subprocess.Popen(
        command, cwd=root, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as started:
        try:
            until = time.monotonic() + SECONDS
            while not answers(ready):
                assert started.poll() is None and time.monotonic() < until, f"mlflow {words[0]} does not answer"
                time.sleep(0.2)
            yield
        finally:
            os.killpg(started.pid, signal.SIGKILL)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def asked(address: str, users: pd.DataFrame, **params: object) -> list[dict]:
    content = {"dataframe_records": json.loads(users.to_json(orient="records", double_precision=15)), "params": params}
    request = urllib.request.Request(
        f"{address}/invocations", json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["predictions"]


@pytest.fixture
def served(store: str, root: Path) -> Iterator[str]:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    words = ["models", "serve", "-m", MODEL, "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    with process(words, f"{address}/ping", root, MLFLOW_TRACKING_URI=store):
        yield address


@pytest.mark.slow
def test_a_served_model_scores_and_decides(served: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The seconds of one user are printed, not held to a limit: they are the machine's."""
    users = pd.read_parquet(folder / "market" / "users").drop(columns="as_of")
    users["eligible"] = users["eligible"].map(list)
    written = pd.concat([pd.read_parquet(file) for file in sorted((folder / "scores").glob("*.parquet"))])
    scores = pd.DataFrame(asked(served, users))
    for name in written.filter(regex="^(mean|stderr)_"):
        found, wanted = (np.stack(frame[name]).astype(np.float32) for frame in (scores, written))
        assert (found == wanted).all(), name
    contacts = pd.DataFrame(asked(served, users, decide=True)).groupby("user_id")["action"].agg(set)
    given = pd.concat([pd.read_parquet(file) for file in sorted((folder / "allocation").glob("*.parquet"))])
    same = given.groupby("user_id")["action"].agg(set).to_dict()
    assert sum(same.get(user) == contacts.get(user) for user in users["user_id"]) >= 0.95 * len(users)
    for params in ({}, {"decide": True}):
        took = []
        for place in range(60):
            began = time.perf_counter()
            asked(served, users.iloc[[place]], **params)
            took.append(time.perf_counter() - began)
        with capsys.disabled():
            print(f"\none user, {params}: median {1e3 * statistics.median(took):.1f} ms")
    with pytest.raises(urllib.error.HTTPError) as refused:
        asked(served, pd.DataFrame({"user": [1]}))
    assert refused.value.code == 400
    refused.value.close()


@pytest.mark.slow
def test_a_week_is_recorded_on_a_server_and_its_model_loaded_by_alias(
    folder: Path, tiny: WeeklySettings, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    words = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += [
        "--backend-store-uri",
        f"sqlite:///{tmp_path / 'server.db'}",
        "--artifacts-destination",
        str(tmp_path / "files"),
    ]
    with process(words, f"{address}/health", root):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        recorded = record_week(folder.name, folder, tiny, {"train": (2.0, False), "score": (1.0, False)}, finished=True)
        assert recorded is not None
        client = MlflowClient(address)
        assert client.get_run(recorded).data.tags["offermix.published"] == "true"
        assert client.get_model_version_by_alias("offermix-ranker", "champion").version in (1, "1")
        mlflow.set_tracking_uri(address)
        users = pd.read_parquet(folder / "market" / "users").drop(columns="as_of")
        found = mlflow.pyfunc.load_model(MODEL).predict(users)
        written = pd.concat([pd.read_parquet(file) for file in sorted((folder / "scores").glob("*.parquet"))])
        assert [list(row) for row in written["mean_subs"]] == list(found["mean_subs"])
        assert model_in_charge(tiny, folder.with_name("next")).name == "model"
