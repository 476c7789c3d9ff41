"""Scores and policy as arrays, against the contract's definitions written out by hand."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from allocator.certify.contacts import tally
from allocator.problem import one_sided
from allocator.solve.usage import contributions
from allocator.users import EXPLORATION, FREE, HOLDOUT
from ranker.scores import InputError
from tests.allocator.instances import CONTACT, make_case


def test_each_kind_sums_what_the_contract_says(tmp_path: Path) -> None:
    rules = """constraints:
  - {id: v, kind: volume, where: {surface: push}, users: {market: SE}, max: 10}
  - {id: t, kind: total, metric: subs, times: discount_eur, max: 5}
  - {id: s, kind: share, where: {family: plan}, of: {surface_kind: discovery}, max: 0.5}
  - {id: a, kind: average, metric: opt_out, where: {surface: push}, max: 0.1}
  - {id: r, kind: ratio, metric: revenue, per: {metric: subs, times: discount_eur}, min: 1.5}
"""
    case = make_case(tmp_path, 40, 1, rules)
    generator = np.random.default_rng(0)
    user_N, action_N = np.nonzero(generator.random(case.data.eligible_UA.shape) < 0.3)
    counted = tally(case.problem, case.data, user_N, action_N)
    shard = next(case.scores.shards())
    market_N = np.array(case.scores.vocabulary["market"])[shard.segments["market"]][user_N]
    actions = [case.scores.catalogue.actions[a] for a in action_N]
    subs, revenue, opt_out = (shard.mean[m][user_N, action_N].astype(float) for m in ("subs", "revenue", "opt_out"))
    push = np.array([a["surface"] == "push" for a in actions])
    discovery = np.array([a["surface_kind"] == "discovery" for a in actions])
    plan = np.array([a["family"] == "plan" for a in actions])
    discount = np.array([a["discount_eur"] for a in actions])
    wanted = [
        ((push & (market_N == "SE")).sum(), None),
        ((subs * discount).sum(), None),
        ((plan & discovery).sum(), discovery.sum()),
        (opt_out[push].sum(), push.sum()),
        (revenue.sum(), (subs * discount).sum()),
    ]
    for measured, (numerator, denominator) in zip(case.problem.measured, wanted, strict=True):
        assert measured.numerator.total(counted) == pytest.approx(numerator, rel=1e-12)
        if denominator is not None:
            assert measured.denominator.total(counted) == pytest.approx(denominator, rel=1e-12)


def test_net_value_is_value_minus_priced_usage(tmp_path: Path) -> None:
    rules = """constraints:
  - {id: v, kind: volume, where: {surface: push}, users: {market: [SE, NO]}, max: 10}
  - {id: r, kind: ratio, metric: revenue, per: {metric: subs, times: discount_eur}, min: 1.5}
"""
    problem, data = (case := make_case(tmp_path, 30, 2, rules)).problem, case.data
    price_R = np.array([0.3, 0.7])
    const_SA, plane_SPA = problem.net_tables(price_R)
    user_N, action_N = np.nonzero(np.ones_like(data.eligible_UA))
    plane_NP = data.planes_UPA[user_N, :, action_N].astype(float)
    class_N = data.class_U[user_N]
    net_N = const_SA[class_N, action_N] + (plane_SPA[class_N, :, action_N] * plane_NP).sum(axis=1)
    value_N = (plane_NP * problem.value_PA[:, action_N].T).sum(axis=1)
    used_NR = contributions(problem.rows, class_N, action_N, plane_NP)
    np.testing.assert_allclose(net_N, value_N - used_NR @ price_R, rtol=1e-12, atol=1e-15)


def test_risk_takes_the_uncertainty_off_gains_and_adds_it_to_costs(tmp_path: Path) -> None:
    case = make_case(tmp_path, 10, 3, "risk: {z: 1.5}\n", stderr=True)
    shard = next(case.scores.shards())
    wanted = 1.0 * shard.mean["revenue"].astype(float) + 12.0 * shard.mean["subs"] - 25.0 * shard.mean["opt_out"]
    wanted -= 1.5 * (1.0 * shard.stderr["revenue"] + 12.0 * shard.stderr["subs"] + 25.0 * shard.stderr["opt_out"])
    value_UA = np.einsum("upa,pa->ua", case.data.planes_UPA, case.problem.value_PA)
    np.testing.assert_allclose(value_UA, wanted, rtol=1e-5, atol=1e-7)


def test_risk_without_standard_errors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="stderr_opt_out") as caught:
        make_case(tmp_path, 10, 3, "risk: {z: 1.0}\n")
    assert len(caught.value.problems) == 3


def test_percentages_are_of_all_users_in_scope_and_volumes_are_whole(tmp_path: Path) -> None:
    rules = """experiment:
  holdout: {share: 0.3, salt: a}
