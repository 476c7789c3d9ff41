"""What is said before the numbers: how far from the best, what no counts meet, what is there for a rule alone."""

from pathlib import Path

import numpy as np
import pytest

from allocator.certify.remarks import cannot_be_met, far_from_the_best, only_for_a_rule
from allocator.solve.settings import SolveSettings
from allocator.solve.solver import solve
from tests.allocator.instances import Case, make_case

USERS = 120


def chosen(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Prices, and user, action and value of every contact."""
    solution = solve(case.problem, case.data, case.explored[:2], SolveSettings(method="prices", core_users=60))
    user_N, k_N = np.nonzero(solution.slate_UK >= 0)
    action_N = solution.slate_UK[user_N, k_N].astype(np.int64)
    planes_NP = case.data.planes_UPA[user_N, :, action_N].astype(float)
    return solution.price_R, user_N, action_N, (planes_NP * case.problem.value_PA[:, action_N].T).sum(axis=1)


@pytest.mark.parametrize(("gap", "said"), [(0.55, True), (2e-4, True), (9e-5, False), (1e-6, False), (-1e-12, False)])
def test_a_gap_far_beyond_what_was_asked_for_is_said(gap: float, said: bool) -> None:
    remarks = list(far_from_the_best(gap, 1e-5))
    assert bool(remarks) is said
    assert all(f"{100 * gap:.2g} %" in remark.sentence and "solve.nodes" in remark.sentence for remark in remarks)


def test_contacts_that_only_fill_a_rule_are_counted_with_their_cost(tmp_path: Path) -> None:
    rules = """constraints:
  - {id: push_floor, kind: volume, where: {product: books}, min: 290, label: Books goal}
  - {id: idle, kind: volume, where: {surface: home}, max: 1000}
"""
    case = make_case(tmp_path, USERS, 1, rules)
    price_R, user_N, action_N, value_N = chosen(case)
    [remark] = only_for_a_rule(case.problem, case.data, price_R, user_N, action_N, value_N)
    assert remark.constraint == "push_floor" and "Books goal" in remark.sentence
    assert remark.contacts == (value_N <= 0).sum() > 0
    assert remark.value == pytest.approx(value_N[value_N <= 0].sum())
    books_A = np.array([action["product"] == "books" for action in case.scores.catalogue.actions])
    assert books_A[action_N[value_N <= 0]].all()


def test_without_such_contacts_nothing_is_said(tmp_path: Path) -> None:
    case = make_case(tmp_path, USERS, 1, "constraints:\n  - {id: cap, kind: volume, max: 40}\n")
    assert not list(only_for_a_rule(case.problem, case.data, *chosen(case)))


def test_a_share_that_no_counts_meet_is_named_with_a_band_that_can_be_kept(tmp_path: Path) -> None:
    rules = "constraints:\n  - {id: third, kind: share, where: {product: duo}, of: {}, min: 33.33%, max: 33.33%}\n"
    case = make_case(tmp_path, USERS, 1, rules)
    [remark] = cannot_be_met(case.problem, case.data, [0.0])
    assert remark.constraint == "third" and "3,333 of 10,000 contacts" in remark.sentence
    assert "32.83 % to 33.83 %" in remark.sentence
    assert not list(cannot_be_met(case.problem, case.data, [30_000.0]))


def test_a_share_that_counts_could_meet_is_not_blamed_on_its_bounds(tmp_path: Path) -> None:
    """Nothing may have been worth it, or another rule is in the way: then the bounds are no reason."""
    for bounds in ("min: 50%, max: 50%", "min: 33%, max: 33%", "min: 60%, max: 60.01%"):
        rules = f"constraints:\n  - {{id: part, kind: share, where: {{product: duo}}, of: {{}}, {bounds}}}\n"
        case = make_case(tmp_path / bounds.replace(" ", ""), USERS, 1, rules)
        assert not list(cannot_be_met(case.problem, case.data, [0.0])), bounds
