"""Drafts keep every state: undo and redo, nothing lost, and two people on one draft get both texts."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ranker.files import InputError
from scripts.console.drafts import TYPING, DraftConflict, Drafts


class Clock:
    """A minute later with every look, unless it is told otherwise."""

    def __init__(self, step: timedelta = timedelta(minutes=1)):
        self.now, self.step = datetime(2026, 11, 23, tzinfo=UTC), step

    def __call__(self) -> datetime:
        self.now += self.step
        return self.now


@pytest.fixture
def drafts(tmp_path: Path) -> Drafts:
    return Drafts(tmp_path / "drafts", Clock())


def test_a_draft_begins_with_the_runs_policy_and_is_there_after_a_reload(drafts: Drafts) -> None:
    assert drafts.get("mine", lambda: "a\n").text == "a\n"
    drafts.save("mine", 1, "b\n", "Mira", TYPING)
    again = Drafts(drafts.folder).get("mine", lambda: "never read")
    assert (again.text, again.version, again.state.by) == ("b\n", 2, "Mira")
    assert drafts.names() == ["mine"]


def test_steps_go_back_and_forth_and_a_save_ends_what_was_undone(drafts: Drafts) -> None:
    drafts.get("d", lambda: "a\n")
    drafts.save("d", 1, "b\n", "Mira", "one")
    drafts.save("d", 2, "c\n", "Mira", "two")
    back = drafts.step("d", 3, -1)
    assert (back.text, back.undoes, back.redoes) == ("b\n", "one", "two")
    assert drafts.step("d", back.version, 1).text == "c\n"
    back = drafts.step("d", 5, -1)
    other = drafts.save("d", back.version, "x\n", "Mira", "three")
    assert (other.text, other.redoes, drafts.step("d", other.version, -1).text) == ("x\n", None, "b\n")


def test_an_old_version_is_a_conflict_and_overwrites_nothing(drafts: Drafts) -> None:
    drafts.get("d", lambda: "a\n")
    drafts.save("d", 1, "theirs\n", "Olav", TYPING)
    with pytest.raises(DraftConflict) as caught:
        drafts.save("d", 1, "mine\n", "Mira", TYPING)
    assert (caught.value.theirs.text, caught.value.mine) == ("theirs\n", "mine\n")
    with pytest.raises(DraftConflict):
        drafts.step("d", 1, -1)
    assert drafts.get("d", str).text == "theirs\n"
    mine = drafts.save("d", caught.value.theirs.version, "mine\n", "Mira", "kept mine")
    assert drafts.step("d", mine.version, -1).text == "theirs\n", "the other text is one step back"


def test_a_conflict_tells_which_lines_differ(drafts: Drafts) -> None:
    drafts.get("d", lambda: "a\nb\nc\n")
    drafts.save("d", 1, "a\nB\nc\n", "Olav", TYPING)
    with pytest.raises(DraftConflict) as caught:
        drafts.save("d", 1, "a\nb\nc\nd\n", "Mira", TYPING)
    theirs, mine = caught.value.lines()
    assert [line.line for line in theirs if line.alone] == ["B"]
    assert [line.line for line in mine if line.alone] == ["b", "d"]


def test_the_same_text_from_two_people_is_no_conflict(drafts: Drafts) -> None:
    drafts.get("d", lambda: "a\n")
    drafts.save("d", 1, "b", "Olav", TYPING)
    assert drafts.save("d", 1, "b\r\n", "Mira", TYPING).version == 2


def test_what_one_person_types_at_once_is_one_step(tmp_path: Path) -> None:
    drafts = Drafts(tmp_path / "drafts", Clock(timedelta(seconds=8)))
    drafts.get("d", lambda: "a\n")
    for version, text in enumerate(["b\n", "bc\n", "bcd\n"], 1):
        drafts.save("d", version, text, "Mira", TYPING)
    assert len(drafts.get("d", str).record.states) == 2
    drafts.save("d", 4, "bcde\n", "Mira", TYPING)
    assert len(drafts.get("d", str).record.states) == 3, "later than that it is another step"


@pytest.mark.parametrize("name", ["", "..", "a/b", "-x", "x" * 41, "\u00e9", ".hidden", "a b"])
def test_names_that_could_leave_the_folder_are_refused(drafts: Drafts, name: str) -> None:
    with pytest.raises(InputError):
        drafts.get(name, lambda: "a\n")
    assert not drafts.folder.exists()
