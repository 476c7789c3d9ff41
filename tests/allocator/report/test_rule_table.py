"""Every rule in one table: as written and as used, with its days, and with what the certificate says came of it."""

import json
import math
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from allocator.allocate import Allocation, allocate
from allocator.formats import ConstraintRecord
from allocator.report.collect import Sources, collect
from allocator.report.page import rule_lines_of
from allocator.report.rule_table import BoundLine, RuleLine, price_words
from ranker.scores import Scores, open_scores
from tests.allocator.instances import write_scores
from tests.allocator.report.test_report import read
from tests.allocator.reporting import constraint

USERS = 90
POLICY = """version: 1
objective:
  - {metric: revenue, weight: 1.0}
  - {metric: subs, weight: 12.0}
experiment:
  holdout: {share: 10%, salt: q4}
eligibility:
  - {id: calm, forbid: {surface: push}, users: {market: SE}, owner: crm, reason: Quiet weeks}
contact:
  - {id: total, label: Two a week, max: 2}
  - {id: push, max: 1, where: {surface: push}}
constraints:
  - {id: push_cap, label: Push, kind: volume, where: {surface: push}, max: 20%, owner: crm, reason: Capacity, valid_from: 2020-01-01}
  - {id: books, kind: volume, where: {product: books}, each: market, max: 50%}
  - {id: plans, kind: share, where: {family: plan}, of: {surface: [home, push]}, max: 55%, min: 0.01}
  - {id: budget, kind: total, metric: subs, times: discount_eur, max: 4.5, certainty: 90%}
  - {id: spent, kind: ratio, metric: revenue, per: {metric: subs}, min: 0.5, strength: {soft: 0.25}}
  - {id: per_contact, kind: average, metric: opt_out, max: 0.01, valid_to: DAY}
  - {id: reached, kind: reach, users: {market: "NO"}, min: 1%, strength: report_only}
  - {id: summer, kind: volume, where: {product: books}, max: 10%, valid_to: 2020-09-30}
  - {id: spring, kind: volume, where: {product: books}, max: 10%, valid_from: 2099-03-01}
"""


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Scores:
    return open_scores(write_scores(tmp_path_factory.mktemp("market") / "scores", USERS, 3, stderr=True))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, scores: Scores) -> Path:
    path = tmp_path_factory.mktemp("policy") / "winter.yaml"
    path.write_text(POLICY.replace("DAY", str(scores.catalogue.as_of)))
    return path


@pytest.fixture(scope="module")
def result(scores: Scores, file: Path) -> Allocation:
    return allocate(scores, file)


@pytest.fixture(scope="module")
def sources(result: Allocation, scores: Scores, file: Path) -> Sources:
    return Sources(result.folder, scores.path, policy_name="winter", policy_file=file)


@pytest.fixture(scope="module")
def lines(sources: Sources) -> dict[str, RuleLine]:
    return {line.id: line for line in rule_lines_of(collect(sources))}


@pytest.fixture(scope="module")
def records(result: Allocation) -> dict[str, dict]:
    held = json.loads((result.folder / "certificate.json").read_text())
    return {record["id"]: record for record in held["constraints"]}


def test_every_rule_of_the_file_has_its_line(lines: dict[str, RuleLine]) -> None:
    asked = ["push_cap", "books", "plans", "budget", "spent", "per_contact", "reached", "summer", "spring"]
    assert list(lines) == [*asked, "total", "push", "calm", "experiment.holdout"]
    assert lines["calm"].kind == "eligibility rule" and lines["push"].kind == "contact rule"
    assert (lines["push_cap"].owner, lines["push_cap"].reason) == ("crm", "Capacity")
    assert (lines["calm"].owner, lines["calm"].reason) == ("crm", "Quiet weeks")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("push_cap", "Contacts with surface push: at most as many as 20 % of all users."),
        ("books", "Contacts with product books: at most as many as 50 % of all users, for each market on its own."),
        (
            "plans",
            "Contacts with family plan as a part of contacts with surface home or push: at least 1 % and at most 55 %.",
        ),
        ("budget", "Subs \u00d7 discount_eur, summed over contacts: at most 4.5."),
        ("spent", "Revenue per subs, over contacts: at least 0.5."),
        ("per_contact", "Opt_out per contact, over contacts: at most 0.01."),
        ("reached", "Users with market NO who get at least one contact: at least 1 % of users with market NO."),
        ("total", "At most 2 contacts."),
        ("calm", "Users with market SE never get surface push."),
        ("experiment.holdout", "10 % of all users get nothing, to compare with."),
    ],
)
def test_a_rule_says_what_it_is_about(lines: dict[str, RuleLine], rule: str, words: str) -> None:
    assert lines[rule].says == words


