"""The script that draws the charts is the one that the installed plotly writes figures for, and a page with it is below 2 MB."""

from plotly.offline import get_plotlyjs_version

from allocator.report.page import HERE, plotly_script


def test_the_script_is_of_the_version_that_figures_are_written_for() -> None:
    head = plotly_script()[:200]
    assert f"plotly.js (cartesian - minified) v{get_plotlyjs_version()}" in head
    assert "MIT" in (HERE / "plotly" / "LICENSE").read_text()


def test_it_leaves_room_for_a_page_below_two_megabytes() -> None:
    assert len(plotly_script()) < 1_600_000
    assert "</script" not in plotly_script()
