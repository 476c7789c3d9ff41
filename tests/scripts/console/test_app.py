"""The page through its requests: edits, conflicts, questions and their ends, and steps to a release; no browser needed."""

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import ANY

import pytest
from fastapi.testclient import TestClient

from allocator.policy.checked import Meant
from allocator.policy.schema import policy_schema
from allocator.workbench.answers import Robustness, WhatIf
from allocator.workbench.robust import robustness
from allocator.workbench.sentences import signed
from allocator.workbench.session import Session
from ranker.scores import open_scores
from scripts.console import shown
from scripts.console.app import make_app
from scripts.console.edit_text import with_field
from scripts.console.state import Console
from scripts.formats.run_record import RUN, RunRecord
from scripts.judging.track_record import discounted, track_record
from tests.allocator.instances import PRODUCTS
from tests.scripts.console.weeks import POLICY, console_settings, write_week
from tests.scripts.judging.test_track_record import write_readout

PORT = 8080
HTMX = {"hx-request": "true"}
DRAFT = "/runs/2026-W48/drafts/draft"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, composed: Callable) -> Path:
    folder = tmp_path_factory.mktemp("app")
    write_week(console_settings(composed, folder), "2026-W48")
    return folder


@pytest.fixture
def page(folder: Path, composed: Callable) -> Iterator[TestClient]:
    app = make_app(console_settings(composed, folder), PORT)
    address = f"http://127.0.0.1:{PORT}"
    with TestClient(app, base_url=address, headers={"origin": address}) as client:
        yield client


def version(page: TestClient, draft: str = DRAFT) -> str:
    found = re.search(r'id="version" name="version" value="(\d+)"', page.get(draft).text)
    assert found is not None
    return found[1]


def answered(page: TestClient, address: str, most: float = 60.0) -> str:
    """What a question comes to, asked as the page asks: again and again while it is worked on."""
    text, end = page.get(address, headers=HTMX).text, time.monotonic() + most
    while (job := re.search(r'hx-get="([^"]+/jobs/\d+)"', text)) and time.monotonic() < end:
        text = page.get(job[1], headers=HTMX).text
    return text


def fresh(page: TestClient, name: str) -> str:
    """The address of a draft of its own."""
    response = page.post("/runs/2026-W48", data={"draft": name}, follow_redirects=False)
    assert response.status_code == 303
    return response.headers["location"]


def test_the_first_page_lists_the_runs(page: TestClient) -> None:
    text = page.get("/").text
    assert "2026-W48" in text and "published now" not in text


def test_everything_comes_from_here(page: TestClient) -> None:
    for address in ("/", DRAFT, f"{DRAFT}/seek", f"{DRAFT}/frontier", f"{DRAFT}/release", "/static/console.js"):
        response = page.get(address)
        assert response.status_code == 200
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert not re.findall(r"(?:src|href|action)=\"(?:https?:)?//", response.text)


def test_other_sites_are_refused(page: TestClient) -> None:
    assert page.get("/", headers={"host": "evil.example:8080"}).status_code == 403
    assert page.post("/name", data={"name": "x"}, headers={"origin": "http://evil.example"}).status_code == 403


def test_a_name_is_given_once_and_leads_back_to_the_page_alone(page: TestClient) -> None:
    said = page.post("/name", data={"name": "Mira <b>", "back": "//evil.example"}, follow_redirects=False)
    assert said.headers["location"] == "/" and "HttpOnly" in said.headers["set-cookie"]
    assert "Mira &lt;b&gt;" in page.get("/").text


