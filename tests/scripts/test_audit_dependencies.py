"""The audit of pinned packages: by recorded answers, and by the tool itself against a database on this machine."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts import audit_dependencies
from scripts.formats.advisories import AcceptedAdvisories, AcceptedAdvisory, AuditReport

KNOWN = {"id": "PYSEC-1", "fix_versions": ["2.1"], "aliases": ["CVE-2"], "description": "What is wrong."}
REPORT = {
    "dependencies": [
        {"name": "jinja2", "version": "2.0", "vulns": [KNOWN]},
        {"name": "rich", "version": "15.0", "vulns": []},
    ],
    "fixes": [],
}
SKIPPED = {"dependencies": [{"name": "torch", "skip_reason": "Dependency not found on PyPI"}], "fixes": []}
CASES = [(REPORT, 4, "jinja2 2.0: PYSEC-1 (CVE-2); fixed in 2.1"), (SKIPPED, 1, "nothing is known of torch")]


def accepted(until: str) -> AcceptedAdvisories:
    reason = "the template that it needs is ours"
    return AcceptedAdvisories(accepted=(AcceptedAdvisory(id="CVE-2", reason=reason, until=date.fromisoformat(until)),))


@pytest.mark.parametrize(("report", "status", "told"), CASES)
def test_what_is_known_and_what_was_not_asked_have_their_statuses(
    report: dict, status: int, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit_dependencies, "_asked", lambda: AuditReport.model_validate(report))
    assert audit_dependencies.run([]) == status
    printed = capsys.readouterr()
    assert told in printed.out + printed.err


def test_an_advisory_is_accepted_by_any_of_its_names_until_its_day() -> None:
    report = AuditReport.model_validate(REPORT)
    assert list(accepted("2026-12-31").left(report, date(2026, 12, 31))) == []
    (left,) = accepted("2026-12-31").left(report, date(2027, 1, 1))
    assert left.endswith("was accepted until 2026-12-31: the template that it needs is ours")
    assert accepted("2026-12-31").without_use(AuditReport.model_validate(SKIPPED)) == ["CVE-2"]


def test_what_is_accepted_is_read_strictly_and_has_reasons() -> None:
    folder = Path(audit_dependencies.__file__).parent
    assert all(
        len(each.reason) >= 10 for each in AcceptedAdvisories.from_file(folder / "accepted_advisories.json").accepted
    )


@pytest.mark.parametrize("reply", ["", "raise SystemExit('HTTPSConnectionPool: Failed to resolve')"])
def test_a_database_that_cannot_be_reached_is_told(
    reply: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = tmp_path / "tool.py"
    tool.write_text(reply)
    monkeypatch.setattr(audit_dependencies, "TOOL", f"{sys.executable} {tool}")
    assert audit_dependencies.run([]) == 1
    assert "the advisory database gave no answer" in capsys.readouterr().err


@pytest.fixture
def database() -> Iterator[str]:
    """The address of a database that knows one advisory, of jinja2."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            events = [{"introduced": "0"}, {"fixed": "99.0"}]
            known = {
                "id": "GHSA-x", "summary": "s", "details": "d", "published": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z",
                "affected": [{"package": asked["package"], "ranges": [{"type": "ECOSYSTEM", "events": events}]}],
            }  # fmt: skip
            body = json.dumps({"vulns": [known]} if asked["package"]["name"] == "jinja2" else {}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_the_tool_itself_tells_what_a_database_knows_and_when_there_is_none(
    database: str, call: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Where the registry that the tool comes from can be reached."""
    called = call("-m", "scripts.audit_dependencies", OFFERMIX_ADVISORIES=database)
    if "pip-audit" in called.stderr and "no answer" in called.stderr:
        pytest.skip("pip-audit cannot be installed here")
    lock = (Path(audit_dependencies.__file__).parent / "requirements.lock").read_text()
    assert called.returncode == 4, called.stderr
    assert "jinja2 3.1.6: GHSA-x; fixed in 99.0" in called.stdout
    asked = int(called.stdout.splitlines()[-1].split()[0])
    assert abs(asked - lock.count("==")) <= 1
    nowhere = call("-m", "scripts.audit_dependencies", OFFERMIX_ADVISORIES="http://127.0.0.1:9/v1/query")
    assert nowhere.returncode == 1
    assert "nothing is known either way" in nowhere.stderr and "Traceback" not in nowhere.stderr
    assert os.environ.get("OFFERMIX_ADVISORIES") is None
