"""The product reads back its own weeks: what it allocated, several contacts to a listener and day, is what it learns from next."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.scripts.markets import contacts_of, policy_of
from tests.scripts.next_week import write_company_after

WEEK = ["-m", "scripts.weekly", "+debug=tiny", "fit=fast", "tracking.enabled=false", "publish.max_gap=0.01"]
WEEK += ["solve.price_ranges=false"]

POLICY = policy_of(
    {"revenue": 1.0, "subs": 6.0}, 0.05, 0.2, "id: push_capacity, kind: volume, where: {surface: push}, max: 20%"
)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_weeks_in_a_row_learn_from_the_slates_of_the_week_before(
    call: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    words = [*WEEK, f"runs={tmp_path / 'runs'}", f"policy={tmp_path / 'policy.yaml'}"]
    called = call(*words, "run=first", "data.users=400")
    assert called.returncode == 0, called.stderr
    market = company = tmp_path / "runs" / "first" / "market"
    run = "first"
    for week in (1, 2):
        contacts = contacts_of(tmp_path / "runs" / run / "allocation")
        slates = int((contacts["user_id"].value_counts() > 1).sum())
        assert slates > 100
        write_company_after(company, market, contacts, tmp_path / f"company-{week}", seed=week)
        company, run = tmp_path / f"company-{week}", f"week-{week}"
        called = call(*words, f"run={run}", f"tables={company}")
        assert called.returncode == 0, called.stderr
        assert "listeners and days have several contacts" in called.stderr
        folder = tmp_path / "runs" / run
        logs = pd.concat(pd.read_parquet(file) for file in (folder / "logs").glob("*.parquet"))
        shown = logs[(logs["as_of"] == logs["as_of"].max()) & (logs["action"] != "none")]
        assert len(shown) == len(contacts)
        assert int((shown.groupby("decision_id").size() > 1).sum()) == slates
        evaluation = json.loads((folder / "model" / "evaluation.json").read_text())
        assert evaluation["slates"]["decisions"] > 0
        assert "marginal propensity" in (folder / "report" / "report.html").read_text()
    inputs = [f"{name}={folder / name}" for name in ("model", "logs", "scores")]
    words = [
        "policy=conf/policy/minimal.yaml",
        f"out={tmp_path / 'evaluation'}",
        "+debug=tiny",
        "tracking.enabled=false",
    ]
    called = call("-m", "scripts.evaluate", *inputs, *words)
    assert called.returncode == 0, called.stderr
    assert "marginal propensity" in (tmp_path / "evaluation" / "evaluation.html").read_text()
