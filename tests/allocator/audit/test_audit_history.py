"""The judge counts what users have received on earlier days: in what they may get, and in the bound."""

import copy
import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from allocator.audit.contact_history import Received, read_received
from allocator.audit.judge import audit
from allocator.audit.rows import Numbering
from allocator.audit.scope import caps_of
from ranker.scores import InputError, open_scores
from tests.allocator.judging import (
    ACTIONS,
    CATALOGUE,
    HEAD,
    IDS,
    TODAY,
    USERS,
    Case,
    allocate,
    allowed,
    groups,
    had_before,
    honest_certificate,
    keeps,
    policy_of,
    random_case,
    row_of,
    slates,
    write_history,
    write_scores,
)

CONTACT = """
contact:
  - {id: total, max: 2}
  - {id: month, max: 4, days: 28}
  - {id: push_week, max: 1, where: {surface: push}, days: 7}
  - {id: product_fortnight, max: 2, each: product, days: 14}
  - {id: plan_once, max: 1, where: {product: [duo, family]}}
"""
CONSTRAINTS = """
constraints:
  - {id: push_capacity, kind: volume, where: {surface: push}, max: 40}
  - {id: roi, kind: ratio, metric: revenue, per: {metric: subs, times: discount_eur}, min: 0.2}
"""
POLICY = HEAD + CONTACT + CONSTRAINTS
CHURN = "  - {id: steady, kind: churn, max: 1.0}\n"


def ago(days: int) -> date:
    return TODAY - timedelta(days)


def draw_received(case: Case, rng: np.random.Generator) -> list[tuple[int, str, date]]:
    """Up to six contacts of each user, on the edges of the rules' days more often than not; somebody and something that is gone."""
    received = [(1, "push/duo", TODAY), (case.id_of(0), "home_9/gone", TODAY)]
    for user in range(USERS):
        for _ in range(rng.integers(0, 7)):
            days = int(rng.choice([0, 6, 7, 13, 14, 27, 28, 60]))
            received.append((case.id_of(user), str(rng.choice(IDS)), ago(days)))
    return [received[position] for position in rng.permutation(len(received))]


def make(folder: Path, seed: int, text: str = POLICY) -> Case:
    rng = np.random.default_rng(seed)
    case = random_case(folder, rng)
    case.policy = policy_of(text)
    case.received = draw_received(case, rng)
    people = rng.choice(USERS, 30, replace=False)
    case.earlier = [(case.id_of(u), IDS[a]) for u in people for a in rng.choice(len(IDS), 1 + u % 2, replace=False)]
    case.rows = allocate(case)
    case.certificate = honest_certificate(case)
    return case


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return make(tmp_path_factory.mktemp("made"), 3)


@pytest.fixture
def case(made: Case, tmp_path: Path) -> Case:
    """A copy to bend."""
    copied = replace(made, folder=tmp_path, rows=made.rows.copy(), certificate=copy.deepcopy(made.certificate))
    copied.received = list(made.received)
    write_scores(copied)
    return copied


@pytest.mark.parametrize("text", [POLICY, POLICY + CHURN], ids=["history", "history and churn"])
@pytest.mark.parametrize("seed", range(5))
def test_the_bound_is_that_of_enumeration(tmp_path: Path, seed: int, text: str) -> None:
    """The certificate's bound comes from loops over every slate that fits beside what was received; the judge finds the same."""
    case = make(tmp_path, seed, text)
    write_scores(case)
    assert case.failures() == set()
    assert len(case.rows) > 20


def test_a_bound_that_knows_nothing_of_the_history_is_another(case: Case) -> None:
    received, case.received = case.received, []
    case.certificate = honest_certificate(case)
    case.received = received
    assert case.failures() == {"certificate bound"}


