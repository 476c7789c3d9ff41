"""Allocations of all users tell what they are doing, and end where the answer is not wanted any more."""

from dataclasses import replace
from pathlib import Path

import pytest

from allocator.infeasible.diagnosis import Infeasible
from allocator.workbench.priced import Cancelled
from allocator.workbench.session import Session
from allocator.workbench.what_if import what_if
from ranker.scores import open_scores
from tests.allocator.instances import CONTACT, OBJECTIVE, write_scores

RULES = OBJECTIVE + CONTACT + "constraints:\n  - {id: push_cap, kind: volume, where: {surface: push}, max: 20%}\n"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    folder = tmp_path_factory.mktemp("telling")
    (folder / "policy.yaml").write_text(RULES)
    with Session.open(open_scores(write_scores(folder / "scores", 500, 1)), 100) as opened:
        yield opened


def policy(session: Session) -> Path:
    return session.scores.path.parent / "policy.yaml"


def test_every_stage_of_an_allocation_is_told(session: Session) -> None:
    told: list[str] = []
    asked = replace(session, tell=told.append)
    what_if(
        asked, asked.read(policy(session), {}), asked.read(policy(session), {"push_cap": {"max": "10%"}}), full=True
    )
    wanted = ("reading the scores of all users", "counting what is possible", "solving for all users", "auditing")
    assert [stage for stage in wanted if not any(words.startswith(stage) for words in told)] == []


@pytest.mark.parametrize("stage", ["reading the scores", "solving for all users: ", "looking for the conflict"])
def test_an_allocation_ends_at_the_stage_at_which_it_is_cancelled(session: Session, stage: str) -> None:
    told: list[str] = []

    def stopping(words: str) -> None:
        told.append(words)
        if words.startswith(stage):
            raise Cancelled

    asked = replace(session, tell=stopping, priced={})
    change = {"push_cap": {"min": "300%", "max": "400%"}} if "conflict" in stage else {"push_cap": {"max": "10%"}}
    with pytest.raises(Cancelled):
        what_if(asked, asked.read(policy(session), {}), asked.read(policy(session), change), full=True)
    assert told[-1].startswith(stage)


def test_without_that_a_contradiction_is_told(session: Session) -> None:
    with pytest.raises(Infeasible):
        session.priced_or_diagnosed(session.read(policy(session), {"push_cap": {"min": "300%", "max": "400%"}}))
