"""Publishing on a store: whole before it is named, one winner, completed by the next call, told in words, and never a secret in them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import obstore
import pytest
from obstore.store import MemoryStore

from ranker.files import InputError
from scripts.cli.settings import PublishOptions
from scripts.cli.statuses import DONE, FAILED, REFUSED, WRONG_INPUT, guarded
from scripts.crashes.local_s3 import PASSPHRASE, LocalS3
from scripts.formats.gates import GATES, GatesRecord
from scripts.formats.pointer import OBJECTS, POINTER, Publication, digest_of
from scripts.runs import pointer as local
from scripts.runs.pointer import LostRace, Refused
from scripts.runs.published import chain_of, current
from scripts.stores import objects, publishing
from scripts.stores.chain import read_chain, read_head
from scripts.stores.objects import ObjectStore, Request, StoreFailed
from scripts.stores.publishing import publish_on, rollback_on
from scripts.stores.reader import fetch_published, published
from scripts.stores.uploaded import list_of, verify
from tests.scripts.runs.test_pointer import NOW, sign, write_run

ADA = PublishOptions(by="Ada")
Machine = Callable[[str], Path]


class StopAt:
    """Raises KeyboardInterrupt before, or after, the first request of this kind whose key has this in it."""

    def __init__(self, kind: str, part: str, late: bool):
        self.kind, self.part, self.late = kind, part, late

    def before(self, request: Request) -> None:
        self._stop(request, late=False)

    def after(self, request: Request) -> None:
        self._stop(request, late=True)

    def _stop(self, request: Request, late: bool) -> None:
        if self.late == late and request.kind == self.kind and self.part in request.key:
            raise KeyboardInterrupt


class Meanwhile:
    """Publishes another run right before the pointer is put."""

    def __init__(self, does: Callable[[], object]):
        self.does: Callable[[], object] | None = does

    def before(self, request: Request) -> None:
        if request == Request("swap", POINTER) and self.does is not None:
            does, self.does = self.does, None
            does()

    def after(self, request: Request) -> None:
        pass


def test_a_published_run_is_read_whole_by_anyone(on_s3: ObjectStore, machine: Machine, tmp_path: Path) -> None:
    run = write_run(machine("a"), "W47")
    flip = publish_on(on_s3, run, ADA, NOW)
    assert flip.moved and published(on_s3) == flip.pointer
    fetched = fetch_published(on_s3, tmp_path / "current")
    assert (fetched.run, fetched.by, fetched.number, fetched.previous) == ("W47", "Ada", 1, None)
    names = {
        path.relative_to(tmp_path / "current").as_posix()
        for path in (tmp_path / "current").rglob("*")
        if path.is_file()
    }
    assert names == {GATES, *(f"allocation/{path.name}" for path in (run / "allocation").iterdir())}
    for name in names:
        assert (tmp_path / "current" / name).read_bytes() == (run / name).read_bytes()
    assert current(run.parent).run == "W47"
    with pytest.raises(InputError, match="is there already"):
        fetch_published(on_s3, tmp_path / "current")


def test_a_reader_needs_three_steps_in_any_language(on_s3: ObjectStore, machine: Machine) -> None:
    publish_on(on_s3, write_run(machine("a"), "W47"), ADA)
    pointer = json.loads(on_s3.read(POINTER).content)
    listed = on_s3.read(pointer["objects"]).content
    assert digest_of(listed) == pointer["objects_digest"]
    prefix = pointer["objects"].removesuffix(OBJECTS)
    for name, held in json.loads(listed)["objects"].items():
        content = on_s3.read(f"{prefix}{name}").content
        assert (digest_of(content), len(content)) == (held["sha256"], held["bytes"])
    assert pointer["allocation"] == f"{prefix}allocation"


def test_the_pointer_is_the_last_entry_and_every_entry_names_the_one_before(
    in_memory: ObjectStore, machine: Machine
) -> None:
    runs = machine("a")
    for name in ("W47", "W48"):
        publish_on(in_memory, write_run(runs, name), ADA)
    rollback_on(in_memory, runs, "W47", ADA.model_copy(update={"reason": "complaints"}))
    chain = read_chain(in_memory)
    assert [(each.pointer.run, each.pointer.action, each.pointer.number) for each in chain.entries] == [
        ("W47", "publish", 1), ("W48", "publish", 2), ("W47", "rollback", 3),
    ]  # fmt: skip
    assert [each.pointer.before for each in chain.entries[1:]] == [each.digest for each in chain.entries[:-1]]
    assert in_memory.read(POINTER).content == in_memory.read(chain.entries[-1].place).content
    assert chain.broken == chain.aside == () and published(in_memory).reason == "complaints"
    assert current(runs).run == "W47" and chain_of(runs).broken == ()


def test_the_same_run_again_changes_nothing(in_memory: ObjectStore, machine: Machine) -> None:
    run = write_run(machine("a"), "W47")
    publish_on(in_memory, run, ADA)
    before = in_memory.sizes(""), in_memory.read(POINTER)
    assert not publish_on(in_memory, run, ADA).moved
    assert (in_memory.sizes(""), in_memory.read(POINTER)) == before
    (run / "allocation" / "prices.json").write_text("[]")
    with pytest.raises(Refused, match=r"prices\.json was changed"):
        publish_on(in_memory, run, ADA)


def test_gates_compare_with_what_the_store_has_wherever_that_was_made(in_memory: ObjectStore, machine: Machine) -> None:
    """Another machine downloads last week's run to compare with it; one that has it takes its own."""
    here, there = machine("a"), machine("b")
    publish_on(in_memory, write_run(here, "W47"), ADA)
    asked: list[Request] = []
    seen = Meanwhile(lambda: None)
    seen.before = asked.append  # type: ignore[method-assign]
    for runs, name, fetches in ((here, "W48", False), (there, "W49", True)):
        asked.clear()
        with objects.watched(seen):
            publish_on(in_memory, write_run(runs, name), ADA)
        last = {"W48": "W47", "W49": "W48"}[name]
        assert GatesRecord.from_file(runs / name / GATES).week == last
        assert any(request.kind == "pieces" and f"/{last}-" in request.key for request in asked) == fetches
    write_run(there, "W48", gap=0.00009)  # of the same name, and not what was published
    publish_on(in_memory, write_run(here, "W50"), ADA)
    rollback_on(in_memory, there, "W48", ADA)
    assert current(there).run == "W49", "its own folder does not hold W48 as it was published"


