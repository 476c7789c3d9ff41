"""The console in a real browser, as a product manager uses it: one visit from a changed cap to a published policy, and its accessibility.

Run by ./scripts/test_console. With OFFERMIX_PICTURES=DIR every stop of the visit is kept as a picture, wide and narrow.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from scripts.console.__main__ import listening
from scripts.console.app import make_app
from scripts.console.drafts import Draft, Drafts
from tests.scripts.console.weeks import console_settings, write_week
from tests.scripts.judging.test_track_record import write_readout

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("default")]
WIDTHS = (1280, 400)
WAIT = 60_000
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]


AT_THE_END_OF = (
    "(words) => { const area = document.getElementById('text'), at = area.value.indexOf(words) + words.length;"
    " area.focus(); area.setSelectionRange(at, at); }"
)
"""Puts the cursor behind the first place of these words in the text."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, composed: Callable) -> Iterator[str]:
    """A console over one small week, listening. The week before has scores too, and four earlier ones have readouts."""
    folder = tmp_path_factory.mktemp("browser")
    settings = console_settings(composed, folder)
    write_week(settings, "2026-W47", users=1000, seed=2, day="2026-11-16")
    write_week(settings, "2026-W48", users=1000)
    for week, came in enumerate((1.4, 1.9, 1.1, 1.6)):
        write_readout(settings.paths.runs, f"2026-10-{5 + 7 * week:02d}", promised=2.0, came=came, stderr=0.4)
    port = listening(0)
    number = port.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(make_app(settings, number), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [port]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{number}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=os.environ.get("OFFERMIX_BROWSER", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        yield opened
        opened.close()


@dataclass
class Visitor:
    """One person before the page. faults: what the browser complained about; strange: requests to elsewhere."""

    page: Any
    address: str
    faults: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    looking: bool = False

    def watch(self) -> "Visitor":
        self.page.set_default_timeout(WAIT)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self._heard)
        self.page.on("request", self._asked)
        return self

    def _heard(self, message: Any) -> None:
        # Looking changes styles, which the page's own rules for content forbid; what browsers say of 4xx answers is meant.
        if message.type == "error" and "inline style" not in message.text and "status of 4" not in message.text:
            self.faults.append(message.text)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.address, "data:", "about:")):
            self.strange.append(request.url)

    def sees(self, place: str, words: str) -> None:
        self.page.locator(place).filter(has_text=words).first.wait_for()

    def sets(self, path: str, value: str) -> None:
        self.page.fill(f'input[id="{path}"]', value)
        self.page.keyboard.press("Tab")

    def named(self, name: str) -> None:
        self.page.fill("#who", name)
        self.page.click(".who button")
        self.page.wait_for_load_state()

    def looks(self, stop: str) -> None:
        """Nothing that the rules of accessibility forbid, nothing that runs out of the page, at both widths."""
        from axe_playwright_python.sync_playwright import Axe

        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": 900})
            wider = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wider <= 0, f"{stop} runs out of a page {width} wide by {wider}"
            if pictures := os.environ.get("OFFERMIX_PICTURES"):
                self.page.screenshot(path=str(Path(pictures) / f"{stop}_{width}.png"), full_page=True)
        found = Axe().run(self.page, options={"runOnly": WCAG}).response["violations"]
        told = [(each["id"], [node["html"][:120] for node in each["nodes"][:3]]) for each in found]
        assert told == [], stop
        self.page.set_viewport_size({"width": WIDTHS[0], "height": 900})


@pytest.fixture
def visitor(browser: Any, address: str) -> Iterator[Visitor]:
    context = browser.new_context(viewport={"width": WIDTHS[0], "height": 900})
    made = Visitor(context.new_page(), address).watch()
    yield made
    context.close()
    assert made.faults == []
    assert made.strange == [], "nothing is asked of other hosts"


