"""Profiles of files: merged tables are as the whole, lists of scores count where an action is eligible, and ids stay out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ranker.profiles.records import Profile
from ranker.profiles.table import TableSketch, profile_of, profile_of_scores
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
