"""Every bad input ends in its exit status with the listed cause: no traceback, nothing written, nobody's id told."""

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
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
from tests.properties.bad_inputs.case import LISTENER, Bad, called, held, nothing, rows
from tests.properties.bad_inputs.configs import CONFIGS, PATHS
from tests.properties.bad_inputs.policies import ALLOCATE, CHECK, OVERRIDES, POLICIES, POLICY
from tests.properties.bad_inputs.runs import QUESTIONS, RUN, RUNS
from tests.properties.bad_inputs.scores import CATALOGUES, FILE, SCORES
from tests.properties.bad_inputs.tables import CAME, FINE, LOG_CASES, LOGS, PREPARE, SHOWN, TABLES, TRAIN, USERS

CASES = [*TABLES, *LOG_CASES, *SCORES, *CATALOGUES, *POLICIES, *OVERRIDES, *CONFIGS, *PATHS, *RUNS, *QUESTIONS]

EVERYTHING = ("tables", "users", "catalogue.json", "logs", "scores", "policy.yaml", "runs")
NEEDED = {
    "tables": ("tables", "catalogue.json"),
    "logs": ("logs",),
    "scores": ("scores", "policy.yaml"),
    "catalogues": ("scores", "policy.yaml"),
    "policies": ("scores", "policy.yaml"),
    "runs": ("runs", "policy.yaml"),
}
"""Of the good input, what the commands of an area read."""

MIXED_UP = [
    *((USERS, name) for name in ("as_of", "age", "market", "lifecycle")),
    *((SHOWN, name) for name in ("decided_on", "action", "propensity", "eligible")),
    *((CAME, name) for name in ("outcome", "occurred_on", "recorded_on", "value")),
    *((LOGS, name) for name in ("as_of", "action", "propensity", "age", "market", "revenue")),
    *((FILE, name) for name in ("market", "eligible", "mean_subs")),
]
"""Columns in whose place the users' ids are put, as where columns were mixed up."""


@pytest.fixture(scope="module")
def base(composed: Callable[..., DictConfig]) -> DictConfig:
    return composed("tracking.enabled=false")


@pytest.fixture(scope="module")
def good(base: DictConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
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
    shutil.copytree(folder / "scores", folder / RUN / "scores")
    words = (f"scores={folder / RUN}/scores", f"policy={folder}/policy.yaml", f"out={folder / RUN}/allocation")
    for call in (("allocate", *words), ("publish", f"run={folder / RUN}", f"runs={folder}/runs")):
        status, printed = called(call, base)
        assert status == 0, printed
    return folder


def _copied(good: Path, folder: Path, parts: Sequence[str]) -> Path:
    folder.mkdir()
    for part in parts:
        copied = shutil.copytree if (good / part).is_dir() else shutil.copy2
        copied(good / part, folder / part)
    return folder


def named(file: Path) -> None:
    table = pq.read_table(file)
    ids = pa.array([f"{LISTENER}{number}" for number in table["user_id"].to_pylist()])
    pq.write_table(table.set_column(table.schema.get_field_index("user_id"), "user_id", ids), file)


def in_turn(cases: Sequence[Bad]) -> Iterator[object]:
    """Of those that read most before they end, every third runs by default, and all of them with `-m slow`."""
    for place, case in enumerate(cases):
        later = case.area in ("tables", "logs") and place % 3 != 0
        yield pytest.param(case, id=f"{case.area}: {case.name}", marks=[pytest.mark.slow] if later else [])


@pytest.mark.parametrize("case", list(in_turn(CASES)))
def test_a_bad_input_is_told(
    case: Bad, good: Path, base: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = good if case.spoil is nothing else _copied(good, tmp_path / "input", NEEDED.get(case.area, EVERYTHING))
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
    folder = _copied(good, tmp_path / "input", NEEDED["tables"])
    monkeypatch.chdir(folder)
    FINE[name](folder)
    status, printed = called(PREPARE, base)
    assert status == 0, printed
    ids = ["user_id", "as_of", "action"]
    part = "part-00000.parquet"
    made, wanted = (pq.read_table(file, columns=ids) for file in (folder / "made" / part, good / "logs" / part))
    assert made.to_pylist() == wanted.to_pylist()


@pytest.mark.parametrize(("file", "name"), MIXED_UP, ids=lambda each: each.split("/")[-1])
def test_ids_in_the_place_of_another_column_are_not_told(
    file: str, name: str, good: Path, base: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    area = file.split("/")[0]
    folder = _copied(good, tmp_path / "input", NEEDED[area])
    monkeypatch.chdir(folder)
    rows(file, lambda table: table.set_column(table.schema.get_field_index(name), name, table["user_id"]))(folder)
    (folder / "policy.yaml").write_text(
        f"{POLICY}  - {{id: norway, kind: volume, users: {{market: listener-}}, max: 3}}\n"
    )
    calls = {"tables": [PREPARE], "logs": [TRAIN], "scores": [CHECK, (*CHECK, "words=true"), ALLOCATE]}[area]
    for call in calls:
        status, printed = called(call, base)
        assert status == 2, printed
        assert LISTENER not in printed.replace("'listener-'", "")


def test_the_table_of_the_documents_counts_the_cases() -> None:
    counts = Counter((case.area, case.name) for case in CASES)
    assert [case for case, count in counts.items() if count > 1] == []
    areas = Counter(case.area for case in CASES)
    told = re.findall(r"^\| bad (\w+) \| (\d+) \|", (ROOT / "tests/README.md").read_text(), re.MULTILINE)
    assert {area: int(count) for area, count in told} == areas
