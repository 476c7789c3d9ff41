"""The page as a web application: its addresses, who may ask, and mistakes in words instead of tracebacks."""

import logging

from fastapi import FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles

from ranker.files import InputError
from scripts.cli.settings import Settings
from scripts.console import web_draft, web_questions, web_release, web_scenarios, web_start, web_why
from scripts.console.drafts import DraftConflict
from scripts.console.guard import guarded
from scripts.console.render import STATIC, page
from scripts.console.state import Console, StillOpening

log = logging.getLogger("offermix.console")


def make_app(settings: Settings, port: int) -> FastAPI:
    """The application for requests to 127.0.0.1:port; it listens to nothing by itself."""
    app = FastAPI(title="offermix console", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.console = Console(settings)
    guarded(app, port)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    for web in (web_start, web_draft, web_questions, web_why, web_scenarios, web_release):
        app.include_router(web.router())
    app.add_exception_handler(InputError, _wrong)
    app.add_exception_handler(DraftConflict, _conflict)
    app.add_exception_handler(StillOpening, _opening)
    app.add_exception_handler(404, _lost)
    app.add_exception_handler(500, _failed)
    return app


def _wrong(request: Request, error: Exception) -> Response:
    problems = error.problems if isinstance(error, InputError) else (str(error),)
    return _told(request, problems, 422)


def _lost(request: Request, error: Exception) -> Response:
    return _told(request, ("There is no such page.",), 404)


def _failed(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _told(request, ("Something in the console failed; the terminal that runs it says what.",), 500)


def _told(request: Request, problems: tuple[str, ...], status: int) -> Response:
    if request.headers.get("hx-request"):
        headers = {"HX-Retarget": "#notice", "HX-Reswap": "innerHTML"}
        return page(request, "part_problems.html.j2", {"problems": problems}, status=status, headers=headers)
    return page(request, "problems.html.j2", {"problems": problems, "title": "This did not work"}, status=status)


def _opening(request: Request, error: Exception) -> Response:
    if not isinstance(error, StillOpening):
        raise error
    return page(request, "opening.html.j2", {"title": "Opening", "run": error.run, "job": error.job}, status=202)


def _conflict(request: Request, error: Exception) -> Response:
    if not isinstance(error, DraftConflict):
        raise error
    address = request.url.path.rsplit("/", 1)[0]
    headers = {"HX-Retarget": "#conflict", "HX-Reswap": "innerHTML"}
    told = {"theirs": error.theirs, "mine": error.mine, "address": address, "lines": error.lines()}
    return page(request, "part_conflict.html.j2", told, status=409, headers=headers)
