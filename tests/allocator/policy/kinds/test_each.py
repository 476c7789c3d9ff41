"""A constraint with `each` is as many constraints as there are values, however many there are."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from allocator.audit.judge import audit
from allocator.infeasible.diagnosis import Infeasible
from allocator.policy.reader import policy_for
from allocator.report.collect import Sources, collect
from allocator.report.page import constraint_rows
from ranker.catalogue import Catalogue, Metric
from ranker.scores import ScoresWriter, open_scores
from scripts import allocate
from tests.allocator.instances import write_scores

USERS = 150
EACH = """constraints:
  - {id: books, kind: volume, where: {product: books}, users: {market: [SE, "NO"]}, each: market, min: 10%, max: 12%}
  - {id: half, kind: share, where: {family: plan}, each: product, of: {surface_kind: [discovery, messaging]}, max: 0.3}
  - {id: opt, kind: average, metric: opt_out, each: surface, max: 0.0011}
"""
APART = """constraints:
  - {id: a, kind: volume, where: {product: books}, users: {market: "NO"}, min: 10%, max: 12%}
  - {id: b, kind: volume, where: {product: books}, users: {market: SE}, min: 10%, max: 12%}
  - {id: c, kind: share, where: {product: duo}, of: {surface_kind: [discovery, messaging]}, max: 0.3}
  - {id: d, kind: share, where: {product: family}, of: {surface_kind: [discovery, messaging]}, max: 0.3}
  - {id: e, kind: average, metric: opt_out, where: {surface: home}, max: 0.0011}
  - {id: f, kind: average, metric: opt_out, where: {surface: push}, max: 0.0011}
  - {id: g, kind: average, metric: opt_out, where: {surface: plan_picker}, max: 0.0011}
"""
IDS = ["books@NO", "books@SE", "half@duo", "half@family", "opt@home", "opt@push", "opt@plan_picker"]


def markets(folder: Path) -> pd.Series:
    """How many users each market has."""
    return pd.concat(pd.read_parquet(file) for file in (folder / "scores").glob("*.parquet"))["market"].value_counts()


@pytest.mark.parametrize("method", ["prices", "exact"])
def test_each_value_is_a_rule_of_its_own(tmp_path: Path, settings_for: Callable, method: str) -> None:
    write_scores(tmp_path / "scores", USERS, 3)
    apart = allocate.run(settings_for(tmp_path, APART, method=method)).certificate
    rows = pd.read_parquet(tmp_path / "out" / "part-00000.parquet")
    result = allocate.run(settings_for(tmp_path, EACH, method=method))
    assert result.audit.clean
    assert [record.id for record in result.certificate.constraints] == IDS
    for each, one in zip(result.certificate.constraints, apart.constraints, strict=True):
        assert (each.min, each.max, each.numerator, each.price) == (one.min, one.max, one.numerator, one.price)
    pd.testing.assert_frame_equal(rows, pd.read_parquet(tmp_path / "out" / "part-00000.parquet"))
    report = collect(Sources(result.folder, tmp_path / "scores"))
    assert constraint_rows(report)[1].record.name == "Books @ SE"
    assert result.certificate.constraints[0].max == np.floor(0.12 * markets(tmp_path)["NO"])


def test_the_judge_counts_every_value_itself(tmp_path: Path, settings_for: Callable) -> None:
    write_scores(tmp_path / "scores", USERS, 3)
    settings = settings_for(tmp_path, EACH)
    allocate.run(settings)
    file = tmp_path / "out" / "certificate.json"
    certificate = json.loads(file.read_text())
    certificate["constraints"][1]["achieved"] += 1
    file.write_text(json.dumps(certificate))
    scores = open_scores(tmp_path / "scores")
    policy = policy_for(settings.paths.policy, {}, scores)
    (failure,) = audit(tmp_path / "scores", policy, tmp_path / "out").failures
    assert failure.name == "constraint books@SE"
    tighter = policy_for(settings.paths.policy, {"books": {"max": "10.5%"}}, scores)
    broken = {check.name for check in audit(tmp_path / "scores", tighter, tmp_path / "out").failures}
    assert {"constraint books@SE", "constraint books@NO"} <= broken


@pytest.mark.slow
def test_one_set_changes_all_rows_and_a_conflict_names_the_one(tmp_path: Path, settings_for: Callable) -> None:
    write_scores(tmp_path / "scores", 2 * USERS, 3)
    rules = EACH + "  - {id: few, kind: volume, where: {product: books}, users: {market: SE}, max: 5}\n"
    settings = settings_for(tmp_path, rules).model_copy(update={"set": {"books": {"min": "8%", "max": "9%"}}})
    with pytest.raises(Infeasible) as raised:
        allocate.run(settings)
    assert set(raised.value.diagnosis.conflict) == {"books@SE", "few"}
    assert {name for repair in raised.value.diagnosis.repairs for name in repair.changes} <= {"books@SE", "few"}
    settings = settings.model_copy(update={"set": {**settings.set, "few": None}})
    books = allocate.run(settings).certificate.constraints[:2]
    sizes = markets(tmp_path)
    assert [record.max for record in books] == [np.floor(0.09 * sizes["NO"]), np.floor(0.09 * sizes["SE"])]


@pytest.mark.slow
def test_a_thousand_values(tmp_path: Path, settings_for: Callable) -> None:
    users, values = 3_000, 1_000
    generator = np.random.default_rng(0)
    actions = tuple({"id": f"{slot}/{p}", "slot": slot, "product": p} for slot in ("a", "b") for p in ("x", "y"))
    city = np.concatenate([np.arange(values), generator.integers(values, size=users - values)])
    (tmp_path / "scores").mkdir()
    with ScoresWriter(tmp_path / "scores", Catalogue(actions, (Metric("revenue", "EUR"),), ("city",))) as writer:
        revenue = generator.gamma(1.0, 1.0, (users, 4)).astype(np.float32)
        segments = {"city": pa.array([f"city {i}" for i in city])}
        writer.write(pa.array(np.arange(users)), segments, {"revenue": revenue}, None, np.ones((users, 4), bool))
    settings = settings_for(tmp_path, "", gap=1e-3)
    settings.paths.policy.write_text(
        "version: 1\nobjective: [{metric: revenue, weight: 1}]\ncontact: [{id: one, max: 1}]\nconstraints:\n"
        "  - {id: most, kind: volume, where: {product: y}, each: city, max: 50%}\n"
        "  - {id: all, kind: volume, where: {product: x}, max: 45%}\n"
    )
    result = allocate.run(settings)
    assert result.audit.clean
    records = {record.id: record for record in result.certificate.constraints}
    assert len(records) == values + 1
    assert records["most@city 7"].max == (city == 7).sum() // 2
    assert records["all"].achieved <= 0.45 * users
