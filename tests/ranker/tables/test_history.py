"""What users have received before: against a recount in pandas, and every fault told with file, column and rows."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ranker.catalogue import MOST_HISTORY_DAYS, Catalogue, Metric
from ranker.scores import InputError, ScoresWriter
from ranker.tables import history
from ranker.tables.history import check_exposures, write_history

AS_OF = date(2026, 11, 23)
CATALOGUE = Catalogue(({"id": "a", "slot": "s"}, {"id": "b", "slot": "t"})).with_scores(
    [Metric("m", "EUR")], [], "", AS_OF
)
TYPES = pa.schema([("user_id", pa.int64()), ("decided_on", pa.date32()), ("action", pa.string())])


@pytest.fixture
def write_scores(tmp_path: Path):
    """write_scores(*parts of ids): a scores dataset of a row group per part."""

    def write(*parts) -> Path:
        (tmp_path / "scores").mkdir()
        with ScoresWriter(tmp_path / "scores", CATALOGUE) as writer:
            for ids in parts:
                writer.write(pa.array(ids), {}, {"m": np.zeros((len(ids), 2), np.float32)})
        return tmp_path / "scores"

    return write


@pytest.fixture
def write_table(tmp_path: Path):
    """write_table(folder, table, name="0"): one file more in a folder."""

    def write(folder: str, table: pa.Table | dict, name: str = "0") -> Path:
        (tmp_path / folder).mkdir(exist_ok=True)
        pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), tmp_path / folder / f"{name}.parquet")
        return tmp_path / folder

    return write


def drawn(rows: int, seed: int) -> pd.DataFrame:
    """Exposures of users 0 to 79 on 400 days up to ten days after AS_OF; a quarter showed nothing, in either way of saying so."""
    generator = np.random.default_rng(seed)
    action = generator.choice(np.array(["a", "b", "gone", "none", None], object), rows, p=[0.3, 0.3, 0.15, 0.15, 0.1])
    days = [AS_OF + timedelta(10 - int(age)) for age in generator.integers(0, 400, rows)]
    return pd.DataFrame({"user_id": generator.integers(0, 80, rows), "decided_on": days, "action": action})


def expected(exposures: pd.DataFrame, users) -> pd.DataFrame:
    """Row by row in plain Python."""
    kept = [
        (row.user_id, row.action, row.decided_on)
        for row in exposures.itertuples()
        if row.user_id in users
        and not pd.isna(row.action)
        and row.action != "none"
        and AS_OF - timedelta(MOST_HISTORY_DAYS) < row.decided_on <= AS_OF
    ]
    return in_order(pd.DataFrame(kept, columns=["user_id", "action", "date"]))


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(list(frame.columns)).reset_index(drop=True).astype(object)


def read(scores: Path) -> pd.DataFrame:
    return in_order(pq.read_table(scores / "history").to_pandas())


@pytest.mark.parametrize("text", [False, True], ids=["numbers", "texts"])
def test_a_row_per_contact_of_the_users_that_are_scored(write_scores, write_table, monkeypatch, text: bool) -> None:
    monkeypatch.setattr(history, "ROWS_AT_ONCE", 100)
    exposures = drawn(1_500, 3)
    users = [70, 3, 64, 5], [6, 8, 10]
    if text:
        exposures["user_id"] = "user " + exposures["user_id"].astype(str)
        users = tuple([f"user {user}" for user in part] for part in users)
    kind = pa.string() if text else pa.int64()
    table = pa.Table.from_pandas(exposures, TYPES.set(0, pa.field("user_id", kind)), preserve_index=False)
    folder = write_table("exposures", table.slice(0, 700))
    write_table("exposures", table.slice(700), "1")
    scores, seen = write_scores(*users), []
    rows = write_history(folder, "none", scores, seen.append)
    wanted = expected(exposures, [*users[0], *users[1]])
    assert rows == len(wanted) > 80
    assert (sum(seen), max(seen)) == (1_500, 100)
    pd.testing.assert_frame_equal(read(scores), wanted, check_dtype=False)
    assert set(wanted["action"]) == {"a", "b", "gone"}


def test_the_first_and_the_last_day(write_scores, write_table) -> None:
    ages = [-1, 0, MOST_HISTORY_DAYS - 1, MOST_HISTORY_DAYS]
    days = [AS_OF - timedelta(age) for age in ages]
    folder = write_table("exposures", {"user_id": [1] * 4, "decided_on": days, "action": ["a"] * 4})
    scores = write_scores([1])
    assert write_history(folder, "none", scores) == 2
    assert set(read(scores)["date"]) == set(days[1:3])


def test_encodings_and_times_of_day_are_the_same_contacts(write_scores, write_table) -> None:
    times = pa.array([pd.Timestamp("2026-11-23 23:59"), pd.Timestamp("2026-11-24 00:00")], pa.timestamp("us"))
    ids, action = pa.array(["x", "x"]).dictionary_encode(), pa.array(["a", "b"]).dictionary_encode()
    folder = write_table("exposures", {"user_id": ids, "decided_on": times, "action": action})
    scores = write_scores(["x"])
    assert write_history(folder, "none", scores) == 1
    assert pq.read_table(scores / "history").to_pylist() == [{"user_id": "x", "action": "a", "date": AS_OF}]
    assert pq.read_schema(next((scores / "history").iterdir())).field("date").type == pa.date32()


def test_nobody_received_anything_is_a_history_too(write_scores, write_table) -> None:
    folder = write_table("exposures", {"user_id": [9], "decided_on": [AS_OF], "action": ["a"]})
    scores = write_scores([1])
    assert write_history(folder, "none", scores) == 0
    assert len(list((scores / "history").glob("*.parquet"))) == 1


def test_missing_values_are_counted_by_file_and_column(write_scores, write_table) -> None:
    sound = {"user_id": [1, None, 1], "decided_on": [AS_OF, AS_OF, None], "action": ["a", "a", None]}
    folder = write_table("exposures", sound)
    write_table("exposures", {**sound, "user_id": [None, None, 1], "decided_on": [AS_OF] * 3}, "1")
    with pytest.raises(InputError) as raised:
        write_history(folder, "none", write_scores([1]))
    assert raised.value.problems == (
        f"{folder}/0.parquet: column user_id: 1 of 3 rows are missing",
        f"{folder}/0.parquet: column decided_on: 1 of 3 rows are missing",
        f"{folder}/1.parquet: column user_id: 2 of 3 rows are missing",
    )


def test_types_are_told_before_anybody_is_scored(write_table) -> None:
    users = write_table("users", {"user_id": ["x"], "age": [3]})
    folder = write_table("exposures", {"user_id": [1.5], "action": [7]})
    write_table("exposures", {"user_id": [1], "decided_on": [AS_OF], "action": ["a"]}, "1")
    (folder / "2.parquet").write_text("no Parquet")
    with pytest.raises(InputError) as raised:
        check_exposures(folder, users)
    problems = list(raised.value.problems)
    assert "2.parquet: is not a readable Parquet file" in problems.pop(0)
    assert [problem.removeprefix(f"{folder.parent}/") for problem in problems] == [
        "users/0.parquet: column as_of: is missing; contacts of earlier days are counted back from it",
        "exposures/0.parquet: column user_id: has type double; int64 or string is needed",
        "exposures/0.parquet: column decided_on: is missing",
        "exposures/0.parquet: column action: has type int64; string is needed",
        "exposures/1.parquet: column user_id: has type int64; the users to score have string",
    ]


def test_a_folder_without_files_is_told(tmp_path: Path, write_table) -> None:
    users = write_table("users", {"user_id": ["x"], "as_of": [AS_OF]})
    with pytest.raises(InputError, match=r"nowhere: there are no \*\.parquet files"):
        check_exposures(tmp_path / "nowhere", users)
    check_exposures(write_table("exposures", {"user_id": ["x"], "decided_on": [AS_OF], "action": ["a"]}), users)