def test_an_empty_store_is_no_way_past_the_gates(
    in_memory: ObjectStore, machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistyped prefix, or the first week on a store: what the folder of runs has published is last week."""
    runs = machine("a")
    local.publish(write_run(runs, "W47"), ADA)
    publish_on(in_memory, write_run(runs, "W48"), ADA)
    assert GatesRecord.from_file(runs / "W48" / GATES).week == "W47"
    moved = ObjectStore(in_memory.address, MemoryStore())
    monkeypatch.setattr(publishing, "store_of", lambda options: moved)
    publishing.check_store(ADA, runs)
    assert f"Nothing is published on {moved.address} yet; gates compare with W48 of {runs}" in caplog.text
    assert publish_on(moved, runs / "W48", ADA).moved, "what is published here may be published there"


def test_what_a_gate_refuses_leaves_no_object(in_memory: ObjectStore, machine: Machine) -> None:
    with pytest.raises(Refused, match="gap"):
        publish_on(in_memory, write_run(machine("a"), "W47", gap=0.5), ADA)
    assert in_memory.sizes("") == {}


def test_who_comes_second_is_told_who_was_first(in_memory: ObjectStore, machine: Machine) -> None:
    here, there = machine("a"), machine("b")
    publish_on(in_memory, write_run(here, "W47"), ADA)
    first, second = write_run(here, "W48"), write_run(there, "W49")
    kim = PublishOptions(by="Kim")
    with objects.watched(Meanwhile(lambda: publish_on(in_memory, first, kim, NOW))), pytest.raises(LostRace) as lost:
        publish_on(in_memory, second, ADA)
    assert str(lost.value) == (
        "W49 is not published:\n  - another publisher was first: W48 was published at 2026-11-23T06:00:00+00:00 by Kim"
    )
    assert guarded("publish", lambda: (_ for _ in ()).throw(lost.value)) == REFUSED
    assert published(in_memory).run == "W48" and current(there) is None
    chain = read_chain(in_memory)
    assert chain.broken == () and len(chain.aside) == 1
    assert publish_on(in_memory, second, ADA).moved, "a second call compares with the winner"
    assert [each.pointer.run for each in read_chain(in_memory).entries] == ["W47", "W48", "W49"]


@pytest.mark.parametrize(
    ("kind", "part", "late", "seen"),
    [
        ("create", "allocation/certificate", False, "W47"),
        ("create", OBJECTS, True, "W47"),
        ("create", "published/", True, "W47"),
        ("swap", "published/", True, "W47"),
        ("swap", POINTER, False, "W47"),
        ("swap", POINTER, True, "W48"),
    ],
)
def test_a_publisher_that_dies_leaves_the_old_or_the_new_and_the_next_call_ends(
    in_memory: ObjectStore, machine: Machine, kind: str, part: str, late: bool, seen: str
) -> None:
    """Everywhere: `test_requests_stopped`."""
    runs = machine("a")
    publish_on(in_memory, write_run(runs, "W47"), ADA)
    run = write_run(runs, "W48")
    with objects.watched(StopAt(kind, part, late)), pytest.raises(KeyboardInterrupt):
        publish_on(in_memory, run, ADA)
    there = published(in_memory)
    assert there.run == seen and current(runs).run == "W47"
    verify(in_memory, there.objects.rpartition("/")[0], list_of(in_memory, there))
    publish_on(in_memory, run, ADA)
    assert published(in_memory).run == current(runs).run == "W48"
    assert read_chain(in_memory).broken == chain_of(runs).broken == ()


def test_a_week_that_begins_brings_its_folder_up_to_the_store(
    on_s3: ObjectStore, machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    runs, options = machine("a"), PublishOptions(by="Ada", store=str(on_s3.address))
    publishing.check_store(options, runs)
    publish_on(on_s3, write_run(runs, "W47"), ADA)
    with objects.watched(StopAt("swap", POINTER, late=True)), pytest.raises(KeyboardInterrupt):
        publish_on(on_s3, write_run(runs, "W48"), ADA)
    publishing.check_store(options, runs)
    assert current(runs).run == "W48"
    assert not publishing.publish(runs / "W48", options).moved
    publish_on(on_s3, write_run(machine("b"), "W49"), ADA)
    publishing.check_store(options, runs)
    assert f"{on_s3.address} has W49 published, and this folder of runs W48" in caplog.text


def test_an_answer_that_got_lost_is_no_lost_race(on_s3: ObjectStore, machine: Machine, server: LocalS3) -> None:
    """The server did it and answered with an error; the second try is told that the object is there already."""
    runs = machine("a")
    publish_on(on_s3, write_run(runs, "W47"), ADA)
    publish_on(on_s3, write_run(runs, "W48"), ADA)
    server.lost = [".json", POINTER]  # of the entry, then of the pointer
    assert rollback_on(on_s3, runs, "W47", ADA).moved
    assert server.lost == [] and published(on_s3).run == "W47" and read_chain(on_s3).broken == ()


def change(store: ObjectStore, key: str, old: bytes, new: bytes) -> None:
    content = store.read(key).content
    assert old in content
    obstore.put(store._small, key, content.replace(old, new))


@pytest.mark.parametrize(
    ("done", "told"),
    [
        (lambda store, keys: change(store, keys[1], b"Ada", b"Kim"), "entry 2 was changed after published/00000003-"),
        (lambda store, keys: obstore.delete(store._small, keys[0]), "entry 1 is missing; published/00000002-"),
        (lambda store, keys: obstore.delete(store._small, keys[2]), "published.json: is not the last entry"),
        (lambda store, keys: change(store, POINTER, b"Ada", b"Kim"), "published.json: is not the last entry"),
        (
            lambda store, keys: obstore.put(store._small, POINTER, store.read(keys[0]).content),
            "published.json: is entry 1, and published/00000003-",
        ),
    ],
)
def test_whatever_is_done_to_the_entries_is_told(
    in_memory: ObjectStore, machine: Machine, done: Callable, told: str
) -> None:
    runs = machine("a")
    for name in ("W46", "W47", "W48"):
        publish_on(in_memory, write_run(runs, name), ADA)
    done(in_memory, [each.place for each in read_chain(in_memory).entries])
    assert any(told in fault for fault in read_chain(in_memory).broken), read_chain(in_memory).broken


def test_rollback_refuses_what_was_never_published_or_is_not_what_it_was(
    in_memory: ObjectStore, machine: Machine
) -> None:
    runs = machine("a")
    with pytest.raises(Refused, match="never published on s3://memory"):
        rollback_on(in_memory, runs, "W46", ADA)
    for name in ("W47", "W48"):
        publish_on(in_memory, write_run(runs, name), ADA)
    assert not rollback_on(in_memory, runs, "W48", ADA).moved
    (key,) = (key for key in in_memory.sizes("runs") if "W47-" in key and key.endswith(".parquet"))
    change(in_memory, key, b"rows", b"wros")
    with pytest.raises(InputError, match=r"part-0\.parquet: is missing, or not what was written there"):
        rollback_on(in_memory, runs, "W47", ADA)
    assert published(in_memory).run == current(runs).run == "W48"


def test_a_store_that_does_not_keep_conditions_is_refused_before_the_pointer(
    in_memory: ObjectStore, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = obstore.put
    monkeypatch.setattr(obstore, "put", lambda store, key, content, mode=None: real(store, key, content))
    with pytest.raises(InputError, match="does not keep the conditions of a put"):
        publish_on(in_memory, write_run(machine("a"), "W47"), ADA)
    assert POINTER not in in_memory.sizes("")


def test_an_object_that_is_not_what_was_uploaded_is_found_by_reading_it_back(
    in_memory: ObjectStore, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = obstore.put

    def torn(store: object, key: str, content: bytes, mode: object = None) -> object:
        return real(store, key, content[:-1] if key.endswith(".parquet") else content, mode=mode)

    monkeypatch.setattr(obstore, "put", torn)
    with pytest.raises(InputError, match=r"part-0\.parquet: is missing, or not what was written there"):
        publish_on(in_memory, write_run(machine("a"), "W47"), ADA)
    assert POINTER not in in_memory.sizes("") and not any(key.endswith(OBJECTS) for key in in_memory.sizes(""))


@pytest.mark.parametrize(
    ("answers", "status", "told"),
    [
        ([403], WRONG_INPUT, "published.json: may not be read: no permission (status 403)"),
        ([503, 503], FAILED, "published.json: could not be read: it answered with status 503, 1 retries included"),
    ],
)
def test_what_a_store_refuses_is_one_sentence_and_a_status(
    on_s3: ObjectStore,
    machine: Machine,
    server: LocalS3,
    capsys: pytest.CaptureFixture[str],
    answers: list[int],
    status: int,
    told: str,
) -> None:
    run = write_run(machine("a"), "W47")
    server.answers += answers
    assert guarded("publish", lambda: publish_on(on_s3, run, ADA) and DONE) == status
    printed = capsys.readouterr().err
    assert told in printed and len(printed.splitlines()) <= 2
    assert PASSPHRASE not in printed and "127.0.0.1" not in printed
    assert publish_on(on_s3, run, ADA).moved


def test_a_bucket_or_a_server_that_is_not_there_is_told(
    on_s3: ObjectStore, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(machine("a"), "W47")
    with pytest.raises(InputError, match=r"s3://elsewhere/offers/published\.json: there is no such bucket"):
        publish_on(replace(on_s3, address=replace(on_s3.address, bucket="elsewhere", prefix="offers")), run, ADA)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreFailed, match="it did not answer in time, or could not be reached"):
        publish_on(ObjectStore(on_s3.address, retries=0), run, ADA)
    for variable in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(variable, "http://store.example:9000")
        with pytest.raises(InputError, match=f"{variable}: is plain http to another machine"):
            publish_on(ObjectStore(on_s3.address), run, ADA)


def test_names_that_are_no_names_of_objects_are_all_told(in_memory: ObjectStore, machine: Machine) -> None:
    run = write_run(machine("a"), "the week")
    (run / "allocation" / "part 1.parquet").write_bytes(b"rows")
    sign(run / "allocation")
    with pytest.raises(InputError) as wrong:
        publish_on(in_memory, run, ADA)
    assert [problem.partition(":")[0] for problem in wrong.value.problems] == ["the week", "allocation/part 1.parquet"]


def test_a_broken_pointer_is_not_guessed_at(in_memory: ObjectStore, machine: Machine) -> None:
    obstore.put(in_memory._small, POINTER, b'{"run": "W47"}')
    with pytest.raises(InputError, match=r"published\.json: is no entry of publications"):
        publish_on(in_memory, write_run(machine("a"), "W47"), ADA)
    assert in_memory.read(POINTER).content == b'{"run": "W47"}'


def test_no_secret_stands_in_what_is_written(on_s3: ObjectStore, machine: Machine) -> None:
    runs = machine("a")
    publish_on(on_s3, write_run(runs, "W47"), ADA)
    written = [on_s3.read(key).content for key in on_s3.sizes("")] + [
        path.read_bytes() for path in runs.rglob("*") if path.is_file()
    ]
    assert len(written) > 10 and not any(PASSPHRASE.encode() in each for each in written)


def test_a_first_publication_that_another_one_made_meanwhile_is_not_written_over(
    in_memory: ObjectStore, machine: Machine
) -> None:
    first, second = write_run(machine("a"), "W47"), write_run(machine("b"), "W48")
    with objects.watched(Meanwhile(lambda: publish_on(in_memory, first, ADA))), pytest.raises(LostRace, match="W47"):
        publish_on(in_memory, second, ADA)
    head = read_head(in_memory).publication
    assert isinstance(head, Publication) and (head.run, head.number) == ("W47", 1)
