"""Learners of other libraries find an effect that is plain to see, where they are installed."""

from importlib import metadata

import numpy as np
import pytest

from ranker.evaluate import boosting
from ranker.evaluate.peers import PEERS, Peer, Task


def installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


@pytest.fixture(scope="module")
def task() -> tuple[Task, np.ndarray]:
    """Two actions, which work on opposite sides of one of four features, and the true effects on the rows to judge."""
    generator = np.random.default_rng(0)
    rows = 6_000
    learn_RD, test_RD = (generator.normal(size=(rows, 4)).astype(np.float32) for _ in range(2))
    arm_R = generator.integers(0, 3, rows)

    def effects(x_RD: np.ndarray) -> np.ndarray:
        return np.column_stack([0.4 * (x_RD[:, 0] > 0), 0.4 * (x_RD[:, 0] < 0)])

    chance_R = 0.2 + np.column_stack([effects(learn_RD), np.zeros(rows)])[np.arange(rows), arm_R]
    outcome_R = (generator.random(rows) < chance_R).astype(float)
    return Task(learn_RD, arm_R, outcome_R, test_RD, 2), effects(test_RD)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("peer", PEERS.values(), ids=PEERS)
def test_a_peer_tells_who_gains_from_which_action(peer: Peer, task: tuple[Task, np.ndarray]) -> None:
    if not installed(peer.package):
        pytest.skip(f"{peer.package} is not installed; the optional extra `bench` has it")
    given, true_RA = task
    found_RA = peer.effects(given)
    assert found_RA.shape == true_RA.shape
    for action in range(2):
        assert np.corrcoef(found_RA[:, action], true_RA[:, action])[0, 1] > 0.5
    assert found_RA.mean() == pytest.approx(true_RA.mean(), abs=0.06)


def test_arms_have_names_that_sort_with_none_first(task: tuple[Task, np.ndarray]) -> None:
    given, _ = task
    names = given.names_R
    assert sorted(set(names)) == ["a0", "b00", "b01"]
    assert set(names[given.arm_R == 2]) == {"a0"}
    assert set(names[given.arm_R == 1]) == {"b01"}


@pytest.mark.skipif(not installed("lightgbm"), reason="lightgbm is not installed; the optional extra `bench` has it")
@pytest.mark.parametrize("kind", ["binary", "count"])
def test_boosted_learners_agree_with_the_means_of_each_arm(kind: str) -> None:
    """Without features that tell anything, an effect is the difference of two means."""
    generator = np.random.default_rng(1)
    rows, table_BM = 9_000, np.vstack([np.eye(2), np.zeros(2)])
    arm_R = generator.integers(0, 3, rows)
    mean_R = np.array([0.6, 0.4, 0.3])[arm_R]
    outcome_R = (generator.random(rows) < mean_R).astype(float) if kind == "binary" else generator.poisson(mean_R) * 1.0
    flat_RD, one_R = np.zeros((rows, 1), np.float32), np.ones(rows)
    expected = [outcome_R[arm_R == arm].mean() - outcome_R[arm_R == 2].mean() for arm in range(2)]
    arms = boosting.by_arm(kind, flat_RD, arm_R, outcome_R, one_R, 3)
    assert boosting.effects_by_arm(arms, flat_RD[:1])[0] == pytest.approx(expected, abs=0.01)
    both = boosting.shared(kind, flat_RD, arm_R, outcome_R, one_R, table_BM)
    assert boosting.effects_shared(both, flat_RD[:1], table_BM)[0] == pytest.approx(expected, abs=0.02)


@pytest.mark.skipif(not installed("lightgbm"), reason="lightgbm is not installed; the optional extra `bench` has it")
@pytest.mark.parametrize("kind", ["binary", "count"])
def test_pairs_looked_up_in_tables_are_what_the_library_predicts(kind: str) -> None:
    generator = np.random.default_rng(2)
    learn_RD, test_RD = (generator.normal(size=(rows, 5)).astype(np.float32) for rows in (8_000, 50))
    table_BM = np.vstack([generator.integers(0, 2, (4, 3)), np.zeros(3)]).astype(np.float32)
    arm_R = generator.integers(0, 5, 8_000)
    link_R = learn_RD[:, 0] * table_BM[arm_R, 0] + table_BM[arm_R, 1] - (learn_RD[:, 1] > 0)
    outcome_R = (
        (generator.logistic(size=8_000) < link_R) * 1.0
        if kind == "binary"
        else generator.poisson(np.exp(link_R / 2)) * 1.0
    )
    model = boosting.shared(kind, learn_RD, arm_R, outcome_R, np.ones(8_000), table_BM)
    expected = [model.expected(np.hstack([test_RD, np.tile(row_M, (50, 1))])) for row_M in table_BM]
    found_RB = model.expected_of_pairs(test_RD, table_BM)
    assert found_RB.std() > 0.05
    np.testing.assert_allclose(found_RB, np.column_stack(expected), atol=1e-5)
    effect_RA = boosting.effects_shared(model, test_RD, table_BM)
    np.testing.assert_allclose(effect_RA, found_RB[:, :-1] - found_RB[:, -1:], atol=1e-6)


@pytest.mark.skipif(not installed("lightgbm"), reason="lightgbm is not installed; the optional extra `bench` has it")
def test_an_arm_without_events_is_drawn_towards_all() -> None:
    rows = 3_000
    arm_R, outcome_R = np.arange(rows) % 2, np.zeros(rows)
    outcome_R[1::4] = 1.0  # of the last arm alone, half
    arms = boosting.by_arm("binary", np.zeros((rows, 1), np.float32), arm_R, outcome_R, np.ones(rows), 2)
    silent = arms[0].expected(np.zeros((1, 1), np.float32))[0]
    assert 0 < silent < 0.01
