"""The Open Bandit adapter and the estimators on it: a made-up shop with known click rates, and the real sample where it is present."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ranker.scores import InputError
from ranker.trials.open_bandit import FILE, Impressions, read_shown, shares
from scripts.bench import ranker_bandit

SAMPLE = Path(__file__).resolve().parents[4] / "shared" / "data" / "obd"


def write(folder: Path, shown: Impressions) -> None:
    folder.mkdir(parents=True)
    pd.DataFrame(
        {
            "item_id": shown.item_R,
            "position": shown.position_R + 1,
            "click": shown.click_R.astype(int),
            "propensity_score": shown.propensity_R,
        }
    ).to_csv(folder / FILE)


def made_up(policy_PA: np.ndarray, rate_A: np.ndarray, rows: int, seed: int) -> Impressions:
    generator = np.random.default_rng(seed)
    position_R = generator.integers(0, len(policy_PA), rows)
    item_R = np.array([generator.choice(len(rate_A), p=policy_PA[p]) for p in position_R])
    clicks_R = (generator.random(rows) < rate_A[item_R]).astype(float)
    return Impressions(item_R, position_R, policy_PA[position_R, item_R], clicks_R)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    shown = made_up(np.full((3, 4), 0.25), np.full(4, 0.5), 60, 0)
    write(tmp_path / "random", shown)
    back = read_shown(tmp_path / "random")
    for name, values in vars(shown).items():
        np.testing.assert_array_equal(getattr(back, name), values)
    write(tmp_path / "odd", Impressions(shown.item_R, shown.position_R, shown.propensity_R * 0, shown.click_R))
    with pytest.raises(InputError, match="60 of 60 rows are not in"):
        read_shown(tmp_path / "odd")


def test_shares_are_counted_by_position() -> None:
    shown = Impressions(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]), np.ones(4), np.zeros(4))
    np.testing.assert_allclose(shares(shown, 2, 3), [[2 / 3, 1 / 3, 0], [0, 1, 0]])


def test_every_estimator_finds_what_another_policy_earns(tmp_path: Path) -> None:
    rate_A = np.array([0.02, 0.1, 0.3])
    chosen_PA = np.array([[0.1, 0.2, 0.7], [0.5, 0.4, 0.1]])
    write(tmp_path / "obd" / "random", made_up(np.full((2, 3), 1 / 3), rate_A, 6_000, 1))
    write(tmp_path / "obd" / "bts", made_up(chosen_PA, rate_A, 6_000, 2))
    found = {each.learner: each for each in ranker_bandit.run(tmp_path, 0)}
    true = (chosen_PA @ rate_A).mean()
    assert set(found) == {"IPS", "SNIPS", "DR", "SWITCH-DR", "bts itself", "random itself"}
    for name, each in found.items():
        value, stderr = each.estimates["clicks"]
        assert abs(value - (rate_A.mean() if name == "random itself" else true)) < 4 * stderr < 0.05, name
        if each.ahead:
            assert abs(each.ahead["clicks"][0]) < 3 * each.ahead["clicks"][1]
            assert each.ahead["clicks"][1] > stderr


def test_what_is_expected_of_a_row_does_not_know_the_row() -> None:
    """One click in all: the row that has it is expected to have none more than others of its item."""
    click_R = np.zeros(50)
    click_R[7] = 1.0
    logs = Impressions(np.arange(50) % 2, np.zeros(50, int), np.full(50, 0.5), click_R)
    expected_RA = ranker_bandit.expected(logs, 2, np.random.default_rng(0))
    others = np.delete(np.arange(1, 50, 2), 3)
    assert expected_RA[7, 1] < expected_RA[others, 1].max()
    assert expected_RA[7, 1] < 1e-3


@pytest.mark.real_data
@pytest.mark.skipif(not SAMPLE.exists(), reason="../shared/data/obd is not beside the checkout")
def test_the_sample_says_of_bts_what_bts_earned() -> None:
    found = {each.learner: each for each in ranker_bandit.run(SAMPLE.parent, 0)}
    assert found["bts itself"].estimates["clicks"][0] == pytest.approx(0.0042)
    for name in ("IPS", "SNIPS", "DR", "SWITCH-DR"):
        difference, stderr = found[name].ahead["clicks"]
        assert abs(difference) < 2 * stderr
