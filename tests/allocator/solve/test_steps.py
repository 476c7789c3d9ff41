"""Steps of amounts, limits that tolerances cannot break, and whole counts of shares, against brute force."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

from allocator.solve import lattice
from allocator.solve.mathprog import Programme, SolveOutcome, solve_few_integers, solve_integer
from allocator.solve.steps import step_of, steps_of, tightened


@pytest.mark.parametrize(
    ("amounts", "step"),
    [
        ([100.0, 500.0, 0.0], 100.0),
        ([0.5, 1.25], 0.25),
        ([0.1 + 0.2, 0.6], 0.3),
        ([np.float64(np.float32(8.97)), 1.0], 0.0),
        ([1 / 3, 2.0], 0.0),
        ([1e15, 1.0], 0.0),
    ],
)
def test_the_step_of_amounts(amounts: list[float], step: float) -> None:
    assert step_of(np.array(amounts)) == pytest.approx(step, abs=1e-12)


def test_whole_steps_use_a_limit_to_the_end_and_others_keep_a_hair() -> None:
    quantum_R = np.array([1.0, 0.0, 0.0])
    step_R = steps_of(np.array([[1.0, 500.0, 0.3333333], [1.0, 100.0, 1.1]]), quantum_R)
    left_R = np.array([7.0, 50_000.0, 12.0])
    tight_R = tightened(left_R, left_R, quantum_R, step_R)
    assert tight_R[0] == 7 and tight_R[1] == 50_000 and step_R.tolist() == [1.0, 100.0, 0.0]
    assert 12 - 1e-8 < tight_R[2] < 12
    assert tightened(np.array([6.9, 49_999.0, 12.0]), left_R, quantum_R, step_R)[:2].tolist() == [6.0, 49_900.0]


@pytest.mark.parametrize("seed", range(20))
def test_the_first_counts_of_a_shifted_lattice(seed: int) -> None:
    generator = np.random.default_rng(seed)
    share = Fraction(int(generator.integers(0, 30)), int(generator.integers(1, 30)))
    left = int(generator.integers(-50, 50))
    k, t = lattice._first(share.numerator, share.denominator, left)
    assert share.denominator * k - share.numerator * t == left and 0 <= t < share.denominator


@pytest.mark.parametrize("seed", range(10))
def test_branching_on_a_few_variables_agrees_with_the_integer_solver(seed: int) -> None:
    """minimise c . x with A x >= b, x in [0, 4], the first three whole."""
    generator = np.random.default_rng(seed)
    variables, rows = 8, 4
    programme = Programme(
        generator.uniform(0.5, 2, variables),
        np.zeros(variables),
        np.full(variables, 4.0),
        sparse.csr_matrix(generator.uniform(0, 1, (rows, variables))),
        generator.uniform(1, 6, rows),
        np.full(rows, np.inf),
        np.arange(variables) < 3,
    )
    few, every = solve_few_integers(programme, 10.0, 500, 1e-9), solve_integer(programme, 10.0, 10_000, 0.0)
    assert few.outcome is SolveOutcome.OPTIMAL and few.cost == pytest.approx(every.cost, abs=1e-7)
    assert few.bound == pytest.approx(few.cost, abs=1e-7)
    assert np.abs(few.x_V[:3] - np.rint(few.x_V[:3])).max() < 1e-6


def test_branching_says_what_cannot_be() -> None:
    """2 x = 1 with a whole x."""
    programme = Programme(
        np.ones(1), np.zeros(1), np.ones(1), sparse.csr_matrix([[2.0]]), np.ones(1), np.ones(1), np.ones(1, bool)
    )
    assert solve_few_integers(programme, 10.0, 100, 0.0).outcome is SolveOutcome.INFEASIBLE
