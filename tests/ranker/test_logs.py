"""Logs come back as they were written, and everything wrong in them is told at once."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ranker.log_schema import Early, LogSchema, Outcome
from ranker.logs import eligible_column, eligible_of, open_logs, read_logs, read_users, write_logs
from ranker.scores import InputError

SCHEMA = LogSchema(
    numeric=("age",),
    categorical=("market",),
    outcomes=(
        Outcome("visit", "binary", "visits"),
        Outcome("pages", "count", "pages"),
        Outcome("spend", "amount", "EUR"),
    ),
    none="none",
)
ACTIONS = ({"id": "a", "slot": "x", "price": 2.5}, {"id": "b", "slot": "y"})
ELIGIBLE = np.array([[True, False], [True, True], [False, True]])


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user_id": [1, 2, 3],
            "as_of": pd.to_datetime(["2026-10-05", "2026-10-05", "2026-10-12"]).astype("datetime64[s]"),
            "action": pd.Series(["a", "none", "b"], dtype="str"),
            "propensity": [0.3, 0.4, 1.0],
            "age": np.array([31, np.nan, 64], np.float32),
            "market": pd.Series(["SE", None, "NO"], dtype="str"),
            "visit": [0.0, 1.0, 0.0],
            "pages": [0.0, 12.0, 3.0],
            "spend": [0.0, 9.5, 0.0],
        }
    )


def problems_of(path: Path) -> str:
    with pytest.raises(InputError) as raised:
        read_logs(path)
    return "\n".join(raised.value.problems)


def test_logs_come_back_as_written(frame: pd.DataFrame, tmp_path: Path) -> None:
    later = frame.assign(user_id=[4, 5, 6])
    pieces = [
        frame.assign(eligible=eligible_column(ELIGIBLE)),
        later.assign(eligible=eligible_column(~ELIGIBLE | True)),
    ]
    assert write_logs(tmp_path, SCHEMA, ACTIONS, pieces) == 6
    logs = read_logs(tmp_path)
    assert (logs.schema, logs.actions, len(logs)) == (SCHEMA, ACTIONS, 6)
    pd.testing.assert_frame_equal(logs.frame[list(frame)], pd.concat([frame, later], ignore_index=True))
    np.testing.assert_array_equal(logs.eligible, np.vstack([ELIGIBLE, np.ones((3, 2), bool)]))


def test_logs_of_others_need_no_catalogue_units_or_eligibility(tmp_path: Path) -> None:
    schema = {
        "features": {"numeric": ["age"], "categorical": ["vip"]},
        "outcomes": [{"name": "visit", "kind": "binary"}],
    }
    (tmp_path / "schema.json").write_text(json.dumps(schema | {"none": "control"}))
    columns = {"user_id": ["u", "v", "w"], "action": ["m", "control", "f"], "propensity": [0.3, 0.4, 0.3]}
    columns |= {
        "as_of": pa.array([0, 0, 1], pa.date32()),
        "age": [1, 2, None],
        "vip": [True, False, None],
        "visit": [0, 1, 1],
    }
    pq.write_table(pa.table(columns), tmp_path / "any name.parquet")
    logs = read_logs(tmp_path)
    assert logs.actions == ({"id": "f", "slot": "f"}, {"id": "m", "slot": "m"})
    assert logs.schema.outcomes == (Outcome("visit", "binary", "visit"),)
    assert logs.eligible is None
    assert logs.frame["vip"].tolist()[:2] == ["true", "false"]
    assert logs.frame["age"].dtype == np.float32


def test_every_wrong_value_is_told_at_once(frame: pd.DataFrame, tmp_path: Path) -> None:
    bad = frame.assign(
        propensity=[0.0, 1.5, 0.5],
        action=["zebra", None, "a"],
        visit=[0.5, 0, 1],
        pages=[1.5, 1, -1],
        spend=[-1, np.inf, 0],
        age=np.float32(np.inf),
        eligible=eligible_column(ELIGIBLE),
    )
    write_logs(tmp_path, SCHEMA, ACTIONS, [pd.concat([bad, bad.iloc[[2]]])])
    file = tmp_path / "part-00000.parquet"
    table = pq.read_table(file)
    pq.write_table(table.set_column(table.column_names.index("visit"), "visit", pa.array([0.5, None, 1, 1])), file)
    told = problems_of(tmp_path)
    for problem in (
        "column propensity: 2 of 4 rows are not in (0, 1]",
        "column action: 1 of 4 rows are missing",
        "column action: 1 of 4 rows name an action not in catalogue.json",
        "column visit: 1 of 4 rows are missing or not finite",
        "column visit: 1 of 4 rows do not fit the kind binary",
        "column pages: 3 of 4 rows do not fit the kind count",
        "column spend: 1 of 4 rows are missing or not finite",
        "column spend: 1 of 4 rows do not fit the kind amount",
        "column age: 4 of 4 rows are infinite",
        "columns user_id, as_of, action: 1 of 4 rows repeat an earlier row",
        "column eligible: 2 of 4 rows were shown an action that is not eligible",
    ):
        assert problem in told
    assert len(told.splitlines()) == 11


def test_young_decisions_lie_apart_and_may_lack_outcomes(frame: pd.DataFrame, tmp_path: Path) -> None:
    schema = replace(SCHEMA, early=(Early("spend_7d", "spend", 7),))
    frame = frame.assign(visit=[0.0, 1.0, np.nan], spend_7d=[0.0, np.nan, 2.5], eligible=eligible_column(ELIGIBLE))
    assert write_logs(tmp_path, schema, ACTIONS, [frame]) == 2
    assert len(pq.read_table(tmp_path / "part-00000.parquet")) == 2
    logs = read_logs(tmp_path)
    assert logs.schema == schema
    pd.testing.assert_frame_equal(logs.frame[list(frame.columns.drop("eligible"))], frame.drop(columns="eligible"))
    np.testing.assert_array_equal(logs.eligible, ELIGIBLE)
    pd.testing.assert_frame_equal(logs.complete.frame, logs.frame[:2])
    np.testing.assert_array_equal(logs.complete.eligible, ELIGIBLE[:2])
    file = tmp_path / "immature" / "part-00000.parquet"
    table = pq.read_table(file)
    pq.write_table(table.set_column(table.column_names.index("pages"), "pages", pa.array([-1.5])), file)
    assert problems_of(tmp_path) == f"{file}: column pages: 1 of 1 rows do not fit the kind count"
    pq.write_table(pq.read_table(tmp_path / "part-00000.parquet"), file)
    assert "2 of 4 rows repeat an earlier row" in problems_of(tmp_path)


def test_stored_logs_are_the_same_a_part_at_a_time(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = [frame.assign(user_id=frame["user_id"] + 3 * n, eligible=eligible_column(ELIGIBLE)) for n in range(4)]
    pieces[3]["visit"] = [np.nan, 1.0, 0.0]
    write_logs(tmp_path, SCHEMA, ACTIONS, pieces)
    whole = read_logs(tmp_path)
    monkeypatch.setattr("ranker.logs.ROWS_PER_BATCH", 2)
    stored = open_logs(tmp_path)
    assert (len(stored), stored.actions, stored.latest) == (12, whole.actions, whole.latest)
    parts = list(stored.batches())
    assert {len(part) for part in parts} <= {1, 2}
    pd.testing.assert_frame_equal(pd.concat([part.frame for part in parts], ignore_index=True), whole.frame)
    np.testing.assert_array_equal(np.concatenate([part.eligible for part in parts]), whole.eligible)
    names = ["market", "user_id"]
    pd.testing.assert_frame_equal(stored.columns(names), whole.columns(names))
    some = np.array([0, 3, 4, 11])
    pd.testing.assert_frame_equal(stored.rows(some), whole.rows(some).reset_index(drop=True))
    pd.testing.assert_frame_equal(pd.concat([part.frame for part in whole.batches()]), whole.frame)


def test_rows_that_repeat_are_found_across_parts(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ranker.logs.ROWS_PER_BATCH", 2)
    write_logs(tmp_path, SCHEMA, ACTIONS, [frame, frame.assign(user_id=[4, 2, 9])])
    assert problems_of(tmp_path) == f"{tmp_path}: columns user_id, as_of, action: 1 of 6 rows repeat an earlier row"


def test_wrong_columns_are_told_at_once(frame: pd.DataFrame, tmp_path: Path) -> None:
    write_logs(tmp_path, SCHEMA, ACTIONS, [frame])
    table = pq.read_table(tmp_path / "part-00000.parquet").drop_columns(["market", "spend"])
    table = table.set_column(table.column_names.index("age"), "age", pa.array(["x", "y", "z"]))
    table = table.append_column("eligible", pa.array([[True]] * 3, pa.list_(pa.bool_(), 1)))
    pq.write_table(table, tmp_path / "part-00000.parquet")
    (tmp_path / "part-00001.parquet").write_text("no")
    told = problems_of(tmp_path)
    for problem in (
        "column market: is missing",
        "column spend: is missing",
        "column age: has type string; a number is needed",
        "fixed_size_list<bool>[2] is needed",
        "part-00001.parquet: is not a readable Parquet file",
    ):
        assert problem in told


def test_every_problem_of_the_schema_is_told(tmp_path: Path) -> None:
    content = {
        "features": {"numeric": ["age", "visit", "propensity"], "colours": []},
        "outcomes": [{"name": "visit", "kind": "maybe"}, {"kind": "binary"}],
        "none": "",
        "history": {"days": 28, "contacts": "contacts_28d"},
    }
    (tmp_path / "schema.json").write_text(json.dumps(content))
    told = problems_of(tmp_path)
    for problem in (
        "history.contacts: 'contacts_28d' is none of the numeric features",
        "features.colours",
        "'visit' stands 2 times",
        "'propensity' is the name",
        "'maybe' is not one of",
        "none: must",
    ):
        assert problem in told
    assert "outcomes[1]: must be an object" in told


@pytest.mark.parametrize("rows", [0, 2])
def test_logs_without_a_contact_are_refused(frame: pd.DataFrame, tmp_path: Path, rows: int) -> None:
    write_logs(tmp_path, SCHEMA, ACTIONS, [frame.iloc[:rows].assign(action="none")])
    (tmp_path / "catalogue.json").unlink()
    assert ("there are no rows" if rows == 0 else "no row has another action than 'none'") in problems_of(tmp_path)


def test_missing_files_are_told(frame: pd.DataFrame, tmp_path: Path) -> None:
    assert "schema.json: there is no such file" in problems_of(tmp_path)
    write_logs(tmp_path, SCHEMA, [*ACTIONS, {"id": "none", "slot": "z"}], [frame])
    assert "the action 'none' stands for showing nothing" in problems_of(tmp_path)
    (tmp_path / "catalogue.json").unlink()
    (tmp_path / "part-00000.parquet").unlink()
    assert "there are no *.parquet files" in problems_of(tmp_path)


def test_users_stream_in_order_with_their_segments(tmp_path: Path) -> None:
    for part, start in enumerate((0, 3)):
        columns = {
            "user_id": [start, start + 1],
            "age": [1, None],
            "market": ["SE", None],
            "tier": ["gold", "tin"],
            "weight": [1.0, 2.0],
        }
        eligible = pa.array([[True, False], [False, False]], pa.list_(pa.bool_(), 2))
        pq.write_table(pa.table(columns | {"eligible": eligible}), tmp_path / f"{part}.parquet")
    frames = list(read_users(tmp_path, SCHEMA, 2))
    assert [frame["user_id"].tolist() for frame in frames] == [[0, 1], [3, 4]]
    assert list(frames[0].columns) == ["user_id", "age", "market", "tier", "eligible"]
    assert frames[0]["market"].isna().tolist() == [False, True]
    np.testing.assert_array_equal(eligible_of(frames[1]), [[True, False], [False, False]])


def test_wrong_users_are_told(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"user_id": [1, 1, None], "age": [1.0, np.inf, 2], "market": ["a", "b", "c"]}), tmp_path / "u.parquet"
    )
    with pytest.raises(InputError) as raised:
        list(read_users(tmp_path, SCHEMA, 2))
    assert raised.value.problems == (
        f"{tmp_path}: column user_id: 1 of 3 rows are missing",
        f"{tmp_path}: column user_id: 1 of 3 rows repeat an earlier user",
    )
    pq.write_table(pa.table({"user_id": [1, 2], "age": [1.0, np.inf], "market": ["a", "b"]}), tmp_path / "u.parquet")
    with pytest.raises(InputError, match="column age: 1 rows are infinite"):
        list(read_users(tmp_path, SCHEMA, 2))
    pq.write_table(pa.table({"user_id": [1.5], "age": ["x"]}), tmp_path / "u.parquet")
    with pytest.raises(InputError) as raised:
        list(read_users(tmp_path, SCHEMA, 2))
    assert len(raised.value.problems) == 3
