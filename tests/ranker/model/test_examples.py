"""Logs as arrays: the same whether logs and features are in memory or in files."""

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ranker.features import fit_encoder
from ranker.logs import eligible_column, open_logs, write_logs
from ranker.model.examples import examples_of, of_some_users
from ranker.model.fit import fit
from ranker.model.settings import FitSettings, ModelSettings


@pytest.fixture
def logs(worlds):
    generator = np.random.default_rng(4)
    made = worlds.make_world(2_000, generator).logs
    made = replace(
        made, frame=made.frame.assign(as_of=made.frame["as_of"] - pd.to_timedelta(np.arange(2_000) % 2, "D"))
    )
    action_R = np.array([[a["id"] for a in made.actions].index(i) if i != "none" else -1 for i in made.frame["action"]])
    eligible_RA = generator.random((len(made), len(made.actions))) < 0.8
    eligible_RA[action_R >= 0, action_R[action_R >= 0]] = True
    return replace(made, eligible=eligible_RA)


@pytest.fixture
def stored(logs, tmp_path, monkeypatch):
    write_logs(tmp_path, logs.schema, logs.actions, [logs.frame.assign(eligible=eligible_column(logs.eligible))])
    monkeypatch.setattr("ranker.logs.ROWS_PER_BATCH", 300)
    return open_logs(tmp_path)


def test_files_hold_what_memory_would(logs, stored, tmp_path) -> None:
    encoder = fit_encoder(logs.frame, logs.schema)
    whole, parts = examples_of(logs, encoder), examples_of(stored, encoder, tmp_path)
    assert isinstance(parts.features.numeric, np.memmap)
    some_R = np.random.default_rng(0).random(len(logs)) < 0.5
    for one, other in ((whole, parts), (whole.take(some_R), parts.take(some_R))):
        for name in ("action_R", "propensity_R", "outcome_RO", "user_R", "eligible_RA"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        np.testing.assert_array_equal(one.features.wide(encoder.levels), other.features.wide(encoder.levels))
    twice = parts.features.take(some_R).take(slice(5, 9)).take(np.array([3, 0]))
    assert twice.rows is not None  # nothing is read before it is used
    np.testing.assert_array_equal(twice.index_UG, whole.features.take(some_R).index_UG[[8, 5]])
    sent = pickle.dumps(parts.features)  # to another process
    assert len(sent) < 1_000
    np.testing.assert_array_equal(pickle.loads(sent).numeric_UI, whole.features.numeric_UI)


def test_training_from_files_gives_the_same_model(logs, stored, tmp_path) -> None:
    settings, fitting = ModelSettings(members=2), FitSettings(max_epochs=2)
    (tmp_path / "features").mkdir()
    models = [
        fit(logs, settings, fitting, 0).model,
        fit(stored, settings, fitting, 0, folder=tmp_path / "features").model,
    ]
    for one, other in zip(*(model.members for model in models), strict=True):
        for (name, mine), theirs in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
            np.testing.assert_array_equal(mine, theirs, err_msg=name)


def test_samples_keep_users_whole() -> None:
    user_R = np.repeat(np.arange(1_000), 3)
    rows = np.flatnonzero(user_R % 2 == 0)
    some = of_some_users(user_R, rows, 300)
    assert 200 < len(some) <= 300
    assert (np.bincount(user_R[some], minlength=1_000)[np.unique(user_R[some])] == 3).all()
    assert set(some) <= set(rows)
    np.testing.assert_array_equal(of_some_users(user_R, rows, 2_000), rows)
