"""What-ifs from a sample against allocations of everybody: totals within their errors, and edits that add up."""

from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from allocator.allocate import allocate
from allocator.formats import read_price_book
from allocator.infeasible.diagnosis import Infeasible
from allocator.policy.grammar import Policy
from allocator.workbench.answers import WHAT_IF, WhatIf
from allocator.workbench.session import Session
from allocator.workbench.what_if import what_if
from ranker.scores import Scores, open_scores
from tests.allocator.instances import CONTACT, OBJECTIVE, write_scores

USERS, SAMPLE = 6_000, 1_500
RULES = (
    OBJECTIVE
    + CONTACT
    + """constraints:
  - {id: push_cap, kind: volume, where: {surface: push}, max: 20%}
  - {id: books, kind: volume, where: {product: books}, users: {market: [SE, NO]}, min: 40%}
  - {id: budget, kind: total, metric: subs, times: discount_eur, max: 200}
  - {id: loose, kind: volume, where: {product: family}, max: 500%}
experiment:
  holdout: {share: 0.03, salt: h}
  exploration: {share: 0.05, salt: e}
"""
)


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Scores:
    return open_scores(write_scores(tmp_path_factory.mktemp("what-if") / "scores", USERS, 3, stderr=True))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policy") / "policy.yaml"
    path.write_text(RULES)
    return path


@pytest.fixture(scope="module")
def session(scores: Scores) -> Session:
    with Session.open(scores, SAMPLE) as opened:
        yield opened


EDITS = [
    {"push_cap": {"max": "10%"}},
    {"books": {"min": "60%"}},
    {"budget": {"max": 120}},
    {"total": {"max": 1}},
    {"objective": {"subs": {"weight": 20.0}}},
    {"push_cap": {"max": "30%"}, "budget": {"max": 260}},
]


@pytest.mark.slow
def test_a_sample_says_what_allocations_of_everybody_do(session: Session, scores: Scores, file: Path) -> None:
    """Of all differences of six edits four in five, at least, are within 1.96 standard errors, and all within four."""
    before, away = allocate(scores, file).certificate, []
    for changes in EDITS:
        answer = what_if(session, session.read(file, {}), session.read(file, changes))
        assert answer.sample < answer.users == USERS
        after = allocate(scores, file, changes=changes).certificate
        true = {name: after.metrics[name].total - before.metrics[name].total for name in after.metrics}
        found = [(answer.difference.value, after.value - before.value)]
        found += [(answer.difference.contacts, after.contacts - before.contacts)]
        found += [(each, true[name]) for name, each in answer.difference.metrics.items()]
        away += [abs(estimate.mean - known) / max(estimate.se, 1e-9) for estimate, known in found]
    assert max(away) < 4, away
    assert (np.array(away) < 1.96).mean() > 0.8, away


def test_totals_of_the_sample_are_those_of_everybody(session: Session, scores: Scores, file: Path) -> None:
    found = what_if(session, session.read(file, {}), session.read(file, {}))
    made = allocate(scores, file).certificate
    assert found.headline == "Nothing changes: no listener gets other contacts."
    assert found.difference.value.mean == found.difference.value.se == 0.0
    assert abs(found.new.value - made.value) < 4 * found.new.value_se
    assert found.new.value_model_se == pytest.approx(made.value_se, rel=0.1)
    for record in made.constraints:
        known = found.new.constraints[record.id]
        assert abs(known.achieved - record.achieved) <= 4 * known.se + 1e-6
        assert (known.binding, known.min, known.max) == (record.binding, record.min, record.max)
        if known.binding == "max":
            assert known.achieved == pytest.approx(known.max, rel=1e-6), "what binds is not counted, but known"
            assert known.se < 0.005 * known.max
        assert known.price == pytest.approx(record.price, rel=0.25, abs=1e-4)


def test_edits_add_up_to_the_difference(session: Session, file: Path) -> None:
    changes = {"push_cap": {"max": "10%"}, "budget": {"max": 120}, "books": {"min": "60%"}, "loose": {"max": "400%"}}
    answer = what_if(session, session.read(file, {}), session.read(file, changes))
    assert [edit.path for edit in answer.edits] == ["push_cap.max", "books.min", "budget.max", "loose.max"]
    assert sum(edit.value for edit in answer.edits) == pytest.approx(answer.difference.value.mean)
    assert sum(edit.users_moved for edit in answer.edits) == pytest.approx(answer.difference.users_moved.mean)
    idle = answer.edits[-1]
    assert (idle.value, idle.users_moved) == (pytest.approx(0), pytest.approx(0))
    assert answer.edits[0].value < 0


def test_an_edit_that_changes_nothing_says_why(session: Session, file: Path) -> None:
    answer = what_if(session, session.read(file, {}), session.read(file, {"loose": {"max": "400%"}}))
    assert answer.headline == "Nothing changes: no listener gets other contacts."
    why, wider = answer.why[:2]
    assert "It changes nothing: loose is at" in why
    assert "so it does not bind" in why
    assert "three times as wide, no effect on value is seen" in wider


def test_a_budget_that_is_not_spent_says_why(session: Session, file: Path) -> None:
    answer = what_if(session, session.read(file, {}), session.read(file, {"budget": {"max": 5_000}}))
    (unspent,) = [sentence for sentence in answer.why if "is not spent" in sentence]
    assert unspent.startswith("budget is not spent (")
    assert "listeners" in unspent


