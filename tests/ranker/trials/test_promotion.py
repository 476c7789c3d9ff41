"""The promotion trial's adapter on a made-up file; where the data is present, what is known of it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ranker.scores import InputError
from ranker.trials.promotion import ACTIONS, SCHEMA, read_promotion

TRIAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "promotion_training.csv.gz"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    rows = 400
    frame = pd.DataFrame({"ID": np.arange(rows), "Promotion": np.resize(["Yes", "No"], rows)})
    frame["purchase"] = np.resize([1, 0, 0, 0], rows)
    for name in SCHEMA.numeric:
        frame[name] = generator.normal(size=rows)
    for name in SCHEMA.categorical:
        frame[name] = generator.integers(1, 4, rows)
    frame.to_csv(tmp_path / "trial.csv", index=False)
    return tmp_path / "trial.csv"


def test_half_of_every_arm_and_outcome_is_held_out(file: Path) -> None:
    trial = read_promotion(file, 0.5, 3)
    for frame in (trial.train, trial.test):
        counts = frame.groupby(["action", "purchase"]).size().to_dict()
        assert counts == {("none", 0.0): 100, ("promotion", 0.0): 50, ("promotion", 1.0): 50}
        assert set(frame["propensity"]) == {0.5}
    assert set(trial.train["user_id"]).isdisjoint(trial.test["user_id"])
    assert {action["id"] for action in ACTIONS} == {"promotion"}


def test_what_is_not_the_trial_is_refused(file: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(file)
    frame.assign(Promotion="Maybe").to_csv(tmp_path / "odd.csv", index=False)
    with pytest.raises(InputError, match="400 rows are none of No, Yes"):
        read_promotion(tmp_path / "odd.csv", 0.5, 0)
    frame.drop(columns=["V1", "ID"]).to_csv(tmp_path / "odd.csv", index=False)
    with pytest.raises(InputError) as caught:
        read_promotion(tmp_path / "odd.csv", 0.5, 0)
    assert len(caught.value.problems) == 2


@pytest.mark.real_data
@pytest.mark.skipif(not TRIAL.exists(), reason="../shared/data/promotion_training.csv.gz is not beside the checkout")
def test_the_trial_is_the_one_that_others_report_on() -> None:
    trial = read_promotion(TRIAL, 0.5, 0)
    rows = pd.concat([trial.train, trial.test])
    assert len(rows) == 84_534
    bought = rows.groupby("action")["purchase"].mean()
    assert bought["promotion"] - bought["none"] == pytest.approx(0.0095, abs=5e-4)
    assert abs(len(trial.test) - len(trial.train)) <= 4
