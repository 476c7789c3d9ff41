"""The allocate command: every kind of policy comes out audited, and what is wrong or cannot be leaves nothing half-written."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from allocator.infeasible.diagnosis import Infeasible
from ranker.catalogue import Interference, Kept, Pair
from ranker.scores import InputError
from scripts import allocate
from scripts.runs import digests
from tests.allocator.instances import random_rules, write_scores
from tests.allocator.shapes import third
from tests.seeds import seeds

USERS = 400
EXPERIMENT = """experiment:
  holdout: {share: 0.05, salt: h}
  exploration: {share: 0.1, salt: e}
"""


@pytest.mark.parametrize("seed", seeds(6, quick=1))
@pytest.mark.parametrize("method", ["prices", "exact"])
def test_every_kind_of_constraint_passes_the_audit(
    tmp_path: Path, settings_for: Callable, seed: int, method: str
) -> None:
    write_scores(tmp_path / "scores", USERS, seed, words=seed % 2 == 1, stderr=True)
    rules = EXPERIMENT + f"risk: {{z: {seed % 3 * 0.5}}}\n" + random_rules(seed, USERS)
    result = allocate.run(settings_for(tmp_path, rules, method=method))
    assert result.audit.clean
    certificate = json.loads((tmp_path / "out" / "certificate.json").read_text())
    assert certificate["value"] <= certificate["bound"] + 1e-9
    assert certificate["gap"] == pytest.approx(
        (certificate["bound"] - certificate["value"]) / abs(certificate["bound"])
    )
    rows = pd.concat(pd.read_parquet(file) for file in (tmp_path / "out").glob("*.parquet"))
    assert len(rows) == certificate["contacts"]
    assert rows.loc[rows["source"] == "optimised", "propensity"].eq(1.0).all()
    assert rows.loc[rows["source"] == "exploration", "propensity"].lt(1.0).all()


def test_a_policy_without_constraints_gives_everyone_their_best(tmp_path: Path, settings_for: Callable) -> None:
    write_scores(tmp_path / "scores", USERS, 1)
    result = allocate.run(settings_for(tmp_path, ""))
    assert result.certificate.gap == pytest.approx(0.0, abs=1e-12)


def test_where_nothing_is_the_best_there_is_no_gap(tmp_path: Path, settings_for: Callable) -> None:
    """The bound is a sum of large terms that cancel: about 0, and by its rounding below 0."""
    scores, policy = third("0.3333", users=2_000).write(tmp_path / "third")
    settings = settings_for(tmp_path, "")
    paths = settings.paths.model_copy(update={"scores": scores, "policy": policy})
    certificate = allocate.run(settings.model_copy(update={"paths": paths})).certificate
    assert (certificate.value, certificate.contacts, certificate.gap) == (0.0, 0, 0.0)
    assert 0.0 <= certificate.bound < 1e-9


def test_a_contradiction_writes_the_diagnosis_alone(tmp_path: Path, settings_for: Callable) -> None:
    write_scores(tmp_path / "scores", USERS, 1)
    good = settings_for(tmp_path, "")
    allocate.run(good)
    rules = """constraints:
  - {id: few, kind: volume, where: {surface: push}, max: 10}
  - {id: many, kind: volume, where: {surface: push}, min: 20}
  - {id: idle, kind: volume, where: {surface: home}, max: 300}
