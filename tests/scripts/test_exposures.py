"""The command: its rows join the tables of the next week, and what is wrong with what was shown is told at once."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import DictConfig

from allocator.allocate import allocate
from ranker.files import InputError
from ranker.scores import open_scores
from scripts import exposures
from scripts.cli.entry import validated
from scripts.cli.settings import ExposuresSettings
from tests.allocator.instances import CONTACT, OBJECTIVE, write_scores

HOLDOUT = "experiment: {holdout: {share: 0.2, salt: week}}\n"


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("week")
    write_scores(folder / "scores", 200, 4)
    (folder / "policy.yaml").write_text(OBJECTIVE + HOLDOUT + CONTACT)
    (folder / "allocation").mkdir()
    allocate(open_scores(folder / "scores"), folder / "policy.yaml", folder=folder / "allocation")
    return folder


def settings(
    composed: Callable[..., DictConfig], week: Path, out: Path, shown: Path | None = None
) -> ExposuresSettings:
    paths = {"allocation": week / "allocation", "scores": week / "scores", "out": out}
    words = [f"paths.{name}={path}" for name, path in (paths | ({} if shown is None else {"shown": shown})).items()]
    return validated(ExposuresSettings, composed(*words))


def test_every_listener_has_rows(composed: Callable[..., DictConfig], week: Path, tmp_path: Path) -> None:
    found = exposures.run(settings(composed, week, tmp_path / "out"))
    table = pq.read_table(tmp_path / "out" / "part-00000.parquet")
    assert len(table) == len(found.rows) == found.contacts + found.nothing
    assert set(table.column_names) == {"user_id", "decided_on", "action", "arm", "propensity", "eligible"}
    assert set(table["arm"].to_pylist()) == {"holdout", "policy"}
    held = table.filter(pa.compute.equal(table["arm"], "holdout")).to_pandas()
    assert set(held["action"]) == {"none"}
    assert set(held["propensity"].round(9)) <= {0.2, 1.0}, "held out alone, or nothing in any case"
    assert (tmp_path / "out" / "manifest.json").exists()


def test_what_was_shown_is_checked(composed: Callable[..., DictConfig], week: Path, tmp_path: Path) -> None:
    (tmp_path / "shown").mkdir()
    frame = pd.DataFrame({"user_id": [1.5, 2.5], "action": ["home_1/duo", None]})
    frame.to_parquet(tmp_path / "shown" / "a.parquet")
    pd.DataFrame({"user_id": [3, 10], "action": ["home_1/duo", None]}).to_parquet(tmp_path / "shown" / "b.parquet")
    with pytest.raises(InputError) as caught:
        exposures.run(settings(composed, week, tmp_path / "out", tmp_path / "shown"))
    told = "\n".join(caught.value.problems)
    assert "a.parquet: column user_id: has type double" in told
    assert "b.parquet: column action: 1 values are missing" in told
    assert not (tmp_path / "out").exists()


def test_ids_of_another_kind_are_refused(composed: Callable[..., DictConfig], week: Path, tmp_path: Path) -> None:
    (tmp_path / "shown").mkdir()
    pd.DataFrame({"user_id": ["3"], "action": ["home_1/duo"]}).to_parquet(tmp_path / "shown" / "a.parquet")
    with pytest.raises(InputError, match="numbers in one and text in the other"):
        exposures.run(settings(composed, week, tmp_path / "out", tmp_path / "shown"))
