"""The judge counts who is given something else than before, and works out what giving the same again is worth in the bound."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from allocator.audit.errors import Errors
from allocator.audit.judge import audit
from allocator.audit.kinds import AUDITED
from allocator.audit.recounts import Recount
from tests.allocator.judging import (
    CATALOGUE,
    CONTACT,
    HEAD,
    IDS,
    USERS,
    Case,
    allocate,
    allowed,
    before_of,
    given_to,
    groups,
    honest_certificate,
    is_changed,
    members,
    policy_of,
    random_case,
    slates,
    write_scores,
)

RULES = """
constraints:
  - {id: steady, kind: churn, max: 90%}
  - {id: sweden, kind: churn, users: {market: SE}, max: 0.875}
  - {id: learners, kind: churn, users: {lifecycle: student}, max: 0.25, strength: {soft: 0.5}}
  - {id: measured, kind: churn, users: {not: {market: SE}}, max: 0, strength: report_only}
  - {id: push_capacity, kind: volume, where: {surface: push}, max: 40}
  - {id: pushes, kind: change, where: {surface: push}, max: 300%}
  - {id: roi, kind: ratio, metric: revenue, per: {metric: subs, times: discount_eur}, min: 0.2}
"""
POLICY = HEAD + CONTACT + RULES


def draw_earlier(case: Case, rng: np.random.Generator) -> list[tuple[int, str]]:
    """What users had: nothing, a slate that is possible now, any two actions, or one that is gone; and somebody who is gone."""
    earlier = [(1, "push/duo"), (1, "home_1/duo")]
    for user in range(USERS):
        kind = rng.choice([0, 1, 1, 1, 2, 3, 4])
        possible = list(slates(case, user))
        if kind == 4:
            earlier += [(case.id_of(user), IDS[slate[0]]) for slate in possible if len(slate) == 1][:1]
        if kind == 1:
            earlier += [(case.id_of(user), IDS[a]) for a in possible[rng.integers(len(possible))]]
        if kind == 2:
            earlier += [(case.id_of(user), IDS[a]) for a in rng.choice(len(IDS), 2, replace=False)]
        if kind == 3:
            earlier += [(case.id_of(user), name) for name in rng.permutation(["home_9/gone", "push/books"])]
    return [earlier[position] for position in rng.permutation(len(earlier))]


def make(folder: Path, seed: int) -> Case:
    """An allocation in which some users are given again what they had before."""
    rng = np.random.default_rng(seed)
    case = random_case(folder, rng)
    case.policy = policy_of(POLICY)
    case.earlier = draw_earlier(case, rng)
    case.rows = allocate(case)
    case.certificate = honest_certificate(case, multiplier=float(rng.choice([0.01, 0.4])))
    return case


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return make(tmp_path_factory.mktemp("made"), 1)


@pytest.fixture
def case(made: Case, tmp_path: Path) -> Case:
    """A copy to bend."""
    copied = replace(made, folder=tmp_path, rows=made.rows.copy(), certificate=copy.deepcopy(made.certificate))
    copied.earlier = list(made.earlier)
    write_scores(copied)
    return copied


@pytest.mark.parametrize("seed", range(6))
def test_the_bound_is_that_of_enumeration(tmp_path: Path, seed: int) -> None:
    """The certificate's bound comes from loops over every slate; the judge finds the same, and what it counts."""
    case = make(tmp_path, seed)
    write_scores(case)
    assert case.failures() == set()
    assert 0 < case.claim("steady")["achieved"] < USERS


def test_the_case_has_every_kind_of_user(made: Case) -> None:
    """What the tests of this file stand on: of each kind some are changed and some are not, where both can be."""
    held, explores = groups(made)
    changed = np.array([is_changed(made, user) for user in range(USERS)])
    for group in (held, explores, ~(held | explores)):
        assert changed[group].any()
        assert not changed[group].all()
    befores = [before_of(made, user) for user in range(USERS)]
    assert any(before - set(IDS) for before in befores)
    known = [(user, {IDS.index(a) for a in before}) for user, before in enumerate(befores) if not before - set(IDS)]
    assert any(slate - set(allowed(made, user)) for user, slate in known), "an earlier action is no longer eligible"
    possible = {user: [set(slate) for slate in slates(made, user)] for user, _ in known}
    assert any(slate <= set(allowed(made, user)) and slate not in possible[user] for user, slate in known)


def with_max(case: Case, users: int) -> str:
    """The policy that lets exactly so many users be changed."""
    return POLICY.replace("max: 90%", f"max: {(users + 0.5) / USERS!r}")


def test_as_many_as_are_allowed_may_be_changed_and_not_one_more(case: Case) -> None:
    changed = case.claim("steady")["achieved"]
    case.follow(with_max(case, changed))
    assert case.claim("steady")["max"] == changed
    assert case.failures() == set()
    case.follow(with_max(case, changed - 1))
    assert case.failures() == {"constraint steady"}


def test_a_part_is_rounded_down(case: Case) -> None:
    sweden = len(members(case, case.policy.constraints[1]))
    case.follow(POLICY.replace("max: 0.875", f"max: {(sweden - 0.5) / sweden!r}"))
    assert case.claim("sweden")["max"] == sweden - 1
    assert case.failures() == set()
    case.claim("sweden")["max"] = sweden - 0.5
    assert "constraint sweden" in case.failures()


@pytest.mark.parametrize(("words", "users", "most"), [("29%", 100, 29), ("0.58", 50, 29), ("0.999", 1000, 999)])
def test_a_part_is_the_number_that_people_wrote(words: str, users: int, most: int) -> None:
    """In floats 0.29 * 100 is 28.999999999999996."""
    rule = policy_of(POLICY.replace("max: 90%", f"max: {words}")).constraints[0]
    assert (
        Recount(rule, AUDITED["churn"].parts(rule, CATALOGUE), {}, Errors(CATALOGUE), users=users).bound("max") == most
    )


