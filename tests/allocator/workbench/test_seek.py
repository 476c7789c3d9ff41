"""Goals that a field reaches are reached in an allocation of everybody too; those that it does not are refused with the reason."""

from pathlib import Path

import pytest

from allocator.infeasible.diagnosis import Infeasible
from allocator.workbench.answers import SEEK, Seek
from allocator.workbench.goals import Goal, goal_of, seek_goal
from allocator.workbench.session import Session
from ranker.files import InputError
from ranker.scores import open_scores
from tests.allocator.instances import CONTACT, OBJECTIVE, write_scores

RULES = (
    OBJECTIVE
    + CONTACT
    + """constraints:
  - {id: push_cap, kind: volume, where: {surface: push}, max: 20%}
  - {id: books, kind: volume, where: {product: books}, users: {market: [SE, NO]}, min: 40%}
  - {id: duo_part, kind: share, where: {product: duo}, strength: report_only}
experiment:
  holdout: {share: 0.03, salt: h}
"""
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policy") / "policy.yaml"
    path.write_text(RULES)
    return path


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    scores = open_scores(write_scores(tmp_path_factory.mktemp("seek") / "scores", 4_000, 3))
    with Session.open(scores, 1_500) as opened:
        yield opened


def sought(session: Session, file: Path, want: str, by: str, full: bool = False) -> Seek:
    return seek_goal(session, file, {}, goal_of(want, by), full)


def test_a_bound_that_gives_so_many_contacts(session: Session, file: Path, tmp_path: Path) -> None:
    answer = sought(session, file, "books.achieved=1800", "books.min", full=True)
    assert answer.out_of_reach is None
    assert answer.full
    assert answer.achieved == pytest.approx(1_800, abs=3)
    assert str(answer.bound).endswith("%"), "in the words of the file"
    assert answer.cost > 0
    assert answer.sentence.startswith(f"books.min = {answer.bound} gives books of 1,8")
    (tmp_path / SEEK).write_text(answer.text())
    assert Seek.from_file(tmp_path / SEEK) == answer


def test_a_weight_that_gives_duo_a_fifth(session: Session, file: Path) -> None:
    answer = sought(session, file, "duo_part=20%", "objective.subs.weight")
    if answer.out_of_reach is None:
        assert answer.achieved == pytest.approx(0.2, rel=1e-3)
    else:
        assert "duo_part" in answer.sentence
    more = sought(session, file, "revenue=150", "push_cap.max")
    assert more.achieved == pytest.approx(more.target, rel=1e-3) or more.out_of_reach is not None


def test_what_is_out_of_reach_is_said_with_the_nearest_and_the_reason(session: Session, file: Path) -> None:
    answer = sought(session, file, "books.achieved=100000", "books.min")
    assert answer.out_of_reach is not None
    assert answer.out_of_reach.nearest == answer.achieved < 3_000
    assert "the rules contradict each other" in answer.out_of_reach.reason
    assert "listeners" in answer.out_of_reach.reason
    idle = sought(session, file, "books.achieved=2600", "push_cap.max")
    assert idle.out_of_reach is not None


def test_a_rule_that_counts_moves_in_whole_steps(session: Session, file: Path) -> None:
    answer = sought(session, file, "contacts=5000", "total.max")
    assert isinstance(answer.bound, int)
    assert answer.out_of_reach is not None
    assert answer.out_of_reach.reason.startswith("The next value, ")


def test_wrong_goals_are_told_together() -> None:
    with pytest.raises(InputError) as raised:
        goal_of(None, "")
    assert raised.value.problems == ("want: is missing; give want=...", "by: is missing; give by=...")
    for words, said in (
        ("books", "is not of the form"),
        ("books=many", "'many' is not a number"),
        ("=3", "of the form"),
    ):
        with pytest.raises(InputError, match=said):
            goal_of(words, "books.min")
    assert goal_of("a=40,000", "set.a.min") == Goal("a", 40_000, "a.min")
    assert goal_of("a=2.5 %", "a.min").target == pytest.approx(0.025)


def test_names_that_are_not_there_are_told_with_the_nearest(session: Session, file: Path) -> None:
    with pytest.raises(InputError, match="no constraint or metric 'book'; did you mean 'books'"):
        sought(session, file, "book=3", "books.min")
    with pytest.raises(InputError, match="no rule or section 'book'; did you mean 'books'"):
        sought(session, file, "books=3", "book.min")
    with pytest.raises(InputError, match=r"books.where: is no amount"):
        sought(session, file, "books=3", "books.where")


def test_a_policy_that_contradicts_itself_is_diagnosed(session: Session, file: Path) -> None:
    with pytest.raises(Infeasible):
        seek_goal(session, file, {"books": {"min": "100%"}, "total": {"max": 1}}, goal_of("books=3", "books.min"))
