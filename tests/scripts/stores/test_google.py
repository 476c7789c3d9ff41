"""Publishing with the conditions of Google Cloud Storage, which go by generations instead of ETags."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ranker.files import InputError
from scripts.cli.store_address import Address
from scripts.crashes.local_s3 import BUCKET, App, LocalS3, local_s3
from scripts.runs.pointer import LostRace
from scripts.stores import objects
from scripts.stores.chain import read_chain
from scripts.stores.objects import ObjectStore
from scripts.stores.publishing import publish_on, rollback_on
from scripts.stores.reader import fetch_published
from tests.scripts.runs.test_pointer import write_run
from tests.scripts.stores.test_publishing import ADA, Meanwhile


def by_generation(app: App, asked: list[str]) -> App:
    """The local server's application with a generation per object, in the headers in which Google's XML interface has it."""
    generations: dict[str, int] = {}

    def serve(environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path, wanted = environment["PATH_INFO"], environment.pop("HTTP_X_GOOG_IF_GENERATION_MATCH", None)
        if environment["REQUEST_METHOD"] == "PUT" and wanted is not None:
            asked.append(wanted)
            if int(wanted) != generations.get(path, 0):
                start("412 Precondition Failed", [("Content-Length", "0")])
                return [b""]
        told: list[Any] = []
        body = list(app(environment, lambda status, headers, *_: told.extend([status, headers])))
        if environment["REQUEST_METHOD"] == "PUT" and told[0].startswith("200"):
            generations[path] = 1_000_000 + len(generations) + sum(generations.values())
        start(told[0], [*told[1], ("x-goog-generation", str(generations.get(path, 0)))])
        return body

    return serve


@pytest.fixture
def asked() -> list[str]:
    """Generations that puts asked for; 0 is none."""
    return []


@pytest.fixture
def on_google(monkeypatch: pytest.MonkeyPatch, asked: list[str]) -> Iterator[ObjectStore]:
    through = LocalS3.through
    monkeypatch.setattr(LocalS3, "through", lambda server, app: through(server, by_generation(app, asked)))
    with local_s3() as server:
        monkeypatch.setenv("GOOGLE_BASE_URL", f"http://127.0.0.1:{server.port}")
        monkeypatch.setenv("GOOGLE_BEARER_TOKEN", "local")
        yield ObjectStore(Address("gs", BUCKET, "offers"), retries=0)


def test_a_pointer_is_swapped_by_its_generation(
    on_google: ObjectStore, asked: list[str], machine: Callable[[str], Path], tmp_path: Path
) -> None:
    here, there = machine("a"), machine("b")
    publish_on(on_google, write_run(here, "W47"), ADA)
    publish_on(on_google, write_run(here, "W48"), ADA)
    assert rollback_on(on_google, here, "W47", ADA).moved
    first, second = write_run(here, "W49"), write_run(there, "W50")
    with objects.watched(Meanwhile(lambda: publish_on(on_google, first, ADA))), pytest.raises(LostRace, match="W49"):
        publish_on(on_google, second, ADA)
    chain = read_chain(on_google)
    assert [each.pointer.run for each in chain.entries] == ["W47", "W48", "W47", "W49"] and chain.broken == ()
    assert len({each for each in asked if int(each) >= 1_000_000}) == 3, (
        "of three of the four heads, each once or twice"
    )
    assert fetch_published(on_google, tmp_path / "current").run == "W49"


def test_an_endpoint_of_google_is_https_or_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_BASE_URL", "http://store.example")
    with pytest.raises(InputError, match="GOOGLE_BASE_URL: is plain http to another machine"):
        ObjectStore(Address("gs", BUCKET, "offers")).read("published.json")
