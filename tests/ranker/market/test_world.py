"""The market's files: the same for the same seed, readable by everything downstream, free of what cannot be known."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ranker.catalogue import read_catalogue
from ranker.logs import read_users
from ranker.market import listeners, world
from ranker.scores import open_scores
from ranker.tables.schema import read_table_schema


@pytest.fixture(scope="module")
def written(settings_with, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("market")
    world.write(settings_with("users=700"), 3, out)
    return out


def content(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def test_the_same_seed_gives_the_same_files(settings_with, written: Path, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    (tmp_path / "other").mkdir()
    world.write(settings_with("users=700"), 3, tmp_path / "again")
    world.write(settings_with("users=700"), 4, tmp_path / "other")
    assert content(tmp_path / "again") == content(written)
    differing = content(tmp_path / "other")
    assert differing["tables/exposures/part-00000.parquet"] != content(written)["tables/exposures/part-00000.parquet"]


def test_chunks_are_drawn_apart_and_in_order(settings_with, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(world, "CHUNK", 128)
    done = []
    summary = world.write(settings_with("users=300", "weeks=5"), 3, tmp_path, done.append)
    assert done == [128, 128, 44]
    assert (summary.users, summary.actions, summary.decisions) == (300, 60, 1500)
    users = pq.read_table(tmp_path / "users")
    assert users.column("user_id").to_pylist() == list(range(listeners.FIRST_ID, listeners.FIRST_ID + 300))
    ages = users.column("tenure_weeks").to_numpy()
    assert not np.array_equal(ages[:44], ages[128:172])


def test_truth_is_a_scores_dataset_of_the_users(written: Path) -> None:
    users = pq.read_table(written / "users")
    for name in ("given_all", "given_observed"):
        scores = open_scores(written / "truth" / name)
        assert [metric.name for metric in scores.catalogue.metrics] == [
            "subs",
            "mau",
            "active_days",
            "revenue",
            "opt_out",
        ]
        (shard,) = scores.shards()
        assert shard.user_id.to_pylist() == users.column("user_id").to_pylist()
        base = pq.read_table(written / "truth" / name / "part-00000.parquet").column("base_mau").to_numpy()
        assert base.dtype == np.float32
        assert 0.6 < base.mean() < 0.9
        assert np.abs(shard.mean["mau"]).max() < 0.2
    scores.check_users()
    world_json = json.loads((written / "truth" / "world.json").read_text())
    assert world_json["cannibalisation"]["factor"] == 0.4
    assert world_json["average_effect"]["mau"]["home_1/merch"] == pytest.approx(
        float(shard.mean["mau"][:, scores.catalogue.ids.index("home_1/merch")].mean()), abs=1e-6
    )


def test_truth_can_be_left_out(settings_with, tmp_path: Path) -> None:
    world.write(settings_with("users=50", "truth=false"), 3, tmp_path)
    assert not (tmp_path / "truth").exists()


def test_users_fit_the_schema_of_the_tables(written: Path) -> None:
    schema = read_table_schema(written / "tables" / "schema.json")
    (frame,) = read_users(written / "users", schema.log_schema(), 60)
    assert len(read_catalogue(written / "catalogue.json").actions) == 60
    for name, number in schema.numeric.items():
        values = frame[name].dropna()
        assert values.between(number.min, number.max).all(), name
        assert number.missing or len(values) == len(frame), name
    assert frame["age"].isna().mean() == pytest.approx(0.05, abs=0.03)
    assert set(frame["lifecycle"]) == set(schema.categorical["lifecycle"].values)


def test_nothing_is_told_before_it_is_recorded(settings_with, written: Path) -> None:
    table = pq.read_table(written / "tables" / "outcomes").to_pandas()
    snapshot = read_table_schema(written / "tables" / "schema.json").snapshot
    assert (table["recorded_on"] < snapshot).all()
    assert (table["occurred_on"] <= table["recorded_on"]).all()
    revenue = table[table["outcome"] == "revenue"]
    late = pd.to_datetime(revenue["recorded_on"]) - pd.to_datetime(revenue["occurred_on"])
    assert late.dt.days.mean() > 0 and late.dt.days.max() <= 28


def test_habits_drift_and_contacts_are_counted(chunk, market) -> None:
    users, exposures = (
        chunk.tables.users.to_pandas(),
        chunk.tables.exposures.select(["user_id", "decided_on", "action"]).to_pandas(),
    )
    last, days = market.decided_on[-1], market.decided_on
    recent = exposures[exposures["decided_on"].isin(days[-5:-1])]
    contacts = (recent["action"] != "none").groupby(recent["user_id"]).sum()
    now = users[users["as_of"] == last].set_index("user_id")
    pd.testing.assert_series_equal(now["contacts_28d"].astype(int), contacts, check_names=False)
    first = users[users["as_of"] == days[0]].set_index("user_id")
    similar = np.corrcoef(np.log1p(first["minutes_28d"]), np.log1p(now["minutes_28d"]))[0, 1]
    assert 0.6 < similar < 0.95


def test_the_hidden_trait_is_hidden(market) -> None:
    rng = np.random.default_rng(1)
    people = listeners.draw(market.settings, rng, 0, 8000)
    frame = listeners.features(people, listeners.first_moment(market.settings, rng, people))
    signals_US = listeners.signals(market.settings, frame)
    correlation_S = (signals_US - signals_US.mean(0)).T @ people.z_U / (signals_US.std(0) * len(people))
    assert np.abs(correlation_S).max() < 4.5 / np.sqrt(8000)
    assert np.abs(signals_US.mean(0)).max() < 0.5


def test_early_days_tell_the_stated_share_of_revenue(chunk, market) -> None:
    """Days of events are even over the week, whole days of delay exponential: shares in closed form, whoever got what."""
    days = [pd.Timestamp(day) for day in market.decided_on[:3]]  # all that they brought is recorded by the snapshot
    revenue = chunk.tables.outcomes.to_pandas().query("outcome == 'revenue'")
    occurred, recorded = (pd.to_datetime(revenue[name]) for name in ("occurred_on", "recorded_on"))
    week = pd.Series(pd.NaT, revenue.index)
    for day in days:
        week = week.mask((occurred >= day) & (occurred < day + pd.Timedelta(days=7)), day)
    age = (recorded - week).dt.days[week.notna()]
    (window,) = [outcome for outcome in market.settings.outcomes if outcome.name == "revenue"]
    assert window.early_days == (7, 14, 21, 28)
    for early in window.early_days:
        share = np.mean([1 - np.exp(-(early - day) / (28 / 3)) for day in range(7)])
        assert (age < early).mean() == pytest.approx(share, abs=3.5 * np.sqrt(share * (1 - share) / len(age)))