"""
    settings = settings_for(tmp_path, rules, method="prices")
    with pytest.raises(Infeasible) as caught:
        allocate.run(settings)
    assert caught.value.diagnosis.conflict == ("few", "many")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["diagnosis.json"]
    assert caught.value.diagnosis.proven_by == "simple counting"
    repairs = json.loads((tmp_path / "out" / "diagnosis.json").read_text())["repairs"]
    assert {tuple(repair["changes"]) for repair in repairs} == {("few",), ("many",), ("few", "many")}
    assert allocate.run(settings_for(tmp_path, "")).audit.clean, "the diagnosis makes room again"


def test_what_is_written_is_the_same_every_time(tmp_path: Path, settings_for: Callable) -> None:
    write_scores(tmp_path / "scores", USERS, 3)
    settings = settings_for(tmp_path, EXPERIMENT + random_rules(3, USERS), method="prices")
    allocate.run(settings)
    first = digests.output_digests(tmp_path / "out")
    allocate.run(settings)
    again = digests.output_digests(tmp_path / "out")
    rows = [name for name in first if name.endswith(".parquet")]
    assert rows and all(first[name] == again[name] for name in [*rows, "prices.json"])


def test_the_price_book_starts_the_next_run(tmp_path: Path, settings_for: Callable) -> None:
    write_scores(tmp_path / "scores", USERS, 4)
    rules = random_rules(4, USERS)
    allocate.run(settings_for(tmp_path, rules, method="prices"))
    (tmp_path / "out").rename(tmp_path / "earlier")
    assert allocate.run(settings_for(tmp_path, rules, previous=tmp_path / "earlier", method="prices")).audit.clean
    (tmp_path / "earlier" / "prices.json").write_text("{}")
    with pytest.raises(InputError, match=r"prices\.json"):
        allocate.run(settings_for(tmp_path, rules, previous=tmp_path / "earlier"))


def test_the_exact_path_says_what_it_can_take(tmp_path: Path, settings_for: Callable) -> None:
    write_scores(tmp_path / "scores", USERS, 5)
    with pytest.raises(InputError, match="at most 100 eligible user-action pairs"):
        allocate.run(settings_for(tmp_path, "", method="exact", most_cells=100))
    assert not (tmp_path / "out").exists()


def test_faulty_scores_are_told_at_once(tmp_path: Path, settings_for: Callable) -> None:
    write_scores(tmp_path / "scores", USERS, 6)
    file = next((tmp_path / "scores").glob("*.parquet"))
    frame = pd.read_parquet(file)
    table = pq.read_table(file)
    broken = {name: frame[name].tolist() for name in ("mean_subs", "mean_revenue")}
    for name, values in broken.items():
        values[7] = [float("nan")] * len(values[7])
        kind = table.schema.field(name).type
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values, kind))
    pq.write_table(table, file)
    with pytest.raises(InputError) as caught:
        allocate.run(settings_for(tmp_path, ""))
    assert len(caught.value.problems) == 2
    assert all("12 entries are not finite" in problem for problem in caught.value.problems)


def test_what_counting_refuses_names_its_causes(tmp_path: Path, settings_for: Callable) -> None:
    write_scores(tmp_path / "scores", USERS, 1)
    rules = """eligibility:
  - {id: no_germans, forbid: {product: books}, users: {market: DE}}
contact:
  - {id: one_book, max: 1, where: {product: books}}
constraints:
  - {id: goal, kind: volume, where: {product: books}, users: {market: DE}, min: 1}
"""
    with pytest.raises(Infeasible) as caught:
        allocate.run(settings_for(tmp_path, rules))
    written = json.loads((tmp_path / "out" / "diagnosis.json").read_text())
    assert written["findings"] == ["goal asks for at least 1 contact, but no user is eligible for any"]
    assert {cause["rule"] for cause in written["causes"]} == {None, "no_germans"}
    assert "without eligibility rule no_germans" in str(caught.value)
    assert written["repairs"][0]["changes"] == {"goal": {"min": 0.0}}


SPOILING = Interference(
    28,
    Kept(0.9, 0.01),
    (
        Pair({"product": "books"}, {"product": "duo"}, Kept(0.4, 0.1), "history"),
        Pair({"product": "family"}, {"surface": "push"}, Kept(0.7, 0.1), "same week"),
    ),
)


@pytest.mark.parametrize("seed", seeds(3, quick=1))
def test_what_spoils_each_other_is_kept_apart_as_by_rules_written_by_hand(
    tmp_path: Path, settings_for: Callable, seed: int
) -> None:
    """Both ways of solving, and the same constraints with the pairs spelled out, come to the same value."""
    write_scores(tmp_path / "scores", USERS // 4, seed, interference=SPOILING)
    rest = random_rules(seed, USERS // 4).removeprefix("contact:\n")
    apart = "contact:\n  - {id: apart, max: 1, spoils: 0.9}\n" + rest
    by_hand = (
        "contact:\n  - {id: one, max: 1, where: {product: [books, duo]}}\n"
        "  - {id: other, max: 1, where: {not: {not: {product: family}, surface: [home, plan_picker]}}}\n" + rest
    )
    found = {}
    for name, rules, method in (("exact", apart, "exact"), ("prices", apart, "prices"), ("by hand", by_hand, "exact")):
        result = allocate.run(settings_for(tmp_path, rules, method=method))
        assert result.audit.clean
        found[name] = result.certificate
        rows = pd.concat(pd.read_parquet(file) for file in (tmp_path / "out").glob("*.parquet"))
        product = rows["action"].str.split("/").str[-1]
        assert not (rows[product.isin(["books", "duo"])].groupby("user_id").size() > 1).any()
    assert found["exact"].value == pytest.approx(found["by hand"].value, rel=1e-9)
    assert found["exact"].bound >= found["prices"].value * (1 - 1e-9)
    assert found["prices"].bound * (1 + 1e-9) >= found["exact"].value


def test_what_may_stand_together_though_it_spoils_each_other_is_warned_of(
    tmp_path: Path, settings_for: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    write_scores(tmp_path / "scores", USERS, 1, interference=SPOILING)
    allocate.run(settings_for(tmp_path, "contact: [{id: a, max: 1, where: {product: [books, duo]}}]\n"))
    warned = [record.message for record in caplog.records if "spoil each other" in record.message]
    assert warned == [
        "The scores say that family and push spoil each other (family keeps 70%), and no rule keeps them apart"
    ]
