"""Reach from the policy to the report: listeners with at least one contact in scope, counted once each."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from allocator.allocate import Allocation, allocate
from allocator.audit.judge import audit
from allocator.infeasible.counting import preflight
from allocator.infeasible.diagnosis import Infeasible
from allocator.policy.grammar import Policy
from allocator.policy.kinds.base import Level
from allocator.policy.kinds.reach import UserReach
from allocator.problem import build_problem
from allocator.report.collect import Sources, collect
from allocator.report.page import render
from allocator.solve.settings import SolveSettings
from ranker.files import InputError
from ranker.scores import Scores, open_scores
from tests.allocator.instances import OBJECTIVE, make_case, write_scores

USERS = 400
EXPERIMENT = """experiment:
  holdout: {share: 0.1, salt: a}
  exploration: {share: 0.1, salt: b}
pinned:
  - {id: gift, action: picker_1/books, users: {market: DE}}
fallback: {action: home_1/books, users: {market: SE}}
"""
RULES = """contact:
  - {id: total, max: 3}
constraints:
  - {id: plans, kind: reach, where: {family: plan}, users: {market: [NO, SE]}, min: 55%}
  - {id: duo, kind: reach, where: {product: duo}, max: 30%}
  - {id: books, kind: reach, where: {product: books}, each: market, min: 40%, strength: {soft: 0.2}}
  - {id: seen, kind: reach, where: {surface: plan_picker}, each: product, min: 1, strength: report_only}
  - {id: cap, kind: volume, where: {product: duo}, max: 45%}
"""


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Scores:
    return open_scores(write_scores(tmp_path_factory.mktemp("reach") / "scores", USERS, 7))


def made_of(scores: Scores, folder: Path, rules: str, **settings: object) -> Allocation:
    file = folder / "policy.yaml"
    file.write_text(OBJECTIVE + rules)
    return allocate(scores, file, SolveSettings.model_validate(settings))


def reached(made: Allocation, scores: Scores, of: str, market: tuple[str, ...] | None = None) -> int:
    """Users with a contact whose action's name has `of`, counted in the rows."""
    contacts = made.contacts()
    who = contacts[contacts["action"].str.contains(of, regex=True)]["user_id"].unique()
    users = pq.read_table(scores.files[0], columns=["user_id", "market"]).to_pandas().set_index("user_id")["market"]
    return len(who) if market is None else int(users.loc[who].isin(market).sum())


def test_it_holds_is_certified_and_audited_together_with_everything_else(scores: Scores, tmp_path: Path) -> None:
    made = made_of(scores, tmp_path, EXPERIMENT + RULES)
    rows = made.constraints().set_index("id")
    assert made.audit.clean and made.certificate.gap is not None and made.certificate.gap <= 1e-5
    assert (
        rows.loc["plans", "achieved"] == reached(made, scores, "duo|family", ("NO", "SE")) >= rows.loc["plans", "min"]
    )
    assert rows.loc["duo", "achieved"] == reached(made, scores, "duo") <= 0.3 * USERS
    assert rows.loc["books@SE", "achieved"] == reached(made, scores, "books", ("SE",))
    assert rows.loc["seen@family", "achieved"] == reached(made, scores, "picker_./family")
    assert rows.loc["duo", "binding"] == "max" and rows.loc["duo", "price"] > 0 and rows.loc["duo", "unit"] == "users"
    contacts = made.contacts()
    several = contacts[contacts["action"].str.contains("duo")].groupby("user_id").size()
    assert several.max() > 1, "a second contact of the scope costs nothing"


def test_held_out_users_count_among_those_in_scope_and_cannot_be_reached(scores: Scores, tmp_path: Path) -> None:
    rules = (
        "experiment:\n  holdout: {share: 0.4, salt: a}\nconstraints:\n  - {id: all, kind: reach, where: {}, min: 70%}\n"
    )
    with pytest.raises(Infeasible) as raised:
        made_of(scores, tmp_path, rules)
    assert "all asks for at least 280 users, but only 2" in str(raised.value) and "holdout" in str(raised.value)


@pytest.mark.parametrize("method", ["exact", "prices"])
def test_a_share_of_the_listeners_costs_what_its_price_says(scores: Scores, tmp_path: Path, method: str) -> None:
    rules = "contact:\n  - {id: total, max: 2}\nconstraints:\n  - {id: books, kind: reach, where: {product: books}, min: MIN}\n"
    values, prices = {}, {}
    for low in (330, 331):
        made = made_of(scores, tmp_path, rules.replace("MIN", str(low)), method=method)
        values[low], prices[low] = made.certificate.value, float(made.constraints()["price"][0])
        assert made.audit.clean
    lost = values[330] - values[331]
    assert prices[330] - 1e-6 <= lost <= prices[331] + 1e-6, "value is concave in the bound, the price its slope"


