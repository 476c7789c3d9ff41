"""Tiers: the first objective comes first, the next gets what the first may give up, and the judge recounts floor and bound."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from allocator.audit.judge import audit
from allocator.policy.grammar import Policy
from allocator.policy.reader import policy_for
from ranker.scores import open_scores
from scripts import allocate
from tests.allocator.instances import OBJECTIVE, catalogue, random_rules, write_scores

USERS = 120
IDS = catalogue().ids
EXPERIMENT = """experiment:
  holdout: {share: 0.05, salt: h}
  exploration: {share: 0.1, salt: e}
"""


def settings_of(settings_for: Callable, folder: Path, rules: str, part: str | None, **solve: object):
    """Subscriptions before few opt-outs, giving up `part` of them; None: subscriptions alone."""
    subs, calm = "[{metric: subs, weight: 1.0}]", "[{metric: opt_out, weight: -1.0}]"
    head = f"objective: {subs}\n"
    if part is not None:
        head = f"tiers:\n  - {{objective: {subs}, give_up: {part}}}\n  - {{objective: {calm}}}\n"
    settings = settings_for(folder, rules, gap=1e-3, **solve)
    settings.paths.policy.write_text("version: 1\n" + head + rules)
    return settings


def subs_of(folder: Path) -> float:
    rows = pd.concat(pd.read_parquet(file) for file in (folder / "out").glob("*.parquet"))
    users = pd.concat(pd.read_parquet(file) for file in (folder / "scores").glob("*.parquet")).set_index("user_id")
    return sum(float(users.loc[row.user_id, "mean_subs"][IDS.index(row.action)]) for row in rows.itertuples())


@pytest.mark.parametrize("method", ["prices", "exact"])
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.slow
def test_the_first_tier_gives_up_no_more_than_it_may(
    tmp_path: Path, settings_for: Callable, seed: int, method: str
) -> None:
    write_scores(tmp_path / "scores", USERS, seed, stderr=True)
    rules = EXPERIMENT + random_rules(seed, USERS)
    alone = allocate.run(settings_of(settings_for, tmp_path, rules, None, method=method)).certificate
    value = {}
    for part in ("1%", "0.1"):
        result = allocate.run(settings_of(settings_for, tmp_path, rules, part, method=method))
        (tier,) = result.certificate.tiers
        least = 0.99 if part == "1%" else 0.9
        assert result.audit.clean
        used = json.loads((tmp_path / "out" / "policy.json").read_text())
        assert Policy.model_validate(used).digest == result.certificate.policy_digest
        assert tier.floor == pytest.approx(least * tier.value)
        assert tier.bound == pytest.approx(alone.bound, rel=1e-3)
        record = next(each for each in result.certificate.constraints if each.id == "tier 1")
        assert (record.kind, record.binding, record.min) == ("tier", "min", tier.floor)
        assert record.achieved == pytest.approx(subs_of(tmp_path), rel=1e-6)
        assert record.achieved >= tier.floor * (1 - 1e-9)
        assert result.certificate.value <= result.certificate.bound + 1e-9
        value[part] = result.certificate.value
    assert value["0.1"] > value["1%"]


@pytest.mark.parametrize(
    ("bend", "named"),
    [
        (lambda told: told["tiers"][0].update(floor=told["tiers"][0]["floor"] * 0.9), "certificate tier 1 floor"),
        (lambda told: told["tiers"][0].update(value=told["tiers"][0]["bound"] * 2), "certificate tier 1"),
        (lambda told: told["tiers"].clear(), "tiers"),
        (lambda told: told["constraints"][-1].update(multiplier=9.0), "certificate bound"),
        (lambda told: told["constraints"][-1].update(numerator=0.0, achieved=0.0), "constraint tier 1"),
    ],
)
def test_the_judge_sees_a_bent_tier(tmp_path: Path, settings_for: Callable, bend: Callable, named: str) -> None:
    write_scores(tmp_path / "scores", 120, 1)
    settings = settings_of(settings_for, tmp_path, "risk: {z: 0.0}\n", "2%")
    allocate.run(settings)
    scores = open_scores(tmp_path / "scores")
    policy = policy_for(settings.paths.policy, {}, scores)
    path = tmp_path / "out" / "certificate.json"
    told = json.loads(path.read_text())
    bend(told)
    path.write_text(json.dumps(told))
    assert named in {check.name for check in audit(tmp_path / "scores", policy, tmp_path / "out").failures}


def test_without_tiers_nothing_is_said_of_them(tmp_path: Path, settings_for: Callable) -> None:
    write_scores(tmp_path / "scores", 60, 1)
    result = allocate.run(settings_for(tmp_path, ""))
    assert OBJECTIVE in (tmp_path / "policy.yaml").read_text()
    assert result.certificate.tiers == ()


def test_what_exploration_breaks_leaves_a_tier_its_bound(tmp_path: Path, settings_for: Callable) -> None:
    """The floor is of contacts alone, while prices bound contacts less what soft rules cost."""
    write_scores(tmp_path / "scores", USERS, 1, stderr=True)
    rules = EXPERIMENT + "constraints:\n  - {id: none_of_it, kind: volume, max: 0, strength: {soft: 5.0}}\n"
    result = allocate.run(settings_of(settings_for, tmp_path, rules, "1%"))
    (tier,) = result.certificate.tiers
    assert result.audit.clean and result.certificate.soft_penalty > 0
    assert tier.value <= tier.bound <= tier.value + 1e-3
