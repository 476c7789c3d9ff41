"""What logs of random recommendations say another policy is worth, next to what it earned: the Open Bandit sample.

The policy is bts (Bernoulli Thompson sampling), known by how often it showed each item in each position. Axes: R rows, A actions (items),
B = A + 1 arms, the last one never shown.
"""

from pathlib import Path

import numpy as np

from ranker.evaluate import off_policy
from ranker.evaluate.off_policy import Decisions, Estimate
from ranker.trials.open_bandit import Impressions, read_shown, shares
from scripts.bench.ranker_figures import Standing, pair

FOLDER = "obd"
RANDOM, BTS = "random", "bts"
OWN = "bts itself"
FOLDS = 5


def run(trials: Path, seed: int) -> list[Standing]:
    """Every estimator's click rate of bts from the random logs, and both policies' own."""
    random, bts = (read_shown(trials / FOLDER / name) for name in (RANDOM, BTS))
    items, positions = (
        1 + max(int(getattr(logs, name).max()) for logs in (random, bts)) for name in ("item_R", "position_R")
    )
    policy_RA = shares(bts, positions, items)[random.position_R]
    own = rate(bts)
    judged = estimates(random, policy_RA, np.random.default_rng(seed))
    return [
        Standing("bandit", 0, seed, OWN, estimates={"clicks": pair(own)}),
        *(
            Standing(
                "bandit",
                0,
                seed,
                name,
                estimates={"clicks": pair(estimate)},
                ahead={"clicks": [estimate.value - own.value, float(np.hypot(estimate.stderr, own.stderr))]},
                note=f"{effective:,.0f} effective rows of {len(random):,}",
            )
            for name, (estimate, effective) in judged.items()
        ),
        Standing("bandit", 0, seed, "random itself", estimates={"clicks": pair(rate(random))}),
    ]


def rate(shown: Impressions) -> Estimate:
    """A policy's own click rate."""
    return Estimate(float(shown.click_R.mean()), float(shown.click_R.std(ddof=1) / len(shown) ** 0.5))


def estimates(
    logs: Impressions, policy_RA: np.ndarray, generator: np.random.Generator
) -> dict[str, tuple[Estimate, float]]:
    """By estimator the value of a policy, and the effective number of rows."""
    rows, items = policy_RA.shape
    decisions = Decisions(logs.item_R, logs.propensity_R, np.arange(rows), np.ones((rows, items + 1), bool))
    policy_RB = np.column_stack([policy_RA, np.zeros(rows)])
    expected_RB = np.column_stack([expected(logs, items, generator), np.zeros(rows)])
    judged = off_policy.judge(decisions, policy_RB, logs.click_R, expected_RB)
    return {name: (each.estimate, each.effective_sample_size) for name, each in judged.items()}


def expected(logs: Impressions, items: int, generator: np.random.Generator) -> np.ndarray:
    """float64[R, A]: click rate per item, from rows of other folds, drawn towards the rate of all by as many rows as give one click."""
    fold_R = generator.permutation(np.arange(len(logs)) % FOLDS)
    expected_RA = np.empty((len(logs), items))
    for fold in range(FOLDS):
        learn_R = fold_R != fold
        clicks_A = np.bincount(logs.item_R[learn_R], logs.click_R[learn_R], minlength=items)
        rows_A = np.bincount(logs.item_R[learn_R], minlength=items)
        overall = max(float(logs.click_R[learn_R].mean()), 1e-6)
        expected_RA[~learn_R] = (clicks_A + 1.0) / (rows_A + 1.0 / overall)
    return expected_RA
