"""What a week promises next to the truth of markets that nothing was tuned with: intervals of totals, and a budget with a certainty.

Slow: some three minutes a market, twenty a large one.

Axes: U users, A actions, N contacts.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from allocator.allocate import Allocation, allocate
from allocator.errors_of_sums import ErrorModel
from allocator.formats import Certificate
from ranker.catalogue import Catalogue
from ranker.normal import Z90
from ranker.scores import Scores, open_scores
from tests.architecture.measure import ROOT

MARKETS = {
    "known": (20_000, (*range(201, 212), *range(221, 228))),
    "fresh": (20_000, range(401, 419)),
    "large": (200_000, range(301, 306)),
}
"""Users and seeds. By what errors are shared was learned of all but seeds 411 to 418, 304 and 305."""
BUDGETS = {20_000: 80.0, 200_000: 800.0}
"""The default policy's budget of discounts, and the same per user for more of them."""
WEIGHTS = {"revenue": 1.0, "subs": 6.0, "mau": 2.0, "active_days": 0.05, "opt_out": -25.0}
"""Of the default policy's objective, discounts apart."""
TOTALS = ("value", "subs", "revenue", "discount", "opt_out")
ALONE, APART = "each action alone", "each action alone, without correlation"
SHIPPED = "message"
GROUPINGS = (SHIPPED, "product", "surface", ALONE, APART)
"""Which actions share their errors: those with one value of an attribute, as the scores name one, or none."""


@dataclass(frozen=True)
class Week:
    """One allocation: what is promised with its standard error, what is true of its contacts, and the standard error that other
    groups of actions would give, all by name."""

    promised: dict[str, tuple[float, float]]
    true: dict[str, float]
    error_by: dict[str, dict[str, float]]

    def apart(self, name: str) -> float:
        """Of promise and truth, in standard errors."""
        promised, error = self.promised[name]
        return (self.true[name] - promised) / error


def market_of(folder: Path, users: int, seed: int) -> None:
    """A market, and the scores of a model trained on its logs."""
    steps = (
        ("make_market", f"users={users}", f"seed={seed}", f"out={folder / 'market'}"),
        ("prepare", f"tables={folder / 'market' / 'tables'}", f"logs={folder / 'logs'}"),
        ("train", f"logs={folder / 'logs'}", f"model={folder / 'model'}", f"seed={seed}", "tracking.enabled=false"),
        ("score", f"model={folder / 'model'}", f"users={folder / 'market' / 'users'}", f"scores={folder / 'scores'}"),
    )
    for name, *keys in steps:
        subprocess.run([sys.executable, "-m", f"scripts.{name}", *keys], cwd=ROOT, check=True, capture_output=True)


def true_effects(folder: Path) -> tuple[pd.Index, dict[str, np.ndarray]]:
    shards = list(open_scores(folder / "market" / "truth" / "given_observed").shards())
    ids = pd.Index(np.concatenate([shard.user_id.to_numpy(zero_copy_only=False) for shard in shards]))
    return ids, {name: np.concatenate([shard.mean[name] for shard in shards]) for name in shards[0].mean}


def week_of(folder: Path, certainty: str | None, scores: Path | None = None) -> Week:
    """The default policy's week, its discount budget with or without a certainty. scores: those of the folder, if not others."""
    read = open_scores(scores or folder / "scores")
    changes: dict[str, dict[str, object]] = {"discount_budget": {"max": BUDGETS[read.users]}}
    if certainty is not None:
        changes["discount_budget"]["certainty"] = certainty
    made = allocate(read, ROOT / "conf" / "policy" / "default.yaml", changes=changes)
    ids, effect = true_effects(folder)
    rows = made.contacts()
    user_N = ids.get_indexer(rows["user_id"])
    action_N = pd.Index(read.catalogue.ids).get_indexer(rows["action"])
    true_A = {
        name: np.bincount(action_N, each_UA[user_N, action_N].astype(float), len(read.catalogue.actions))
        for name, each_UA in effect.items()
    }
    true = {
        name: sum(float(weight_A @ true_A[metric]) for metric, weight_A in weights.items())
        for name, weights in weights_of(read.catalogue).items()
    }
    return Week(_promised(made.certificate), true, _errors_by(read, made))


def weights_of(catalogue: Catalogue) -> dict[str, dict[str, np.ndarray]]:
    """Total -> metric -> float64[A]: what the week adds up."""
    one_A, discount_A = np.ones(len(catalogue.actions)), catalogue.numbers("discount_eur")
    alone = {metric.name: {metric.name: one_A} for metric in catalogue.metrics}
    value = {name: weight * one_A for name, weight in WEIGHTS.items()}
    value["subs"] = value["subs"] - discount_A
    return {**alone, "discount": {"subs": discount_A}, "value": value}


def _promised(held: Certificate) -> dict[str, tuple[float, float]]:
    budget = next(each for each in held.constraints if each.id == "discount_budget")
    told = {name: (each.total, each.se) for name, each in held.metrics.items()}
    told |= {"discount": (budget.achieved, budget.se), "value": (held.value, held.value_se)}
    return {name: (float(value or 0.0), float(error or 0.0)) for name, (value, error) in told.items()}


