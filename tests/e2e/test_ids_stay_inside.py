"""User ids never leave the data plane: no page, log, record, error or message of a week has one."""

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ranker.disk import FOR_OTHERS

FOLDERS = ("tables/users", "tables/exposures", "tables/outcomes", "users")
SMALL = (
    "debug=tiny",
    "fit=fast",
    "model.members=2",
    "fit.max_epochs=1",
    "solve.price_ranges=false",
    "publish.max_gap=0.01",
)
DATA_PLANE = ("logs", "scores", "allocation", "market")
"""Folders of a run whose Parquet files are about listeners."""
Call = Callable[..., subprocess.CompletedProcess[str]]


def known_as(number: int) -> str:
    """A listener's id, as nothing else is called."""
    return f"listener-{uuid.uuid5(uuid.NAMESPACE_OID, str(number))}"


@pytest.fixture(scope="module")
def market(call: Call, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ids") / "market"
    made = call("-m", "scripts.make_market", "users=500", "seed=0", "debug=tiny", f"out={out}")
    assert made.returncode == 0, made.stderr
    for folder in FOLDERS:
        for file in (out / folder).glob("*.parquet"):
            table = pq.read_table(file)
            ids = pa.array([known_as(number) for number in table["user_id"].to_pylist()])
            pq.write_table(table.set_column(table.schema.get_field_index("user_id"), "user_id", ids), file)
    return out


def told_outside(folder: Path) -> Iterator[str]:
    """Files that have an id in them and are not data of the run's own stages; Parquet elsewhere is read, not searched."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        parts = file.relative_to(folder).parts
        if file.suffix == ".parquet":
            if len(parts) > 2 and parts[1] in DATA_PLANE and not parts[0].startswith("mlflow"):
                continue
            content = pq.read_table(file).to_pandas().to_csv().encode()
        else:
            content = file.read_bytes()
        if b"listener-" in content and any(known_as(number).encode() in content for number in numbers()):
            yield "/".join(parts)


def numbers() -> Iterator[int]:
    """Of the market's listeners."""
    yield from range(1_000_000_000, 1_000_000_500)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_id_is_told_outside_the_data(call: Call, market: Path, tmp_path: Path) -> None:
    runs, kept = tmp_path / "runs", os.umask(0)
    try:
        called = call("-m", "scripts.weekly", f"tables={market}", f"runs={runs}", *SMALL)
    finally:
        os.umask(kept)
    assert called.returncode == 0, called.stderr
    run = runs / json.loads((runs / "published.json").read_text())["run"]
    assert (runs / "mlflow.db").exists(), "recorded"
    open_to_others = [path for path in (runs, *runs.rglob("*")) if path.stat().st_mode & FOR_OTHERS]
    assert open_to_others == [], "whatever the umask, MLflow's database and artifacts included"
    rows = pa.concat_tables(pq.read_table(file) for file in (run / "allocation").glob("*.parquet"))
    assert rows["user_id"][0].as_py().startswith("listener-"), "ids are in the data"
    assert "listener-" not in called.stdout + called.stderr
    questions = {
        "what_if": ["policy=conf/policy/default.yaml", "set.push_capacity.max=5%"],
        "frontier": ["policy=conf/policy/default.yaml", "x=contacts", "y=value", "points=3"],
        "left_out": [f"allocation={run / 'allocation'}"],
    }
    for command, words in questions.items():
        called = call("-m", f"scripts.{command}", f"scores={run / 'scores'}", *words, f"out={runs / 'asked' / command}")
        assert called.returncode == 0, called.stderr
        assert "listener-" not in called.stdout + called.stderr, command
    assert list(told_outside(runs)) == []
    (runs / "note.txt").write_text(f"ask {known_as(1_000_000_007)}")
    assert list(told_outside(runs)) == ["note.txt"], "an id would have been found"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_error_tells_an_id(call: Call, market: Path, tmp_path: Path) -> None:
    users = tmp_path / "market" / "tables" / "users"
    for folder in ("tables/exposures", "tables/outcomes"):
        (tmp_path / "market" / folder).mkdir(parents=True)
        for file in (market / folder).glob("*.parquet"):
            pq.write_table(pq.read_table(file).slice(0, 300), tmp_path / "market" / folder / file.name)
    users.mkdir()
    table = pq.read_table(next((market / "tables" / "users").glob("*.parquet")))
    pq.write_table(pa.concat_tables([table, table.slice(0, 5)]), users / "twice.parquet")
    (tmp_path / "market" / "tables" / "schema.json").write_bytes((market / "tables" / "schema.json").read_bytes())
    (tmp_path / "market" / "catalogue.json").write_bytes((market / "catalogue.json").read_bytes())
    called = call("-m", "scripts.prepare", f"tables={tmp_path / 'market' / 'tables'}", f"logs={tmp_path / 'logs'}")
    assert called.returncode == 2, called.stderr
    assert "listener-" not in called.stdout + called.stderr
