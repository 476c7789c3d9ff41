"""What a week promises next to the truth of markets that nothing was tuned with: intervals of totals, and a budget with a certainty.

Slow: some three minutes a market.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from allocator.allocate import allocate
from allocator.formats import Certificate
from ranker.normal import Z90
from ranker.scores import open_scores
from tests.architecture.measure import ROOT

SEEDS = (*range(201, 212), *range(221, 228))
USERS = 20_000
BUDGET = 80.0
WEIGHTS = {"revenue": 1.0, "subs": 6.0, "mau": 2.0, "active_days": 0.05, "opt_out": -25.0}
"""Of the default policy's objective, discounts apart."""


@dataclass(frozen=True)
class Week:
    """One allocation: what is promised with its standard error, and what is true of its contacts, by name."""

    promised: dict[str, tuple[float, float]]
    true: dict[str, float]


def market_of(folder: Path, seed: int) -> None:
    """A market, and the scores of a model trained on its logs."""
    steps = (
        ("make_market", f"users={USERS}", f"seed={seed}", f"out={folder / 'market'}"),
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


def week_of(folder: Path, certainty: str | None) -> Week:
    """The default policy's week, its discount budget with or without a certainty."""
    scores = open_scores(folder / "scores")
    changes = {} if certainty is None else {"discount_budget": {"certainty": certainty}}
    made = allocate(scores, ROOT / "conf" / "policy" / "default.yaml", changes=changes)
    ids, effect = true_effects(folder)
    rows = made.contacts()
    user_N = ids.get_indexer(rows["user_id"])
    action_N = pd.Index(scores.catalogue.ids).get_indexer(rows["action"])
    discount_N = scores.catalogue.numbers("discount_eur")[action_N]
    true_N = {name: each_UA[user_N, action_N].astype(float) for name, each_UA in effect.items()}
    true = {name: float(each_N.sum()) for name, each_N in true_N.items()}
    true["discount"] = float((discount_N * true_N["subs"]).sum())
    true["value"] = sum(weight * true[name] for name, weight in WEIGHTS.items()) - true["discount"]
    return Week(_promised(made.certificate), true)


def _promised(held: Certificate) -> dict[str, tuple[float, float]]:
    budget = next(each for each in held.constraints if each.id == "discount_budget")
    told = {name: (each.total, each.se) for name, each in held.metrics.items()}
    told |= {"discount": (budget.achieved, budget.se), "value": (held.value, held.value_se)}
    return {name: (float(value or 0.0), float(error or 0.0)) for name, (value, error) in told.items()}


def _inside(weeks: list[Week]) -> Iterator[tuple[str, bool]]:
    for week in weeks:
        for name in ("value", "subs", "revenue", "discount", "opt_out"):
            promised, error = week.promised[name]
            yield name, abs(week.true[name] - promised) <= Z90 * error


@pytest.mark.slow
@pytest.mark.timeout(14_400)
def test_intervals_hold_the_truth_and_a_certainty_keeps_its_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    plain, certain = [], []
    for seed in SEEDS:
        folder = tmp_path / str(seed)
        market_of(folder, seed)
        plain.append(week_of(folder, None))
        certain.append(week_of(folder, "90%"))
    inside = pd.DataFrame(_inside(plain), columns=["of", "inside"]).groupby("of")["inside"].mean()
    kept = [sum(week.true["discount"] <= BUDGET for week in weeks) for weeks in (plain, certain)]
    with capsys.disabled():
        print(f"\n{inside.to_string()}\nbudget kept in {kept[0]} of {len(plain)}, with a certainty in {kept[1]}")
    assert 0.8 <= inside.mean() <= 0.99
    assert kept[1] > kept[0]
