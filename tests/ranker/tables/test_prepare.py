"""Tables to logs: whole markets go through, and everything wrong is told at once with file, column and rows."""

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from ranker.contact_history import Since
from ranker.logs import read_logs
from ranker.market import world
from ranker.market.settings import MarketSettings
from ranker.scores import InputError
from ranker.tables.prepare import prepare
from ranker.tables.settings import PrepareOptions

CONF = Path(__file__).resolve().parents[3] / "conf"
EVERYTHING = PrepareOptions()


@pytest.fixture(scope="module")
def market(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("market")
    settings = OmegaConf.merge(OmegaConf.load(CONF / "data" / "market.yaml"), {"users": 400, "truth": False})
    world.write(MarketSettings.model_validate(OmegaConf.to_container(settings)), 1, out)
    return out


@pytest.fixture
def tables(market: Path, tmp_path: Path) -> Path:
    """A copy of the market's tables to spoil."""
    shutil.copytree(market / "tables", tmp_path / "in" / "tables")
    shutil.copy(market / "catalogue.json", tmp_path / "in" / "catalogue.json")
    return tmp_path / "in" / "tables"


def change(tables: Path, name: str, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    file = tables / name / "part-00000.parquet"
    table = pq.read_table(file)
    lists = [field.name for field in table.schema if pa.types.is_fixed_size_list(field.type)]
    frame = edit(table.drop_columns(lists).to_pandas())
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), file)


def problems_of(tables: Path, tmp_path: Path, settings: PrepareOptions = EVERYTHING) -> list[str]:
    (tmp_path / "out").mkdir(exist_ok=True)
    with pytest.raises(InputError) as raised:
        prepare(tables, tmp_path / "out", settings)
    return list(raised.value.problems)


def test_a_market_becomes_logs(market: Path, tmp_path: Path) -> None:
    seen = []
    prepared = prepare(market / "tables", tmp_path, EVERYTHING, seen.append)
    assert (prepared.decisions, prepared.immature, prepared.rows) == (3200, 1600, 1600)
    assert sum(seen) == 3200
    everything = read_logs(tmp_path)
    logs = everything.complete
    assert len(logs) == 1600
    assert len(logs.eligible) == 1600
    assert logs.frame["as_of"].max() == pd.Timestamp("2026-10-19")
    assert (logs.frame["action"] == "none").sum() == prepared.nothing > 100
    assert logs.actions == tuple(json.loads((market / "catalogue.json").read_text())["actions"])
    assert 0.6 < logs.frame["mau"].mean() < 0.9
    assert logs.schema.history.contacts == "contacts_28d"
    assert logs.schema.history.since[-1] == Since("weeks_since_premium_duo", {"product": "premium_duo"}, 7)
    assert pq.read_table(tmp_path / "part-00000.parquet", columns=["mau", "revenue"]).column("mau").null_count == 0
    assert logs.eligible is not None


def test_what_is_known_of_young_decisions_is_kept_apart(market: Path, tmp_path: Path) -> None:
    prepared = prepare(market / "tables", tmp_path, EVERYTHING)
    assert prepared.known_in_part == 1600  # weeks 5 to 8
    everything = read_logs(tmp_path)
    weeks = (
        everything.frame.groupby("as_of")[
            ["subs", "mau", "revenue", "revenue_7d", "revenue_21d", "revenue_28d"]
        ].count()
        / 400
    )
    assert weeks["mau"].tolist() == weeks["revenue"].tolist() == [1] * 4 + [0] * 4
    assert weeks["subs"].tolist() == [1] * 7 + [0]
    assert weeks["revenue_28d"].tolist() == [1] * 5 + [0] * 3
    assert weeks["revenue_21d"].tolist() == [1] * 6 + [0] * 2
    assert weeks["revenue_7d"].tolist() == [1] * 8
    early = everything.complete.frame[["revenue_7d", "revenue_14d", "revenue_21d", "revenue_28d", "revenue"]].sum()
    assert early.is_monotonic_increasing
    assert 0 < early["revenue_7d"] < early["revenue"]


def test_what_is_left_out_is_counted(tables: Path, tmp_path: Path) -> None:
    """Events recorded on the day of the snapshot or later, and columns that the schema does not name."""
    (tmp_path / "before").mkdir()
    before = prepare(tables, tmp_path / "before", EVERYTHING)
    assert (before.late, before.unnamed) == (0, ()) and before.outcomes > 100
    change(
        tables,
        "outcomes",
        lambda frame: frame.assign(recorded_on=frame["recorded_on"].where(frame.index >= 7, before.known_before)),
    )
    change(tables, "users", lambda frame: frame.assign(shoe_size=42.0))
    (tmp_path / "after").mkdir()
    after = prepare(tables, tmp_path / "after", EVERYTHING)
    assert (after.outcomes, after.late, after.unnamed) == (before.outcomes, 7, ("shoe_size",))