def test_where_nobody_can_have_two_it_is_the_volume(scores: Scores, tmp_path: Path) -> None:
    capped = "contact:\n  - {id: one, max: 1, where: {product: duo}}\nconstraints:\n"
    rule = "  - {id: duo, kind: KIND, where: {product: duo}, min: 50%, max: 60%}\n"
    values = {}
    for kind in ("reach", "volume"):
        case = make_case(tmp_path / kind, 30, 1, capped + rule.replace("KIND", kind))
        assert len(case.problem.rows.reach_BA) == 0, "a row over contacts, which costs nothing"
        values[kind] = made_of(scores, tmp_path, capped + rule.replace("KIND", kind)).certificate.value
    assert values["reach"] == values["volume"]
    some = capped.replace("max: 1,", "max: 1, users: {market: NO},") + rule.replace("KIND", "reach")
    assert len(make_case(tmp_path / "some", 30, 1, some).problem.rows.reach_BA) == 1, "Swedes can have several"
    theirs = some.replace("kind: reach", "kind: reach, users: {market: NO}")
    assert len(make_case(tmp_path / "theirs", 30, 1, theirs).problem.rows.reach_BA) == 0


def test_the_audit_counts_for_itself(scores: Scores, tmp_path: Path) -> None:
    made = made_of(scores, tmp_path, EXPERIMENT + RULES)
    tighter = made.policy.model_dump(mode="json")
    next(rule for rule in tighter["constraints"] if rule["id"] == "duo")["max"] = "25%"
    failed = [check.name for check in audit(scores.path, Policy.model_validate(tighter), made.folder).failures]
    assert "constraint duo" in failed
    file = made.folder / "certificate.json"
    true = file.read_text()
    priced = next(each for each in made.certificate.constraints if each.id == "duo").multiplier
    file.write_text(true.replace(f'"multiplier": {priced!r}', f'"multiplier": {priced * 0.9!r}'))
    assert file.read_text() != true
    assert "certificate bound" in [check.name for check in audit(scores.path, made.policy, made.folder).failures]


def test_a_minimum_that_nobody_can_reach_is_told_with_what_stands_in_the_way(scores: Scores, tmp_path: Path) -> None:
    rules = """eligibility:
  - {id: no_plans, forbid: {family: plan}, users: {market: NO}}
constraints:
  - {id: norway, kind: reach, where: {product: [duo, family]}, users: {market: NO}, min: 80%}
"""
    with pytest.raises(Infeasible) as raised:
        made_of(scores, tmp_path, rules)
    diagnosis = raised.value.diagnosis
    assert diagnosis.conflict == ("norway",) and diagnosis.proven_by == "simple counting"
    assert any(
        "norway: without eligibility rule no_plans" in c.sentence and "could be reached" in c.sentence
        for c in diagnosis.causes
    )
    assert diagnosis.repairs[0].changes == {"norway": {"min": 0.0}}


def test_contradictions_of_reach_and_contacts_are_counted_before_anything_is_priced(
    scores: Scores, tmp_path: Path
) -> None:
    rules = """constraints:
  - {id: many, kind: reach, where: {product: duo}, min: 60%}
  - {id: few, kind: volume, where: {product: duo}, max: 40%}
"""
    case = make_case(tmp_path, 100, 1, rules)
    (finding,) = preflight(case.problem, case.data, case.explored[:2])
    assert finding.hard and finding.ids == ("many", "few")
    assert finding.sentence == "few allows at most 40 contacts, but many within it ask for 60"
    loose = rules.replace("kind: volume", "kind: reach").replace("60%", "40%").replace("max: 40%", "max: 60%")
    fine = make_case(
        tmp_path / "fine", 100, 1, loose + "  - {id: lots, kind: volume, where: {product: duo}, min: 90%}\n"
    )
    assert not preflight(fine.problem, fine.data, fine.explored[:2]), "who is reached may have any number of contacts"


def test_two_that_collide_are_diagnosed_and_repaired(scores: Scores, tmp_path: Path) -> None:
    rules = """constraints:
  - {id: many, kind: reach, where: {product: [duo, family]}, min: 80%}
  - {id: few, kind: reach, where: {family: plan}, max: 50%}
"""
    with pytest.raises(Infeasible) as raised:
        made_of(scores, tmp_path, rules)
    diagnosis = raised.value.diagnosis
    assert set(diagnosis.conflict) == {"many", "few"} and diagnosis.proven
    alone = [repair.changes for repair in diagnosis.repairs if len(repair.changes) == 1]
    assert {"few": {"max": 320.0}} in alone and {"many": {"min": 200.0}} in alone


def test_contacts_that_are_there_for_reach_alone_are_named(scores: Scores, tmp_path: Path) -> None:
    made = made_of(scores, tmp_path, "constraints:\n  - {id: books, kind: reach, where: {product: books}, min: 88%}\n")
    (remark,) = [remark for remark in made.certificate.remarks if remark.kind == "only_for_a_rule"]
    worthless = made.contacts().query("value <= 0")
    assert remark.constraint == "books" and remark.contacts == len(worthless) > 0
    assert remark.value == pytest.approx(worthless["value"].sum())


