"""What a run offers to its report: the policy's file, and the allocation before it, wherever the run says which it was."""

import json
from pathlib import Path

import pytest

from scripts.runs.report_sources import sources_of

POINTER = {"at": "2026-11-16T08:00:00+00:00", "previous": None, "allocation_digest": "0", "action": "publish"}


def make_run(runs: Path, name: str, *, previous: str | None = "nothing told", inputs: tuple[str, ...] = ()) -> Path:
    """A folder with a manifest, and a record of the run unless nothing is told of the week before."""
    allocation = runs / name / "allocation"
    allocation.mkdir(parents=True)
    (runs / name / "scores").mkdir()
    (runs / name / "scores" / "catalogue.json").write_text("{}")
    held = {"stage": "allocate", "inputs": dict.fromkeys(("scores", "../../conf/policy/winter.yaml", *inputs), "ab12")}
    (allocation / "manifest.json").write_text(json.dumps(held))
    if previous != "nothing told":
        (runs / name / "run.json").write_text(json.dumps({"run": name, "identity": "0", "previous": previous}))
    return runs / name


def publish(runs: Path, *names: str) -> None:
    flips = [{**POINTER, "run": name, "allocation": f"{name}/allocation"} for name in names]
    (runs / "published.json").write_text(json.dumps(flips[-1]))
    (runs / "published_history.jsonl").write_text("".join(json.dumps(flip) + "\n" for flip in flips))


def previous_of(folder: Path) -> tuple[str, Path] | None:
    found = sources_of(folder).previous
    return None if found is None else (found.name, found.allocation)


def test_the_policy_goes_by_the_file_that_the_manifest_names(tmp_path: Path) -> None:
    found = sources_of(make_run(tmp_path / "runs", "2026-W48"))
    assert found.policy_file is not None and found.policy_file.resolve() == tmp_path / "conf" / "policy" / "winter.yaml"
    assert (found.policy_name, found.run) == ("winter", "2026-W48")


def test_a_week_stands_beside_what_was_published_when_it_began(tmp_path: Path) -> None:
    make_run(tmp_path, "2026-W47")
    week = make_run(tmp_path, "2026-W48", previous="2026-W47/allocation")
    publish(tmp_path, "2026-W47", "2026-W48", "2026-W49")
    assert previous_of(week) == ("2026-W47", tmp_path / "2026-W47" / "allocation")
    found = sources_of(week).previous
    assert found is not None and found.catalogue == tmp_path / "2026-W47" / "scores" / "catalogue.json"


def test_the_first_week_stands_alone_even_once_others_follow(tmp_path: Path) -> None:
    week = make_run(tmp_path, "2026-W47", previous=None)
    publish(tmp_path, "2026-W47", "2026-W48")
    assert previous_of(week) is None


def test_an_allocation_named_by_previous_goes_first(tmp_path: Path) -> None:
    week = make_run(tmp_path, "2026-W48", previous="2026-W47/allocation", inputs=("../2026-W45/allocation",))
    assert previous_of(week) == ("2026-W45", tmp_path / "2026-W45" / "allocation")
    by_hand = make_run(tmp_path, "tried", inputs=("../kept",))
    assert previous_of(by_hand) == ("kept", tmp_path / "kept"), "an allocation's own folder has any name"
    found = sources_of(by_hand).previous
    assert found is not None and found.catalogue is None


@pytest.mark.parametrize(
    ("flips", "expected"),
    [
        (("2026-W46", "2026-W47"), "2026-W47"),
        (("2026-W46", "demo", "2026-W47"), "2026-W46"),
        (("demo",), None),
        (("demo", "demo"), None),
    ],
)
def test_a_run_without_a_record_stands_beside_the_last_published(
    tmp_path: Path, flips: tuple[str, ...], expected: str | None
) -> None:
    run = make_run(tmp_path, "demo")
    publish(tmp_path, *flips)
    found = previous_of(run)
    assert (None if found is None else found[0]) == expected


def test_nothing_published_or_not_readable_is_no_week_before(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo")
    assert previous_of(run) is None
    (tmp_path / "published.json").write_text("{")
    assert previous_of(run) is None


def test_the_folder_of_a_run_may_be_named_from_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    week = make_run(tmp_path, "2026-W48", previous="2026-W47/allocation")
    monkeypatch.chdir(week)
    assert sources_of(Path()).run == "2026-W48"
    assert previous_of(Path()) == ("2026-W47", tmp_path / "2026-W47" / "allocation")