def test_a_visit_from_a_changed_cap_to_a_published_policy(visitor: Visitor) -> None:
    page = visitor.page
    page.goto(visitor.address)
    visitor.named("Mira Berg")
    visitor.looks("start")
    page.click("h2 a")
    visitor.sees("#effect", "Nothing changes")
    visitor.looks("editing")

    visitor.sets("push_cap.max", "10")
    visitor.sees("#effect .id", "push_cap.max")
    assert "max: 10%                         # of all" in page.input_value("#text")
    visitor.sees("#now-push_cap", "100")
    visitor.sees("#effect", "75.0 % of what was promised came.")
    visitor.looks("effect")
    page.get_by_label("Discount promises").check()
    visitor.sees("#effect", "Discounted by that the difference is")
    visitor.sees("#effect tr", "value, discounted")
    page.get_by_text("How earlier promises came out").click()
    page.get_by_role("button", name="Does it hold?").click()
    visitor.sees("#doubt", "The other model's scores are those of 2026-W47.")
    visitor.looks("promised_and_doubted")
    page.get_by_label("Discount promises").uncheck()
    visitor.sees("#effect tr:nth-child(2)", "contacts")
    page.fill("#scenario-name", "Less push")
    page.click("#effect .keep button")
    visitor.sees("#effect", "Kept as Less push")

    page.get_by_role("button", name="Undo").click()
    visitor.sees("#undoes", "nothing")
    visitor.sets("budget.max", "30")
    visitor.sees("#effect .id", "budget.max")
    page.fill("#scenario-name", "Thrift")
    page.click("#effect .keep button")
    visitor.sees("#effect", "Kept as Thrift")

    visitor.sets("books.min", "900")
    visitor.sees("#effect", "contradict each other")
    visitor.looks("contradiction")
    page.locator("#effect").get_by_text("Take this repair").first.click()
    visitor.sees("#effect", "What each edit does")
    page.fill("#scenario-name", "As many books as can be")
    page.click("#effect .keep button")
    visitor.sees("#effect", "Kept as As many")
    page.get_by_role("button", name="Back to the run's policy").click()
    visitor.sees("#effect", "Nothing changes")

    page.get_by_role("link", name="Find a bound").click()
    page.select_option("#want", "push_cap")
    page.fill("#amount", "150")
    page.fill("#by", "push_cap.max")
    page.get_by_role("button", name="Search").click()
    visitor.sees("#answer", "What was tried")
    visitor.sees("#answer", "of 1,000 listeners")
    page.get_by_label("on all 1,000 listeners").check()
    page.get_by_role("button", name="Search").click()
    visitor.sees("#answer", "From allocations of all 1,000 listeners")
    visitor.looks("seek")
    page.locator("#answer").get_by_role("button", name="into the draft").click()
    visitor.sees("#effect .id", "push_cap.max")
    assert "max: 15%" in page.input_value("#text")

    page.get_by_role("link", name="Trade-off").click()
    page.select_option("#x", "push_cap")
    page.fill("#points", "5")
    page.get_by_role("button", name="Draw").click()
    visitor.sees("#answer", "Diamond")
    page.get_by_label("on all 1,000 listeners").check()
    page.get_by_role("button", name="Draw").click()
    visitor.sees("#answer", "at most below the best")
    visitor.looks("frontier")

    page.get_by_role("link", name="Why").click()
    page.select_option("#which", "product=books")
    page.locator("form").filter(has_text="Offers").get_by_role("button").click()
    visitor.sees("#answer", "Instead they get")
    page.fill("#user", "3")
    page.locator("form").filter(has_text="Listener").get_by_role("button").click()
    visitor.sees("#answer", "Offers by slot")
    visitor.looks("why")

    page.get_by_role("link", name="Scenarios").click()
    visitor.sees("tbody", "As many books as can be")
    assert page.locator("tbody tr").first.inner_text().startswith("2026-W48, as it is")
    page.get_by_role("link", name="value").click()
    visitor.sees("th[aria-sort=ascending]", "value")
    visitor.looks("scenarios")

    page.get_by_role("link", name="Release").click()
    page.fill("#file", "less_push")
    page.fill("#reason", "Quiet weeks after Christmas")
    page.get_by_role("button", name="Save and propose").click()
    visitor.sees(".proposals", "less_push")
    visitor.looks("propose")
    page.get_by_role("button", name="Approve less_push").click()
    visitor.sees("#notice", "another person must approve it")
    visitor.named("Olav Lie")
    page.get_by_role("button", name="Approve less_push").click()
    visitor.sees(".proposals", "approved by Olav Lie")
    visitor.looks("approve")
    page.get_by_role("button", name="Allocate and publish less_push").click()
    visitor.sees("#publishing", "is published")
    visitor.sees(".proposals", "published as 2026-W48-less_push")
    visitor.looks("publish")
    page.goto(visitor.address)
    visitor.sees(".runs li", "published now")


