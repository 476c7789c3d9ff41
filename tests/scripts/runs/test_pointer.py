"""Publishing moves the pointer to a run that passes every guardrail, and nothing else ever moves it."""

import errno
import hashlib
import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ranker import disk
from ranker.disk import Act
from ranker.scores import InputError
from scripts.cli.settings import PublishOptions
from scripts.runs import pointer as publishing
from scripts.runs.pointer import HISTORY, POINTER, Refused, current, publish, published_before, rollback
from tests.scripts.stops import Fail, Stop

USUAL = PublishOptions(max_gap=1e-4)
NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)


def write_run(runs: Path, name: str, gap: object = 1e-6, status: str = "optimal", verdict: str = "PASS") -> Path:
    """A finished run as far as publishing looks at it."""
    allocation = runs / name / "allocation"
    allocation.mkdir(parents=True)
    (allocation / "part-0.parquet").write_bytes(f"rows of {name}".encode())
    (allocation / "certificate.json").write_text(json.dumps({"status": status, "gap": gap}))
    (allocation / "audit.json").write_text(
        json.dumps({"checks": [{"name": "slots", "status": verdict, "detail": "0 rows"}]})
    )
    (allocation / "prices.json").write_text("{}")
    sign(allocation)
    return runs / name


def sign(allocation: Path) -> None:
    files = [file for file in allocation.iterdir() if file.name != "manifest.json"]
    outputs = {file.name: {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()} for file in files}
    (allocation / "manifest.json").write_text(json.dumps({"stage": "allocate", "outputs": outputs}))


def state(runs: Path) -> dict[str, bytes]:
    return {name: (runs / name).read_bytes() for name in (POINTER, HISTORY) if (runs / name).exists()}


def test_the_first_run_is_published(tmp_path: Path) -> None:
    flip = publish(write_run(tmp_path, "W47"), USUAL, NOW)
    assert flip.moved
    written = json.loads((tmp_path / POINTER).read_text())
    assert written["run"] == "W47"
    assert written["previous"] is None
    assert written["at"] == "2026-11-23T06:00:00+00:00"
    assert written["allocation"] == "W47/allocation"
    assert [pointer.run for pointer in published_before(tmp_path)] == ["W47"]


def test_a_week_that_somebody_answered_for_is_published_again_without_another_word(tmp_path: Path) -> None:
    run = write_run(tmp_path, "W47", gap=0.01)
    with pytest.raises(Refused, match="gap"):
        publish(run, USUAL)
    assert publish(run, USUAL.model_copy(update={"override": "Kim", "reason": "the gap is told"})).moved
    assert not publish(run, USUAL).moved
    (run / "allocation" / "prices.json").write_text("[]")
    with pytest.raises(Refused, match=r"prices\.json was changed"):
        publish(run, USUAL)


def test_publishing_again_changes_nothing(tmp_path: Path) -> None:
    run = write_run(tmp_path, "W47")
    publish(run, USUAL)
    before = state(tmp_path)
    assert not publish(run, USUAL).moved
    assert state(tmp_path) == before


def test_the_next_run_remembers_the_one_before_and_rollback_returns_to_it(tmp_path: Path) -> None:
    publish(write_run(tmp_path, "W47"), USUAL)
    assert publish(write_run(tmp_path, "W48"), USUAL).pointer.previous == "W47"
    back = rollback(tmp_path, "W47")
    assert (back.pointer.run, back.pointer.previous, back.pointer.action) == ("W47", "W48", "rollback")
    assert current(tmp_path) == back.pointer
    assert [pointer.run for pointer in published_before(tmp_path)] == ["W47", "W48", "W47"]
    assert not rollback(tmp_path, "W47").moved


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"gap": 1e-3}, "gap 0.001 is above"),
        ({"gap": None}, "states no gap"),
        ({"gap": float("nan")}, "states no gap"),
        ({"status": "infeasible"}, "status is infeasible"),
        ({"verdict": "FAIL"}, "the audit failed: slots"),
    ],
)
def test_a_run_that_fails_a_guardrail_is_refused(tmp_path: Path, changes: dict, reason: str) -> None:
    publish(write_run(tmp_path, "W47"), USUAL)
    before = state(tmp_path)
    with pytest.raises(Refused, match=reason):
        publish(write_run(tmp_path, "W48", **changes), USUAL)
    assert state(tmp_path) == before


