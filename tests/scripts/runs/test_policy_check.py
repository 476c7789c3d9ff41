"""The early look at the policy sees what the scores will have."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import DictConfig

from ranker import predict
from ranker.scores import InputError
from scripts.cli.entry import validated
from scripts.cli.settings import WeeklySettings
from scripts.runs import policy_check

SCHEMA = {
    "features": {"numeric": ["age"], "categorical": ["market"]},
    "outcomes": [{"name": "spend", "kind": "amount", "unit": "EUR"}, {"name": "visit", "kind": "binary"}],
    "none": "none",
}


@pytest.fixture
def world(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    (tmp_path / "users").mkdir()
    (tmp_path / "logs" / "schema.json").write_text(json.dumps(SCHEMA))
    actions = [{"id": "mail", "slot": "email", "surface": "email", "cost": 0.1}]
    (tmp_path / "logs" / "catalogue.json").write_text(json.dumps({"actions": actions}))
    market = pa.array(["SE", None]).dictionary_encode()
    pq.write_table(pa.table({"user_id": ["a", "b"], "age": [3, 4], "market": market}), tmp_path / "users" / "0.parquet")
    return tmp_path


@pytest.fixture
def read(world: Path, composed: Callable[..., DictConfig]) -> Callable[[str], object]:
    def early(text: str) -> object:
        (world / "policy.yaml").write_text(text)
        settings = validated(WeeklySettings, composed())
        return policy_check.early_policy(world / "policy.yaml", settings, world / "logs", world / "users")

    return early


def test_segments_are_text_columns_with_what_stands_for_a_missing_value(world: Path) -> None:
    assert policy_check.segments_of(world / "users") == {"market": {"SE", "unknown"}}
    assert policy_check.MISSING == predict.MISSING


def test_the_objective_of_a_model_is_the_policys_without_what_depends_on_the_offer(
    read: Callable[[str], object],
) -> None:
    policy = read(
        "version: 1\nobjective:\n"
        "  - {metric: spend, weight: 1}\n  - {metric: visit, weight: 2}\n  - {metric: visit, weight: -1, times: cost}\n"
    )
    assert policy_check.objective_of(policy) == {"spend": 1.0, "visit": 2.0}


def test_contacts_of_earlier_days_need_users_who_say_which_day_it_is(
    world: Path, read: Callable[[str], object]
) -> None:
    head = "version: 1\nobjective: [{metric: spend, weight: 1}]\ncontact:\n  - {id: total, max: 2}\n"
    rules = head + "  - {id: month, max: 4, days: 28}\n  - {id: spring, max: 4, days: 28, valid_to: 2026-03-31}\n"
    with pytest.raises(InputError) as refusal:
        read(rules)
    (told,) = refusal.value.problems
    assert f"contact.month.days: counts contacts of earlier days, and {world / 'users'} has no column as_of" in told
    assert "set.month.days=null" in told
    users = pq.read_table(world / "users" / "0.parquet")
    dated = users.append_column("as_of", pa.array([date(2026, 11, 23)] * 2))
    pq.write_table(dated, world / "users" / "0.parquet")
    assert [rule.days for rule in read(rules).contact] == [None, 28, 28]


def test_a_mistake_in_the_policy_is_told_before_training(read: Callable[[str], object]) -> None:
    with pytest.raises(InputError, match="spend"):
        read("version: 1\nobjective: [{metric: spent, weight: 1}]\n")


def test_what_spoils_what_is_not_known_before_training(read: Callable[[str], object]) -> None:
    head = "version: 1\nobjective: [{metric: spend, weight: 1}]\n"
    assert read(f"{head}contact: [{{id: apart, max: 1, spoils: 0.8}}]\n").contact[0].spoils == 0.8


@pytest.fixture
def tables(world: Path) -> Path:
    """A company's folder, as far as its schemas go: no row is read before a week begins."""
    made = world / "company"
    (made / "tables").mkdir(parents=True)
    (world / "users").rename(made / "users")
    (world / "logs" / "catalogue.json").rename(made / "catalogue.json")
    window = {"unit": "1", "from_day": 0, "to_day": 7, "matures_after": 7}
    schema = {
        "numeric": {"age": {}},
        "categorical": {"market": {"missing": True}},
        "outcomes": [{"name": "spend", "kind": "amount", **window}, {"name": "visit", "kind": "binary", **window}],
        "none": "none",
        "snapshot": "2026-11-23",
    }
    (made / "tables" / "schema.json").write_text(json.dumps(schema))
    return made


def wrong(tables: Path, composed: Callable[..., DictConfig], text: str) -> list[str]:
    policy = tables.parent / "policy.yaml"
    policy.write_text(text)
    settings = validated(WeeklySettings, composed(f"weekly.tables='{tables}'", f"weekly.policy='{policy}'"))
    return list(policy_check.wrong_without_data(settings))


RULES = """version: 1
objective: [{metric: NAME, weight: 1.0}]
eligibility:
  - {id: nobody, forbid: {surface: SURFACE}, users: {SEGMENT: XX}}
"""


def test_words_are_checked_before_a_row_is_read(tables: Path, composed: Callable[..., DictConfig]) -> None:
    right = RULES.replace("NAME", "spend").replace("SURFACE", "email").replace("SEGMENT", "market")
    assert wrong(tables, composed, right) == [], "which markets there are, rows tell"
    found = wrong(tables, composed, RULES.replace("NAME", "spent").replace("SURFACE", "push").replace("SEGMENT", "age"))
    assert len(found) == 3
    assert all(word in told for word, told in zip(("'spent'", "surface 'push'", "'age'"), found, strict=True))


def test_what_is_wrong_with_schema_catalogue_and_grammar_is_told_at_once(
    tables: Path, composed: Callable[..., DictConfig]
) -> None:
    (tables / "catalogue.json").write_text("{}")
    (tables / "tables" / "schema.json").write_text("[")
    found = wrong(tables, composed, "version: 1\nobjective: [{metric: spent, weight: heavy}]\n")
    assert [
        part for part in ("catalogue.json", "schema.json", "weight") if not any(part in told for told in found)
    ] == []
    assert not any("spent" in told for told in found), "metrics are not known then"
