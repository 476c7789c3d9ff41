"""Who may ask: this machine's browser from the page itself, and no other site by whatever name."""

import pytest

from scripts.console.guard import refusal

PORT = 8080
HOST = {"host": "127.0.0.1:8080"}
ORIGIN = {"origin": "http://127.0.0.1:8080"}


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080"])
def test_the_page_answers_to_its_own_names(host: str) -> None:
    assert refusal("GET", {"host": host}, PORT) is None
    assert refusal("POST", {"host": host, "origin": f"http://{host}"}, PORT) is None


@pytest.mark.parametrize(
    "host", [None, "", "evil.example", "evil.example:8080", "127.0.0.1", "127.0.0.1:81", "[::1]:8080", "0.0.0.0:8080"]
)
def test_other_names_are_refused_so_that_rebinding_gains_nothing(host: str | None) -> None:
    assert refusal("GET", {} if host is None else {"host": host}, PORT) is not None


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "https://127.0.0.1:8080", "http://127.0.0.1:81"]
)
def test_what_changes_something_must_come_from_the_page(origin: str | None) -> None:
    assert refusal("POST", HOST if origin is None else {**HOST, "origin": origin}, PORT) is not None


def test_other_sites_may_link_here_but_not_load_or_ask() -> None:
    cross = {**HOST, "sec-fetch-site": "cross-site"}
    assert refusal("GET", {**cross, "sec-fetch-mode": "navigate"}, PORT) is None
    assert refusal("GET", {**cross, "sec-fetch-mode": "no-cors"}, PORT) is not None
    assert refusal("POST", {**cross, **ORIGIN, "sec-fetch-mode": "navigate"}, PORT) is not None


@pytest.mark.parametrize("length", [str(1 << 30), "-1", "many"])
def test_long_requests_are_refused_before_they_are_read(length: str) -> None:
    assert refusal("POST", {**HOST, **ORIGIN, "content-length": length}, PORT) is not None
