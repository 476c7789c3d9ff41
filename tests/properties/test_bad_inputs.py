"""Every bad input ends in its exit status with the listed cause: no traceback, nothing written, nobody's id told."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import DictConfig, OmegaConf

from ranker.market import world
from ranker.market.settings import MarketSettings
from ranker.tables.prepare import prepare
from ranker.tables.settings import PrepareOptions
from tests.allocator.instances import write_scores
from tests.conftest import ROOT
from tests.properties.bad_inputs.case import LISTENER, Bad, called, held
from tests.properties.bad_inputs.policies import OVERRIDES, POLICIES, POLICY
from tests.properties.bad_inputs.scores import CATALOGUES, SCORES
from tests.properties.bad_inputs.tables import FINE, LOG_CASES, PREPARE, TABLES

CASES = [*TABLES, *LOG_CASES, *SCORES, *CATALOGUES, *POLICIES, *OVERRIDES]


@pytest.fixture(scope="module")
def base(composed: Callable[..., DictConfig]) -> DictConfig:
    return composed("tracking.enabled=false")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small inputs of every sort with nothing wrong in them; users are known as LISTENER and a number."""
    folder = tmp_path_factory.mktemp("good")
    market = OmegaConf.merge(OmegaConf.load(ROOT / "conf/data/market.yaml"), {"users": 24, "weeks": 6, "truth": False})
    world.write(MarketSettings.model_validate(OmegaConf.to_container(market)), 1, folder)
    for file in folder.rglob("*.parquet"):
        named(file)
    (folder / "logs").mkdir()
    prepare(folder / "tables", folder / "logs", PrepareOptions())
    write_scores(folder / "scores", 30, 1)
    named(folder / "scores" / "part-00000.parquet")
    (folder / "policy.yaml").write_text(POLICY)
    return folder


def named(file: Path) -> None:
    table = pq.read_table(file)
    ids = pa.array([f"{LISTENER}{number}" for number in table["user_id"].to_pylist()])
    pq.write_table(table.set_column(table.schema.get_field_index("user_id"), "user_id", ids), file)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.area}: {case.name}")
def test_a_bad_input_is_told(
    case: Bad, good: Path, base: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "input"
    shutil.copytree(good, folder, symlinks=True)
    monkeypatch.chdir(folder)
    case.spoil(folder)
    before = held(folder)
    status, printed = called(case.call, base)
    assert status == case.status, printed
    assert [part for part in case.told if part not in printed] == [], printed
    assert "Traceback" not in printed and LISTENER not in printed
    assert held(folder) == before, "nothing is written"


@pytest.mark.parametrize("name", FINE)
def test_other_forms_of_the_same_columns_are_taken(
    name: str, good: Path, base: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(good, tmp_path / "input")
    monkeypatch.chdir(tmp_path / "input")
    FINE[name](tmp_path / "input")
    status, printed = called(PREPARE, base)
    assert status == 0, printed
    ids = "user_id", "as_of", "action"
    made, wanted = (
        pq.read_table(tmp_path / "input" / folder, columns=list(ids))
        for folder in ("made/part-00000.parquet", "logs/part-00000.parquet")
    )
    assert made.num_rows == wanted.num_rows


def test_there_are_enough_cases_and_each_stands_once() -> None:
    counts = Counter((case.area, case.name) for case in CASES)
    assert [case for case, count in counts.items() if count > 1] == []