@pytest.mark.parametrize(
    ("rule", "scope"),
    [
        ("push_cap", [("where", "{surface: push}")]),
        ("plans", [("where", "{family: plan}"), ("of", "{surface: [home, push]}")]),
        ("budget", [("metric", "subs"), ("times", "discount_eur")]),
        ("spent", [("per", "{metric: subs}"), ("metric", "revenue")]),
        ("reached", [("users", "{market: NO}")]),
        ("books", [("where", "{product: books}"), ("each", "market")]),
        ("calm", [("forbid", "{surface: push}"), ("users", "{market: SE}")]),
        ("experiment.holdout", [("share", "10%"), ("salt", "q4")]),
    ],
)
def test_the_scope_stands_as_written(lines: dict[str, RuleLine], rule: str, scope: list) -> None:
    assert list(lines[rule].scope) == scope


def test_bounds_stand_as_written_and_as_used(lines: dict[str, RuleLine], scores: Scores) -> None:
    assert lines["push_cap"].bounds == (BoundLine("at most", "20%", str(math.floor(0.2 * USERS))),)
    assert lines["push_cap"].unit == "contacts"
    assert lines["plans"].bounds == (BoundLine("at least", "0.01", "1 %"), BoundLine("at most", "55%"))
    assert lines["budget"].bounds == (BoundLine("at most", "4.5"),), "the same number is not said twice"
    assert lines["budget"].unit == "EUR" and lines["budget"].certainty == "90 %"
    assert lines["spent"].strength == "wanted, not required: 0.25 of value a unit"
    assert lines["reached"].strength == "measured only" and lines["reached"].unit == "users"
    assert lines["total"].bounds == (BoundLine("at most", "2"),) and lines["total"].unit == "contacts of one user"


def test_a_rule_for_each_value_has_a_row_for_each(lines: dict[str, RuleLine], scores: Scores) -> None:
    rows = pd.concat(pd.read_parquet(file) for file in scores.files)
    users = Counter(rows["market"])
    parts = {part.name: part for part in lines["books"].parts}
    assert set(parts) == set(users)
    for market, count in users.items():
        assert parts[market].bounds == (BoundLine("at most", "50%", str(math.floor(0.5 * count))),)


def test_what_came_of_it_is_what_the_certificate_says(lines: dict[str, RuleLine], records: dict[str, dict]) -> None:
    push = lines["push_cap"].outcome
    assert push is not None and push.achieved == f"{records['push_cap']['achieved']:,.0f}"
    assert push.state == ("binding" if records["push_cap"]["binding"] else "")
    for rule, record in records.items():
        outcome = lines[rule].outcome if rule in lines else None
        if outcome is not None and record["binding"] and record["price"]:
            assert (
                outcome.price.split(" ")[0].replace(",", "")[:4]
                in f"{record['price']:.10f}{record['price'] / 100:.10f}"
            )
        elif outcome is not None:
            assert outcome.price == ""
    assert any(record["binding"] and record["price"] for record in records.values())


def test_days_stand_as_written_with_what_they_mean(lines: dict[str, RuleLine], scores: Scores) -> None:
    assert lines["push_cap"].days == ("valid_from: 2020-01-01",) and lines["push_cap"].standing == ""
    assert lines["per_contact"].days == (f"valid_to: {scores.catalogue.as_of}",)
    assert (lines["per_contact"].standing, lines["per_contact"].days_words) == ("ends", "expires within the next run")
    assert (lines["summer"].standing, lines["summer"].days_words) == ("off", "expired: off this week")
    assert (lines["spring"].standing, lines["spring"].days_words) == ("off", "not begun: off this week")
    assert lines["summer"].outcome is None and lines["books"].days == ()


def test_the_table_is_on_the_page(sources: Sources, lines: dict[str, RuleLine]) -> None:
    found = read(sources)
    for line in lines.values():
        assert line.says in found.text
    assert "at most 20% = 18 contacts" in found.text
    assert "summer · volume" not in found.text, "a rule without a label goes by its id once"
    assert "Push push_cap · volume" in found.text
    shown = [attributes.get("class", "").split() for tag, attributes in found.elements if tag == "tr"]
    assert sum("rule" in names for names in shown) == len(lines)
    assert sum("off" in names for names in shown) == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "share", "unit": "share", "price": 182_000.0}, "1,820 EUR per percentage point"),
        ({"price": 0.19}, "0.19 EUR per contact"),
        ({"kind": "total", "unit": "EUR", "price": 0.4321}, "0.432 EUR per EUR"),
        ({"kind": "average", "unit": "opt-outs per contact", "price": 2500.0}, "2,500 EUR per 1 opt-outs per contact"),
        ({"price": 0.0}, ""),
        ({"price": 0.19, "binding": None}, ""),
    ],
)
def test_a_price_is_of_a_unit_that_people_think_in(fields: dict, words: str) -> None:
    assert price_words(ConstraintRecord.model_validate(constraint(**fields)), "EUR") == words
