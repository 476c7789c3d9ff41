"""Stops of a week whose stages only write their names: every one of them, and that a careless writer is found out."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from ranker import disk
from scripts.cli.settings import PublishOptions
from scripts.crashes.enumerated import check, faults_of, watch
from scripts.crashes.records import Faults
from scripts.crashes.stopped import CONTENTS_LOST, HALFWAY, KILLED, UNSYNCED_LOST
from scripts.crashes.tiny_week import FIRST
from scripts.formats.pointer import POINTER
from scripts.runs import pointer, stage
from scripts.runs.run_folder import link_stages

Week = Callable[[Path, date], object]
STAGES = ("scores", "allocation")


def week(runs: Path, snapshot: date) -> None:
    """Two stages, one made from the other, in a folder that begins with links to the week before, and the publication."""
    folder = runs / ("W47" if snapshot == FIRST else "W48")
    source = runs.parent / f"{folder.name} of {runs.name}"
    source.write_text(folder.name)
    stage.make_folder(runs)
    stage.sweep(runs)
    with stage.locked(folder):
        if folder.exists():
            stage.sweep(folder)
        else:
            with stage.first_made(folder) as made:
                if snapshot != FIRST:
                    link_stages(runs / "W47", made, STAGES)
        with stage.resuming():
            for name, inputs in zip(STAGES, ([source], [folder / "scores"]), strict=True):
                write_stage(folder / name, inputs, folder.name)
        pointer.publish(folder, PublishOptions())


def write_stage(out: Path, inputs: list[Path], text: str) -> None:
    """What a publication looks at; the first stage has more folders."""
    try:
        with stage.write(out, out.name, inputs) as made:
            disk.make_folder(made / "history")
            disk.write_text(made / "history" / "part-0.parquet", f"{text} before")
            disk.write_text(made / "part-0.parquet", f"{text} rows")
            disk.write_text(made / "prices.json", "{}")
            disk.write_text(made / "certificate.json", json.dumps({"status": "optimal", "gap": 0.0}))
            checks = {"checks": [{"name": "slots", "status": "PASS", "detail": ""}]}
            disk.write_text(made / "audit.json", json.dumps(checks))
    except stage.StillCurrent:
        return


def stopped(folder: Path, week: Week = week, every: int = 1) -> Faults:
    watched = watch(week, folder)
    chosen = watched.states[::every]
    found = [check(week, state, watched.whole) for state in chosen]
    return faults_of(watched, chosen, found, 0.0)


def test_no_stop_loses_or_halves_anything(tmp_path: Path) -> None:
    found = stopped(tmp_path)
    assert found.faults == ()
    points = {each.kind: each.places for each in found.kinds}
    assert points[KILLED] == points[UNSYNCED_LOST] == points[CONTENTS_LOST] == 2 * found.acts
    assert points[HALFWAY] == 15, "six files of either stage, the gates, the pointer and the history"
    assert all(each.checked > 1 for each in found.kinds)


def test_contents_that_were_not_synced_are_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "sync_tree", lambda path: None)
    found = {each.kind: each.faults for each in stopped(tmp_path).kinds}
    assert not found[KILLED], "a process that dies leaves what the system has not written yet"
    assert any("published allocation of W48 is not whole" in fault.sentence for fault in found[UNSYNCED_LOST])
    assert any("published allocation of W48 is not whole" in fault.sentence for fault in found[CONTENTS_LOST])


def test_a_pointer_that_is_written_in_place_is_seen_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lasting = disk.replace_whole

    def careless(path: Path, text: str) -> None:
        (disk.write_text if path.name == POINTER else lasting)(path, text)

    monkeypatch.setattr(disk, "replace_whole", careless)
    found = {each.kind: each.faults for each in stopped(tmp_path, every=2).kinds}
    assert any("the pointer cannot be read" in fault.sentence for fault in found[HALFWAY])


def test_what_is_left_behind_is_told(tmp_path: Path) -> None:
    def careless(runs: Path, snapshot: date) -> None:
        disk.make_folder(runs, there=True)
        beside = runs / f"half-{len(list(runs.parent.iterdir()))}-{len(list(runs.iterdir()))}"
        disk.write_text(beside, "half")
        week(runs, snapshot)
        disk.remove(beside)

    faults = stopped(tmp_path, careless, every=10).faults
    assert any(fault.sort == "left behind" and "half-" in fault.sentence for fault in faults)