@pytest.mark.parametrize("rule", ["steady", "sweden", "learners", "measured"])
@pytest.mark.parametrize("name", ["achieved", "numerator", "max", "slack"])
def test_a_count_that_is_one_off(case: Case, rule: str, name: str) -> None:
    case.claim(rule)[name] += 1
    assert f"constraint {rule}" in case.failures()


def test_a_minimum_that_nobody_asked_for(case: Case) -> None:
    case.claim("steady")["min"] = 0
    assert "constraint steady" in case.failures()


@pytest.mark.parametrize("rule", ["steady", "sweden", "learners"])
def test_a_multiplier_that_is_edited(case: Case, rule: str) -> None:
    case.claim(rule)["multiplier"] *= 1.001
    assert case.failures() == {"certificate bound"}


def kept(case: Case, wanted: Callable[[int], bool]) -> int:
    """A user who is given again what they had, which was something."""
    return next(u for u in range(USERS) if wanted(u) and not is_changed(case, u) and before_of(case, u))


def steady_claims(case: Case) -> set[str]:
    return {name for name in case.failures() if name in {f"constraint {rule}" for rule in ("steady", "sweden")}}


def test_a_contact_more_changes_a_user(case: Case) -> None:
    """One more for a user who kept what they had, with the churn certified as if that were nothing."""
    honest = copy.deepcopy(case.claim("steady"))
    user = kept(case, lambda u: True)
    other = next(a for a in allowed(case, user) if IDS[a] not in before_of(case, user))
    case.add(user, IDS[other])
    assert case.claim("steady")["achieved"] == honest["achieved"] + 1
    case.claim("steady").update(honest)
    assert "constraint steady" in case.failures()


def test_a_contact_less_changes_a_user(case: Case) -> None:
    honest = copy.deepcopy(case.claim("steady"))
    user = kept(case, lambda u: True)
    case.rows = case.rows[case.rows.user_id != case.id_of(user)].reset_index(drop=True)
    case.certificate = honest_certificate(case)
    assert case.claim("steady")["achieved"] == honest["achieved"] + 1
    case.claim("steady").update(honest)
    assert "constraint steady" in case.failures()


@pytest.mark.parametrize("name", ["push/duo", "home_9/gone"])
def test_another_earlier_allocation_changes_a_user(case: Case, name: str) -> None:
    """The rows and the certificate as they were: the judge compares with what it is given."""
    user = kept(case, lambda u: case.users.market[u] == "SE" and "push/duo" not in before_of(case, u))
    case.earlier.append((case.id_of(user), name))
    assert steady_claims(case) == {"constraint steady", "constraint sweden"}


def test_order_and_repetition_of_earlier_rows_change_nobody(case: Case) -> None:
    """Twice the same contact is one action; the change of a volume counts rows, so it is left out."""
    text = POLICY.replace("  - {id: pushes, kind: change, where: {surface: push}, max: 300%}\n", "")
    case.follow(text)
    case.earlier = [*case.earlier[::-1], *case.earlier]
    assert case.failures() == set()


def test_who_was_not_there_before_had_nothing(case: Case) -> None:
    held, _ = groups(case)
    before = case.claim("steady")["achieved"]
    nobody = [u for u in range(USERS) if not before_of(case, u)]
    assert {held[u] for u in nobody} == {True, False}
    assert sum(bool(given_to(case, u)) for u in nobody) <= before
    case.earlier = []
    case.follow(
        POLICY.replace("max: 90%", "max: 100%").replace("max: 0.875", "max: 1").replace("kind: change", "kind: volume")
    )
    assert case.claim("steady")["achieved"] == case.rows.user_id.nunique()
    assert case.failures() == set()


def test_ids_may_be_text(case: Case) -> None:
    write_scores(case, str)
    case.rows = case.rows.assign(user_id=case.rows.user_id.astype(str))
    assert case.failures() == set()
    gone = next(position for position, (user, name) in enumerate(case.earlier) if name not in IDS)
    case.earlier[gone] = (case.earlier[gone][0], "home_1/family")
    before = case.claim("steady")["achieved"]
    assert case.failures() <= {"certificate bound", "constraint steady"}, f"{before} were changed either way"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (None, "there is none to read"),
        (pa.table({"user_id": ["1"], "action": ["push/duo"]}), "user_id"),
        (pa.table({"user_id": pa.array([None], pa.int64()), "action": ["push/duo"]}), "1 missing"),
        (pa.table({"user_id": [1]}), "lack the column action"),
        (b"no table", "cannot be read"),
    ],
)
def test_an_earlier_allocation_that_cannot_be_read(case: Case, rows: pa.Table | bytes | None, said: str) -> None:
    assert case.failures() == set()
    file = case.folder / "previous" / "part-0.parquet"
    file.unlink()
    if isinstance(rows, bytes):
        file.write_bytes(rows)
    elif rows is not None:
        pq.write_table(rows, file)
    (check,) = audit(case.folder / "scores", case.policy, case.folder / "allocation", case.folder / "previous").checks
    assert (check.name, check.status) == ("readable", "FAIL")
    assert said in check.detail


def test_an_earlier_allocation_in_several_files(case: Case) -> None:
    assert case.failures() == set()
    file = case.folder / "previous" / "part-0.parquet"
    rows = pd.read_parquet(file)
    rows[:20].to_parquet(file)
    rows[20:].to_parquet(file.with_name("part-1.parquet"))
    assert audit(case.folder / "scores", case.policy, case.folder / "allocation", case.folder / "previous").clean
