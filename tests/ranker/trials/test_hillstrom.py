"""The public e-mail trial: its adapter, and an allocation judged on its other half."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ranker.evaluate.allocated import judge_allocation
from ranker.logs import Logs, read_logs
from ranker.scores import InputError
from ranker.trials.hillstrom import ACTIONS, SCHEMA, read_trial, write_trial


@pytest.fixture
def file(tmp_path) -> Path:
    """A made-up trial in the same columns: mens e-mails make everyone visit, womens nobody."""
    generator = np.random.default_rng(0)
    rows = 1_200
    segment = np.resize(["No E-Mail", "Mens E-Mail", "Womens E-Mail"], rows)
    visit = (segment == "Mens E-Mail").astype(int)
    frame = pd.DataFrame(
        {
            "recency": generator.integers(1, 12, rows), "history": generator.lognormal(5, 1, rows),
            "history_segment": "1) $0 - $100", "mens": 1, "womens": generator.integers(0, 2, rows),
            "zip_code": generator.choice(["Urban", "Rural"], rows), "newbie": 0, "channel": "Web",
            "segment": segment, "visit": visit, "conversion": 0, "spend": 0.0,
        }
    )  # fmt: skip
    frame.to_csv(tmp_path / "trial.csv", index=False)
    return tmp_path / "trial.csv"


def test_customers_are_split_evenly_and_reproducibly(file) -> None:
    trial, again, other = read_trial(file, 0.5, 1), read_trial(file, 0.5, 1), read_trial(file, 0.5, 2)
    assert set(trial.train["user_id"]).isdisjoint(trial.test["user_id"])
    assert trial.train["action"].value_counts().to_dict() == {"none": 200, "mens": 200, "womens": 200}
    pd.testing.assert_frame_equal(trial.test, again.test)
    assert not trial.test["user_id"].equals(other.test["user_id"])


def test_what_is_written_are_valid_logs_and_users(file, tmp_path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    write_trial(read_trial(file, 0.25, 0), out)
    logs, test = read_logs(out / "logs"), read_logs(out / "test_logs")
    assert (len(logs), len(test)) == (900, 300)
    assert [action["id"] for action in logs.actions] == ["mens", "womens"]
    assert logs.frame["propensity"].to_numpy() == pytest.approx(1 / 3)


def test_another_file_is_refused_with_every_missing_column(tmp_path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError) as caught:
        read_trial(tmp_path / "other.csv", 0.5, 0)
    assert len(caught.value.problems) == len(SCHEMA.features) + 4


def test_an_allocation_is_judged_by_what_happened_to_such_users(file) -> None:
    test = Logs(SCHEMA, ACTIONS, read_trial(file, 0.5, 0).test, None)
    ids = test.frame["user_id"].to_numpy()
    half = pd.DataFrame({"user_id": ids[::2], "action": "mens"})
    verdicts = {(v.outcome, v.estimator): v for v in judge_allocation(half, test, "mens")}
    dr = verdicts["visit", "DR"]
    assert dr.value.value == pytest.approx(0.5, abs=0.01)
    assert dr.fixed.value == pytest.approx(1.0, abs=1e-6)
    assert dr.against_fixed.value == pytest.approx(-0.5, abs=0.01)
    ips = verdicts["visit", "IPS"]
    assert abs(ips.value.value - 0.5) < 3 * ips.value.stderr


def test_an_allocation_that_the_trial_cannot_judge_is_refused(file) -> None:
    test = Logs(SCHEMA, ACTIONS, read_trial(file, 0.5, 0).test, None)
    someone = int(test.frame["user_id"].iloc[0])
    odd = pd.DataFrame({"user_id": [someone, someone, -1], "action": ["mens", "womens", "kids"]})
    with pytest.raises(InputError) as caught:
        judge_allocation(odd, test, "mens")
    assert len(caught.value.problems) == 3
