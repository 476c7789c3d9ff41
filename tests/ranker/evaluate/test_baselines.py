"""The S-learner against the same regression on a matrix written out, and against a world whose truth is known."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge

from ranker.evaluate import baselines
from ranker.evaluate.off_policy import Decisions

ROWS, ACTIONS = 3_000, 4
TABLE_BM = np.vstack([np.column_stack([np.ones(4), [1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0]]), np.zeros((1, 4))])


@pytest.fixture(scope="module")
def world():
    """Effects by attribute: the second doubles with x, the third halves."""
    generator = np.random.default_rng(0)
    design_RD = np.column_stack([generator.normal(size=ROWS), generator.random(ROWS) < 0.3]).astype(float)
    arm_R = generator.integers(0, ACTIONS + 1, ROWS)
    decisions = Decisions(arm_R, np.full(ROWS, 0.2), np.arange(ROWS), np.ones((ROWS, ACTIONS + 1), bool))
    effect_RA = (0.5 + design_RD[:, :1] * [0.0, 0.8, -0.8, 0.0]) @ TABLE_BM[:-1].T
    mean_RB = np.column_stack([effect_RA, np.zeros(ROWS)]) + design_RD[:, 1:]
    outcome_R = mean_RB[np.arange(ROWS), arm_R] + generator.normal(size=ROWS)
    return design_RD, decisions, outcome_R, effect_RA


@pytest.mark.parametrize("kind", ["real", "binary"])
def test_the_s_learner_is_the_regression_on_everything_written_out(world, kind) -> None:
    design_RD, decisions, outcome_R, _ = world
    outcome_R = outcome_R if kind == "real" else (outcome_R > 0.5).astype(float)

    def written_out(arm_R) -> np.ndarray:
        shown = TABLE_BM[arm_R]
        products = [design_RD[:, d] * shown[:, m] * baselines.SHRINKAGE for d in range(2) for m in range(4)]
        return np.column_stack([design_RD, shown, *products])

    if kind == "real":
        model = Ridge(alpha=baselines.PENALTY).fit(written_out(decisions.arm_R), outcome_R)
        expected = [model.predict(written_out(np.full(ROWS, b))) for b in range(ACTIONS + 1)]
    else:
        model = LogisticRegression(C=1 / baselines.PENALTY, max_iter=2_000, tol=1e-8)
        model.fit(written_out(decisions.arm_R), outcome_R)
        expected = [model.predict_proba(written_out(np.full(ROWS, b)))[:, 1] for b in range(ACTIONS + 1)]
    found = baselines.fit_shared(kind, sparse.csr_array(design_RD), decisions, outcome_R, TABLE_BM)
    effect_RA = found.effect(sparse.csr_array(design_RD), TABLE_BM[:-1])
    np.testing.assert_allclose(effect_RA, np.column_stack(expected[:-1]) - expected[-1][:, None], atol=1e-3)


def test_the_s_learner_finds_effects_that_actions_share(world) -> None:
    design_RD, decisions, outcome_R, true_RA = world
    found = baselines.fit_shared("real", sparse.csr_array(design_RD), decisions, outcome_R, TABLE_BM)
    effect_RA = found.effect(sparse.csr_array(design_RD), TABLE_BM[:-1])
    assert np.corrcoef(effect_RA.ravel(), true_RA.ravel())[0, 1] > 0.98


def test_an_outcome_that_never_happens_has_no_effects(world) -> None:
    design_RD, decisions, _, _ = world
    found = baselines.fit_shared("binary", sparse.csr_array(design_RD), decisions, np.zeros(ROWS), TABLE_BM)
    assert not found.effect(sparse.csr_array(design_RD), TABLE_BM[:-1]).any()
