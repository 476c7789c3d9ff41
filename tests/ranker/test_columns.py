"""What Spark, Polars, DuckDB and pandas write is read as what this program writes, and checked all the same."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from ranker.catalogue import Catalogue, Metric
from ranker.log_schema import LogSchema, Outcome
from ranker.logs import read_logs, read_users, write_logs
from ranker.market import world
from ranker.market.settings import MarketSettings
from ranker.scores import InputError, ScoresWriter, open_scores
from ranker.tables.history import check_exposures, write_history
from ranker.tables.prepare import prepare
from ranker.tables.settings import PrepareOptions

CONF = Path(__file__).resolve().parents[2] / "conf"
DAY = date(2026, 11, 23)
ACTIONS = ({"id": "a", "slot": "x"}, {"id": "b", "slot": "y"})
STOCKHOLM = pa.timestamp("us", tz="Europe/Stockholm")


def spark(kind: pa.DataType) -> pa.DataType:
    return as_written(kind, pa.int32(), pa.string(), lambda entry: pa.list_(entry), pa.timestamp("us"))


def polars(kind: pa.DataType) -> pa.DataType:
    return as_written(kind, pa.int32(), pa.string_view(), lambda entry: pa.large_list(entry), pa.timestamp("ms"))


def pandas(kind: pa.DataType) -> pa.DataType:
    texts = pa.dictionary(pa.int32(), pa.string())
    return as_written(kind, pa.uint64(), texts, lambda _: pa.list_(pa.float64()), pa.timestamp("ns"))


def duckdb(kind: pa.DataType) -> pa.DataType:
    return as_written(kind, pa.uint32(), pa.large_string(), lambda entry: pa.list_(entry), pa.date64())


DIALECTS = {each.__name__: each for each in (spark, polars, pandas, duckdb)}


def as_written(
    kind: pa.DataType, number: pa.DataType, text: pa.DataType, listed: Callable, day: pa.DataType
) -> pa.DataType:
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(pa.bool_()) if pa.types.is_boolean(kind.value_type) else listed(kind.value_type)
    if pa.types.is_string(kind) or pa.types.is_dictionary(kind):
        return text
    return {pa.int64(): number, pa.date32(): day}.get(kind, kind)


def rewrite(folder: Path, dialect: Callable[[pa.DataType], pa.DataType]) -> None:
    for file in [*folder.rglob("*.parquet")]:
        table = pq.read_table(file)
        columns = {
            name: table[name].cast(pa.string()) if pa.types.is_dictionary(table[name].type) else table[name]
            for name in table.column_names
        }
        told = {
            name: column.cast(dialect(column.type))
            if not pa.types.is_dictionary(dialect(column.type))
            else column.dictionary_encode()
            for name, column in columns.items()
        }
        pq.write_table(pa.table(told), file)


def market(out: Path) -> Path:
    out.mkdir()
    settings = OmegaConf.merge(OmegaConf.load(CONF / "data" / "market.yaml"), {"users": 60, "truth": False})
    world.write(MarketSettings.model_validate(OmegaConf.to_container(settings)), 1, out)
    return out


def prepared(folder: Path, out: Path) -> Path:
    out.mkdir()
    prepare(folder / "tables", out, PrepareOptions(rows_at_once=200))
    return out


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_tables_and_logs_of_every_program_are_the_same(tmp_path: Path, dialect: Callable) -> None:
    plain = prepared(market(tmp_path / "m"), tmp_path / "plain")
    rewrite(tmp_path / "m" / "tables", dialect)
    other = prepared(tmp_path / "m", tmp_path / "other")
    assert (plain / "part-00000.parquet").read_bytes() == (other / "part-00000.parquet").read_bytes()
    rewrite(other, dialect)
    logs, wanted = read_logs(other), read_logs(plain)
    pd.testing.assert_frame_equal(logs.frame, wanted.frame)
    assert (logs.eligible == wanted.eligible).all()


def scores_of(folder: Path) -> Path:
    folder.mkdir()
    drawn = np.random.default_rng(0)
    with ScoresWriter(folder, Catalogue(ACTIONS, (Metric("subs", "subscribers"),), ("market",), "m", DAY)) as writer:
        mean = {"subs": drawn.normal(size=(5, 2)).astype(np.float32)}
        spread = {"subs": np.ones((5, 2), np.float32)}
        writer.write(pa.array(range(5)), {"market": pa.array(list("abcab"))}, mean, spread, drawn.random((5, 2)) < 0.5)
    return folder


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_scores_and_their_history_are_the_same(tmp_path: Path, dialect: Callable) -> None:
    plain, other = scores_of(tmp_path / "plain"), scores_of(tmp_path / "other")
    rewrite(other, dialect)
    wanted, found = (next(open_scores(folder).shards()) for folder in (plain, other))
    assert found.user_id.equals(wanted.user_id)
    for name in ("mean", "stderr", "segments"):
        for key, values in getattr(wanted, name).items():
            assert (getattr(found, name)[key] == values).all()
    assert (found.eligible_UA == wanted.eligible_UA).all()
    exposures = tmp_path / "exposures"
    exposures.mkdir()
    contacts = {"user_id": pa.array([3, 4, 9]), "decided_on": pa.array([DAY] * 3), "action": pa.array(["a", "b", "a"])}
    pq.write_table(pa.table(contacts), exposures / "p.parquet")
    rewrite(exposures, dialect)
    assert [write_history(exposures, "none", folder) for folder in (plain, other)] == [2, 2]
    assert pq.read_table(plain / "history").equals(pq.read_table(other / "history"))


@pytest.mark.parametrize(
    ("column", "values", "told"),
    [
        (
            "mean_subs",
            [[1.0, 2.0], [1.0], [], [1.0, 2.0, 3.0], [1.0, 2.0]],
            "3 rows have a list of another length than 2",
        ),
        ("mean_subs", [[1.0, None], None, [1.0, 2.0], [float("inf"), 2.0], [1e39, 1.0]], "1 rows have no list at all"),
        ("eligible", [[True], [True, False], [True, False], [True, False], [True, False]], "1 rows have a list of an"),
    ],
)
def test_lists_are_checked_row_by_row(tmp_path: Path, column: str, values: list, told: str) -> None:
    file = scores_of(tmp_path / "scores") / "part-00000.parquet"
    table = pq.read_table(file)
    changed = pa.array(values, pa.list_(pa.bool_() if column == "eligible" else pa.float64()))
    pq.write_table(table.set_column(table.schema.get_field_index(column), column, changed), file)
    with pytest.raises(InputError, match=told) as caught:
        list(open_scores(tmp_path / "scores").shards())
    if "no list" in told:
        assert "1 entries are missing" in str(caught.value)
        assert "2 entries are not finite" in str(caught.value)


def test_a_number_that_no_int64_holds_is_no_id(tmp_path: Path) -> None:
    file = scores_of(tmp_path / "scores") / "part-00000.parquet"
    table = pq.read_table(file)
    pq.write_table(table.set_column(0, "user_id", pa.array([1, 2, 3, 2**63, 2**64 - 1], pa.uint64())), file)
    with pytest.raises(InputError, match=r"column user_id: 2 of 5 rows are numbers above 2\^63"):
        open_scores(tmp_path / "scores")


def users_of(folder: Path, as_of: pa.Array) -> Path:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table({"user_id": pa.array(range(len(as_of))), "as_of": as_of}), folder / "p.parquet")
    return folder


NOTHING = LogSchema((), (), (Outcome("y", "binary", "y"),), "none")


@pytest.mark.parametrize(
    "as_of",
    [
        pa.array([DAY] * 3),
        pa.array([datetime(2026, 11, 22, 23, tzinfo=UTC)] * 3, STOCKHOLM),
        pa.array([datetime(2026, 11, 23, 5, tzinfo=UTC)] * 3, pa.timestamp("ns", tz="America/New_York")),
        pa.array([datetime(2026, 11, 23)] * 3, pa.timestamp("ms")),
    ],
)
def test_midnight_is_the_day_that_begins_there(tmp_path: Path, as_of: pa.Array) -> None:
    frame = pd.concat(read_users(users_of(tmp_path / "users", as_of), NOTHING, 2))
    assert frame["as_of"].unique().tolist() == [pd.Timestamp(DAY)]
    exposures = tmp_path / "exposures"
    exposures.mkdir()
    columns = {"user_id": pa.array(range(3)), "decided_on": as_of, "action": ["a", "a", "a"]}
    pq.write_table(pa.table(columns), exposures / "p.parquet")
    check_exposures(exposures, tmp_path / "users")
    assert write_history(exposures, "none", scores_of(tmp_path / "scores")) == 3
    dates = pq.read_table(tmp_path / "scores" / "history")["date"].to_pylist()
    assert dates == [DAY] * 3


@pytest.mark.parametrize(
    ("as_of", "told"),
    [
        (
            pa.array([datetime(2026, 11, 22, 23, tzinfo=UTC)] * 3, pa.timestamp("us", tz="UTC")),
            "3 of 3 rows are no midnight in UTC",
        ),
        (pa.array([datetime(2026, 11, 22, tzinfo=UTC)] * 3, pa.timestamp("us", tz="Mars/Base")), "no known time zone"),
        (pa.array([DAY, None, DAY]), "column as_of: 1 of 3 rows are missing"),
        (pa.array([DAY, DAY, date(2026, 11, 16)]), "2 different days, from 2026-11-16 to 2026-11-23"),
        (pa.array([DAY, DAY, date(9999, 12, 31)]), "1 of 3 rows are not between the years 1000 and 2999"),
        (pa.array([2**31 - 1] * 3, pa.int32()).cast(pa.date32()), "3 of 3 rows are not between the years"),
        (pa.array([2**63 - 1] * 3, pa.int64()).cast(pa.timestamp("us")), "3 of 3 rows are not between"),
    ],
)
def test_a_day_that_is_not_known_is_told(tmp_path: Path, as_of: pa.Array, told: str) -> None:
    with pytest.raises(InputError, match=told):
        list(read_users(users_of(tmp_path / "users", as_of), NOTHING, 2))


def test_ids_are_of_one_kind_in_all_files_of_logs_and_users(tmp_path: Path) -> None:
    frame = pd.DataFrame({"user_id": [1], "as_of": pd.Timestamp(DAY), "action": "a", "propensity": 1.0, "y": 1.0})
    write_logs(tmp_path, NOTHING, ACTIONS, [frame])
    table = pq.read_table(tmp_path / "part-00000.parquet")
    pq.write_table(table.set_column(0, "user_id", pa.array(["1"])), tmp_path / "part-00001.parquet")
    for read in (lambda: read_logs(tmp_path), lambda: list(read_users(tmp_path, NOTHING, 2))):
        with pytest.raises(InputError, match=r"part-00001.parquet: column user_id: has type string here but int64 in"):
            read()
