"""Profiles of files: merged tables are as the whole, lists of scores count where an action is eligible, and ids stay out."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ranker.features import CategoricalColumn, Encoder, NumericColumn
from ranker.profiles.records import Profile
from ranker.profiles.table import TableSketch, profile_of, profile_of_scores, write_profile_of_scores
from ranker.scores import write_frame


def frame(rows: int) -> pa.Table:
    generator = np.random.default_rng(0)
    return pa.table(
        {
            "user_id": [f"listener-{number % 900}" for number in range(rows)],
            "age": pa.array(generator.normal(40, 9, rows), mask=generator.random(rows) < 0.1),
            "trial": generator.random(rows) < 0.3,
            "market": pa.array(generator.choice(["SE", "NO", "DK"], rows)).dictionary_encode(),
            "as_of": pa.array([20_000] * rows, pa.date32()),
        }
    )


def test_tables_merge_to_the_whole_and_name_no_user() -> None:
    table, merged, whole = frame(20_000), TableSketch("users"), TableSketch("users")
    for batch in table.to_batches(20_000):
        whole.see(batch)
    for batch in table.to_batches(3_000):
        part = TableSketch("users")
        part.see(batch)
        merged.merge(part)
    one, other = whole.profile(), merged.profile()
    assert (one.rows, one.users, one.texts) == (other.rows, other.users, other.texts) == (20_000, 900, one.texts)
    assert [each.name for each in one.numbers] == ["age", "trial"]
    for here, there in zip(one.numbers, other.numbers, strict=True):
        assert (here.missing, here.zeros, here.low, here.high) == (there.missing, there.zeros, there.low, there.high)
        assert here.quantiles == pytest.approx(there.quantiles, rel=0.02, abs=1e-9)
    assert "listener-" not in Profile(tables=(one,)).text()


def test_files_are_streamed_and_read_back_as_written(tmp_path: Path) -> None:
    for part in range(3):
        pq.write_table(frame(500), tmp_path / f"part-{part}.parquet")
    found = profile_of("users", sorted(tmp_path.glob("*.parquet")))
    assert (found.rows, found.users) == (1_500, 500)
    (tmp_path / "profile.json").write_text(Profile(tables=(found,)).text())
    assert Profile.from_file(tmp_path / "profile.json").table("users") == found


def test_scores_count_where_an_action_is_eligible(tmp_path: Path) -> None:
    catalogue = {
        "actions": [{"id": "a", "slot": "a"}, {"id": "b", "slot": "b"}],
        "metrics": [{"name": "revenue", "unit": "EUR"}],
        "segments": ["market"],
    }
    users = {"user_id": range(4), "market": ["SE"] * 4, "eligible": [[True, False]] * 4}
    users["mean_revenue"] = [[float(user), 100.0] for user in range(4)]
    write_frame(tmp_path, catalogue, pd.DataFrame(users).astype({"market": "string"}))
    found = profile_of_scores(tmp_path)
    mean, eligible = found.number("mean_revenue"), found.number("eligible")
    assert mean is not None and eligible is not None
    assert (mean.rows, mean.zeros, mean.low, mean.high, mean.mean) == (4, 1, 0.0, 3.0, 1.5)
    assert (eligible.low, eligible.high) == (1.0, 1.0)


def test_values_that_the_model_never_saw_and_columns_that_nothing_reads_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    users, scores = tmp_path / "users", tmp_path / "scores"
    users.mkdir()
    scores.mkdir()
    rows = 300
    market = ["ZZ" if row < 120 else "rare" if row < 150 else "SE" for row in range(rows)]
    held = {"user_id": range(rows), "market": market, "age": [40.0] * rows, "shoe_size": [42.0] * rows}
    pq.write_table(pa.table(held), users / "part.parquet")
    catalogue = {
        "actions": [{"id": "a", "slot": "a"}],
        "metrics": [{"name": "revenue", "unit": "EUR"}],
        "segments": ["market"],
    }
    scored = pd.DataFrame({"user_id": range(rows), "market": market, "mean_revenue": [[1.0]] * rows})
    write_frame(scores, catalogue, scored.astype({"market": "string"}))
    encoder = Encoder((NumericColumn("age", 40.0, 1.0, 0.0, 1.0),), (CategoricalColumn("market", ("SE",)),))
    with caplog.at_level(logging.WARNING):
        write_profile_of_scores(users, scores, encoder)
    left_out = Profile.from_file(scores / "profile.json").left_out
    assert left_out == {
        "users whose market is ZZ, which the model never saw": 120,
        "rows of the column shoe_size, which nothing reads": rows,
    }
    assert caplog.messages[0] == "Not used: 120 users whose market is ZZ, which the model never saw"