def test_what_is_worth_nothing_stays_only_where_it_is_the_last_that_reaches(scores: Scores, tmp_path: Path) -> None:
    made = made_of(scores, tmp_path, "constraints:\n  - {id: books, kind: reach, where: {product: books}, min: 88%}\n")
    contacts = made.contacts()
    books = contacts[contacts["action"].str.contains("books")]
    idle = books[books["value"] <= 0].groupby("user_id").size()
    assert (books.groupby("user_id").size().loc[idle.index] == 1).all()


def test_its_words_are_those_of_product_managers(scores: Scores, tmp_path: Path) -> None:
    made = made_of(scores, tmp_path, EXPERIMENT + RULES)
    page = render(collect(Sources(made.folder, scores.path)))
    count = int(made.constraints().set_index("id").loc["duo", "achieved"])
    text = " ".join(re.sub(r"<[^>]+>", "", page).split())
    assert f"Duo: at most 30 % of all users (120) to be reached; {count} are - binding" in text
    assert "at least 40 % of users with market SE (" in text, "a row of `each` is about its own users"
    assert "Letting" in page and "be reached would be worth" in page
    assert "Who is held out counts among the users of the rule, and cannot be reached" in page


@pytest.mark.parametrize(
    ("level", "side", "words"),
    [
        (Level(400, 400, None, "users", 390), "min", "Having to reach one user fewer would gain"),
        (Level(400, None, 400, "users", 410), "max", "Letting one more user be reached would be worth"),
    ],
)
def test_a_step_is_a_user(level: Level, side: str, words: str) -> None:
    assert UserReach.step(level, side) == (1.0, words)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("min: 120%", "a share of the users lies between 0% and 100%, not '120%'"),
        ("max: -1", "a number of users is at least 0, not -1"),
        ("min: 0.8", None),
        ("max: 10, of: {product: duo}", "'of' is for share; a constraint of kind reach has no such key"),
        ("max: 10, certainty: 90%", "certainty"),
        ("min: 50%, max: 40%", "above the maximum"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(scores: Scores, tmp_path: Path, rule: str, said: str | None) -> None:
    told = f"constraints:\n  - {{id: r, kind: reach, where: {{product: books}}, {rule}}}\n"
    if said is None:
        case = make_case(tmp_path, 20, 1, told)
        assert any("did you mean 80%" in doubt.message for doubt in case.policy.constraints[0].doubts(None))
        return
    with pytest.raises(InputError) as raised:
        made_of(scores, tmp_path, told)
    assert said in str(raised.value)


def test_the_rows_do_not_depend_on_the_order_of_the_rules(scores: Scores, tmp_path: Path) -> None:
    head, *rules = RULES.split("constraints:\n")[1].splitlines(keepends=True)
    first = made_of(scores, tmp_path, "constraints:\n" + head + "".join(rules))
    other = made_of(scores, tmp_path, "constraints:\n" + "".join(reversed(rules)) + head)
    assert first.certificate.value == pytest.approx(other.certificate.value, rel=2e-5)
    assert other.audit.clean


def test_reports_alone_cost_nothing(scores: Scores, tmp_path: Path) -> None:
    rule = "constraints:\n  - {id: seen, kind: reach, where: {}, min: 90%, strength: report_only}\n"
    with_it, without = made_of(scores, tmp_path, rule), made_of(scores, tmp_path, "")
    pd.testing.assert_frame_equal(with_it.contacts(), without.contacts())
    assert with_it.constraints()["achieved"][0] == np.unique(without.contacts()["user_id"]).size


def test_problems_know_one_set_per_scope(scores: Scores, tmp_path: Path) -> None:
    rules = "constraints:\n  - {id: b, kind: reach, where: {product: books}, each: market, min: 1, max: 90%}\n"
    policy = tmp_path / "policy.yaml"
    policy.write_text(OBJECTIVE + rules)
    case = make_case(tmp_path, 50, 1, rules)
    problem = build_problem(case.scores, case.policy)
    assert problem.rows.reach_RB.shape == (6, 1) and sorted(problem.rows.reach_RB[:, 0]) == [-1.0] * 3 + [1.0] * 3


@pytest.mark.parametrize(
    ("rule", "level", "words"),
    [
        ({"min": "80%", "users": {"market": "NO"}}, Level(9, 8, None, "users"),
         "at least 80 % of users with market NO (8) to be reached; 9 are"),
        ({"max": 8, "users": {"market": "NO"}}, Level(7, None, 8, "users"), "at most 8 of the users with market NO to be reached; 7 are"),
        ({"min": 1, "max": 8}, Level(7, 1, 8, "users"), "at least 1 user and at most 8 users to be reached; 7 are"),
        ({}, Level(1200, None, None, "users"), "1,200 users reached"),
    ],
)  # fmt: skip
def test_where_it_stands_is_said_of_listeners(rule: dict, level: Level, words: str) -> None:
    assert UserReach.stands(level, UserReach.model_validate({"id": "r", "where": {}, **rule})) == words


def test_without_the_policy_it_is_said_without_its_listeners() -> None:
    assert UserReach.stands(Level(7, None, 8, "users"), None) == "at most 8 users to be reached; 7 are"
