"""Files as models: read strictly, written in the order of the fields, and told where they are wrong."""

import json
from pathlib import Path

import pytest

from ranker.scores import InputError
from scripts.formats.document import Interval, StrictDocument
from scripts.formats.manifest import MANIFEST, Manifest, Output, read_manifest
from scripts.formats.pointer import Pointer, pointer_of
from scripts.formats.regret import Regret
from scripts.formats.run_record import RunRecord
from tests.scripts.regrets import regret_of


def test_what_is_written_reads_back_the_same(tmp_path: Path) -> None:
    written = regret_of({"oracle": 1.0, "learned": 0.25})
    (tmp_path / "regret.json").write_text(written.text())
    assert Regret.from_file(tmp_path / "regret.json") == written
    assert written.text() == json.dumps(written.content(), indent=1) + "\n"


@pytest.mark.parametrize(
    "written",
    [
        Pointer(run="r", at="now", previous=None, allocation="r/allocation", allocation_digest="d"),
        RunRecord(run="r", identity="i", previous="q"),
        Manifest(
            stage="train",
            inputs={"../logs": "x"},
            outputs={"b": Output(sha256="y", bytes=3)},
            seconds=2,
            config={"a": 1.5},
        ),
    ],
)
def test_every_other_file_is_written_again_as_it_was(tmp_path: Path, written: StrictDocument) -> None:
    (tmp_path / "file.json").write_text(written.text())
    assert type(written).from_file(tmp_path / "file.json").text() == written.text()


def test_whole_numbers_stay_whole_and_keys_keep_their_order() -> None:
    assert Interval(high=4, low=1.0, stderr=0.5, value=2).content() == {
        "value": 2,
        "stderr": 0.5,
        "low": 1.0,
        "high": 4,
    }
    assert Interval(high=4, low=1.0, stderr=0.5, value=2).text() == (
        '{\n "value": 2,\n "stderr": 0.5,\n "low": 1.0,\n "high": 4\n}\n'
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"run": "a", "identity": "b"}, "previous: Field required"),
        ({"run": 3, "identity": "b", "previous": None}, "run: Input should be a valid string"),
        ({"run": "a", "identity": "b", "previous": None, "more": 1}, "more: Extra inputs are not permitted"),
    ],
)
def test_what_is_no_such_file_is_told_with_its_key(tmp_path: Path, content: dict, told: str) -> None:
    (tmp_path / "run.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"run.json: {told}"):
        RunRecord.from_file(tmp_path / "run.json")
    assert RunRecord.from_file_if_sound(tmp_path / "run.json") is None


def test_a_manifest_of_another_program_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps({"stage": "train", "outputs": {"a": {"sha256": "x"}}, "new": 1}))
    found = read_manifest(tmp_path)
    assert found is not None and (found.stage, found.inputs, found.outputs["a"].sha256) == ("train", None, "x")
    assert read_manifest(tmp_path / "nowhere") is None


def test_settings_in_a_manifest_may_be_infinite(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(
        Manifest(stage="allocate", config={"limit": float("inf"), "deep": [1, None]}).text()
    )
    held = json.loads((tmp_path / MANIFEST).read_text())
    assert held["config"] == {"limit": float("inf"), "deep": [1, None]}


def test_a_pointer_without_an_action_was_published() -> None:
    words = {"run": "r", "at": "", "allocation": "r/allocation", "allocation_digest": "d"}
    assert pointer_of(words) == Pointer(**words, previous=None, action="publish")
    assert pointer_of(words | {"at": None}) is pointer_of(words | {"more": "x"}) is pointer_of([]) is None