def test_a_number_and_the_text_are_one_draft(page: TestClient) -> None:
    draft = fresh(page, "one")
    given = {"version": version(page, draft), "path": "push_cap.max", "value": "35", "suffix": "%"}
    saved = page.post(f"{draft}/field", data=given)
    assert saved.headers["hx-trigger"] == "draft-saved"
    assert "max: 35%                         # of all" in saved.text, "the comment stays"
    text = with_field(POLICY, "push_cap.max", "45%")
    saved = page.post(f"{draft}/text", data={"version": version(page, draft), "text": text.replace("\n", "\r\n")})
    assert 'value="45"' in saved.text and 'id="text"' not in saved.text, "what is being typed in is left alone"
    back = page.post(f"{draft}/step", data={"version": version(page, draft), "steps": "-1"})
    assert "max: 35% " in back.text
    assert "max: 35% " in page.get(draft).text, "a reload loses nothing"


def test_two_people_get_both_texts_and_none_is_lost(page: TestClient) -> None:
    draft = fresh(page, "both")
    old = version(page, draft)
    page.post(f"{draft}/text", data={"version": old, "text": POLICY + "# theirs\n"})
    met = page.post(f"{draft}/text", data={"version": old, "text": POLICY + "# mine\n"}, headers=HTMX)
    assert met.status_code == 409 and met.headers["hx-retarget"] == "#conflict"
    assert "# theirs" in met.text and "# mine" in met.text
    assert "# mine" not in page.get(draft).text
    mine = {"version": version(page, draft), "text": POLICY + "# mine\n", "what": "mine"}
    assert "# mine" in page.post(f"{draft}/text", data=mine, headers=HTMX).text
    again = page.post(f"{draft}/step", data={"version": version(page, draft), "steps": "-1"}, headers=HTMX)
    assert "# theirs" in again.text


def test_mistakes_stand_with_their_lines_and_nothing_is_compared(page: TestClient) -> None:
    draft = fresh(page, "wrong")
    text = POLICY.replace("kind: volume\n", "kind: volum\n")
    saved = page.post(f"{draft}/text", data={"version": version(page, draft), "text": text})
    assert 'data-line="15"' in saved.text and "did you mean &#39;volume&#39;" in saved.text
    assert "mend" in page.get(f"{draft}/effect", headers=HTMX).text


HOSTILE = {
    "interpolation": "${oc.env:HOME}",
    "aliases": "&a [*a]",
    "tags": "!!python/object:os.system x",
    "levels": "a: " + "[" * 10_000,
    "nothing": "\x00",
    "markup": "</textarea><script>alert(1)</script>",
    "long": "a" * 900_000,
}


def test_texts_that_would_harm_are_mistakes_and_stay_text(page: TestClient) -> None:
    draft = fresh(page, "hostile")
    for name, text in HOSTILE.items():
        saved = page.post(f"{draft}/text", data={"version": version(page, draft), "text": text})
        assert saved.status_code == 200 and "mistake" in saved.text, name
        assert "<script>alert" not in page.get(draft).text, name
        assert "mend" in page.get(f"{draft}/effect", headers=HTMX).text, name
    refused = page.post(f"{draft}/text", data={"version": version(page, draft), "text": "x" * (5 << 20)})
    assert refused.status_code == 403


def test_a_rule_that_compares_with_nothing_is_said_to(page: TestClient) -> None:
    draft = fresh(page, "churned")
    text = POLICY + "  - {id: calm, kind: churn, max: 0.5}\n"
    page.post(f"{draft}/text", data={"version": version(page, draft), "text": text})
    assert "needs previous=" in answered(page, f"{draft}/effect")


def test_the_editor_gets_the_schema_of_the_runs_scores(page: TestClient) -> None:
    """The same that `policy_schema scores=` writes for other editors."""
    given = page.get("/runs/2026-W48/schema").json()
    scores = page.app.state.console.run("2026-W48").scores
    assert given == policy_schema(Meant(scores=scores).world)
    assert 'data-schema="/runs/2026-W48/schema"' in page.get(DRAFT).text


