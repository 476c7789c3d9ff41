"""The judge agrees with a recount by plain loops and brute force, and catches every way of bending an allocation."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from allocator.audit.checks import write_audit
from allocator.audit.judge import audit
from tests.allocator.judging import (
    ACTIONS,
    IDS,
    POLICY,
    SPOTS,
    USERS,
    Case,
    allocate,
    allowed,
    groups,
    honest_certificate,
    policy_of,
    random_case,
    write_scores,
)


@pytest.fixture
def case(made: Case, tmp_path: Path) -> Case:
    """A copy to bend."""
    copied = replace(made, folder=tmp_path, rows=made.rows.copy(), certificate=copy.deepcopy(made.certificate))
    write_scores(copied)
    return copied


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """60 users in two files, 7 actions; every constraint holds but the soft one, and one that is only measured."""
    made = random_case(tmp_path_factory.mktemp("made"), np.random.default_rng(7))
    made.rows = allocate(made)
    made.certificate = honest_certificate(made)
    return made


def test_an_honest_allocation_is_clean(case: Case) -> None:
    assert case.failures() == set()
    assert case.certificate["soft_penalty"] > 0
    assert len(case.rows) > 50


def test_ids_may_be_text(case: Case) -> None:
    """A number and its text draw the same, so the same allocation is right."""
    write_scores(case, str)
    case.rows = case.rows.assign(user_id=case.rows.user_id.astype(str))
    assert case.failures() == set()
    case.rows.loc[2, "value"] += 1.0
    assert case.failures() == {"row values"}


def position(case: Case, wanted: Callable[[int], bool]) -> int:
    return next(user for user in range(USERS) if wanted(user))


def test_a_row_that_stands_twice_is_a_second_action_in_its_slot(case: Case) -> None:
    row = case.rows[case.rows.source == "optimised"].iloc[[0]]
    case.rows = pd.concat([case.rows, row], ignore_index=True)
    case.certificate = honest_certificate(case)
    assert "slots" in case.failures()


def test_an_action_that_the_scores_do_not_allow(case: Case) -> None:
    held, explores = groups(case)
    user = position(case, lambda u: not held[u] and not explores[u] and not case.eligible[u].all())
    case.rows = case.rows[case.rows.user_id != case.users.user_id[user]]
    case.add(user, IDS[int(np.flatnonzero(~case.eligible[user])[0])])
    assert case.failures() == {"eligibility"}


def test_an_action_that_an_eligibility_rule_forbids(case: Case) -> None:
    held, explores = groups(case)
    student = case.users.lifecycle == "student"
    user = position(case, lambda u: student[u] and case.eligible[u, 0] and not held[u] and not explores[u])
    case.rows = case.rows[case.rows.user_id != case.users.user_id[user]]
    case.add(user, "home_1/family")
    assert case.failures() == {"eligibility"}


@pytest.mark.parametrize(
    ("slate", "rules"),
    [
        (["home_1/family", "home_2/books", "push/duo"], {"contact total", "contact plan_once"}),
        (["home_1/books", "push/books"], {"contact once_each"}),
        (["home_1/family", "push/duo"], {"contact plan_once"}),
        (["home_1/duo", "home_1/books"], {"slots"}),
    ],
)
def test_one_contact_too_many(case: Case, slate: list[str], rules: set[str]) -> None:
    held, explores = groups(case)
    actions = {IDS.index(action) for action in slate}
    user = position(case, lambda u: actions <= set(allowed(case, u)) and not held[u] and not explores[u])
    case.rows = case.rows[case.rows.user_id != case.users.user_id[user]]
    case.add(user, *slate)
    assert case.failures() == rules


def test_a_user_who_is_held_out(case: Case) -> None:
    held, _ = groups(case)
    user = position(case, lambda u: held[u] and allowed(case, u))
    case.add(user, IDS[allowed(case, user)[0]])
    # One contact more than the bound reckons with also lifts the value above it.
    assert case.failures() == {"holdout", "certificate bound"}


def test_a_user_who_should_explore_is_optimised(case: Case) -> None:
    case.rows.loc[case.rows.source == "exploration", "source"] = "optimised"
    assert "exploration" in case.failures()


def test_a_user_who_is_not_in_the_scores(case: Case) -> None:
    case.rows = pd.concat([case.rows, case.rows.iloc[[0]].assign(user_id=5)], ignore_index=True)
    case.certificate = honest_certificate(case)
    case.certificate["contacts"] = len(case.rows)
    assert case.failures() == {"users"}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("action", "home_9/gone"),
        ("slot", "push_9"),
        ("source", "whim"),
        ("value", None),
        ("propensity", 0.0),
        ("propensity", None),
        ("runner_up", "home_9/gone"),
        ("margin", np.inf),
    ],
)
def test_a_row_that_is_not_well_formed(case: Case, column: str, value: object) -> None:
    case.rows[column] = [value, *case.rows[column].tolist()[1:]]
    assert "rows" in case.failures()


def tell_chances(case: Case) -> None:
    """What exploration (0.15 of the 0.85 not held out) and choice give each contact; explored ones are in no counterfactual slate."""
    user_N = [int(np.flatnonzero(case.users.user_id == user)[0]) for user in case.rows.user_id]
    drawn_N = np.array([0.85 * 0.15 / (len(allowed(case, user)) + 1) for user in user_N])
    case.rows["marginal_propensity"] = drawn_N + np.where(case.rows.source == "exploration", 0.0, 0.85 * 0.85)


def test_chances_over_all_ways_are_judged_where_they_are_told(case: Case) -> None:
    assert "marginal_propensity" not in {check.name for check in case.judged().checks}
    tell_chances(case)
    result = case.judged()
    assert result.clean
    assert "marginal_propensity" in {check.name for check in result.checks}
    explored = case.rows.source == "exploration"
    case.rows.loc[explored, "marginal_propensity"] += 0.85 * 0.85  # what they drew is what they would have got
    assert case.failures() == set()


@pytest.mark.parametrize(
    ("source", "bend", "named"),
    [
        ("optimised", lambda chance: 1.0, "marginal_propensity"),
        ("optimised", lambda chance: chance - 0.85 * 0.85, "marginal_propensity"),
        ("exploration", lambda chance: chance * (1 + 1e-6), "marginal_propensity"),
        ("exploration", lambda chance: 0.25, "marginal_propensity"),
        ("exploration", lambda chance: None, "rows"),
        ("optimised", lambda chance: 0.0, "rows"),
        ("optimised", lambda chance: 1.01, "rows"),
    ],
)
def test_a_chance_that_the_shares_do_not_give(case: Case, source: str, bend: Callable, named: str) -> None:
    tell_chances(case)
    row = case.rows.index[case.rows.source == source][-1]
    case.rows.loc[row, "marginal_propensity"] = bend(case.rows.marginal_propensity[row])
    assert named in case.failures()


def test_a_value_that_the_scores_do_not_give(case: Case) -> None:
    case.rows.loc[3, "value"] += 1e-6
    assert case.failures() == {"row values"}


@pytest.mark.parametrize(
    ("rule", "of"),
    [
        ("push_capacity", lambda n, d: n - 1),
        ("push_capacity", lambda n, d: n - 1e-9),
        ("discount_budget", lambda n, d: n * (1 - 1e-7)),
        ("opt_out_rate", lambda n, d: n / d * (1 - 1e-7)),
        ("plan_share", lambda n, d: (n - 1) / d),
    ],
)
def test_a_cap_that_is_broken_by_a_hair(case: Case, rule: str, of: Callable) -> None:
    claim = case.claim(rule)
    old = {
        "push_capacity": "max: 40",
        "discount_budget": "max: 250",
        "opt_out_rate": "max: 0.5",
        "plan_share": "max: 0.95",
    }
    broken = repr(of(claim["numerator"], claim["denominator"]))
    case.follow(POLICY.replace(old[rule], f"max: {broken}"))
    assert case.failures() == {f"constraint {rule}"}


@pytest.mark.parametrize(
    ("rule", "of"),
    [
        ("books_goal", lambda n, d: n + 1),
        ("plan_share", lambda n, d: (n + 1) / d),
        ("roi", lambda n, d: n / d * (1 + 1e-7)),
    ],
)
def test_a_floor_that_is_missed_by_a_hair(case: Case, rule: str, of: Callable) -> None:
    claim = case.claim(rule)
    old = {"books_goal": "min: 5%", "plan_share": "min: 0.05", "roi": "min: 0.2"}
    missed = repr(of(claim["numerator"], claim["denominator"]))
    case.follow(POLICY.replace(old[rule], f"min: {missed}"))
    assert case.failures() == {f"constraint {rule}"}


def test_bounds_that_are_met_exactly_hold(case: Case) -> None:
    """Equality is no violation: for counts exactly, for sums within 1e-9 of the terms."""
    claims = {claim["id"]: claim for claim in case.certificate["constraints"]}
    text = POLICY.replace("max: 40", f"max: {int(claims['push_capacity']['achieved'])}")
    text = text.replace("max: 250", f"max: {claims['discount_budget']['achieved']!r}")
    text = text.replace("min: 0.2", f"min: {claims['roi']['achieved']!r}")
    case.follow(text)
    assert case.failures() == set()


@pytest.mark.parametrize(
    ("key", "check"),
    [
        ("users", "users"),
        ("contacts", "contacts"),
        ("value", "value"),
        ("soft_penalty", "soft_penalty"),
        ("bound", "bound"),
        ("gap", "gap"),
    ],
)
def test_a_certificate_that_is_edited(case: Case, key: str, check: str) -> None:
    case.certificate[key] = case.certificate[key] * (1 - 1e-6) + 1e-6
    assert f"certificate {check}" in case.failures()


@pytest.mark.parametrize(
    ("bound", "price_bound", "clean"),
    [(0.5, 1.0, True), (1.0, 1.0, True), (1.5, 1.0, False), (-0.1, 1.0, False), (0.5, 0.9, False), (0.5, None, False)],
)
def test_a_bound_of_whole_contacts(case: Case, bound: float, price_bound: float | None, clean: bool) -> None:
    """Between the value (0) and the bound of the multipliers (1), which stands beside it."""
    value, by_prices = case.certificate["value"], case.certificate["bound"]
    between = value + bound * (by_prices - value)
    beside = None if price_bound is None else value + price_bound * (by_prices - value)
    gap = (between - value) / abs(between)
    case.certificate |= {"bound_by": "whole contacts", "bound": between, "price_bound": beside, "gap": gap}
    assert (case.failures() == set()) is clean


@pytest.mark.parametrize("field_", ["achieved", "slack", "min", "max", "numerator", "multiplier"])
def test_a_constraint_that_is_edited(case: Case, field_: str) -> None:
    claim = case.claim("plan_share")
    claim[field_] = claim[field_] + 1e-5
    wanted = "certificate bound" if field_ == "multiplier" else "constraint plan_share"
    assert wanted in case.failures()


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("roi", {"binding": "max"}),
        ("roi", {"price": -1.0}),
        ("looked_at", {"multiplier": 0.5}),
        ("norway", {"multiplier": 0.26}),
        ("plan_share", {"binding": None}),
        ("roi", {"achieved": None}),
    ],
)
def test_a_claim_that_cannot_be(case: Case, rule: str, changes: dict) -> None:
    case.claim(rule).update(changes)
    assert f"constraint {rule}" in case.failures()


def test_a_multiplier_that_names_no_side(case: Case) -> None:
    """The share has a min and a max, so its multiplier could be of either; the slack alone would be right."""
    claim = case.claim("plan_share")
    claim |= {"binding": None, "slack": min(claim["achieved"] - claim["min"], claim["max"] - claim["achieved"])}
    assert case.failures() == {"constraint plan_share", "certificate bound"}


def test_a_constraint_that_is_left_out_of_the_certificate(case: Case) -> None:
    del case.certificate["constraints"][0]
    assert "constraints" in case.failures()


def test_a_metric_total_and_a_policy_digest_that_are_edited(case: Case) -> None:
    case.certificate["metrics"]["subs"]["total"] += 0.001
    case.certificate["policy_digest"] = "0" * 64
    assert case.failures() == {"certificate metrics.subs", "certificate policy_digest"}


@pytest.mark.parametrize("text", ["", "[]", '{"value": NaN, "constraints": []}', '{"constraints": [{}]}'])
def test_a_certificate_that_cannot_be_read(case: Case, text: str) -> None:
    assert case.failures() == set()
    (case.folder / "allocation" / "certificate.json").write_text(text)
    assert [
        check.name for check in audit(case.folder / "scores", case.policy, case.folder / "allocation").failures
    ] == ["readable"]


def test_rows_that_lack_a_column_or_the_type_of_the_ids(case: Case) -> None:
    rows = case.rows
    case.rows = rows.drop(columns="propensity")
    assert case.failures() == {"readable"}
    case.rows = rows.assign(user_id=rows.user_id.astype(str))
    assert case.failures() == {"readable"}


def test_nothing_allocated_is_clean_where_nothing_is_demanded(case: Case) -> None:
    case.rows = case.rows.iloc[:0]
    case.policy = policy_of(
        "version: 1\nobjective: [{metric: revenue, weight: 1}]\nconstraints: [{id: roi, kind: ratio, "
        "metric: revenue, per: {metric: subs}, min: 2}]"
    )
    case.certificate = {
        "status": "feasible",
        "users": USERS,
        "contacts": 0,
        "value": 0.0,
        "gap": 1.0,
        "constraints": [
            {
                "id": "roi",
                "kind": "ratio",
                "min": 2.0,
                "max": None,
                "achieved": None,
                "slack": None,
                "binding": None,
                "price": 0.0,
                "multiplier": 0.0,
            }
        ],
    }
    net = np.where(case.eligible, case.mean["revenue"].astype(float), -np.inf)
    slot = np.array([list(SPOTS).index(action["slot"]) for action in ACTIONS])
    case.certificate["bound"] = sum(np.maximum(net[:, slot == s].max(axis=1), 0).sum() for s in range(3))
    assert case.failures() == set()


def test_the_audit_is_written_without_user_ids(case: Case, tmp_path: Path) -> None:
    case.rows.loc[0, "value"] += 1
    case.failures()
    result = audit(tmp_path / "scores", case.policy, tmp_path / "allocation")
    write_audit(tmp_path / "audit.json", result)
    text = (tmp_path / "audit.json").read_text()
    assert json.loads(text)["clean"] is False
    assert str(case.users.user_id[0]) not in text


def test_what_spoils_each_other_is_kept_apart(case: Case) -> None:
    """By plain loops the best slates of such a policy are those that the judge takes for the best."""
    apart = POLICY.replace("once_each, max: 1, each: product}", "once_each, max: 1, spoils: 0.9}")
    case.follow(apart)
    case.rows = allocate(case)
    case.certificate = honest_certificate(case)
    assert case.failures() == set()
    held, explores = groups(case)
    wanted = {"home_1/books", "push/duo"}
    user = position(case, lambda u: not held[u] and not explores[u] and wanted <= {IDS[a] for a in allowed(case, u)})
    case.rows = case.rows[case.rows.user_id != case.id_of(user)]
    case.add(user, *wanted)
    assert case.failures() == {"contact once_each"}
