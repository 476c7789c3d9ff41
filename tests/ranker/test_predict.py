"""Scores for every user: streams equal one shot, segments and eligibility are kept, new actions are less sure."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ranker import predict as module
from ranker.predict import predict
from ranker.scores import InputError, open_scores


@pytest.fixture
def users(tmp_path, worlds):
    frame = worlds.make_world(700, np.random.default_rng(9)).logs.frame
    folder = tmp_path / "users"
    folder.mkdir()
    users = frame[["age", "streams", "market"]].assign(
        user_id=np.arange(700), lifecycle=np.where(frame["age"] > 0, "loyal", None)
    )
    eligible = pa.FixedSizeListArray.from_arrays(pa.array((np.arange(4200) % 5 > 0).tolist()), 6)
    table = pa.Table.from_pandas(users, preserve_index=False).append_column("eligible", eligible)
    pq.write_table(table.slice(0, 300), folder / "part-0.parquet")
    pq.write_table(table.slice(300), folder / "part-1.parquet")
    return folder


def _written(path) -> pd.DataFrame:
    return pd.concat([pq.read_table(file).to_pandas() for file in sorted(path.glob("*.parquet"))], ignore_index=True)


def _predict(model, users, out, **more):
    out.mkdir()
    predict(model, "m1", users, out, **more)
    return _written(out)


@pytest.mark.slow
def test_any_number_of_cores_writes_the_same(trained, users, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("ranker.predict.USERS_AT_ONCE", 64)
    written = []
    for cores in (1, 5):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        written.append(_predict(trained.model, users, tmp_path / str(cores)))
    assert written[0]["user_id"].tolist() == list(range(700))
    pd.testing.assert_frame_equal(*written)


def test_what_is_written_is_a_scores_dataset(trained, users, tmp_path) -> None:
    told: list[int] = []
    written = _predict(trained.model, users, tmp_path / "s", advance=told.append)
    scores = open_scores(tmp_path / "s")
    assert scores.users == len(written) == sum(told) == 700
    assert (scores.catalogue.metrics[0].name, scores.catalogue.metrics[0].unit) == ("subs", "subscribers")
    assert set(scores.catalogue.segments) == {"market", "lifecycle"}
    assert set(written["lifecycle"]) == {"loyal", "unknown"}
    assert np.stack(written["eligible"]).ravel().tolist() == (np.arange(4200) % 5 > 0).tolist()
    assert scores.stderr_metrics == {"subs", "days", "revenue"}
    assert scores.catalogue.as_of == trained.model.as_of


@pytest.mark.parametrize(
    ("attributes", "groups"),
    [
        ({"message": "trial", "product": "lite"}, "message"),
        ({"product": "lite"}, "product"),
        ({"product": None}, None),
    ],
)
def test_offers_of_one_message_share_errors_or_of_one_product_where_there_are_no_messages(
    trained, attributes, groups
) -> None:
    """Groups of products left out what offers of a message have in common: sums over one message were thought too sure."""
    bare = [{"id": str(action["id"]), "slot": action["slot"]} | attributes for action in trained.model.actions]
    assert replace(trained.model, actions=tuple(bare)).error_groups == groups


def test_batches_do_not_change_scores(trained, users, tmp_path, monkeypatch) -> None:
    whole = _predict(trained.model, users, tmp_path / "whole")
    monkeypatch.setattr(module, "USERS_AT_ONCE", 64)
    parts = _predict(trained.model, users, tmp_path / "parts")
    for column in ("mean_subs", "stderr_subs", "mean_revenue"):
        np.testing.assert_allclose(np.stack(whole[column]), np.stack(parts[column]), rtol=1e-4, atol=1e-7)


def test_another_catalogue_is_scored_and_its_new_action_is_less_sure(trained, users, tmp_path, worlds) -> None:
    new = {"id": "push/tickets", "slot": "push_1", "surface": "push", "product": "tickets"}
    with pytest.raises(InputError, match="eligible"):  # the users' lists are as long as the old catalogue
        _predict(trained.model, users, tmp_path / "wrong", actions=[*worlds.ACTIONS, new])
    changed = [new, *worlds.ACTIONS[1:]]
    before, after = (
        _predict(trained.model, users, tmp_path / "a"),
        _predict(trained.model, users, tmp_path / "b", actions=changed),
    )
    old, now = np.stack(before["mean_subs"]), np.stack(after["mean_subs"])
    np.testing.assert_array_equal(old[:, 1:], now[:, 1:])
    stderr = np.stack(after["stderr_subs"]).mean(0)
    assert stderr[0] > stderr[1:].max()


def test_no_users_is_told(trained, tmp_path) -> None:
    (tmp_path / "users").mkdir()
    with pytest.raises(InputError, match="no \\*\\.parquet"):
        predict(trained.model, "m1", tmp_path / "users", tmp_path)