def test_an_edit_is_compared_with_the_run(page: TestClient) -> None:
    draft = fresh(page, "compared")
    assert "Nothing changes" in answered(page, f"{draft}/effect")
    page.post(
        f"{draft}/field", data={"version": version(page, draft), "path": "push_cap.max", "value": "5", "suffix": "%"}
    )
    text = answered(page, f"{draft}/effect")
    assert "push_cap.max" in text and "Where contacts change" in text
    told = re.search(r'<script type="application/json" id="figures">(.*?)</script>', text)
    assert told is not None
    assert json.loads(told[1])["push_cap"] == {"was": "80", "now": "20", "price": ANY, "moved": True}


def test_a_contradiction_shows_its_conflict_and_a_repair_is_taken(page: TestClient) -> None:
    draft = fresh(page, "conflict")
    page.post(
        f"{draft}/field", data={"version": version(page, draft), "path": "books.min", "value": "900", "suffix": "%"}
    )
    text = answered(page, f"{draft}/effect")
    assert "contradict each other" in text and "Books in the North (at least" in text
    repair = re.search(r"hx-vals='([^']+)' aria-label=\"Take this repair", text)
    assert repair is not None
    changes = re.search(r'"changes": "([^"]+)"', repair[1])
    assert changes is not None
    page.post(f"{draft}/take", data={"version": version(page, draft), "changes": changes[1]}, headers=HTMX)
    assert "contradict" not in answered(page, f"{draft}/effect")


def test_a_bound_is_sought_and_put_into_the_draft(page: TestClient) -> None:
    draft = fresh(page, "sought")
    text = answered(page, f"{draft}/seek?want=push_cap&amount=40&by=push_cap.max")
    assert "push_cap.max = 10%" in text
    taken = {"version": version(page, draft), "changes": "push_cap.max=10%", "go": "1"}
    assert page.post(f"{draft}/take", data=taken, headers=HTMX).headers["hx-redirect"] == draft
    assert "max: 10% " in page.get(draft).text
    wrong = page.get(f"{draft}/seek?want=push_cap&amount=many&by=push_cap.max", headers=HTMX)
    assert wrong.status_code == 422 and "is not a number" in wrong.text


def test_a_trade_off_is_drawn_with_a_table_beside_it(page: TestClient) -> None:
    draft = fresh(page, "traded")
    text = answered(page, f"{draft}/frontier?x=push_cap&y=value&points=4")
    assert "<svg" in text and "Diamond: the draft" in text and text.count("<tr>") >= 4


def test_a_search_and_a_trade_off_are_counted_on_everybody_on_request(page: TestClient) -> None:
    draft = fresh(page, "in_full")
    for question in ("seek", "frontier"):
        form = page.get(f"{draft}/{question}").text
        assert "on a sample of 400" in form and re.search(r"on all 400 listeners \(about", form)
    sought = answered(page, f"{draft}/seek?want=push_cap&amount=40&by=push_cap.max&full=true")
    assert "From allocations of all 400 listeners" in sought and "(An allocation of all users.)" in sought
    assert re.search(r"<dt>what that gives</dt><dd>40</dd>", sought)
    traced = answered(page, f"{draft}/frontier?x=push_cap&y=revenue&points=3&full=true")
    assert "From allocations of all 400 listeners" in traced and "at most below the best" in traced
    assert "at most below the best" not in answered(page, f"{draft}/frontier?x=push_cap&y=revenue&points=3")


def test_counting_on_everybody_is_cancelled(page: TestClient) -> None:
    draft = fresh(page, "in_full_cancelled")
    with page.app.state.console.run("2026-W48").turn:
        text = page.get(f"{draft}/seek?want=push_cap&amount=41&by=push_cap.max&full=true", headers=HTMX).text
        job = re.search(r'hx-post="([^"]+/stop)"', text)
        assert job is not None and "allocating all listeners" in text
        assert "Cancelled" in page.post(job[1], headers=HTMX).text