def test_what_fallbacks_cost_is_no_gap_of_the_choice(tmp_path: Path) -> None:
    run = write_run(tmp_path, "W47")
    certificate = {"status": "optimal", "gap": 0.01005, "bound": 200.0, "fallback": {"value": -2.0}}
    (run / "allocation" / "certificate.json").write_text(json.dumps(certificate))
    sign(run / "allocation")
    assert publish(run, USUAL).moved
    with pytest.raises(Refused, match="gap"):
        publish(run, PublishOptions(max_gap=1e-5))


def test_all_reasons_are_given_at_once(tmp_path: Path) -> None:
    run = write_run(tmp_path, "W48", gap=0.5, status="unknown", verdict="FAIL")
    (run / "allocation" / "prices.json").unlink()
    (run / "allocation" / "part-0.parquet").write_bytes(b"other rows")
    (run / "allocation" / "part-1.parquet").write_bytes(b"more rows")
    with pytest.raises(Refused) as refusal:
        publish(run, USUAL)
    text = str(refusal.value)
    assert len(refusal.value.reasons) == 7
    for part in (
        "prices.json is missing",
        "part-0.parquet was changed",
        "part-1.parquet is not in",
        "gap",
        "status",
        "audit",
    ):
        assert part in text


@pytest.mark.parametrize("name", ["certificate.json", "audit.json", "prices.json", "manifest.json", "part-0.parquet"])
def test_a_run_that_did_not_finish_is_refused(tmp_path: Path, name: str) -> None:
    run = write_run(tmp_path, "W48")
    (run / "allocation" / name).unlink()
    with pytest.raises(Refused, match="did not finish"):
        publish(run, USUAL)
    assert state(tmp_path) == {}


@pytest.mark.parametrize("text", ["", "[]", '{"checks": []}', '{"checks": ["PASS"]}', '{"clean": true}'])
def test_an_audit_that_says_nothing_is_not_clean(tmp_path: Path, text: str) -> None:
    run = write_run(tmp_path, "W48")
    (run / "allocation" / "audit.json").write_text(text)
    sign(run / "allocation")
    with pytest.raises(Refused, match="no checks"):
        publish(run, USUAL)


def test_a_run_without_an_allocation_and_no_run_at_all(tmp_path: Path) -> None:
    (tmp_path / "W48").mkdir()
    with pytest.raises(Refused, match="there is no allocation"):
        publish(tmp_path / "W48", USUAL)
    with pytest.raises(InputError, match="there is no such run"):
        publish(tmp_path / "W49", USUAL)


def test_links_are_not_followed(tmp_path: Path) -> None:
    run = write_run(tmp_path, "W48")
    outside = tmp_path / "outside.parquet"
    (run / "allocation" / "part-0.parquet").rename(outside)
    (run / "allocation" / "part-0.parquet").symlink_to(outside)
    with pytest.raises(Refused, match="links are not followed"):
        publish(run, USUAL)
    (tmp_path / "W49").symlink_to(run)
    with pytest.raises(InputError, match="is a link"):
        publish(tmp_path / "W49", USUAL)


def test_an_allocation_that_stands_alone(tmp_path: Path) -> None:
    """`allocate out=DIR` without a run around it, and the allocation within a run, are both found."""
    write_run(tmp_path / "elsewhere", "W48")
    (tmp_path / "elsewhere" / "W48" / "allocation").rename(tmp_path / "alone")
    assert publish(tmp_path / "alone", USUAL).pointer.allocation == "alone"
    run = write_run(tmp_path, "W49")
    assert publish(run / "allocation", USUAL).pointer.run == "W49"