def free_user(case: Case, wanted: str, full: bool) -> tuple[int, int]:
    """A user without any contact now, and an allowed action of theirs that the rule has no room for, or has."""
    held, explores = groups(case)
    rule = next(rule for rule in case.policy.contact if rule.id == wanted)
    others = [rule for rule in case.policy.contact if rule.id != wanted]
    return next(
        (user, action)
        for user in range(USERS)
        if not (held[user] or explores[user])
        for action in allowed(case, user)
        if keeps(case, rule, user, [action]) != full and all(keeps(case, other, user, [action]) for other in others)
    )


@pytest.mark.parametrize("rule", ["month", "push_week", "product_fortnight"])
def test_a_contact_for_which_there_is_no_room_left(case: Case, rule: str) -> None:
    user, action = free_user(case, rule, full=True)
    case.rows = case.rows[case.rows.user_id != case.id_of(user)].reset_index(drop=True)
    case.certificate = honest_certificate(case)
    assert case.failures() == set(), "what was received is itself no violation"
    case.add(user, IDS[action])
    assert case.failures() == {f"contact {rule}"}


@pytest.mark.parametrize(("days", "counts"), [(0, True), (6, True), (7, False)])
def test_a_day_counts_until_it_is_as_old_as_the_rule_says(case: Case, days: int, counts: bool) -> None:
    """push_week lets one push in 7 days: today's and those of the 6 days before."""
    held, explores = groups(case)
    push = [IDS.index(name) for name in ("push/duo", "push/books")]
    user = next(
        u
        for u in range(USERS)
        if not (held[u] or explores[u])
        and {(push[0],), (push[1],)} & set(slates(case, u))
        and case.eligible[u, push[1]]
    )
    person = case.id_of(user)
    case.received = [row for row in case.received if row[0] != person]
    case.rows = case.rows[case.rows.user_id != person].reset_index(drop=True)
    case.add(user, "push/books")
    assert case.failures() == set()
    case.received.append((person, "push/duo", ago(days)))
    case.certificate = honest_certificate(case)
    assert case.failures() == ({"contact push_week"} if counts else set())


def test_ids_may_be_text(case: Case) -> None:
    write_scores(case, str)
    case.rows = case.rows.assign(user_id=case.rows.user_id.astype(str))
    case.received = [(str(user), name, day) for user, name, day in case.received]
    assert case.failures() == set()


def test_pinned_contacts_need_room_beside_what_was_received(case: Case) -> None:
    """Everyone who may is pinned to a push: those who had one this week are not, and saying that they are is wrong."""
    held, _ = groups(case)
    case.policy = policy_of(POLICY + "pinned: [{id: all, action: push/books}]\n")
    push = IDS.index("push/books")
    wanted = [u for u in range(USERS) if not held[u] and (push,) in set(slates(case, u))]
    full = [u for u in range(USERS) if not held[u] and push in allowed(case, u) and u not in wanted]
    assert wanted
    assert full
    everyone = case.rows

    def is_wrong(pinned: list[int]) -> bool:
        ids = [case.id_of(user) for user in {*pinned, *wanted}]
        rows = [row_of(case, user, push, "pinned") for user in pinned]
        case.rows = pd.concat([everyone[~everyone.user_id.isin(ids)], pd.DataFrame(rows)], ignore_index=True)
        return "pinned" in case.failures()

    assert not is_wrong(wanted)
    assert is_wrong(wanted[1:])
    assert is_wrong([*wanted, full[0]])


def received_by(case: Case) -> Received:
    scores = open_scores(case.folder / "scores")
    return read_received(scores, caps_of(case.policy, scores.catalogue), Numbering(scores))


