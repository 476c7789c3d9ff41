"""The script that draws the charts is the one that the installed plotly writes figures for, and a page with it is below 2 MB."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs_version

from allocator.policy.grammar import Policy
from allocator.report.collect import collect
from allocator.report.last_week import EarlierFolders
from allocator.report.page import HERE, plotly_script, render, weeks_of
from tests.allocator.report.test_report import read
from tests.allocator.reporting import constraint, write_run

MOST_BYTES = 2_000_000


def test_the_script_is_of_the_version_that_figures_are_written_for() -> None:
    head = plotly_script()[:200]
    assert f"plotly.js (cartesian - minified) v{get_plotlyjs_version()}" in head
    assert "MIT" in (HERE / "plotly" / "LICENSE").read_text()


def test_it_leaves_room_for_a_page_below_two_megabytes() -> None:
    assert len(plotly_script()) < 1_600_000
    assert "</script" not in plotly_script()


@pytest.mark.parametrize("rules", [30, pytest.param(1700, marks=pytest.mark.slow)])
def test_a_page_of_many_rules_and_offers_is_below_two_megabytes(tmp_path: Path, rules: int) -> None:
    names = [f"cap_{number}" for number in range(rules)]
    records = [
        constraint(id=name, label=f"Cap {name}", binding=None if place % 3 else "max", price=0.0 if place % 3 else 0.1)
        for place, name in enumerate(names)
    ]
    products = tuple(f"product number {number}" for number in range(60))
    before, now = (
        write_run(tmp_path / week, 60, seed, products, records) for seed, week in enumerate(("2026-W47", "2026-W48"))
    )
    rule = {"kind": "volume", "where": {"surface": "push"}, "users": {"market": "SE"}, "max": "20%", "owner": "crm"}
    policy = {
        "objective": [{"metric": "revenue", "weight": 1.0}],
        "constraints": [{"id": name, **rule} for name in names],
    }
    (now.sources.allocation / "policy.json").write_text(json.dumps(Policy.model_validate(policy).to_json()))
    sources = replace(now.sources, previous=EarlierFolders(before.sources.allocation, "2026-W47"))
    report = collect(sources)
    page = render(report)
    assert len(page.encode()) < MOST_BYTES
    shown = Counter(re.findall(r'<tr class="(rule)', page))["rule"]
    said = re.search(r"<p>([0-9,]+) further rules are in the policy", page)
    assert shown + (0 if said is None else int(said[1].replace(",", ""))) == rules
    assert "Cap cap_0" in page, "what binds stays"
    placed = weeks_of(report).placed
    assert placed is not None and len(placed.rows) == 41
    assert (placed.rows[-1].total.now, placed.rows[-1].total.before) == (len(now.chosen), len(before.chosen))
    figure = read(sources).figures["by-surface"][0]["figure"]["data"][0]
    assert len(figure["y"]) == 40 and figure["y"][-1] == "21 others"
    assert sum(map(sum, figure["z"])) == len(now.chosen)
