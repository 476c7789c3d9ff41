"""The whole curve of a budget against linear programmes over all slates, and against allocations."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linprog

from allocator.allocate import allocate
from allocator.workbench.budget_path import budget_path, has_path
from allocator.workbench.frontier import frontier
from allocator.workbench.session import Session
from ranker.scores import open_scores
from tests.allocator.instances import CONTACT, OBJECTIVE, write_scores

BUDGET = "constraints:\n  - {id: budget, kind: total, metric: opt_out, max: 0.02}\n"


def relaxed(value_UA: np.ndarray, cost_UA: np.ndarray, may_UA: np.ndarray, catalogue, budget: float) -> float:
    """The linear programme over all slates of at most two contacts, one a slot, one push, no product twice."""
    values, costs, owners = [], [], []
    for user in range(len(value_UA)):
        actions = np.flatnonzero(may_UA[user])
        for slate in [(a,) for a in actions] + list(combinations(actions, 2)):
            words = [catalogue.actions[a] for a in slate]
            if len({each["slot"] for each in words}) == len({each["product"] for each in words}) == len(slate):
                values.append(value_UA[user, list(slate)].sum())
                costs.append(cost_UA[user, list(slate)].sum())
                owners.append(user)
    one = np.zeros((len(value_UA), len(values)))
    one[owners, np.arange(len(values))] = 1.0
    found = linprog(
        -np.array(values),
        A_ub=np.vstack([one, costs]),
        b_ub=[*np.ones(len(one)), budget],
        bounds=(0, 1),
        method="highs",
    )
    return -found.fun


@pytest.mark.parametrize("seed", [1, 2])
def test_the_curve_is_that_of_linear_programmes_over_all_slates(tmp_path: Path, seed: int) -> None:
    scores = open_scores(write_scores(tmp_path / "scores", 25, seed))
    (tmp_path / "policy.yaml").write_text(OBJECTIVE + CONTACT + BUDGET)
    shard = next(iter(scores.shards()))
    value_UA = shard.mean["revenue"] + 12.0 * shard.mean["subs"] - 25.0 * shard.mean["opt_out"]
    with Session.open(scores) as session:
        found = session.price(session.read(tmp_path / "policy.yaml", {}))
        assert has_path(found)
        path = budget_path(found)
    assert (np.diff(path.price_N) <= 1e-9).all(), "each edge is worth less than the one before"
    assert path.spent_N[0] == path.value_N[0] == 0.0
    for budget in np.linspace(0.1, 1.0, 6) * path.spent_N[-1]:
        best = relaxed(
            value_UA.astype(float), shard.mean["opt_out"].astype(float), shard.eligible_UA, scores.catalogue, budget
        )
        assert path.at(budget) == pytest.approx(best, rel=1e-5)


def test_an_allocation_is_on_the_curve(tmp_path: Path) -> None:
    scores = open_scores(write_scores(tmp_path / "scores", 3_000, 3))
    rules = "experiment:\n  holdout: {share: 0.03, salt: h}\n  exploration: {share: 0.05, salt: e}\n"
    (tmp_path / "policy.yaml").write_text(OBJECTIVE + CONTACT + rules + BUDGET.replace("0.02", "2"))
    with Session.open(scores) as session:
        path = budget_path(session.price(session.read(tmp_path / "policy.yaml", {})))
    for budget in (1.0, 2.0, 3.5):
        made = allocate(scores, tmp_path / "policy.yaml", changes={"budget": {"max": budget}}).certificate
        assert made.value <= path.at(budget) * (1 + 1e-9)
        assert made.value == pytest.approx(path.at(budget), rel=2e-5)


@pytest.mark.parametrize("full", [False, True])
def test_a_frontier_of_such_a_policy_is_its_whole_curve(tmp_path: Path, full: bool) -> None:
    scores = open_scores(write_scores(tmp_path / "scores", 1_500, 3))
    (tmp_path / "policy.yaml").write_text(OBJECTIVE + CONTACT + BUDGET.replace("0.02", "1"))
    with Session.open(scores, 600) as session:
        found = frontier(session, session.read(tmp_path / "policy.yaml", {}), "budget", "value", 8, full)
    assert found.exact_curve
    assert len(found.exact_curve) > 1_000
    assert found.points[0].x == 0
    assert found.current is not None
    assert found.points[found.current].x == pytest.approx(1.0, rel=1e-3)
    point = found.points[3]
    made = allocate(scores, tmp_path / "policy.yaml", changes=point.change).certificate
    assert point.y == pytest.approx(made.value, rel=2e-5 if full else 0.1)
    assert abs(point.y - made.value) <= 4 * point.value_se + 2e-5 * made.value


def test_other_policies_have_no_such_curve(tmp_path: Path) -> None:
    scores = open_scores(write_scores(tmp_path / "scores", 200, 3))
    more = "  - {id: push_cap, kind: volume, where: {surface: push}, max: 20%}\n"
    signed = "constraints:\n  - {id: budget, kind: total, metric: revenue, max: 5}\n"
    with Session.open(scores) as session:
        for rules in (BUDGET + more, signed, ""):
            (tmp_path / "policy.yaml").write_text(OBJECTIVE + CONTACT + rules)
            assert not has_path(session.price(session.read(tmp_path / "policy.yaml", {})))
