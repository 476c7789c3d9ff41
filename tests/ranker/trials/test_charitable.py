"""The fund-raising trial's adapter on a made-up file; where the data is present, what was published of it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ranker.scores import InputError
from ranker.trials.charitable import ACTIONS, SCHEMA, read_charitable

TRIAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "charitable_half.csv.gz"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    rows = 720
    frame = pd.DataFrame({name: generator.normal(size=rows) for name in SCHEMA.numeric})
    for name in SCHEMA.categorical:
        frame[name] = np.where(generator.random(rows) < 0.1, np.nan, generator.integers(0, 2, rows))
    frame["letter"] = [None if row % 3 == 0 else ACTIONS[row % 36]["id"] for row in range(rows)]
    frame["letter"] = frame["letter"].fillna("none")
    frame["gave"] = np.resize([1, 0, 0, 0], rows)
    frame["amount"] = 25.0 * frame["gave"]
    frame.to_csv(tmp_path / "trial.csv", index=False)
    return tmp_path / "trial.csv"


def test_letters_have_the_propensity_of_their_share_and_missing_values_stay_missing(file: Path) -> None:
    trial = read_charitable(file, 0.5, 3)
    rows = pd.concat([trial.train, trial.test])
    share = rows["action"].map(rows["action"].value_counts(normalize=True))
    assert rows["propensity"].to_numpy() == pytest.approx(share.to_numpy())
    assert set(trial.train["user_id"]).isdisjoint(trial.test["user_id"])
    assert trial.train["gave"].sum() == trial.test["gave"].sum() == 90
    assert rows["red0"].isna().mean() == pytest.approx(0.1, abs=0.05)
    assert set(rows["red0"].dropna()) == {"0.0", "1.0"}


def test_what_is_not_the_trial_is_refused(file: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(file)
    frame.assign(letter="r9_1k_a7").to_csv(tmp_path / "odd.csv", index=False)
    with pytest.raises(InputError, match="720 rows are none of the 36 letters"):
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
