"""Two machines that publish their weeks on one store, as people run them: gates compare across machines, and anyone reads the result."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.crashes.local_s3 import PASSPHRASE, local_s3
from scripts.formats.gates import GATES, GatesRecord
from scripts.stores.reader import fetch_published

Call = Callable[..., subprocess.CompletedProcess[str]]
WEEK = ["-m", "scripts.weekly", "+debug=tiny", "tracking.enabled=false", "publish.by=Ada"]
TINY = [f"publish.{gate}=null" for gate in ("max_churn", "max_swing", "max_guardrail", "max_score_drift")]
"""Weeks of a thousand listeners differ by more than real ones."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_machines_publish_on_one_store(call: Call, tmp_path: Path) -> None:
    with local_s3() as server:
        store = f"store={server.address('offers')}"
        first = call(*WEEK, f"runs={tmp_path / 'a'}", "run=first", store)
        assert first.returncode == 0, first.stderr
        second = call(*WEEK, f"runs={tmp_path / 'b'}", "run=second", "data.snapshot=2026-11-30", *TINY, store)
        assert second.returncode == 0, second.stderr
        assert f"Fetching first, the last published week, from {server.address('offers')}" in second.stderr
        gates = GatesRecord.from_file(tmp_path / "b" / "second" / GATES)
        compared = {each.gate for each in gates.findings if each.week == "first" and each.status == "passed"}
        assert gates.week == "first"
        assert {"value", "contacts", "reach", "volume", "feature drift", "model value", "reliability"} <= compared

        back = call("-m", "scripts.rollback", "to=first", f"runs={tmp_path / 'a'}", store, "publish.by=Kim")
        assert back.returncode == 0, back.stderr
        listed = call("-m", "scripts.publications", f"runs={tmp_path / 'a'}", store)
        assert listed.returncode == 0, listed.stderr
        assert listed.stdout.count("The chain holds.") == 2 and "Kim" in listed.stdout

        current = fetch_published(str(server.address("offers")), tmp_path / "current")
        assert (current.run, current.number, current.by) == ("first", 3, "Kim")
        rows = sorted(path.name for path in (tmp_path / "a" / "first" / "allocation").glob("*.parquet"))
        assert sorted(path.name for path in (tmp_path / "current" / "allocation").glob("*.parquet")) == rows
        assert list((tmp_path / "current" / "report").glob("*.html"))

        said = [first, second, back, listed]
        written = [
            path.read_bytes()
            for path in tmp_path.rglob("*")
            if path.is_file() and path.suffix in (".json", ".jsonl", ".html")
        ]
        assert not any(PASSPHRASE in each.stdout + each.stderr for each in said)
        assert not any(PASSPHRASE.encode() in each or f":{server.port}".encode() in each for each in written)
        assert json.loads((tmp_path / "a" / "published.json").read_text())["run"] == "first"


@pytest.mark.slow
def test_a_store_that_is_wrong_ends_the_week_before_its_first_stage(call: Call, tmp_path: Path) -> None:
    with local_s3():
        for store, told in (
            ("store=s3://key:hidden@offers/x", "publish.store: is no address of a store"),
            ("store=s3://no-such-bucket/x", "s3://no-such-bucket/x/published.json: there is no such bucket"),
        ):
            called = call(*WEEK, f"runs={tmp_path / 'a'}", "run=first", store)
            assert called.returncode == 2 and told in called.stderr and "hidden" not in called.stderr
            assert "Traceback" not in called.stderr and not (tmp_path / "a" / "first").exists()
