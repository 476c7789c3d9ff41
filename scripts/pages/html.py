"""Results as one HTML file: words, charts and tables in the look of the report; no other file, no network, no code from data."""

from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from allocator.report import page as report
from allocator.report.charts import Chart
from ranker import disk

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Table:
    """The first `words` columns are text, the others amounts. folded: shown when it is opened."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    folded: bool = True


@dataclass(frozen=True)
class Tile:
    """One figure to be seen first. tone: "", good or bad."""

    name: str
    figure: str
    unit: str = ""
    note: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Section:
    """A chapter of the page: what it shows in words, then charts and tables."""

    id: str
    title: str
    paragraphs: tuple[str, ...]
    blocks: tuple[Chart | Table, ...]


@dataclass(frozen=True)
class Page:
    """headline: the result as a sentence. words: what is meant by the words of the page."""

    title: str
    eyebrow: str
    headline: str
    tiles: tuple[Tile, ...]
    notices: tuple[str, ...]
    sections: tuple[Section, ...]
    words: tuple[tuple[str, str], ...]


def write(page: Page, path: Path) -> None:
    """Writes the page; the same page gives the same bytes."""
    disk.write_text(path, render(page))


def render(page: Page) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["held"] = report.hold_units_together
    plotly_js, page_js = report.plotly_script(), (report.HERE / "page.js").read_text(encoding="utf-8")
    charts = [block for section in page.sections for block in section.blocks if isinstance(block, Chart)]
    return environment.get_template("page.html.j2").render(
        page=page,
        style=Markup((report.HERE / "page.css").read_text(encoding="utf-8")),
        plotly_js=Markup(plotly_js),
        page_js=Markup(page_js),
        script_digests=[report.script_digest(plotly_js), report.script_digest(page_js)],
        chart_data=Markup(report.chart_data(charts)),
    )
