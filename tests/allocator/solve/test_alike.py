"""Who is alike: groups against a comparison of everybody with everybody, and counts of slates spread over them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from allocator.solve.alike import GroupSlates, content_hashes, find_alike, spread
from allocator.solve.dual import evaluate_dual, total_usage, value_of
from tests.allocator.instances import CONTACT, Case, make_case

USERS, KINDS = 90, 7
RULES = CONTACT + "constraints:\n  - {id: cap, kind: volume, where: {surface: push}, users: {market: SE}, max: 20}\n"


def tied(path: Path, seed: int) -> Case:
    """Users of a few kinds; what is not eligible differs all the same, and must not count."""
    case = make_case(path, USERS, seed, RULES)
    generator = np.random.default_rng(seed)
    kind_U, data = generator.integers(KINDS, size=USERS), case.data
    eligible_UA = data.eligible_UA[kind_U]
    noise_UPA = generator.random(data.planes_UPA.shape).astype(np.float32)
    planes_UPA = np.where(eligible_UA[:, None, :], data.planes_UPA[kind_U], noise_UPA)
    return replace(
        case, data=replace(data, planes_UPA=planes_UPA, eligible_UA=eligible_UA, class_U=data.class_U[kind_U])
    )


@pytest.mark.parametrize("seed", range(4))
def test_groups_are_the_users_who_are_the_same(tmp_path: Path, seed: int) -> None:
    case = tied(tmp_path, seed)
    data, alike = case.data, find_alike(case.users)
    able_UPA = np.where(data.eligible_UA[:, None, :], data.planes_UPA, 0)
    for u in range(USERS):
        for v in range(u):
            same = (
                (able_UPA[u] == able_UPA[v]).all()
                and (data.eligible_UA[u] == data.eligible_UA[v]).all()
                and data.class_U[u] == data.class_U[v]
            )
            assert (alike.group_U[u] == alike.group_U[v]) == same
    assert alike.many_G.sum() == USERS and len(alike.first_G) <= KINDS


def test_one_who_stands_for_many_is_worth_as_much_as_they_are(tmp_path: Path) -> None:
    case = tied(tmp_path, 1)
    alike, price_R = find_alike(case.users), np.array([0.003])
    few, every = evaluate_dual(alike.one_for_many(case.users), price_R), evaluate_dual(case.users, price_R)
    assert few.dual == pytest.approx(every.dual, rel=1e-12)
    np.testing.assert_allclose(few.usage_R, every.usage_R)
    slate_UK = spread(alike, case.data, few.slate_UK, None)
    np.testing.assert_array_equal(slate_UK, every.slate_UK)
    assert value_of(alike.one_for_many(case.users), few.slate_UK) == pytest.approx(value_of(case.users, slate_UK))
    np.testing.assert_allclose(total_usage(alike.one_for_many(case.users), few.slate_UK), every.usage_R)


def test_shares_are_spread_by_the_id_alone(tmp_path: Path) -> None:
    case = tied(tmp_path, 2)
    alike = find_alike(case.users)
    group = int(np.argmax(alike.many_G))
    some, rest = 3, int(alike.many_G[group]) - 3
    slates = np.full((2, case.users.rules.most), -1, np.int16)
    slates[0, 0] = 4
    counts = GroupSlates(np.array([group, group]), slates, np.array([some, rest]))
    nothing = np.full((len(alike.first_G), case.users.rules.most), -1, np.int16)
    given_UK = spread(alike, case.data, nothing, counts)
    assert (given_UK[:, 0] == 4).sum() == some and (given_UK >= 0).sum() == some
    order = np.random.default_rng(0).permutation(USERS)
    mixed = replace(case, data=case.data.take(order))
    again = find_alike(mixed.users)
    np.testing.assert_array_equal(again.many_G, alike.many_G)
    np.testing.assert_array_equal(spread(again, mixed.data, nothing, counts), given_UK[order])


def test_users_who_differ_are_left_alone(tmp_path: Path) -> None:
    case = make_case(tmp_path, USERS, 1, RULES)
    assert find_alike(case.users) is None
    assert len(np.unique(content_hashes(case.data, np.arange(USERS)))) == USERS
