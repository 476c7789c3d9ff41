"""A stage's folder is whole or absent, is replaced only by its own stage, and knows whether it still holds."""

import errno
import json
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from ranker import disk
from ranker.scores import InputError
from scripts.formats.manifest import MANIFEST, read_manifest
from scripts.formats.pointer import POINTER
from scripts.runs import digests, stage
from scripts.runs.locks import lock
from tests.scripts.stops import Fail, Stop


def make(out: Path, text: str = "1", **what: object) -> None:
    with stage.write(out, **{"stage": "train", **what}) as made:
        (made / "part.txt").write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "rows").write_text("rows")
    return folder


def test_a_finished_stage_has_a_manifest_of_everything_it_is_made_of(tmp_path: Path, source: Path) -> None:
    make(tmp_path / "out", inputs=[source], config={"seed": 3})
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["stage"] == "train"
    assert manifest["inputs"] == {"source": digests.digest(source)}
    assert manifest["outputs"] == {"part.txt": {"sha256": digests.digest(tmp_path / "out" / "part.txt"), "bytes": 1}}
    assert manifest["config"] == {"seed": 3}
    assert manifest["code_version"].endswith(digests.sources_digest()[:12])
    assert names(tmp_path) == ["out", "source"]


def test_a_failing_stage_leaves_what_was_there_before(tmp_path: Path) -> None:
    make(tmp_path / "out", "before")
    with pytest.raises(ZeroDivisionError), stage.write(tmp_path / "out", stage="train") as made:
        (made / "part.txt").write_text("half")
        raise ZeroDivisionError
    assert (tmp_path / "out" / "part.txt").read_text() == "before"
    assert names(tmp_path) == ["out"]


def test_a_stage_replaces_its_own_output(tmp_path: Path) -> None:
    make(tmp_path / "out", "old")
    make(tmp_path / "out", "new")
    assert (tmp_path / "out" / "part.txt").read_text() == "new"
    assert names(tmp_path) == ["out"]


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    make(tmp_path / "out")
    assert names(tmp_path / "out") == ["manifest.json", "part.txt"]


def test_other_peoples_files_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds files that no run of this wrote"):
        make(tmp_path / "out")
    (tmp_path / "file").write_text("a file")
    with pytest.raises(InputError, match="is a file"):
        make(tmp_path / "file")
    make(tmp_path / "scores", stage="score")
    with pytest.raises(InputError, match="is the output of 'score'"):
        make(tmp_path / "scores")
    make(tmp_path / "scores", replaces=["score"])
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"