def test_text_is_completed_explained_and_checked_while_it_is_typed(visitor: Visitor) -> None:
    page = visitor.page
    page.goto(f"{visitor.address}/runs/2026-W48/drafts/typed")
    page.click("#text")
    page.keyboard.press("Control+End")
    page.keyboard.type("  - {id: home_books, kind: vol")
    visitor.sees("#completions li", "volume")
    page.keyboard.press("Enter")
    page.keyboard.type(", where: {prod")
    visitor.sees("#completions li", "product")
    page.keyboard.press("Enter")
    page.keyboard.type(": boo")
    visitor.sees("#completions li", "books")
    page.keyboard.press("Enter")
    page.keyboard.type("}, mx: 10%}")
    visitor.sees("#mistakes", "did you mean 'max'?")
    visitor.sees("#gutter .wrong", "!")
    visitor.looks("mistake")
    for _ in range(7):
        page.keyboard.press("ArrowLeft")
    page.keyboard.type("a")
    visitor.sees("#mistakes", "No mistakes")
    visitor.sees("#key-help", "max: At most. On a volume a number of contacts")
    visitor.sees("#rule-home_books", "volume")
    meanings = {
        "{id: total, max": "max: Contacts in scope that one listener gets at most.",
        "market: [SE": "market: A segment of listeners, like DE, NO, SE.",
        "kind: volume": "kind: volume counts contacts",
        "{share: 2": "share: A part of all listeners",
        "{id: home_books": "id: Names the rule everywhere",
    }
    for words, told in meanings.items():
        page.evaluate(AT_THE_END_OF, words)
        visitor.sees("#key-help", told)
    page.evaluate(AT_THE_END_OF, "# of")
    page.wait_for_timeout(100)
    visitor.sees("#key-help", "id: Names the rule everywhere")
    page.reload()
    assert "max: 10%}" in page.input_value("#text"), "nothing is lost on a reload"


def test_two_people_on_one_draft_see_both_texts(browser: Any, visitor: Visitor) -> None:
    page, draft = visitor.page, f"{visitor.address}/runs/2026-W48/drafts/both"
    page.goto(draft)
    other = browser.new_context().new_page()
    other.goto(draft)
    other.fill("#text", other.input_value("#text") + "# theirs\n")
    other.locator("#saved").filter(has_text="version 2").wait_for()
    page.fill("#text", page.input_value("#text") + "# mine\n")
    visitor.sees("#conflict", "changed this draft meanwhile")
    visitor.looks("conflict")
    page.get_by_role("button", name="Go on with mine").click()
    visitor.sees("#saved", "version 3")
    assert "# mine" in page.input_value("#text") and page.locator("#conflict section").count() == 0
    page.get_by_role("button", name="Undo").click()
    visitor.sees("#saved", "version 4")
    assert "# theirs" in page.input_value("#text")
    other.context.close()


