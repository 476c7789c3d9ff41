"""The fund-raising trial's adapter on a made-up file; where the data is present, what was published of it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ranker.scores import InputError
from ranker.trials.charitable import ACTIONS, SCHEMA, read_charitable

TRIAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "charitable_half.csv.gz"
LETTERS = ("none", "r1_25k_a1", "r2_unstated_a3", "r3_100k_a2", "r1_50k_a2", "none")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    rows = 720
    frame = pd.DataFrame({name: generator.normal(size=rows) for name in SCHEMA.numeric})
    for name in SCHEMA.categorical:
        frame[name] = np.where(generator.random(rows) < 0.1, np.nan, generator.integers(0, 2, rows))
    frame["letter"] = np.resize(LETTERS, rows)
    frame["gave"] = np.repeat([1, 0, 0, 0], rows // 4)
    frame["amount"] = 25.0 * frame["gave"]
    frame.to_csv(tmp_path / "trial.csv", index=False)
    return tmp_path / "trial.csv"


def test_letters_are_taken_by_ratio_with_the_propensity_of_their_share(file: Path) -> None:
    trial = read_charitable(file, 0.5, 3)
    rows = pd.concat([trial.train, trial.test])
    assert rows.groupby("action")["propensity"].mean().to_dict() == pytest.approx(
        {"none": 1 / 3, "r1": 1 / 3, "r2": 1 / 6, "r3": 1 / 6}
    )
    assert set(trial.train["user_id"]).isdisjoint(trial.test["user_id"])
    assert trial.train["gave"].sum() == trial.test["gave"].sum() == 90


def test_missing_values_stay_missing(file: Path) -> None:
    trial = read_charitable(file, 0.5, 3)
    rows = pd.concat([trial.train, trial.test])
    assert rows["red0"].isna().mean() == pytest.approx(0.1, abs=0.05)
    assert set(rows["red0"].dropna()) == {"0.0", "1.0"}


def test_what_is_not_the_trial_is_refused(file: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(file)
    frame.assign(letter="r9_1k_a7").to_csv(tmp_path / "odd.csv", index=False)
    with pytest.raises(InputError, match="720 rows are no letter of the trial"):
        read_charitable(tmp_path / "odd.csv", 0.5, 0)
    frame.drop(columns=["hpa", "amount"]).to_csv(tmp_path / "odd.csv", index=False)
    with pytest.raises(InputError) as caught:
        read_charitable(tmp_path / "odd.csv", 0.5, 0)
    assert len(caught.value.problems) == 2


@pytest.mark.real_data
@pytest.mark.skipif(not TRIAL.exists(), reason="../shared/data/charitable_half.csv.gz is not beside the checkout")
def test_the_trial_is_the_one_that_was_published() -> None:
    """Any letter against none: + 0.4 points gave, + 0.15 USD in the whole file, of which this is a half."""
    trial = read_charitable(TRIAL, 0.5, 0)
    rows = pd.concat([trial.train, trial.test])
    assert len(rows) == 25_041
    assert set(rows["action"]) == {"none", *(action["id"] for action in ACTIONS)}
    by = rows.groupby(rows["action"] != "none")[["gave", "amount"]].mean()
    assert by.loc[True, "gave"] - by.loc[False, "gave"] == pytest.approx(0.0042, abs=0.0038)
    assert by.loc[True, "amount"] - by.loc[False, "amount"] == pytest.approx(0.15, abs=0.22)