def _errors_by(read: Scores, made: Allocation) -> dict[str, dict[str, float]]:
    catalogue, rows = read.catalogue, made.contacts()
    stderr_A = {metric.name: np.zeros(len(catalogue.actions)) for metric in catalogue.metrics}
    for shard in read.shards():
        at_N = pd.Index(shard.user_id.to_numpy(zero_copy_only=False)).get_indexer(rows["user_id"])
        action_n = pd.Index(catalogue.ids).get_indexer(rows["action"])[at_N >= 0]
        for name, total_A in stderr_A.items():
            total_A += np.bincount(action_n, shard.stderr[name][at_N[at_N >= 0], action_n], len(total_A))
    found: dict[str, dict[str, float]] = {}
    for grouping in GROUPINGS:
        values = [action.get(grouping, position) for position, action in enumerate(catalogue.actions)]
        correlation = {name: 0.0 if grouping == APART else r for name, r in catalogue.error_correlation.items()}
        errors = ErrorModel(correlation, pd.factorize(pd.Series(values, dtype=object))[0])
        found[grouping] = {
            total: errors.stderr_of({metric: weight_A * stderr_A[metric] for metric, weight_A in weights.items()})
            for total, weights in weights_of(catalogue).items()
        }
    return found


def discounts_of_everybody(folder: Path, scores: Path | None = None) -> float:
    """How far the true discounts of all contacts that were possible are from their promise, in standard errors: nobody chose them."""
    read = open_scores(scores or folder / "scores")
    ids, effect = true_effects(folder)
    catalogue = read.catalogue
    promised_A, true_A, error_A = np.zeros((3, len(catalogue.actions)))
    for shard in read.shards():
        true_UA = effect["subs"][ids.get_indexer(shard.user_id.to_numpy(zero_copy_only=False))]
        promised_A += (shard.eligible_UA * shard.mean["subs"]).sum(axis=0, dtype=np.float64)
        error_A += (shard.eligible_UA * shard.stderr["subs"]).sum(axis=0, dtype=np.float64)
        true_A += (shard.eligible_UA * true_UA).sum(axis=0, dtype=np.float64)
    discount_A = catalogue.numbers("discount_eur")
    errors = ErrorModel(catalogue.error_correlation, catalogue.error_group_A)
    return float(discount_A @ (true_A - promised_A)) / errors.stderr_of({"subs": discount_A * error_A})


def coverage(weeks: list[Week]) -> pd.DataFrame:
    """Per total: in how many weeks the truth lies inside the 90 % interval, and how far it is from the promise in standard errors."""
    apart = pd.DataFrame([{name: week.apart(name) for name in week.promised} for week in weeks])
    return pd.DataFrame({"inside": (apart.abs() <= Z90).sum(), "apart": apart.mean(), "spread": apart.std(ddof=0)})


def coverage_by_grouping(weeks: list[Week]) -> Mapping[str, float]:
    """The share of true totals inside their 90 % intervals, by which actions share their errors."""
    return {
        grouping: float(
            np.mean(
                [
                    abs(week.true[name] - week.promised[name][0]) <= Z90 * week.error_by[grouping][name]
                    for week in weeks
                    for name in TOTALS
                ]
            )
        )
        for grouping in GROUPINGS
    }


def told(plain: list[Week], certain: list[Week], everybody: list[float], budget: float) -> str:
    """The tables of scripts/bench/README.md."""
    lines = [f"{len(plain)} markets, without a certainty:", coverage(plain).round(2).to_string()]
    lines += [f"inside, the {len(TOTALS)} totals together, where errors are shared by"]
    lines += [f"  {grouping}: {share:.0%}" for grouping, share in coverage_by_grouping(plain).items()]
    lines += [f"discounts apart, all possible contacts: {np.mean(everybody):.2f}"]
    for name, weeks in (("without", plain), ("with", certain)):
        ratio = np.mean([week.true["discount"] / week.promised["discount"][0] for week in weeks])
        kept = sum(week.true["discount"] <= budget for week in weeks)
        lines += [f"{name} a certainty: budget kept in {kept} of {len(weeks)}; discounts true / promised {ratio:.2f}"]
    pairs = list(zip(plain, certain, strict=True))
    promised = np.mean([with_.promised["value"][0] / without.promised["value"][0] - 1 for without, with_ in pairs])
    true = np.array([with_.true["value"] / without.true["value"] - 1 for without, with_ in pairs])
    error = true.std(ddof=1) / len(true) ** 0.5 if len(true) > 1 else np.nan
    optimism = np.mean([week.promised["value"][0] for week in plain]) / np.mean([week.true["value"] for week in plain])
    lines += [f"value promised / true: {optimism:.3f}"]
    lines += [f"cost of the certainty: promised value {promised:.2%}, true value {true.mean():.2%} +- {error:.2%}"]
    return "\n".join(lines)


@pytest.mark.slow
@pytest.mark.timeout(14_400)
@pytest.mark.parametrize(("users", "seeds"), MARKETS.values(), ids=MARKETS)
def test_intervals_hold_the_truth_and_a_certainty_keeps_its_budget(
    users: int, seeds: Sequence[int], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    plain, certain, everybody = [], [], []
    for seed in seeds:
        folder = tmp_path / str(seed)
        market_of(folder, users, seed)
        plain.append(week_of(folder, None))
        certain.append(week_of(folder, "90%"))
        everybody.append(discounts_of_everybody(folder))
    with capsys.disabled():
        print(f"\n{told(plain, certain, everybody, BUDGETS[users])}")
    assert all(
        week.error_by[SHIPPED][name] == pytest.approx(error, rel=1e-4)
        for week in plain
        for name, (_, error) in week.promised.items()
    )
    assert coverage_by_grouping(plain)[SHIPPED] >= 0.8
    assert sum(week.true["discount"] <= BUDGETS[users] for week in certain) >= 0.8 * len(seeds)
