"""Plans of experiments against experiments that are simulated: what is said to be found in four of five is."""

from dataclasses import replace

import numpy as np
import pytest

from ranker.evaluate import experiment_plan as plan
from ranker.evaluate.experiment_plan import ExperimentDesign, OutcomeSpread

DESIGN = ExperimentDesign(users=400, share=0.2, weeks=3)
TIMES = 4_000


def spread(**what: object) -> OutcomeSpread:
    held = {"name": "revenue", "unit": "EUR", "mean": 1.0, "variance": 4.0, "again": 0.3, "between": {}, "observed": 1}
    return OutcomeSpread(**(held | what))


def simulated(known: OutcomeSpread, design: ExperimentDesign, effect: float, times: int = TIMES) -> np.ndarray:
    """Differences of means of so many experiments."""
    generator = np.random.default_rng(3)
    count, part = known.between.get(design.groups or "", (1, 0.0))
    found = np.empty(times)
    for time in range(times):
        group_U = np.arange(design.users) % count
        own_U = generator.normal(0, np.sqrt(known.variance * (1 - part) * known.again), design.users)
        own_U += generator.normal(0, np.sqrt(known.variance * part), count)[group_U]
        differences, arm_U = [], None
        for _ in range(design.weeks):
            if arm_U is None or not design.lasting:
                arm_U = (
                    drawn(generator, design, count)[group_U]
                    if design.groups
                    else drawn(generator, design, design.users)
                )
            noise_U = generator.normal(0, np.sqrt(known.variance * (1 - part) * (1 - known.again)), design.users)
            outcome_U = own_U + noise_U + effect * arm_U
            differences.append(outcome_U[arm_U].mean() - outcome_U[~arm_U].mean())
        found[time] = np.mean(differences)
    return found


def drawn(generator: np.random.Generator, design: ExperimentDesign, count: int) -> np.ndarray:
    arm = np.zeros(count, bool)
    arm[generator.choice(count, round(design.share * count), replace=False)] = True
    return arm


@pytest.mark.parametrize("lasting", [False, True])
def test_standard_errors_are_those_of_simulated_experiments(lasting: bool) -> None:
    design = replace(DESIGN, lasting=lasting)
    found = simulated(spread(), design, 0.0)
    assert found.std() == pytest.approx(plan.stderr(spread(), design), rel=0.04)


def test_groups_that_are_drawn_whole_err_by_their_number() -> None:
    known = spread(between={"market": (20, 0.1)})
    design = replace(DESIGN, groups="market", lasting=True)
    found = simulated(known, design, 0.0)
    assert found.std() == pytest.approx(plan.stderr(known, design), rel=0.05)
    assert plan.stderr(known, replace(design, weeks=500)) > 0.6 * plan.stderr(known, replace(design, weeks=1))


def test_what_is_detectable_is_found_in_four_of_five() -> None:
    effect = plan.detectable(spread(), DESIGN)
    found = simulated(spread(), DESIGN, effect)
    assert (np.abs(found) > 1.96 * plan.stderr(spread(), DESIGN)).mean() == pytest.approx(0.8, abs=0.02)


def test_weeks_and_shares_that_are_needed_are_enough_and_no_more() -> None:
    weeks = plan.weeks_needed(spread(), DESIGN, 0.15)
    assert plan.detectable(spread(), replace(DESIGN, weeks=weeks)) <= 0.15
    assert plan.detectable(spread(), replace(DESIGN, weeks=weeks - 1)) > 0.15
    share = plan.share_needed(spread(), DESIGN, 0.4)
    assert plan.detectable(spread(), replace(DESIGN, share=share)) == pytest.approx(0.4)
    assert share < 0.5
    assert plan.share_needed(spread(), DESIGN, 0.01) is None
    assert plan.weeks_needed(spread(), replace(DESIGN, lasting=True), 0.05) is None, "the same listeners differ again"
    few = spread(between={"market": (8, 0.01)})
    assert plan.weeks_needed(few, replace(DESIGN, groups="market", share=0.1), 5.0) is None, "less than two markets"
    assert plan.share_needed(few, replace(DESIGN, groups="market"), 50.0) == 0.25


def test_intraclass_correlations_are_those_that_were_put_in() -> None:
    generator = np.random.default_rng(0)
    group_N = np.repeat(np.arange(3_000), generator.integers(1, 5, 3_000))
    value_N = generator.normal(0, np.sqrt(0.3), 3_000)[group_N] + generator.normal(0, np.sqrt(0.7), len(group_N))
    assert plan.intraclass(value_N, group_N) == pytest.approx(0.3, abs=0.03)
    assert plan.intraclass(value_N, generator.permutation(group_N)) < 0.03
    assert plan.intraclass(np.ones(5), np.array([0, 0, 1, 1, 2])) == 0.0
    assert plan.intraclass(value_N[:3], np.arange(3)) == 0.0


def test_covariates_save_what_they_explain() -> None:
    known = plan.with_explained(spread(), 0.75)
    assert plan.stderr(known, DESIGN) == pytest.approx(0.5 * plan.stderr(spread(), DESIGN))