def test_why_is_answered_for_a_listener_and_for_offers(page: TestClient) -> None:
    draft = fresh(page, "asked")
    assert "product: books" in page.get(f"{draft}/why").text
    offers = answered(page, f"{draft}/why/offers?which=product%3Dbooks")
    assert "get one" in offers and "Instead they get" in offers
    text = page.post(f"{draft}/why/listener", data={"user": "3"}, headers=HTMX).text
    while job := re.search(r'hx-get="([^"]+/jobs/\d+)"', text):
        text = page.get(job[1], headers=HTMX).text
    assert "Offers by slot" in text and "push_1" in text
    text = page.post(f"{draft}/why/listener", data={"user": "nobody"}, headers=HTMX).text
    while job := re.search(r'hx-get="([^"]+/jobs/\d+)"', text):
        text = page.get(job[1], headers=HTMX).text
    assert "user: is no number" in text and "nobody" not in text


def test_an_answer_is_doubted_on_request(page: TestClient) -> None:
    draft = fresh(page, "doubted")
    page.post(
        f"{draft}/field", data={"version": version(page, draft), "path": "budget.max", "value": "40", "suffix": ""}
    )
    text = answered(page, f"{draft}/doubt")
    assert "mean - 1 standard errors" in text and "Push messages" in text


def written(page: TestClient, draft: str, path: str, value: str, suffix: str = "") -> None:
    given = {"version": version(page, draft), "path": path, "value": value, "suffix": suffix}
    assert page.post(f"{draft}/field", data=given).status_code == 200


def test_a_promise_stands_beside_what_came_of_earlier_ones_and_is_discounted_on_request(
    page: TestClient, folder: Path
) -> None:
    draft = fresh(page, "weighed")
    written(page, draft, "budget.max", "40")
    assert "promised" not in answered(page, f"{draft}/effect") and 'id="discount"' not in page.get(draft).text
    days = [f"2026-09-{day:02d}" for day in range(1, 11)]
    for day in days:
        write_readout(folder / "runs", day, promised=2.0, came=1.0, stderr=0.1)
    try:
        assert 'id="discount"' in page.get(draft).text
        plain, less = answered(page, f"{draft}/effect"), answered(page, f"{draft}/effect?discount=true")
        assert "50.0 % of what was promised came." in page.get(f"{draft}/scenarios").text
        record = track_record(folder / "runs")
    finally:
        for day in days:
            shutil.rmtree(folder / "runs" / day)
    assert "50.0 % of what was promised came." in plain and "Discounted by that" not in plain
    assert days[-1] in plain and days[1] not in plain, "the last eight"
    console: Console = page.app.state.console
    run = console.run("2026-W48")
    policy = console.checked(run, run.drafts.get("weighed", str).text).policy
    assert record is not None and policy is not None
    answer = console.questions(run).what_if(policy, full=False).answer
    assert isinstance(answer, WhatIf)
    worth = discounted(answer.difference.value, record)
    assert worth.mean == pytest.approx(answer.difference.value.mean / 2)
    assert f"Discounted by that the difference is {signed(worth, answer.unit)}." in less
    assert "value, discounted" in less


@pytest.fixture(scope="module")
def two_weeks(tmp_path_factory: pytest.TempPathFactory, composed: Callable) -> Path:
    """A week with the one before it, and an earlier one whose catalogue lacks an offer."""
    folder = tmp_path_factory.mktemp("two_weeks")
    settings = console_settings(composed, folder)
    few = POLICY.replace("product: books}, users", "product: family}, users")
    write_week(settings, "2026-W46", day="2026-11-09", policy=few, products=PRODUCTS[:2])
    write_week(settings, "2026-W47", day="2026-11-16", seed=2)
    write_week(settings, "2026-W48")
    return folder


