"""The policy of the run beside its file: the edits are those of `set.`, and a file that changed or went is said to have."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from allocator.allocate import Allocation, allocate
from allocator.report.collect import Sources, collect
from allocator.report.policy_used import PolicyUsed, ShownEdit, spelled
from ranker.scores import Scores, open_scores
from tests.allocator.instances import write_scores
from tests.allocator.report.test_report import read

POLICY = """# Push is dear in winter.
# Written by Ada, 2026-11-02.
version: 1
objective:
  - {metric: revenue, weight: 1.0}
  - {metric: subs, weight: 12.0}
contact:
  - {id: total, max: 2}
constraints:
  - {id: push_cap, label: Push, kind: volume, where: {surface: push}, max: 20%, owner: crm}
  - {id: plans, kind: share, where: {family: plan}, max: 55%}
  - {id: summer, kind: volume, where: {product: books}, max: 10%, valid_to: 2020-09-30}
"""
CHANGES = {"push_cap": {"max": "15%"}, "objective": {"subs": {"weight": 7}}, "plans": None}


@pytest.fixture
def scores(tmp_path: Path) -> Scores:
    return open_scores(write_scores(tmp_path / "scores", 80, 3))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "winter.yaml"
    path.write_text(POLICY)
    return path


def made(scores: Scores, file: Path, changes: dict) -> Allocation:
    """As the command writes it, with what it keeps of its settings."""
    result = allocate(scores, file, changes=changes)
    (result.folder / "manifest.json").write_text(json.dumps({"stage": "allocate", "config": {"set": changes}}))
    return result


def sources(result: Allocation, scores: Scores, file: Path | None) -> Sources:
    return Sources(result.folder, scores.path, policy_name="winter", policy_file=file, run="2026-W48")


def used(result: Allocation, scores: Scores, file: Path | None) -> PolicyUsed:
    found = collect(sources(result, scores, file)).used
    assert found is not None
    return found


def test_the_edits_of_the_run_stand_with_what_the_file_says(scores: Scores, file: Path) -> None:
    result = made(scores, file, CHANGES)
    found = used(result, scores, file)
    by_path = {edit.path: (edit.before, edit.after) for edit in found.edits}
    assert by_path["push_cap.max"] == ("20%", "15%")
    assert by_path["objective.subs.weight"] == ("12", "7")
    assert by_path["plans"] == ("{id: plans, where: {family: plan}, max: 0.55, kind: share}", "\u2013")
    assert set(by_path) == {"push_cap.max", "objective.subs.weight", "plans"}
    assert (found.since, found.note, found.file) == ((), "", "winter.yaml")
    assert found.opening == ("Push is dear in winter.", "Written by Ada, 2026-11-02.")
    text = read(sources(result, scores, file)).text
    assert "Policy winter winter.yaml , as run 2026-W48 used it" in text
    assert "Push is dear in winter. Written by Ada, 2026-11-02." in text
    assert "push_cap.max 20% 15% The maximum of Push (push_cap) falls from 20 % to 15 % of all users." in text
    assert result.certificate.policy_digest is not None and result.certificate.policy_digest in text


def test_an_edit_is_spelled_as_it_was_asked_for(scores: Scores, file: Path) -> None:
    found = used(made(scores, file, {"plans": {"max": "40%"}}), scores, file)
    assert [(edit.path, edit.before, edit.after) for edit in found.edits] == [("plans.max", "0.55", "40%")]


def test_a_run_without_edits_says_that_it_has_none(scores: Scores, file: Path) -> None:
    result = made(scores, file, {})
    assert used(result, scores, file).edits == ()
    assert "This run changed nothing in the policy file." in read(sources(result, scores, file)).text


def test_rules_stand_as_the_file_spells_them(scores: Scores, file: Path) -> None:
    found = used(made(scores, file, {"push_cap": {"max": "15%"}}), scores, file)
    spelled_there = {rule["id"]: rule for rule in yaml.safe_load(POLICY)["constraints"]}
    assert found.written["plans"]["max"] == spelled_there["plans"]["max"] == "55%"
    assert found.written["push_cap"]["max"] == "15%", "as the run used it"
    assert [rule.id for rule in found.given.constraints] == ["push_cap", "plans", "summer"], (
        "off, and told all the same"
    )


def test_a_file_that_changed_since_is_told_with_what_it_says_now(scores: Scores, file: Path) -> None:
    result = made(scores, file, {"push_cap": {"max": "15%"}})
    file.write_text(POLICY.replace("max: 55%", "max: 60%"))
    found = used(result, scores, file)
    assert [(edit.path, edit.before, edit.after) for edit in found.edits] == [("push_cap.max", "20%", "15%")]
    assert [(edit.path, edit.before, edit.after) for edit in found.since] == [("plans.max", "0.55", "0.6")]
    assert found.note.startswith("The file winter.yaml has changed since this run")
    assert found.written["plans"]["max"] == 0.55, "what was used, not what the file says now"
    assert "Edits of the file since this run, not in force here" in read(sources(result, scores, file)).text


def no_policy(file: Path) -> None:
    file.write_text("version: [")


def no_such_rule(file: Path) -> None:
    file.write_text(POLICY.replace("push_cap", "push_limit"))


def gone(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (no_policy, "has changed since this run and is no policy for it any more"),
        (no_such_rule, "has changed since this run and is no policy for it any more"),
        (gone, "cannot be read any more"),
    ],
)
def test_a_file_that_says_nothing_any_more_ends_no_report(
    scores: Scores, file: Path, damage: Callable[[Path], None], said: str
) -> None:
    result = made(scores, file, {"push_cap": {"max": "15%"}})
    damage(file)
    found = used(result, scores, file)
    assert said in found.note and found.note in read(sources(result, scores, file)).text
    assert found.edits == (ShownEdit("push_cap.max", "", "15%"),), "what was asked, if not from what"
    assert found.given == result.policy


def test_without_a_file_the_allocation_tells_its_rules(scores: Scores, file: Path) -> None:
    result = made(scores, file, {})
    found = used(result, scores, None)
    assert (found.given, found.edits, found.note) == (result.policy, (), "")
    assert found.written["plans"]["max"] == 0.55


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "\u2013"),
        (True, "true"),
        (400_000, "400000"),
        (0.35, "0.35"),
        ("5%", "5%"),
        ("a: b", '"a: b"'),
        (
            {"product": ["audiobooks", "merch"], "not": {"surface": "push"}},
            "{product: [audiobooks, merch], not: {surface: push}}",
        ),
    ],
)
def test_values_are_spelled_as_in_a_file(value: object, words: str) -> None:
    assert spelled(value) == words