constraints:
  - {id: v, kind: volume, where: {surface: push}, users: {market: SE}, min: 7.5%, max: 33%}
"""
    case = make_case(tmp_path, 101, 4, rules)
    shard = next(case.scores.shards())
    swedes = int((np.array(case.scores.vocabulary["market"])[shard.segments["market"]] == "SE").sum())
    measured = case.problem.measured[0]
    assert measured.low == -(-Fraction(75, 1000) * swedes // 1)
    assert measured.high == Fraction(33, 100) * swedes // 1


def test_groups_are_stable_and_disjoint(tmp_path: Path) -> None:
    rules = "experiment:\n  holdout: {share: 0.2, salt: h}\n  exploration: {share: 0.3, salt: e}\n"
    case = make_case(tmp_path, 2_000, 5, rules)
    counts = np.bincount(case.data.group_U, minlength=3) / 2_000
    assert counts[HOLDOUT] == pytest.approx(0.2, abs=0.04)
    assert counts[EXPLORATION] == pytest.approx(0.3 * 0.8, abs=0.04)
    assert counts[FREE] == pytest.approx(0.56, abs=0.05)
    user_N, action_N, chance_N = case.explored
    assert (case.data.group_U[user_N] == EXPLORATION).all()
    assert case.data.eligible_UA[user_N, action_N].all()
    np.testing.assert_allclose(chance_N, 1.0 / (case.data.eligible_UA[user_N].sum(axis=1) + 1))


def test_exploration_draws_every_eligible_action_equally_often(tmp_path: Path) -> None:
    case = make_case(tmp_path, 6_000, 6, "experiment:\n  exploration: {share: 0.99, salt: e}\n")
    _, action_N, _ = case.explored
    explorers = case.data.group_U == EXPLORATION
    eligible_UA = case.data.eligible_UA[explorers]
    expected_A = (eligible_UA / (eligible_UA.sum(axis=1, keepdims=True) + 1)).sum(axis=0)
    observed_A = np.bincount(action_N, minlength=len(expected_A))
    assert (np.abs(observed_A - expected_A) < 4.5 * np.sqrt(expected_A)).all()


def test_a_cap_of_zero_forbids_and_caps_that_slots_imply_are_dropped(tmp_path: Path) -> None:
    rules = """contact:
  - {id: no_books, max: 0, where: {product: books}}
  - {id: push, max: 1, where: {surface: push}}
  - {id: once_each, max: 1, each: product}
"""
    contact = make_case(tmp_path, 10, 7, rules).problem.contact
    assert contact.names == ("once_each", "once_each", "once_each")
    assert not contact.allowed_A.all()


def test_eligibility_rules_hold_for_their_users_alone(tmp_path: Path) -> None:
    rules = "eligibility:\n  - {id: no_duo, forbid: {product: duo}, users: {market: SE}}\n"
    case = make_case(tmp_path, 50, 8, rules + CONTACT)
    shard = next(case.scores.shards())
    swede_U = np.array(case.scores.vocabulary["market"])[shard.segments["market"]] == "SE"
    duo_A = np.array([action["product"] == "duo" for action in case.scores.catalogue.actions])
    assert not case.data.eligible_UA[np.ix_(swede_U, duo_A)].any()
    np.testing.assert_array_equal(case.data.eligible_UA[~swede_U], shard.eligible_UA[~swede_U])
    stages = dict((stage, contacts) for stage, contacts, _ in case.data.offered.stages)
    assert stages["eligible in the scores"] == shard.eligible_UA.sum()
    assert stages["allowed by the policy"] == case.data.eligible_UA.sum()


def test_at_most_one_side_of_a_constraint_has_a_price(tmp_path: Path) -> None:
    rules = "constraints:\n  - {id: v, kind: volume, where: {surface: push}, min: 5, max: 10}\n"
    problem = make_case(tmp_path, 20, 9, rules).problem
    np.testing.assert_allclose(one_sided(problem, np.array([0.5, 0.2])), [0.3, 0.0])