@pytest.mark.slow
def test_all_of_them_is_two_allocations(session: Session, scores: Scores, file: Path, tmp_path: Path) -> None:
    changes = {"push_cap": {"max": "10%"}, "total": {"max": 1}}
    answer = what_if(session, session.read(file, {}), session.read(file, changes), full=True)
    made = [allocate(scores, file, changes=each) for each in ({}, changes)]
    assert answer.difference.value.mean == pytest.approx(made[1].certificate.value - made[0].certificate.value)
    assert answer.difference.value.se == 0
    slates = [each.contacts().groupby("user_id")["action"].agg(frozenset) for each in made]
    same = sum(user in slates[1].index and slates[1][user] == slate for user, slate in slates[0].items())
    assert answer.difference.users_moved.mean == len(set(slates[0].index) | set(slates[1].index)) - same
    assert sum(edit.value for edit in answer.edits) == pytest.approx(answer.difference.value.mean)
    everybody = [cell for cell in answer.matrix if not cell.segment]
    assert sum(cell.contacts.mean for cell in everybody) == answer.difference.contacts.mean
    by_market = [cell for cell in answer.matrix if cell.segment == "market"]
    assert sum(cell.contacts.mean for cell in by_market) == answer.difference.contacts.mean
    (tmp_path / WHAT_IF).write_text(answer.text())
    assert WhatIf.from_file(tmp_path / WHAT_IF) == answer
    assert answer.content()["edits"][0].keys() >= {"path", "from", "to", "value", "users_moved"}


def test_a_policy_that_contradicts_itself_is_diagnosed(session: Session, file: Path) -> None:
    with pytest.raises(Infeasible) as raised:
        what_if(session, session.read(file, {}), session.read(file, {"books": {"min": "100%"}, "total": {"max": 1}}))
    assert "books" in raised.value.diagnosis.conflict


def test_the_same_question_has_the_same_answer(scores: Scores, file: Path) -> None:
    def asked() -> WhatIf:
        with Session.open(scores, SAMPLE) as fresh:
            return what_if(fresh, fresh.read(file, {}), fresh.read(file, EDITS[0]))

    first, second = asked(), asked()
    assert first.model_copy(update={"seconds": 0.0}) == second.model_copy(update={"seconds": 0.0})


def test_a_policy_may_be_a_mapping(session: Session) -> None:
    policy = session.read({"version": 1, "objective": [{"metric": "revenue", "weight": 1.0}]}, {})
    assert isinstance(policy, Policy)
    assert session.price(policy).value > 0


def test_reach_and_certainty_and_tiers_are_priced_on_a_sample_as_for_everybody(
    scores: Scores, session: Session
) -> None:
    """Kinds whose rows are not sums over contacts, or follow the allocation."""
    lines = OBJECTIVE + CONTACT + "constraints:\n"
    reach = (
        lines
        + "  - {id: norway, kind: reach, users: {market: 'NO'}, where: {surface: plan_picker}, min: 60%, max: 70%}\n"
    )
    sure = lines + "  - {id: budget, kind: total, metric: subs, times: discount_eur, max: 200, certainty: 90%}\n"
    tiers = CONTACT + "tiers:\n  - {objective: [{metric: subs, weight: 1.0}], give_up: 2%}\n"
    tiers = "version: 1\n" + tiers + "  - {objective: [{metric: opt_out, weight: -1.0}]}\n"
    for text in (reach, sure, tiers):
        policy = session.read(YAML(typ="safe").load(text), {})
        known = what_if(session, policy, policy).new
        made = allocate(scores, policy).certificate
        assert abs(known.value - made.value) < 4 * known.value_se + 1e-3 * abs(made.value)
        for record in made.constraints:
            held = known.constraints[record.id]
            assert held.binding == record.binding
            assert held.achieved == pytest.approx(record.achieved, abs=4 * held.se + 1e-3 * abs(record.achieved))


def test_listeners_who_are_reached_are_counted_once(scores: Scores, session: Session, tmp_path: Path) -> None:
    """Under a cap on contacts and a reach that it makes dear, with up to two contacts of the scope to a listener."""
    rule = "  - {id: seen, kind: reach, where: {family: [plan, other]}, users: {market: NO}, min: 60%}\n"
    cap = "  - {id: all, kind: volume, max: 60%}\n"
    file = tmp_path / "policy.yaml"
    file.write_text(RULES.replace("experiment:", f"{rule}{cap}experiment:"))
    changes = {"seen": {"min": "90%"}}
    answer = what_if(session, session.read(file, {}), session.read(file, changes))
    before, after = allocate(scores, file).certificate, allocate(scores, file, changes=changes).certificate
    assert not answer.full
    assert abs(answer.difference.value.mean - (after.value - before.value)) <= 4 * answer.difference.value.se
    for known, made in ((answer.base, before), (answer.new, after)):
        record = next(each for each in made.constraints if each.id == "seen")
        assert record.binding == known.constraints["seen"].binding == "min"
        assert known.constraints["seen"].achieved == pytest.approx(record.achieved, rel=0.01)
        assert known.constraints["seen"].price == pytest.approx(record.price, rel=0.25)


def test_prices_of_an_allocation_are_a_start(scores: Scores, file: Path, tmp_path: Path) -> None:
    allocate(scores, file, folder=tmp_path)
    with Session.open(scores, SAMPLE) as cold, Session.open(scores, SAMPLE) as warm:
        warm.start = read_price_book(tmp_path).prices
        first, again = (session.price(session.read(file, {})) for session in (cold, warm))
    assert again.evaluations < first.evaluations / 2
    assert again.value == pytest.approx(first.value, rel=1e-5)