@pytest.mark.parametrize("rows", [3, 1_000_000])
def test_counts_are_those_of_plain_loops(case: Case, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any number of rows at a time, and never more than a rule allows, so that a byte is enough."""
    monkeypatch.setattr("allocator.audit.contact_history.ROWS_PER_STEP", rows)
    case.received += [(case.id_of(5), "push/duo", TODAY)] * 300
    write_history(case.folder / "scores", case.received)
    received = received_by(case)
    assert received.count_UC.dtype == np.uint8
    caps = caps_of(case.policy, CATALOGUE)
    rules = {rule.id: rule for rule in case.policy.contact}
    for user in range(USERS):
        for cap, found in zip(caps, received.of(user, 1)[0], strict=True):
            rule = rules[cap.rule]
            value = None if rule.each is None else ACTIONS[int(np.flatnonzero(cap.scope_A)[0])][rule.each]
            assert found == min(had_before(case, rule, user, value), rule.max)


def test_a_policy_without_days_does_not_read_the_history(case: Case) -> None:
    (case.folder / "scores" / "history").mkdir()
    (case.folder / "scores" / "history" / "part-0.parquet").write_text("nothing")
    case.received = []
    case.policy = policy_of(HEAD + "contact: [{id: total, max: 2}]\n" + CONSTRAINTS)
    case.rows = allocate(case)
    case.certificate = honest_certificate(case)
    assert case.failures() == set()


def problems_of(case: Case) -> list[str]:
    with pytest.raises(InputError) as caught:
        received_by(case)
    return [problem.replace(f"{case.folder}/", "") for problem in caught.value.problems]


def test_a_history_that_is_not_there(case: Case) -> None:
    named = "the policy counts contacts of earlier days (rule month, push_week, product_fortnight)"
    there = f"{case.folder}/scores/history has no *.parquet files".replace(f"{case.folder}/", "")
    assert problems_of(case) == [f"{named}, and {there}"]
    catalogue = case.folder / "scores" / "catalogue.json"
    catalogue.write_text(json.dumps(json.loads(catalogue.read_text()) | {"as_of": None}))
    assert problems_of(case) == [
        f"scores/catalogue.json: as_of: {named}, and there is no day to count back from",
        f"{named}, and {there}",
    ]


def test_every_fault_of_a_history_is_told_with_its_place(case: Case) -> None:
    write_history(case.folder / "scores", case.received)
    first, second = (case.folder / "scores" / "history" / f"part-{part}.parquet" for part in range(2))
    pq.write_table(pa.table({"user_id": ["a"], "action": [3]}), first)
    second.write_text("no table")
    assert problems_of(case) == [
        "scores/history/part-0.parquet: column user_id: has type string; the scores have int64",
        "scores/history/part-0.parquet: column action: has type int64; text is needed",
        "scores/history/part-0.parquet: column date: is missing",
        "scores/history/part-1.parquet: is not a readable Parquet file (ArrowInvalid)",
    ]
    days = pa.array([ago(-1), ago(-30), TODAY, None], pa.date32())
    people = pa.array([1000, None, 1001, 1002], pa.int64())
    pq.write_table(pa.table({"user_id": people, "action": ["push/duo", "push/duo", None, None], "date": days}), first)
    pq.write_table(pa.table({"user_id": [1], "action": ["gone"], "date": pa.array([ago(-1)], pa.date32())}), second)
    late = f"rows are after the scores' as_of, {TODAY}"
    assert problems_of(case) == [
        f"scores/history/part-0.parquet: column date: 2 {late}",
        "scores/history/part-0.parquet: column user_id: 1 rows are missing",
        "scores/history/part-0.parquet: column action: 2 rows are missing",
        "scores/history/part-0.parquet: column date: 1 rows are missing",
        f"scores/history/part-1.parquet: column date: 1 {late}",
    ]


def test_the_audit_refuses_a_faulty_history(case: Case) -> None:
    assert case.failures() == set()
    case.received = [*case.received, (case.id_of(0), "push/duo", ago(-1))]
    write_history(case.folder / "scores", case.received)
    with pytest.raises(InputError, match="1 rows are after the scores' as_of"):
        audit(case.folder / "scores", case.policy, case.folder / "allocation")
