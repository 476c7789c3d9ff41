"""Publications under a reader, two publishers at once and one that is stopped: real processes, a disk and a local S3 server."""

from pathlib import Path

import pytest
from obstore.store import MemoryStore

from scripts.cli.store_address import Address
from scripts.crashes import requests_stopped
from scripts.crashes.flips import flips_under_a_reader
from scripts.crashes.races import races
from scripts.crashes.requests_stopped import OLD, stopped_at_every_request, stops_on
from scripts.crashes.tiny_runs import BACKENDS, Backend, Place, tiny_run
from scripts.stores import publishing
from scripts.stores.objects import ObjectStore


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("backend", BACKENDS)
def test_of_a_thousand_flips_a_reader_sees_none_in_part(tmp_path: Path, backend: Backend) -> None:
    found = flips_under_a_reader(backend, 1000, tmp_path)
    assert found.faults == () and found.reads > found.versions > 100, found


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("backend", BACKENDS)
def test_of_two_publishers_exactly_one_wins_in_a_hundred_races(tmp_path: Path, backend: Backend) -> None:
    found = races(backend, 100, tmp_path)
    assert found.faults == () and found.one_won == 100, found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_publisher_stopped_at_every_request_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    found = stopped_at_every_request(tmp_path)
    assert found.faults == () and found.points > 40 and min(found.old, found.new) > 0, found


def test_a_pointer_to_objects_that_are_not_there_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = publishing.upload
    monkeypatch.setattr(
        publishing, "upload", lambda store, wanted: upload(store, wanted) if wanted.listed.run == OLD else None
    )
    monkeypatch.setattr(requests_stopped, "MOST", 2)
    found = stops_on(lambda point: ObjectStore(Address("s3", "memory", ""), MemoryStore()), tmp_path)
    assert len(found.faults) == 2 and "the next call ends with nothing whole" in found.faults[0]


def test_a_reader_says_what_is_not_whole(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.publish(tiny_run(tmp_path, "W1").name)
    assert place.read().run == "W1"
    (tmp_path / "W1" / "allocation" / "part-0.parquet").write_bytes(b"half")
    with pytest.raises(Exception, match="W1: is not what was published"):
        place.read()
