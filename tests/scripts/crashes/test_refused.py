"""Acts that the system refuses, in a week whose stages only write their names; and that a careless writer is found out."""

from pathlib import Path

import pytest

from ranker import disk
from scripts.crashes.enumerated import check
from scripts.crashes.injected import REFUSALS, PartingWatcher, refuse_every_act
from scripts.crashes.records import FaultFound
from scripts.crashes.resumed import FinishedWeek, quiet
from scripts.crashes.tiny_week import FIRST, SECOND
from tests.scripts.crashes.test_stops import week


def refused(folder: Path, every: int = 1) -> PartingWatcher:
    """The stand-in week, whose sources stand beside a folder of runs, finished once and then with acts that are refused."""
    for place in ("whole", "tried"):
        (folder / place).mkdir()
        with quiet():
            week(folder / place / "runs", FIRST)
    with quiet():
        week(folder / "whole" / "runs", SECOND)
    return refuse_every_act(
        week, folder / "tried" / "runs", folder / "tried", FinishedWeek.of(folder / "whole" / "runs"), every, 0
    )


def wrong_with(found: PartingWatcher, states: int) -> list[FaultFound]:
    """At the acts themselves, and after the next call in every n-th folder that they left."""
    at_once = [fault for each in found.found for fault in each.faults]
    return at_once + [
        fault for state in list(found.states.values())[::states] for fault in check(week, state, found.whole)
    ]


def test_a_refused_act_is_told_and_loses_nothing(tmp_path: Path) -> None:
    found = refused(tmp_path, every=5)
    assert wrong_with(found, states=4) == []
    assert len(found.found) > 25


@pytest.mark.slow
def test_every_refused_act_is_told_and_loses_nothing(tmp_path: Path) -> None:
    found = refused(tmp_path)
    assert wrong_with(found, states=1) == []
    assert {each.row for each in found.found} == {each.row for each in REFUSALS}
    assert len(found.found) > 200


@pytest.mark.slow
def test_what_is_published_before_it_lasts_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(path: Path, text: str) -> None:
        disk.write_text(path, text)

    monkeypatch.setattr(disk, "replace_whole", careless)
    found = refused(tmp_path, every=1)
    assert any("the pointer cannot be read" in fault.sentence for each in found.found for fault in each.faults)


@pytest.mark.slow
def test_what_is_not_told_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(path: Path) -> None:
        try:
            written(path)
        except OSError:
            return

    written = disk.sync_tree
    monkeypatch.setattr(disk, "sync_tree", silent)
    found = refused(tmp_path, every=1)
    assert any("ends in 0 instead of 1" in fault.sentence for each in found.found for fault in each.faults)