def test_an_answer_is_doubted_by_last_weeks_scores_where_there_are_some(
    two_weeks: Path, composed: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(console_settings(composed, two_weeks), PORT)
    address = f"http://127.0.0.1:{PORT}"
    page = TestClient(app, base_url=address, headers={"origin": address})
    draft = fresh(page, "doubted_also")
    written(page, draft, "budget.max", "40")
    assert "those of 2026-W47" in answered(page, f"{draft}/effect")
    text = answered(page, f"{draft}/doubt?also=true")
    assert "the other model&#39;s scores" in text and "scores are those of 2026-W47" in text
    assert "changes with the view" not in text
    assert "other model" not in answered(page, f"{draft}/doubt"), "only where it is asked for"
    run = app.state.console.run("2026-W48")
    with (
        Session.open(open_scores(two_weeks / "runs" / "2026-W48" / "scores")) as now,
        Session.open(open_scores(two_weeks / "runs" / "2026-W47" / "scores")) as before,
    ):
        new = now.read(two_weeks / "2026-W48.yaml", {"budget": {"max": 40}})
        verdict = robustness(now, run.base, new, before).verdicts[-1]
    assert verdict.value is not None
    assert shown.in_words(verdict.value, run.unit) in text, "as `what_if also=` says"

    changing = Robustness(verdicts=(verdict,), winner_changes=True, sentence="It depends.")
    monkeypatch.setattr("scripts.console.questions.robustness", lambda *asked: changing)
    written(page, draft, "budget.max", "41")
    text = answered(page, f"{draft}/doubt?also=true")
    assert "The better policy changes with the view.</strong> It depends." in text


def test_scores_of_last_week_that_do_not_fit_are_left_out_with_the_reason(two_weeks: Path, composed: Callable) -> None:
    run = two_weeks / "runs" / "2026-W48" / RUN
    run.write_text(RunRecord(run="2026-W48", identity="x", previous="2026-W46/allocation").text())
    try:
        app = make_app(console_settings(composed, two_weeks), PORT)
        address = f"http://127.0.0.1:{PORT}"
        page = TestClient(app, base_url=address, headers={"origin": address})
        draft = fresh(page, "unfit")
        assert "those of 2026-W46" in answered(page, f"{draft}/effect"), "what was published when the run began"
        text = answered(page, f"{draft}/doubt?also=true")
    finally:
        run.unlink()
    assert "do not fit these policies" in text and "no action has product" in text
    assert "mean - 1 standard errors" in text and "other model" not in text


def test_scenarios_stand_beside_the_runs_policy(page: TestClient) -> None:
    draft = fresh(page, "kept")
    page.post(
        f"{draft}/field", data={"version": version(page, draft), "path": "budget.max", "value": "30", "suffix": ""}
    )
    kept = page.post(f"{draft}/scenarios", data={"name": "Thrift", "note": "half"}, headers=HTMX)
    assert "Kept as Thrift" in kept.text
    text = page.get(f"{draft}/scenarios?by=value&down=true").text
    assert text.index("2026-W48, as it is") < text.index("Thrift")
    assert 'aria-sort="descending"' in text
    went = page.post(
        f"{draft}/start-again", data={"version": version(page, draft), "scenario": "Thrift", "go": "1"}, headers=HTMX
    )
    assert went.headers["hx-redirect"] == draft
    page.post(f"{draft}/scenarios/note", data={"name": "Thrift", "note": "a third"}, headers=HTMX)
    assert "a third" in page.get(f"{draft}/scenarios").text
    page.post(f"{draft}/scenarios/take-away", data={"name": "Thrift"}, headers=HTMX)
    assert "Thrift" not in page.get(f"{draft}/scenarios").text


def test_work_is_cancelled(page: TestClient) -> None:
    console: Console = page.app.state.console
    run = console.run("2026-W48")
    with run.turn:  # as if another question were worked on
        draft = fresh(page, "cancelled")
        page.post(
            f"{draft}/field", data={"version": version(page, draft), "path": "total.max", "value": "1", "suffix": ""}
        )
        text = page.get(f"{draft}/effect", headers=HTMX).text
        job = re.search(r'hx-post="([^"]+/stop)"', text)
        assert job is not None and "Waiting for its turn" in text
        assert "Cancelled" in page.post(job[1], headers=HTMX).text


def test_a_policy_is_proposed_approved_by_another_and_published(page: TestClient, folder: Path) -> None:
    draft = fresh(page, "released")
    page.post(
        f"{draft}/field", data={"version": version(page, draft), "path": "push_cap.max", "value": "25", "suffix": "%"}
    )
    page.post("/name", data={"name": "Mira"})
    told = {"version": version(page, draft), "file": "more_push", "reason": "December"}
    assert page.post(f"{draft}/release/propose", data=told, headers=HTMX).headers["hx-redirect"] == f"{draft}/release"
    assert "max: 25% " in (folder / "policies" / "more_push.yaml").read_text()
    name = {"name": "more_push"}
    assert "another person" in page.post(f"{draft}/release/approve", data=name, headers=HTMX).text
    assert "must approve it first" in page.post(f"{draft}/release/publish", data=name, headers=HTMX).text
    page.post("/name", data={"name": "Olav"})
    assert page.post(f"{draft}/release/approve", data=name, headers=HTMX).status_code == 204
    assert not (folder / "runs" / "published.json").exists(), "nothing that tries publishes"
    text = page.post(f"{draft}/release/publish", data=name, headers=HTMX).text
    while job := re.search(r'hx-get="([^"]+/jobs/\d+)"', text):
        text = page.get(job[1], headers=HTMX).text
    assert "2026-W48-more_push is published" in text
    assert "published now" in page.get("/").text
    assert "published already" in page.post(f"{draft}/release/publish", data=name, headers=HTMX).text


def test_every_refusal_to_publish_is_shown_in_words(page: TestClient, folder: Path, composed: Callable) -> None:
    app = make_app(console_settings(composed, folder, approver_required=False), PORT)
    alone = TestClient(app, base_url=page.base_url, headers=page.headers)
    draft = fresh(alone, "refused")
    given = {"version": version(alone, draft), "text": POLICY.replace("{id: total, max: 2}", "{id: total, max: 0}")}
    given["text"] = given["text"].replace(", min: 10%", ", min: 0")
    alone.post(f"{draft}/text", data=given)
    alone.post("/name", data={"name": "Mira"})
    told = {"version": version(alone, draft), "file": "nothing", "reason": "to see it refused"}
    alone.post(f"{draft}/release/propose", data=told, headers=HTMX)
    published = folder / "runs" / "published.json"
    before = published.read_text() if published.exists() else None
    text = alone.post(f"{draft}/release/publish", data={"name": "nothing"}, headers=HTMX).text
    while job := re.search(r'hx-get="([^"]+/jobs/\d+)"', text):
        text = alone.get(job[1], headers=HTMX).text
    assert "an empty week is not published" in text
    assert (published.read_text() if published.exists() else None) == before


def test_a_run_whose_sample_is_still_drawn_says_so_and_goes_on_by_itself(
    folder: Path, composed: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.console.state.PATIENCE", 0.05)
    base = console_settings(composed, folder)
    app = make_app(base.model_copy(update={"ask": base.ask.model_copy(update={"sample": 50})}), PORT)
    console: Console = app.state.console
    client = TestClient(app, base_url=f"http://127.0.0.1:{PORT}")
    with console.opening:
        first = client.get(DRAFT)
        assert first.status_code == 202 and "drawn once" in first.text
        assert "Waiting for its turn" in client.get("/runs/2026-W48/opening", headers=HTMX).text
    job = console.jobs.get("1")
    assert job is not None and job.over.wait(30)
    assert client.get("/runs/2026-W48/opening", headers=HTMX).headers["hx-refresh"] == "true"
    assert client.get(DRAFT).status_code == 200


def test_what_is_not_there_is_said_in_words(page: TestClient) -> None:
    assert page.get("/nowhere").status_code == 404
    lost = page.get("/runs/2026-W01/drafts/draft")
    assert lost.status_code == 422 and "no such run" in lost.text
    assert "no name" in page.get("/runs/2026-W48/drafts/a%20b").text
