"""The judge takes rounding for what it is, also where large terms leave next to nothing, and takes nothing else for rounding."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from allocator.allocate import allocate
from allocator.audit.judge import audit
from allocator.policy.reader import policy_for
from ranker.scores import Scores, write_frame
from tests.allocator.judging import (
    IDS,
    USERS,
    Case,
    honest_certificate,
    policy_of,
    random_case,
    write_scores,
)
from tests.allocator.judging import allocate as best_rows

PRODUCTS = ("a", "b", "c")
SHARES = """version: 1
objective: [{metric: revenue, weight: 1}]
constraints:
  - {id: family, kind: share, where: {product: family}, min: 0.6}
  - {id: duo, kind: share, where: {product: duo}, min: 0.6}
"""
"""At the multiplier m a family or a duo nets v + 0.4 m - 0.6 m, which is nothing at m = 5 v, and a book less."""
VALUE = 0.3


def scores_of(folder: Path, metrics: Mapping[str, np.ndarray]) -> Scores:
    """One slot, three products."""
    head = {
        "actions": [{"id": f"home/{each}", "slot": "home", "product": each} for each in PRODUCTS],
        "metrics": [{"name": name, "unit": "EUR"} for name in metrics],
        "segments": [],
        "model_id": "m",
        "as_of": "2026-11-23",
    }
    users = len(next(iter(metrics.values())))
    columns = {f"mean_{name}": list(values.astype(np.float32)) for name, values in metrics.items()}
    folder.mkdir()
    return write_frame(folder, head, pd.DataFrame({"user_id": np.arange(users)} | columns))


def test_rules_that_only_nothing_can_keep_pass(tmp_path: Path) -> None:
    """Two shares of 60 %: every best slate is empty, at prices where the best contacts net next to nothing."""
    scores = scores_of(tmp_path / "scores", {"revenue": np.random.default_rng(0).gamma(1, 1, (300, 3))})
    shares = [{"id": each, "kind": "share", "where": {"product": each}, "min": 0.6} for each in "ab"]
    policy = {"version": 1, "objective": [{"metric": "revenue", "weight": 1.0}], "constraints": shares}
    made = allocate(scores, policy)
    assert made.audit.clean
    assert (made.certificate.value, made.certificate.contacts) == (0.0, 0)


@pytest.fixture
def empty(tmp_path: Path) -> Case:
    """Nobody gets anything, and each family and duo nets nothing at the multipliers."""
    case = random_case(tmp_path, np.random.default_rng(3))
    case.policy = policy_of(SHARES)
    case.mean["revenue"] = np.full(case.eligible.shape, VALUE, np.float32)
    case.eligible[:] = True
    write_scores(case)
    case.rows = pd.DataFrame(columns=["user_id", "action", "slot", "value", "margin", "runner_up", "source"])
    case.rows = case.rows.astype({"user_id": "int64", "value": float, "margin": float}).assign(propensity=1.0)
    stands = {"kind": "share", "min": 0.6, "max": None, "achieved": None, "slack": None, "binding": "min"}
    priced = stands | {"price": 0.0, "multiplier": 5 * float(np.float32(VALUE))}
    case.certificate = {"status": "optimal", "users": USERS, "contacts": 0, "value": 0.0, "bound": 0.0, "gap": 0.0}
    case.certificate["constraints"] = [{"id": name, **priced} for name in ("family", "duo")]
    return case


def claim_bound(case: Case, bound: float) -> None:
    case.certificate |= {"bound": bound, "gap": bound / abs(bound)}


ROUNDING = 1e-9 * USERS * 3 * VALUE * (1 + 5 + 3 + 3)
"""One contact a slot: its value, its part of one numerator and of both denominators at the multipliers."""


@pytest.mark.parametrize(("part", "clean"), [(1e-6, True), (0.9, True), (-0.9, True), (1.1, False)])
def test_a_bound_may_differ_by_the_rounding_of_what_cancels(empty: Case, part: float, clean: bool) -> None:
    claim_bound(empty, part * ROUNDING)
    assert empty.failures() == (set() if clean else {"certificate bound"})


@pytest.mark.parametrize(("value", "own"), [(-1e12, 0.0), (1e12, 1e3)])
def test_one_large_value_makes_room_for_its_own_rounding_alone(empty: Case, value: float, own: float) -> None:
    """A loss that nobody takes makes none."""
    empty.mean["revenue"][0, IDS.index("push/duo")] = value
    write_scores(empty)
    bound = max(float(np.float32(value)), 0.0)
    claim_bound(empty, bound + 0.9 * (own + ROUNDING))
    assert empty.failures() == set()
    claim_bound(empty, bound + 1.1 * (own + ROUNDING))
    assert empty.failures() == {"certificate bound"}


@pytest.mark.parametrize(("part", "clean"), [(0.9, True), (1.1, False)])
def test_a_penalty_may_differ_by_the_rounding_of_its_row(tmp_path: Path, part: float, clean: bool) -> None:
    """What is over a limit is a small difference of large sums."""
    case = random_case(tmp_path, np.random.default_rng(4))
    case.mean["opt_outs"] *= np.float32(1e9)
    write_scores(case)
    case.policy = policy_of("version: 1\nobjective: [{metric: revenue, weight: 1}]\n")
    case.rows = best_rows(case)
    used = honest_certificate(case)["metrics"]["opt_outs"]["total"]
    rule = f"{{id: few, kind: total, metric: opt_outs, max: {used - 1000.0}, strength: {{soft: 0.5}}}}"
    case.follow(f"version: 1\nobjective: [{{metric: revenue, weight: 1}}]\nconstraints: [{rule}]\n")
    case.certificate = honest_certificate(case, 0.0)
    assert case.certificate["soft_penalty"] == pytest.approx(500)
    assert case.failures() == set()
    slip = 1e-9 * (0.5 * (2 * used - 1000.0) + case.rows.value.abs().sum())
    value = case.certificate["value"] - part * slip
    bound = case.certificate["bound"]
    case.certificate |= {
        "soft_penalty": case.certificate["soft_penalty"] + part * slip, "value": value, "gap": (bound - value) / bound,
    }  # fmt: skip
    assert case.failures() == (set() if clean else {"certificate value", "certificate soft_penalty"})


@pytest.mark.parametrize(("part", "clean"), [(0.9, True), (1.1, False)])
def test_an_earlier_tier_may_differ_by_the_rounding_of_its_terms(tmp_path: Path, part: float, clean: bool) -> None:
    """Its objective is what is left of two that are the same."""
    gain = np.random.default_rng(5).gamma(1, 1, (40, 3))
    scores = scores_of(tmp_path / "scores", {"revenue": gain, "cost": gain})
    first = "[{metric: revenue, weight: 1}, {metric: cost, weight: -1}]"
    tiers = f"tiers:\n  - {{objective: {first}, give_up: 1%}}\n  - {{objective: [{{metric: revenue, weight: 1}}]}}\n"
    (tmp_path / "policy.yaml").write_text(f"version: 1\n{tiers}")
    (tmp_path / "made").mkdir()
    made = allocate(scores, tmp_path / "policy.yaml", folder=tmp_path / "made")
    told = json.loads((tmp_path / "made" / "certificate.json").read_text())
    floor = next(each for each in told["constraints"] if each["id"] == "tier 1")
    assert (floor["achieved"], made.certificate.contacts) == (0.0, 40)
    floor["achieved"] = floor["numerator"] = part * 1e-9 * 2 * made.certificate.value
    (tmp_path / "made" / "certificate.json").write_text(json.dumps(told))
    policy = policy_for(tmp_path / "policy.yaml", {}, scores)
    failures = audit(tmp_path / "scores", policy, tmp_path / "made").failures
    assert {check.name for check in failures} == (set() if clean else {"constraint tier 1"})