def test_a_run_that_was_published_is_never_written_into(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "week"
    for name, made_by in (("allocation", "allocate"), ("scores", "score"), ("report", "report")):
        make(run / name, stage=made_by)
    pointer = {"run": "week", "at": "", "previous": None, "allocation": "week/allocation", "allocation_digest": ""}
    (tmp_path / "runs" / "published.json").write_text(json.dumps(pointer))
    (tmp_path / "runs" / "latest").symlink_to("week")
    (tmp_path / "alias").symlink_to(run / "allocation")
    for out, by in (
        (run / "allocation", "allocate"),
        (run / "scores", "score"),
        (run / "report", "report"),
        (run / "other", "train"),
        (run / "a" / "b" / "c", "train"),
        (run / "scores" / "readout", "readout"),
        (tmp_path / "runs" / "latest" / "allocation", "allocate"),
        (tmp_path / "alias", "allocate"),
    ):
        with pytest.raises(InputError, match="was published and is not changed"):
            make(out, "2", stage=by)
    with pytest.raises(InputError, match="was published and is not changed"):
        stage.write_alone(run / "allocation", "diagnosis.json", "{}", replaces=["allocate"])
    assert names(run) == ["allocation", "report", "scores"]
    assert {(run / name / "part.txt").read_text() for name in names(run)} == {"1"}
    make(run / "readout", stage="readout")
    make(run / "readout", "2", stage="readout")
    make(tmp_path / "runs" / "next" / "scores", stage="score")


def test_what_is_published_while_its_successor_is_made_stays(tmp_path: Path) -> None:
    out = tmp_path / "week" / "allocation"
    make(out, stage="allocate")
    pointer = {"run": "week", "at": "", "previous": None, "allocation": "week/allocation", "allocation_digest": ""}
    with pytest.raises(InputError, match="was published"), stage.write(out, stage="allocate"):
        (tmp_path / "published.json").write_text(json.dumps(pointer))
    assert names(tmp_path / "week") == ["allocation"]
    assert (out / "part.txt").read_text() == "1"


def test_an_alias_is_written_through(tmp_path: Path) -> None:
    make(tmp_path / "out", "1")
    (tmp_path / "alias").symlink_to("out")
    make(tmp_path / "alias", "2")
    assert (tmp_path / "alias").is_symlink()
    assert (tmp_path / "out" / "part.txt").read_text() == "2"


def test_what_is_left_of_a_stage_that_must_not_write_stands_alone(tmp_path: Path) -> None:
    make(tmp_path / "out")
    for text in ("first", "second"):
        stage.write_alone(tmp_path / "out", "diagnosis.json", text, replaces=["train"])
        assert names(tmp_path / "out") == ["diagnosis.json"]
        assert (tmp_path / "out" / "diagnosis.json").read_text() == text
    make(tmp_path / "out", leftover="diagnosis.json")
    assert names(tmp_path / "out") == ["manifest.json", "part.txt"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds files that no run of this wrote"):
        stage.write_alone(tmp_path / "other", "diagnosis.json", "x", replaces=["train"])


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: there is no such file or folder"):
        make(tmp_path / "out", inputs=[tmp_path / "nowhere"])
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        make(tmp_path / "file" / "below" / "out")


def test_what_a_dead_run_left_is_cleaned_and_its_last_whole_output_comes_back(tmp_path: Path) -> None:
    make(tmp_path / "out", "whole")
    (tmp_path / "out").rename(tmp_path / ".out.0123abcd.old")  # died between the two renames
    (tmp_path / ".out.89abcdef.new").mkdir()
    with pytest.raises(ZeroDivisionError), stage.write(tmp_path / "out", stage="train"):
        assert (tmp_path / "out" / "part.txt").read_text() == "whole"
        raise ZeroDivisionError
    assert names(tmp_path) == ["out"]


def test_a_run_stopped_between_the_two_renames_puts_back_what_was_there(tmp_path: Path) -> None:
    make(tmp_path / "out", "whole")
    with pytest.raises(KeyboardInterrupt), disk.watched(Stop("rename", 2)):
        make(tmp_path / "out", "new")
    assert (tmp_path / "out" / "part.txt").read_text() == "whole"
    assert names(tmp_path) == ["out"]


def test_a_sweep_leaves_alone_what_somebody_is_at(tmp_path: Path) -> None:
    for name in (".dead.0123abcd.new", "whole", ".out.backup.new"):
        (tmp_path / name).mkdir()
    (tmp_path / ".whole.lock").touch()
    with stage.write(tmp_path / "out", stage="train") as made:
        stage.sweep(tmp_path)
        assert names(tmp_path) == sorted([".out.backup.new", ".out.lock", made.name, "whole"])


def test_folders_that_only_look_alike_are_kept(tmp_path: Path) -> None:
    for name in (".out.backup.new", ".outer.0123abcd.new", "out.0123abcd.new"):
        (tmp_path / name).mkdir()
    make(tmp_path / "out")
    assert names(tmp_path) == [".out.backup.new", ".outer.0123abcd.new", "out", "out.0123abcd.new"]


def test_a_second_run_in_the_same_folder_is_told_so(tmp_path: Path) -> None:
    with stage.write(tmp_path / "out", stage="train"), pytest.raises(InputError, match="another run is writing it now"):
        make(tmp_path / "out")


def _die_holding(out: Path) -> None:
    with stage.write(out, stage="train") as made:
        (made / "half").write_text("x")
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_killed_run_holds_no_lock(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_die_holding, args=(tmp_path / "out",))
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    make(tmp_path / "out")
    assert names(tmp_path) == ["out"]


def test_a_stage_is_current_until_something_it_depends_on_changes(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, config = tmp_path / "out", {"seed": 3, "rate": 0.5}

    def because(**changed: object) -> str | None:
        return stage.stale_because(out, **{"stage": "train", "inputs": [source], "config": config, **changed})

    assert because() == "it has not run yet"
    make(out, inputs=[source], config=config)
    assert because() is None
    assert because(config={"rate": 0.5, "seed": 3}) is None
    assert because(config={"seed": 4}) == "its settings changed"
    assert because(stage="score") == "it has not run yet"
    assert because(inputs=[source, tmp_path / "nowhere"]) == "its input changed"
    (source / "rows").write_text("other rows")
    assert because() == "its input changed"
    (source / "rows").write_text("rows")
    (out / "part.txt").write_text("by hand")
    assert because() == "its output was changed by hand"
    make(out, inputs=[source], config=config)
    monkeypatch.setattr(stage, "sources_digest", lambda stage: "another program")
    assert because() == "the program changed"


def test_what_ranks_does_not_depend_on_what_allocates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for path in ("ranker/fit.py", "allocator/solve.py", "scripts/train.py", "scripts/allocate.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("old")
    monkeypatch.setattr(digests, "ROOT", tmp_path)
    digest_of = digests.sources_digest.__wrapped__
    before = {name: digest_of(name) for name in ("train", "score", "allocate")}
    (tmp_path / "allocator/solve.py").write_text("new")
    assert [name for name, held in before.items() if digest_of(name) != held] == ["allocate"]
    (tmp_path / "scripts/train.py").write_text("new")
    assert [name for name, held in before.items() if digest_of(name) != held] == ["train", "allocate"]


def test_resuming_skips_what_is_current_and_runs_what_is_not(tmp_path: Path, source: Path) -> None:
    make(tmp_path / "out", inputs=[source])
    with stage.resuming():
        with pytest.raises(stage.StillCurrent):
            make(tmp_path / "out", "again", inputs=[source])
        (source / "rows").write_text("other rows")
        make(tmp_path / "out", "again", inputs=[source])
    assert (tmp_path / "out" / "part.txt").read_text() == "again"


def test_a_runs_folder_can_be_moved(tmp_path: Path) -> None:
    run = tmp_path / "run"
    make(run / "logs")
    make(run / "model", inputs=[run / "logs"])
    moved = run.rename(tmp_path / "moved")
    assert stage.is_current(moved / "model", "train", [moved / "logs"], {})


def test_a_digest_covers_what_a_reader_reads(tmp_path: Path, source: Path) -> None:
    """Through links, and hidden Parquet files, which readers that glob take; not other hidden files."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "linked").symlink_to(source)
    (source / "round").symlink_to(tmp_path / "in")
    (source / ".part.parquet").touch()
    (source / ".notes").touch()
    (source / ".hidden").mkdir()
    (source / ".hidden" / "part.parquet").touch()
    assert list(digests.output_digests(tmp_path / "in")) == ["linked/.part.parquet", "linked/rows"]
    before = digests.digest(tmp_path / "in")
    (source / "rows").write_text("fewer")
    assert digests.digest(tmp_path / "in") != before


def test_an_input_that_changes_while_it_is_read_is_refused(tmp_path: Path, source: Path) -> None:
    make(tmp_path / "out", "whole", inputs=[source])
    with (
        pytest.raises(InputError, match="source: changed while it was read"),
        stage.write(tmp_path / "out", stage="train", inputs=[source]) as made,
    ):
        (made / "part.txt").write_text("of two inputs")
        (source / "rows").write_text("half")
    assert (tmp_path / "out" / "part.txt").read_text() == "whole"
    with stage.write(tmp_path / "out", stage="train", inputs=[source]):
        (source / "rows").touch()


def test_an_input_may_lie_elsewhere_and_be_called_otherwise(tmp_path: Path, source: Path) -> None:
    make(tmp_path / "out", inputs=[source, source / "rows"])
    moved = source.rename(tmp_path / "moved")
    assert stage.is_current(tmp_path / "out", "train", [moved, moved / "rows"], {})
    assert not stage.is_current(tmp_path / "out", "train", [moved / "rows", moved], {})


def test_the_digest_of_a_folder_is_of_names_and_contents(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make(tmp_path / name)
    assert digests.digest(tmp_path / "a") == digests.digest(tmp_path / "b")
    (tmp_path / "b" / "part.txt").rename(tmp_path / "b" / "piece.txt")
    assert digests.digest(tmp_path / "a") != digests.digest(tmp_path / "b")


@pytest.mark.parametrize("before", [None, "before"])
def test_a_folder_whose_name_could_not_be_synced_is_not_taken_for_kept(tmp_path: Path, before: str | None) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    if before is not None:
        make(runs / "out", before)
    failing = disk.watched(Fail("sync folder", "/runs", errno.EIO))
    with pytest.raises(OSError, match=r"Input/output error: '.*runs'"), failing:
        make(runs / "out", "after")
    assert names(runs) == ([] if before is None else ["out"])
    assert before is None or (runs / "out" / "part.txt").read_text() == before


def test_a_full_disk_is_no_wrong_input(tmp_path: Path) -> None:
    full = disk.watched(Fail("make folder", "/new", errno.ENOSPC))
    with pytest.raises(OSError, match=r"No space left on device: '.*new'"), full:
        stage.make_folder(tmp_path / "new")


@pytest.mark.parametrize("key", ["config", "code_version", "seconds", "inputs"])
def test_a_manifest_that_says_what_was_not_written_is_none(tmp_path: Path, source: Path, key: str) -> None:
    make(tmp_path / "out", inputs=[source], config={"seed": 3, "gap": 1e-05, "none": float("inf")})
    path = tmp_path / "out" / MANIFEST
    assert read_manifest(tmp_path / "out") is not None
    said = json.loads(path.read_text())
    said[key] = {"config": {"seed": 4}, "code_version": "v0", "seconds": 3.5, "inputs": {"source": "x"}}[key]
    path.write_text(json.dumps(said))
    assert read_manifest(tmp_path / "out") is None
    assert not stage.is_current(tmp_path / "out", "train", [source], {"seed": 3})


def test_an_input_that_is_changed_in_place_with_its_old_time_is_noticed(tmp_path: Path, source: Path) -> None:
    seen = digests.look_at([source])
    held = (source / "rows").stat()
    with (source / "rows").open("r+") as file:
        file.write("ROWS")
    os.utime(source / "rows", ns=(held.st_atime_ns, held.st_mtime_ns))
    assert seen.changed() == [source]


def test_a_sweep_leaves_the_pointers_lock_to_who_flips_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (POINTER, f".{POINTER}.lock", "W48", ".W48.lock"):
        (tmp_path / name).touch()
    held = []
    monkeypatch.setattr(stage, "lock", lambda path, wait: held.append(path.name) or lock(path, wait))
    stage.sweep(tmp_path)
    assert held == [".W48.lock"]


def test_who_only_sweeps_does_not_keep_others_from_writing(tmp_path: Path) -> None:
    began = threading.Event()

    def sweep() -> None:
        with stage.locked(tmp_path / "out"):
            began.set()
            time.sleep(0.05)

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    began.wait()
    make(tmp_path / "out")
    sweeper.join()
    assert (tmp_path / "out" / "part.txt").exists()