def test_a_country_never_seen_is_counted_and_stops_nothing(tables: Path, tmp_path: Path) -> None:
    change(tables, "users", lambda frame: frame.assign(market=frame["market"].where(frame.index % 10 > 0, "DK")))
    (tmp_path / "out").mkdir()
    prepared = prepare(tables, tmp_path / "out", EVERYTHING)
    assert prepared.unlisted == {"market": 320}
    assert prepared.left_out["rows of users whose market the schema does not list"] == 320
    assert all(prepared.left_out.values())
    assert "DK" in set(read_logs(tmp_path / "out").frame["market"])


def test_a_column_that_is_mostly_of_other_values_is_a_wrong_column(tables: Path, tmp_path: Path) -> None:
    change(tables, "users", lambda frame: frame.assign(market=frame["market"].where(frame.index % 4 > 0, "DK")))
    assert "800 of 3,200 rows are not one of US, DE, GB, SE, FR, NO (such as 'DK')" in problems_of(tables, tmp_path)[0]


def test_features_that_tell_of_contacts_must_be_there(tables: Path, tmp_path: Path) -> None:
    schema = json.loads((tables / "schema.json").read_text())
    schema["history"]["contacts"] = "contacts_7d"
    (tables / "schema.json").write_text(json.dumps(schema))
    assert problems_of(tables, tmp_path)[0].endswith("history: contacts_7d: is none of the numeric features")
    del schema["history"]
    (tables / "schema.json").write_text(json.dumps(schema))
    (tmp_path / "without").mkdir()
    prepare(tables, tmp_path / "without", EVERYTHING)
    assert read_logs(tmp_path / "without").schema.history is None


