"""Templates filled with words: everything is escaped, and a name that a template does not know is an error."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import quote, unquote

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse

from allocator.amounts import number, percent, percent_at_most, with_unit
from ranker.normal import Z95
from scripts.cli.shipped import called
from scripts.console import shown
from scripts.console.curve import curve, mark_of
from scripts.console.takes import in_seconds
from scripts.pages import track_record
from scripts.pages.explain import STAGES, WORDS

HERE = Path(__file__).resolve().parent
STATIC = HERE / "static"


@cache
def environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": number,
        "percent": percent,
        "percent_at_most": percent_at_most,
        "with_unit": with_unit,
        "opening": opening,
        "part": lambda text: quote(text, safe=""),
    }
    made.globals |= {
        "called": called,
        "shown": shown,
        "track_record": track_record,
        "in_seconds": in_seconds,
        "curve": curve,
        "mark_of": mark_of,
        "Z95": Z95,
        "STAGES": STAGES,
        "CAUSES": WORDS,
    }
    return made


def opening(words: str) -> str:
    """As a sentence begins; ids within keep their letters."""
    return words[:1].upper() + words[1:]


def page(
    request: Request,
    template: str,
    words: Mapping[str, object],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """A page, or a part of one."""
    told = {**words, "who": who(request), "here": request.url.path}
    return HTMLResponse(environment().get_template(template).render(told), status, dict(headers or {}))


def who(request: Request) -> str:
    """The name that the visitor gave, or nothing."""
    return " ".join(unquote(request.cookies.get("offermix_name", "")).split())[:60]
