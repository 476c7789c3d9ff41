"""A small week as people run it: one command from a market to a published allocation, then what a second and a wrong call do."""

import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

Call = Callable[..., subprocess.CompletedProcess[str]]
WEEK = ["-m", "scripts.weekly", "+debug=tiny"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("week") / "runs"


@pytest.fixture(scope="module")
def policy(root: Path, runs: Path) -> str:
    """The default policy, with a rule that counts contacts of earlier days, and rules that compare with the week before."""
    file = runs.parent / "policy.yaml"
    push = "  - {id: steady_push, kind: change, where: {surface: push}, max: 10%}\n"
    most = "  - {id: steady, kind: churn, max: 40%}\n"
    month = "contact:\n  - {id: month, max: 4, days: 28}\n"
    text = (root / "conf" / "policy" / "default.yaml").read_text().replace("contact:\n", month)
    file.write_text(text + push + most)
    return f"policy={file}"


@pytest.fixture(scope="module")
def first(call: Call, runs: Path, policy: str) -> subprocess.CompletedProcess[str]:
    called = call(*WEEK, f"runs={runs}", policy, "publish=true")
    assert called.returncode == 0, called.stderr
    return called


@pytest.fixture(scope="module")
def folder(first: subprocess.CompletedProcess[str], runs: Path) -> Path:
    return runs / json.loads((runs / "published.json").read_text())["run"]


def test_a_week_ends_published_audited_and_within_the_gap(folder: Path) -> None:
    certificate = json.loads((folder / "allocation" / "certificate.json").read_text())
    audit = json.loads((folder / "allocation" / "audit.json").read_text())
    assert certificate["gap"] <= 1e-4
    assert certificate["contacts"] > 0
    assert {check["status"] for check in audit["checks"]} == {"PASS"}


def test_the_scores_are_of_a_model_that_knows_what_earlier_contacts_leave(folder: Path) -> None:
    model = json.loads((folder / "model" / "model.json").read_text())
    assert model["carryover"]["contacts"] == "contacts_28d"
    assert model["carryover"]["kept"] == model["interference"]["fatigue"]["kept"] != 1.0


def test_nobody_gets_more_within_four_weeks_than_the_policy_allows(folder: Path) -> None:
    """Recounted from the tables: contacts of the week and those of the 27 days before it, for whoever gets any."""
    as_of = pd.Timestamp(json.loads((folder / "scores" / "catalogue.json").read_text())["as_of"])
    exposures = pd.read_parquet(folder / "market" / "tables" / "exposures")
    age = (as_of - pd.to_datetime(exposures["decided_on"])).dt.days
    shown = exposures["action"].notna() & (exposures["action"] != "none")
    before = exposures[shown & (age >= 0) & (age < 28)]["user_id"].value_counts()
    given = pd.concat(pd.read_parquet(file) for file in (folder / "allocation").glob("*.parquet"))
    now = given["user_id"].value_counts()
    together = now + before.reindex(now.index, fill_value=0)
    assert together.max() == 4
    almost_full = now.index.intersection(before.index[before == 3])
    assert len(almost_full) > 100
    assert now.max() == 2, "this week's own limit, which these would reach too"


def test_every_stage_left_a_manifest_and_nothing_half_written(folder: Path) -> None:
    assert {path.parent.name for path in folder.glob("*/manifest.json")} >= {
        "market",
        "logs",
        "model",
        "scores",
        "allocation",
    }
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    assert sorted((folder / "report").glob("*.html"))


def test_the_summary_says_what_a_product_manager_asks(first: subprocess.CompletedProcess[str]) -> None:
    for part in (
        "Value of the week",
        "Against best-first",
        "Optimiser's gap",
        "Held-out users",
        "Audit",
        "clean",
        "Report",
        "MLflow",
    ):
        assert part in first.stdout
    assert "could not be recorded" not in first.stderr
    assert "Traceback" not in first.stderr


def test_the_same_week_again_is_still_current(call: Call, folder: Path, runs: Path, policy: str) -> None:
    before = (folder / "allocation" / "manifest.json").read_bytes()
    again = call(*WEEK, f"runs={runs}", policy, "tracking.enabled=false")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("was still current") >= 5, again.stderr
    assert (folder / "allocation" / "manifest.json").read_bytes() == before


def test_the_next_week_stays_near_the_first(
    call: Call, first: subprocess.CompletedProcess[str], folder: Path, runs: Path, policy: str
) -> None:
    """The first week had nothing to compare with; the next, whose e-mails give way to pushes, keeps to a tenth more of these."""
    assert "left out this time: steady_push, steady" in first.stderr
    before = json.loads((folder / "allocation" / "certificate.json").read_text())
    assert "steady_push" not in {each["id"] for each in before["constraints"]}
    pushes = next(each["achieved"] for each in before["constraints"] if each["id"] == "push_capacity")
    overrides = ["set.push_capacity.max=60%", "set.email_capacity.max=1%", "tracking.enabled=false"]
    pointer = (runs / "published.json").read_bytes()
    tried = call(*WEEK, f"runs={runs}", policy, *overrides)
    assert tried.returncode == 0, tried.stderr
    assert tried.stdout.splitlines()[-1].endswith("; with publish=true it is")
    assert (runs / "published.json").read_bytes() == pointer
    called = call(*WEEK, f"runs={runs}", policy, *overrides, "publish=true")
    assert called.returncode == 0, called.stderr
    second = runs / json.loads((runs / "published.json").read_text())["run"]
    assert second != folder
    held = json.loads((second / "allocation" / "certificate.json").read_text())
    steady = next(each for each in held["constraints"] if each["id"] == "steady_push")
    assert (steady["min"], steady["max"]) == (math.ceil(pushes * 0.9), math.floor(pushes * 1.1))
    assert steady["max"] - 3 <= steady["achieved"] <= steady["max"], "left alone, there would be many more"
    churn = next(each for each in held["constraints"] if each["id"] == "steady")
    assert churn["achieved"] == changed(folder / "allocation", second / "allocation") <= churn["max"]
    again = call(*WEEK, f"runs={runs}", policy, *overrides)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("was still current") >= 5, again.stderr
    back = call("-m", "scripts.rollback", f"to={folder.name}", f"runs={runs}")
    assert back.returncode == 0, back.stderr
    assert json.loads((runs / "published.json").read_text())["run"] == folder.name


def changed(before: Path, after: Path) -> int:
    """How many users have another set of actions; who has no row in either is unchanged."""
    slates = [
        pd.concat(pd.read_parquet(file) for file in folder.glob("*.parquet"))
        .groupby("user_id")["action"]
        .agg(frozenset)
        for folder in (before, after)
    ]
    return sum(slates[0].get(user) != slates[1].get(user) for user in slates[0].index.union(slates[1].index))


def test_contradicting_constraints_publish_nothing(call: Call, folder: Path, runs: Path, policy: str) -> None:
    """The holdout gets nothing, so no product reaches 99.5 % of the listeners."""
    pointer = (runs / "published.json").read_bytes()
    called = call(*WEEK, f"runs={runs}", policy, "set.fan_clubs.min=99.5%", "tracking.enabled=false")
    assert called.returncode == 3, called.stderr
    assert "Fan clubs" in called.stderr or "fan_clubs" in called.stderr
    assert "Traceback" not in called.stderr
    assert (runs / "published.json").read_bytes() == pointer
    assert len(list(runs.glob("*/allocation/diagnosis.json"))) == 1


def test_a_guardrail_refuses_and_what_was_published_stays(call: Call, folder: Path, runs: Path) -> None:
    pointer = (runs / "published.json").read_bytes()
    certificate = json.loads((folder / "allocation" / "certificate.json").read_text())
    if certificate["gap"] <= 0:
        pytest.skip("this week was solved to the last cent, so no gap is too large")
    called = call("-m", "scripts.publish", f"run={folder}", "publish.max_gap=0", f"runs={runs}")
    assert called.returncode == 4, called.stderr
    assert (runs / "published.json").read_bytes() == pointer
