"""The report in a real browser: accessible, within its page at both widths, science folded on the screen and unfolded on paper.

Run by ./scripts/test_console. With OFFERMIX_PICTURES=DIR the page is kept as a picture, wide and narrow, and as a PDF.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from allocator.policy.grammar import Policy
from allocator.report.collect import collect
from allocator.report.last_week import EarlierFolders
from allocator.report.page import render
from tests.allocator.reporting import write_run

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("default")]
WIDTHS = (1280, 400)
PAPER = 700
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
POLICY = {
    "objective": [{"metric": "revenue", "weight": 1.0}],
    "contact": [{"id": "total", "max": 2, "owner": "crm"}],
    "constraints": [
        {"id": "push_capacity", "kind": "volume", "where": {"surface": "push"}, "max": "20%", "valid_to": "2026-11-25"},
        {"id": "plan_share", "kind": "share", "where": {"family": "plan"}, "min": 0.55, "max": 0.75},
    ],
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a week with a week before it, a policy and a warning."""
    folder = tmp_path_factory.mktemp("browser")
    before, now = write_run(folder / "2026-W47", 50, seed=1), write_run(folder / "2026-W48", seed=2)
    (now.sources.allocation / "policy.json").write_text(json.dumps(Policy.model_validate(POLICY).to_json()))
    now.edit_certificate(
        policy_digest=None,
        remarks=[{"kind": "ends", "constraint": "push_capacity", "sentence": "Push ends on 2026-11-25"}],
    )
    previous = EarlierFolders(before.sources.allocation, "2026-W47", before.sources.scores / "catalogue.json")
    page = folder / "report.html"
    page.write_text(render(collect(replace(now.sources, run="2026-W48", previous=previous))), encoding="utf-8")
    return page.as_uri()


@pytest.fixture
def page(address: str) -> Iterator[Any]:
    """The page opened; what it complains about, or asks of elsewhere, is a fault."""
    from playwright.sync_api import sync_playwright

    faults: list[str] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=os.environ.get("OFFERMIX_BROWSER", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        opened = browser.new_page(viewport={"width": WIDTHS[0], "height": 900})
        opened.on("pageerror", lambda error: faults.append(str(error)))
        opened.on(
            "request", lambda asked: faults.append(asked.url) if not asked.url.startswith(("file:", "data:")) else None
        )
        opened.goto(address)
        yield opened
        browser.close()
    assert faults == []


def unfold(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    page.wait_for_timeout(200)


@pytest.mark.parametrize("width", WIDTHS)
def test_it_stays_within_its_page_folded_and_unfolded(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for change in (lambda: None, lambda: unfold(page)):
        change()
        wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0
    if pictures := os.environ.get("OFFERMIX_PICTURES"):
        page.screenshot(path=str(Path(pictures) / f"report_{width}.png"), full_page=True)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_on_it_is_out_of_reach_for_anybody(page: Any, width: int) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.set_viewport_size({"width": width, "height": 900})
    unfold(page)
    found = Axe().run(page, options={"runOnly": WCAG}).response["violations"]
    assert [(each["id"], [node["html"][:120] for node in each["nodes"][:3]]) for each in found] == []


def test_a_keyboard_opens_the_science_and_its_charts_are_drawn(page: Any) -> None:
    fold = page.locator("details#value")
    assert fold.evaluate("(fold) => fold.open") is False
    assert page.locator("#chart-value svg").count() == 0, "what nobody sees is not drawn"
    fold.locator("summary").focus()
    page.keyboard.press("Enter")
    page.locator("#chart-value svg.main-svg").first.wait_for()
    assert fold.evaluate("(fold) => fold.open") is True
    drawn = page.locator("#chart-value").evaluate("(place) => place.getBoundingClientRect().width")
    assert page.locator("#chart-value svg.main-svg").first.evaluate("(svg) => svg.clientWidth") == pytest.approx(
        drawn, abs=2
    )


def test_a_link_into_the_science_unfolds_it(page: Any) -> None:
    page.goto(f"{page.url}#provenance")
    page.wait_for_timeout(200)
    assert page.locator("details#provenance").evaluate("(fold) => fold.open") is True


def test_paper_has_what_is_folded_and_the_screen_is_as_before(page: Any) -> None:
    opened = "[...document.querySelectorAll('details')].map((fold) => fold.open)"
    before = page.evaluate(opened)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    shown = page.locator("details:not(.unprinted)")
    assert shown.evaluate_all("(folds) => folds.every((fold) => fold.open)") is True
    charts = page.locator(".plot").evaluate_all(
        "(all) => all.map((each) => (each.querySelector('svg.main-svg') || {}).clientWidth)"
    )
    assert len(charts) > 3 and set(charts) == {PAPER}
    assert (
        page.locator("details.unprinted").evaluate_all("(folds) => folds.every((fold) => !fold.offsetHeight)") is True
    )
    assert page.locator("nav").is_visible() is False
    page.emulate_media(media="screen")
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(opened) == before
    if pictures := os.environ.get("OFFERMIX_PICTURES"):
        page.pdf(path=str(Path(pictures) / "report.pdf"), format="A4", prefer_css_page_size=True)


def test_no_table_is_cut_on_paper(page: Any) -> None:
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": PAPER, "height": 1000})
    is_cut = "(all) => all.filter((each) => each.scrollWidth > each.clientWidth + 1).map((each) => each.innerText.slice(0, 80))"
    assert page.locator(".wide").evaluate_all(is_cut) == []