def test_a_crash_before_the_rename_leaves_the_old_pointer(tmp_path: Path) -> None:
    publish(write_run(tmp_path, "W47"), USUAL)
    run, before = write_run(tmp_path, "W48"), state(tmp_path)
    with pytest.raises(KeyboardInterrupt), disk.watched(Stop("rename")):
        publish(run, USUAL)
    assert state(tmp_path) == before
    assert not list(tmp_path.glob("*.new"))
    assert publish(run, USUAL).pointer.run == "W48"


def test_a_crash_after_the_rename_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pointer counts; the next flip writes the missing line of history, also after one that was cut off."""

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(publishing, "_append", crash)
    with pytest.raises(KeyboardInterrupt):
        publish(write_run(tmp_path, "W47"), USUAL)
    monkeypatch.undo()
    (tmp_path / HISTORY).write_text('{"run": "W4')
    publish(write_run(tmp_path, "W48"), USUAL)
    assert [pointer.run for pointer in published_before(tmp_path)] == ["W47", "W48"]
    assert rollback(tmp_path, "W47").moved


def test_a_crash_after_the_rename_is_made_up_for_by_the_same_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path, "W47")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(publishing, "_append", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        publish(run, USUAL)
    (tmp_path / ".published.json.0123abcd.new").touch()
    assert not publish(run, USUAL).moved
    assert [json.loads(line)["run"] for line in (tmp_path / HISTORY).read_text().splitlines()] == ["W47"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["W47", POINTER, HISTORY]


def test_the_pointer_is_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    kept = os.umask(0o077)
    try:
        publish(write_run(tmp_path, "W47"), USUAL)
    finally:
        os.umask(kept)
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in (POINTER, HISTORY)} == {0o600}


def test_hidden_rows_are_refused_since_readers_that_glob_take_them(tmp_path: Path) -> None:
    first, second = write_run(tmp_path, "W47"), write_run(tmp_path, "W48")
    (first / "allocation" / ".DS_Store").write_text("read by nobody")
    publish(first, USUAL)
    (second / "allocation" / ".extra.parquet").write_bytes(b"more rows")
    with pytest.raises(Refused, match=r"\.extra\.parquet is not in the manifest"):
        publish(second, USUAL)
    (second / "allocation" / ".extra.parquet").unlink()
    publish(second, USUAL)
    (first / "allocation" / ".part.parquet").write_bytes(b"more rows")
    with pytest.raises(Refused, match=r"\.part\.parquet is not in the manifest"):
        rollback(tmp_path, "W47")


def test_what_cannot_be_read_or_written_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path, "W47")
    publish(run, USUAL)
    (tmp_path / HISTORY).write_bytes(b'{"run": "W4\xff"}\n')
    for call in (lambda: publish(run, USUAL), lambda: rollback(tmp_path, "W47")):
        with pytest.raises(InputError, match=r"published_history\.jsonl: is not UTF-8 text from byte 11 on"):
            call()
    (tmp_path / HISTORY).unlink()
    (tmp_path / POINTER).write_text('{"run": 5, "at": "", "previous": null, "allocation": "", "allocation_digest": ""}')
    with pytest.raises(InputError, match=r"published\.json: is no pointer to a run"):
        publish(run, USUAL)

    def read_only(path: Path, *_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(publishing, "lock", read_only)
    with pytest.raises(InputError, match="Read-only file system"):
        publish(run, USUAL)


def test_no_lock_is_left_where_there_is_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write_run(tmp_path, "W47"))
    with pytest.raises(InputError, match="is not the folder of a run"):
        publish(Path("/"), USUAL)
    for name in ("", ".", ".."):
        with pytest.raises(InputError, match="is not the name of a run"):
            rollback(Path(), name)
    with pytest.raises(Refused):
        rollback(tmp_path, "W47")
    assert [path.name for path in tmp_path.iterdir()] == ["W47"]


def test_rollback_refuses_what_was_never_published_or_is_not_what_it_was(tmp_path: Path) -> None:
    old = write_run(tmp_path, "W46")
    publish(write_run(tmp_path, "W47"), USUAL)
    before = state(tmp_path)
    with pytest.raises(Refused, match="never published"):
        rollback(tmp_path, "W46")
    assert state(tmp_path) == before
    publish(old, USUAL)
    (tmp_path / "W47" / "allocation" / "part-0.parquet").write_bytes(b"made anew")
    sign(tmp_path / "W47" / "allocation")
    with pytest.raises(Refused, match="not the one that was published"):
        rollback(tmp_path, "W47")
    with pytest.raises(InputError, match="no such run"):
        rollback(tmp_path, "W12")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "is not valid JSON"),
        (b"\xff", "is not UTF-8"),
        (b"[" * 100_000, "nests deeper"),
        (
            b'{"run": 5, "at": "", "previous": null, "allocation": "a", "allocation_digest": "b"}',
            "is no pointer to a run",
        ),
        (b'{"run": "r"}', "is no pointer to a run"),
    ],
)
def test_a_broken_pointer_is_not_guessed_at(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / POINTER).write_bytes(content)
    with pytest.raises(InputError, match=told):
        publish(write_run(tmp_path, "W48"), USUAL)


def test_lines_of_the_history_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    whole = {"run": "r", "at": "now", "previous": None, "allocation": "r/allocation", "allocation_digest": "d"}
    lines = [b"{", b"[]", b'{"run": 5}', b"[" * 100_000, json.dumps(whole).encode()]
    (tmp_path / HISTORY).write_bytes(b"\n".join(lines))
    assert [pointer.run for pointer in published_before(tmp_path)] == ["r"]


def test_an_allocation_whose_sync_failed_is_made_again_and_never_published(tmp_path: Path) -> None:
    publish(write_run(tmp_path, "W47"), USUAL)
    run, before = write_run(tmp_path, "W48"), state(tmp_path)
    failing = disk.watched(Fail("sync", "W48/allocation/part-0.parquet", errno.EIO))
    with pytest.raises(OSError, match=r"Input/output error: '.*part-0\.parquet'"), failing:
        publish(run, USUAL)
    assert state(tmp_path) == before
    assert not (run / "allocation").exists(), "a second sync would say that all is well"
    with pytest.raises(Refused, match="did not finish"):
        publish(run, USUAL)


def test_an_allocation_that_was_published_stays_where_its_sync_fails(tmp_path: Path) -> None:
    for name in ("W47", "W48"):
        publish(write_run(tmp_path, name), USUAL)
    before = state(tmp_path)
    failing = disk.watched(Fail("sync", "W47/allocation/part-0.parquet", errno.EIO))
    with pytest.raises(OSError, match="Input/output error"), failing:
        rollback(tmp_path, "W47")
    assert state(tmp_path) == before
    assert (tmp_path / "W47" / "allocation" / "part-0.parquet").exists()


def test_a_pointer_whose_name_was_not_synced_is_written_again_by_the_next_call(tmp_path: Path) -> None:
    run = write_run(tmp_path, "W47")
    publish(write_run(tmp_path, "W46"), USUAL)
    acts = Renamed()
    with pytest.raises(OSError, match="Input/output error"), disk.watched(acts):
        publish(run, USUAL)
    assert current(tmp_path).run == "W47"
    acts.failing = False
    with disk.watched(acts):
        assert not publish(run, USUAL).moved
    assert acts.renamed == [POINTER, POINTER], "and synced: nobody can say whether the first name lasted"
    assert [pointer.run for pointer in published_before(tmp_path)] == ["W46", "W47"]


@dataclass
class Renamed:
    """A watcher that knows how often the pointer got its name; the folder's sync after it fails."""

    failing: bool = True
    renamed: list[str] = field(default_factory=list)

    def before(self, act: Act) -> None:
        if act.kind == "sync folder" and self.renamed and self.failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def after(self, act: Act) -> None:
        if act.kind == "rename" and act.path.name == POINTER:
            self.renamed.append(act.path.name)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_is_no_wrong_input(tmp_path: Path, number: int) -> None:
    run = write_run(tmp_path, "W47")
    with pytest.raises(OSError, match=os.strerror(number)), disk.watched(Fail("write", ".new", number)):
        publish(run, USUAL)
    assert current(tmp_path) is None
    assert publish(run, USUAL).moved
