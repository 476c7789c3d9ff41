"""Policies put forward: new files alone, approved by somebody else, and nothing that changed since."""

from pathlib import Path

import pytest

from ranker.files import InputError
from scripts.console.proposals import Proposals
from tests.scripts.console.weeks import POLICY


@pytest.fixture
def proposals(tmp_path: Path) -> Proposals:
    return Proposals(tmp_path / "proposals", tmp_path / "policies", approver_required=True)


def test_a_proposal_is_a_new_file_with_its_reason_and_author(proposals: Proposals) -> None:
    record = proposals.propose("more_push", POLICY, "2026-W48", "More room\nbefore Christmas", " Mira  Berg ")
    text = (proposals.policies / "more_push.yaml").read_text()
    assert text.startswith("# More room before Christmas\n# Written by Mira Berg, ") and text.endswith(POLICY)
    assert (record.author, record.state) == ("Mira Berg", "proposed")
    assert [each.name for each in proposals.all()] == ["more_push"]


def test_a_file_that_is_there_is_never_written_over(proposals: Proposals) -> None:
    proposals.policies.mkdir()
    (proposals.policies / "default.yaml").write_text("kept")
    with pytest.raises(InputError, match="not written over"):
        proposals.propose("default", POLICY, "run", "why", "Mira")
    assert (proposals.policies / "default.yaml").read_text() == "kept"


def test_everything_that_is_missing_is_told_at_once(proposals: Proposals) -> None:
    with pytest.raises(InputError) as caught:
        proposals.propose("../x", POLICY, "run", " ", "")
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["file", "reason", "your name"]


def test_another_person_must_approve(proposals: Proposals) -> None:
    proposals.propose("p", POLICY, "run", "why", "Mira Berg")
    with pytest.raises(InputError, match="must approve it first"):
        proposals.check_publishable("p")
    with pytest.raises(InputError, match="another person"):
        proposals.approve("p", "mira  berg")
    assert proposals.approve("p", "Olav Lie").approver == "Olav Lie"
    assert proposals.check_publishable("p").state == "approved"
    with pytest.raises(InputError, match="approved already"):
        proposals.approve("p", "Kari")


def test_without_that_setting_the_author_may_publish(tmp_path: Path) -> None:
    alone = Proposals(tmp_path / "proposals", tmp_path / "policies", approver_required=False)
    alone.propose("p", POLICY, "run", "why", "Mira")
    assert alone.check_publishable("p").name == "p"
    assert alone.published("p", "run-p").state == "published"
    with pytest.raises(InputError, match="published already"):
        alone.check_publishable("p")


def test_a_file_that_changed_is_neither_approved_nor_published(proposals: Proposals) -> None:
    proposals.propose("p", POLICY, "run", "why", "Mira")
    path = proposals.policies / "p.yaml"
    path.write_text(path.read_text() + "# one more thing\n")
    for act in (lambda: proposals.approve("p", "Olav"), lambda: proposals.check_publishable("p")):
        with pytest.raises(InputError, match="was changed after"):
            act()