def test_a_number_that_is_set_while_the_rows_are_shown_anew_is_not_lost(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = visitor.page
    page.goto(f"{visitor.address}/runs/2026-W48/drafts/hasty")
    visitor.sees("#effect", "Nothing changes")
    visitor.sets("push_cap.max", "15")
    visitor.sees("#effect .id", "push_cap.max")
    at_once = Drafts.step

    def slowly(*asked: Any) -> Draft:
        time.sleep(1.5)
        return at_once(*asked)

    monkeypatch.setattr(Drafts, "step", slowly)
    page.get_by_role("button", name="Undo").click()
    visitor.sets("budget.max", "40")
    visitor.sees("#effect .id", "budget.max")
    assert page.input_value('input[id="push_cap.max"]') == "20" and page.input_value('input[id="budget.max"]') == "40"

    page.get_by_role("button", name="Undo").click()
    page.click('input[id="books.min"]')
    page.keyboard.press("Control+A")
    page.keyboard.type("12")
    visitor.sees("#effect", "Nothing changes")
    assert page.input_value('input[id="books.min"]') == "12", "what is being typed stays"
    page.keyboard.press("Tab")
    visitor.sees("#effect .id", "books.min")
    assert "budget.max" not in page.inner_text("#effect")


def test_everything_is_reached_by_keyboard_and_focus_is_seen(visitor: Visitor) -> None:
    page = visitor.page
    page.goto(f"{visitor.address}/runs/2026-W48/drafts/keys")
    visitor.sees("#effect", "Keep as a scenario")
    reached, unseen = set(), set()
    for _ in range(90):
        page.keyboard.press("Tab")
        told = page.evaluate(
            "() => { const e = document.activeElement, s = getComputedStyle(e.closest('.editor') || e);"
            " return [e === document.body ? 'BODY' : e.id || e.name || e.innerText || e.tagName, s.outlineStyle, s.outlineWidth]; }"
        )
        reached.add(told[0].split("\n")[0])
        if told[1] == "none" or told[2] == "0px":
            unseen.add(told[0])
    assert {"who", "push_cap.max", "books.min", "budget.max", "effect", "scenario-name", "text"} <= reached
    assert unseen <= {"BODY"}


def test_a_slider_is_moved_by_arrows_and_work_is_cancelled(visitor: Visitor) -> None:
    page = visitor.page
    page.goto(f"{visitor.address}/runs/2026-W48/drafts/slid")
    visitor.sees("#effect", "Nothing changes")
    page.locator('input[data-for="push_cap.max"]').focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    visitor.sees("#effect .id", "push_cap.max")
    assert page.input_value('input[id="push_cap.max"]') == "23"
    assert "max: 23%" in page.input_value("#text")


COUNTED = """for (const name of ["pointerdown", "keydown"])
  addEventListener(name, (event) => event.isTrusted && sessionStorage.setItem(name, 1 + Number(sessionStorage.getItem(name))), true);"""
"""Counts what a person does to the page, over all of its addresses."""


@dataclass
class TimedTask:
    """What one person does for one task. told: a line for whoever reads the test's output."""

    page: Any
    name: str
    started: float = field(default_factory=time.monotonic)

    def told(self) -> str:
        done = [self.page.evaluate("(name) => Number(sessionStorage.getItem(name))", name) for name in COUNTED_NAMES]
        self.page.evaluate("sessionStorage.clear()")
        return f"{self.name}: {time.monotonic() - self.started:.1f} s, {done[0]} clicks, {done[1]} keys"


COUNTED_NAMES = ("pointerdown", "keydown")


def test_three_tasks_of_a_product_manager_are_done_and_timed(
    visitor: Visitor, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seconds, clicks and keys are printed and not judged: a machine is as fast as it is."""
    page = visitor.page
    page.add_init_script(COUNTED)
    page.goto(f"{visitor.address}/runs/2026-W48/drafts/tasks")
    visitor.sees("#effect", "Nothing changes")
    told = []

    task = TimedTask(page, "Change a cap and tell the effect")
    page.click('input[id="push_cap.max"]')
    page.keyboard.press("Control+A")
    page.keyboard.type("15")
    page.keyboard.press("Tab")
    visitor.sees("#effect h2", "less; ")
    visitor.sees("#effect", "The maximum of Push messages (push_cap) falls from 20 % to 15 % of all users.")
    visitor.sees("#now-push_cap", "150")
    told.append(task.told())
    visitor.looks("task_cap")

    task = TimedTask(page, "Why few books")
    page.get_by_role("link", name="Why").click()
    page.focus("#which")
    page.keyboard.type("product: b")
    page.locator("form").filter(has_text="Offers").get_by_role("button").click()
    visitor.sees("#answer h2", "Of 1,000 listeners")
    visitor.sees("#answer", "get one")
    told.append(task.told())

    task = TimedTask(page, "Reach 90 % of Norwegians")
    page.get_by_role("link", name="Policy").click()
    page.click("#text")
    page.keyboard.press("Control+End")
    page.keyboard.type("  - {id: norway, kind: reach, users: {market: NO}, min: 90%}")
    visitor.sees("#effect", "norway")
    visitor.sees("#now-norway", "changed")
    row = page.locator("#effect tr").filter(has_text=re.compile("norway *at least")).first.inner_text()
    wanted = int(row.split("at least ")[1].split()[0])
    reached = int(page.inner_text("#now-norway").split()[0])
    assert 0 < wanted <= reached
    told.append(task.told())
    visitor.looks("task_reach")
    with capsys.disabled():
        print("", *told, sep="\n")