def test_the_contacts_of_a_slate_are_rows_of_one_decision(tables: Path, tmp_path: Path) -> None:
    catalogue = json.loads((tables.parent / "catalogue.json").read_text())["actions"]
    first, second = (next(a["id"] for a in catalogue if a["slot"] == slot) for slot in ("home_1", "push_1"))

    def both(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame[frame["arm"] != "holdout"].groupby("user_id").head(1)
        return pd.concat([frame.assign(action=first), frame.assign(action=second)])

    change(tables, "exposures", both)
    for name, settings in (("whole", EVERYTHING), ("parts", PrepareOptions(rows_at_once=500))):
        (tmp_path / name).mkdir()
        prepared = prepare(tables, tmp_path / name, settings)
    assert prepared.slates * 2 == prepared.rows == prepared.decisions > 700
    whole, parts = read_logs(tmp_path / "whole").frame, read_logs(tmp_path / "parts").frame
    pd.testing.assert_frame_equal(whole, parts)
    assert all(set(shown) == {first, second} for _, shown in whole.groupby("decision_id")["action"])
    assert (whole.groupby("decision_id")[["user_id", "as_of", "subs", "revenue"]].nunique() == 1).all(axis=None)


def test_ranges_of_users_do_not_change_the_logs(market: Path, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    prepare(market / "tables", tmp_path / "whole", EVERYTHING)
    prepare(market / "tables", tmp_path / "parts", PrepareOptions(rows_at_once=500))
    whole, parts = read_logs(tmp_path / "whole"), read_logs(tmp_path / "parts")
    pd.testing.assert_frame_equal(whole.frame, parts.frame)
    np.testing.assert_array_equal(whole.eligible, parts.eligible)
    assert pq.ParquetFile(tmp_path / "parts" / "part-00000.parquet").num_row_groups > 4


def test_an_earlier_day_sees_less(market: Path, tmp_path: Path) -> None:
    prepared = prepare(market / "tables", tmp_path, PrepareOptions(as_of=date(2026, 11, 10)))
    assert prepared.rows == 3 * 400 - 400  # decisions of 28 September and 5 October are 35 days old
    assert read_logs(tmp_path).complete.frame["as_of"].max() == pd.Timestamp("2026-10-05")


def test_a_later_day_than_the_tables_is_refused(market: Path, tmp_path: Path) -> None:
    (problem,) = problems_of(market / "tables", tmp_path, PrepareOptions(as_of=date(2026, 12, 1)))
    assert "after the tables were taken (2026-11-23)" in problem


def test_nothing_mature_is_told(market: Path, tmp_path: Path) -> None:
    (problem,) = problems_of(market / "tables", tmp_path, PrepareOptions(as_of=date(2026, 10, 1)))
    assert "none of 3,200 decisions is mature on 2026-10-01" in problem


def test_every_wrong_value_is_told_at_once(tables: Path, tmp_path: Path) -> None:
    def spoil_users(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[:4, "age"] = -3
        frame.loc[[7, 8], "minutes_28d"] = np.inf
        frame.loc[:2, "tenure_weeks"] = np.nan
        frame.loc[:1, "market"] = "Atlantis"
        frame.loc[5, "lifecycle"] = None
        return pd.concat([frame, frame.iloc[[50, 51, 52]]])

    def spoil_exposures(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[:9, "propensity"] = 0.0
        frame.loc[10:11, "propensity"] = np.nan
        frame.loc[20:22, "action"] = "home_1/unicorn"
        frame.loc[frame.index[frame["arm"] == "holdout"][:3], "action"] = "home_1/merch"
        frame.loc[frame.index[frame["arm"] != "holdout"][40], "action"] = None
        frame.loc[100:103, "user_id"] = 5
        frame.loc[110, "decided_on"] = date(2020, 1, 1)
        return pd.concat([frame, frame.iloc[[60]]])

    def spoil_outcomes(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[0, "outcome"] = "happiness"
        frame.loc[frame.index[frame["outcome"] == "mau"][:2], "value"] = 2.0
        frame.loc[frame.index[frame["outcome"] == "revenue"][:1], "value"] = -1.0
        frame.loc[frame.index[frame["outcome"] == "active_days"][0], "value"] = np.nan
        frame.loc[5:8, "recorded_on"] = date(2026, 1, 1)
        frame.loc[9, "user_id"] = 5
        return pd.concat([frame, frame[frame["outcome"] == "subs"].iloc[[0]]])

    for name, spoil in (("users", spoil_users), ("exposures", spoil_exposures), ("outcomes", spoil_outcomes)):
        change(tables, name, spoil)
    told = [problem.removeprefix(str(tables) + "/") for problem in problems_of(tables, tmp_path)]
    file, outcomes = "part-00000.parquet: column", len(pq.read_table(tables / "outcomes"))
    expected = [
        f"users/{file} age: 5 of 3,203 rows are not in [13, 100]",
        f"users/{file} minutes_28d: 2 of 3,203 rows are not in [0, 40320]",
        f"users/{file} tenure_weeks: 3 of 3,203 rows are missing",
        f"users/{file} lifecycle: 1 of 3,203 rows are missing",
        "users: columns user_id, as_of: 3 of 3,203 rows repeat an earlier row",
        f"exposures/{file} propensity: 10 of 3,201 rows are not in (0, 1]",
        f"exposures/{file} propensity: 2 of 3,201 rows are missing",
        f"exposures/{file} action: 3 of 3,201 rows name an action that catalogue.json does not have",
        f"exposures/{file} action: 3 of 3,201 rows are in the holdout and not 'none'",
        f"exposures/{file} action: 1 of 3,201 rows are missing, outside the holdout",
        "exposures: columns user_id, decided_on, action: 2 of 3,201 rows repeat an earlier row, or its listener, day and slot",
        "exposures: columns user_id, decided_on, action: 2 of 3,201 rows show nothing beside a contact of the same decision",
        "exposures: column user_id: 4 of 3,201 rows name a user that users/ does not have",
        "exposures: column decided_on: 1 of 3,201 rows are older than the first snapshot of their user",
        f"outcomes/{file} value: 3 of {outcomes:,} rows do not fit the kind of their outcome",
        f"outcomes/{file} value: 1 of {outcomes:,} rows are missing",
        f"outcomes/{file} recorded_on: 4 of {outcomes:,} rows are recorded before they occurred",
        f"outcomes: columns user_id, outcome, occurred_on: 1 of {outcomes:,} rows repeat an earlier row",
        f"outcomes: column user_id: 1 of {outcomes:,} rows name a user that users/ does not have",
    ]
    missing = [problem for problem in expected if problem not in told]
    assert not missing, "\n".join(told)
    assert any(problem.startswith(f"outcomes/{file} outcome: 1 of") and "are not one of" in problem for problem in told)
    assert len(told) == len(expected) + 1
    assert not list((tmp_path / "out").iterdir())


def test_wrong_columns_and_files_are_told_at_once(tables: Path, tmp_path: Path) -> None:
    change(tables, "users", lambda frame: frame.drop(columns="age").astype({"playlists": "str"}))
    change(tables, "exposures", lambda frame: frame.assign(user_id=frame["user_id"].astype("str")))
    (tables / "outcomes" / "part-00000.parquet").write_text("not parquet")
    told = "\n".join(problems_of(tables, tmp_path))
    assert "users/part-00000.parquet: column age: is missing" in told
    assert "users/part-00000.parquet: column playlists: has type large_string; a number is needed" in told
    assert "exposures/part-00000.parquet: column user_id: is string, but integer in" in told
    assert "outcomes/part-00000.parquet: is not a readable Parquet file" in told


def test_an_action_that_was_not_eligible_is_told(tables: Path, tmp_path: Path) -> None:
    file = tables / "exposures" / "part-00000.parquet"
    table = pq.read_table(file)
    nothing = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(60 * len(table), bool)), 60)
    pq.write_table(table.set_column(table.column_names.index("eligible"), "eligible", nothing), file)
    shown = int((table.column("action").to_numpy() != "none").sum())
    (problem,) = problems_of(tables, tmp_path)
    assert f"column eligible: {shown:,} of 3,200 rows were shown an action that is not eligible" in problem


@pytest.mark.parametrize("folder", ["users", "exposures", "outcomes"])
def test_a_missing_table_is_told(tables: Path, tmp_path: Path, folder: str) -> None:
    shutil.rmtree(tables / folder)
    assert problems_of(tables, tmp_path) == [f"{tables / folder}: there are no *.parquet files"]


def test_missing_descriptions_are_told_together(tables: Path, tmp_path: Path) -> None:
    (tables / "schema.json").unlink()
    (tables.parent / "catalogue.json").write_text("{")
    told = problems_of(tables, tmp_path)
    assert len(told) == 2
    assert "schema.json: there is no such file" in told[0]
    assert "catalogue.json: is not valid JSON" in told[1]
    assert "there is no such folder" in problems_of(tables / "nowhere", tmp_path)[0]


def test_every_problem_of_the_schema_is_told(tables: Path, tmp_path: Path) -> None:
    schema = json.loads((tables / "schema.json").read_text())
    schema["outcomes"][0]["to_day"] = 0
    schema["outcomes"][1]["kind"] = "maybe"
    schema["outcomes"][3]["early_days"] = [35]
    schema["numeric"]["age"]["minimum"] = 3
    schema["colour"] = "blue"
    schema["history"] = {"days": 0}
    (tables / "schema.json").write_text(json.dumps(schema))
    told = "\n".join(problems_of(tables, tmp_path))
    for place in (
        "outcomes.0.to_day",
        "outcomes.1.kind",
        "outcomes.3",
        "numeric.age.minimum",
        "colour",
        "history.days",
    ):
        assert f"schema.json: {place}: " in told


def test_no_id_is_told_where_columns_were_mixed_up(tables: Path, tmp_path: Path) -> None:
    """Ids where actions or a closed list belong: the rows are counted. A value that stands in many rows is no id, and is told."""

    def ids_as_actions(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(action="UID-" + frame["user_id"].astype(str), user_id=frame["user_id"])

    def ids_as_markets(frame: pd.DataFrame) -> pd.DataFrame:
        market = ("UID-" + frame["user_id"].astype(str)).where(frame.index % 3 > 0, "Atlantis")
        return frame.assign(market=market)

    change(tables, "exposures", ids_as_actions)
    change(tables, "users", ids_as_markets)
    told = "\n".join(problems_of(tables, tmp_path))
    assert "3,200 of 3,200 rows name an action that catalogue.json does not have" in told
    assert "are not one of US, DE, GB, SE, FR, NO (such as 'Atlantis')" in told
    assert "UID" not in told


def test_ids_that_are_no_text_are_not_told(tables: Path, tmp_path: Path) -> None:
    file = tables / "exposures" / "part-00000.parquet"
    table = pq.read_table(file)
    ends = pa.py_buffer(np.arange(0, 11 * len(table) + 1, 11, dtype=np.int32))
    ids = pa.Array.from_buffers(pa.string(), len(table), [None, ends, pa.py_buffer(b"UID-SECRET\xff" * len(table))])
    pq.write_table(table.set_column(table.schema.get_field_index("action"), "action", ids), file)
    told = problems_of(tables, tmp_path)
    assert told == [f"{file}: column action: is damaged, or has text that is not UTF-8"]
