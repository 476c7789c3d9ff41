"""The first page: which runs there are, and who is asking."""

import re
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from allocator.policy.checked import Meant
from allocator.policy.schema import policy_schema
from ranker.files import InputError
from scripts.console.asked import Form
from scripts.console.opened import CONSOLE
from scripts.console.render import page
from scripts.console.run_list import list_runs
from scripts.console.state import Console, StillOpening
from scripts.formats.console import DRAFT

YEAR_SECONDS = 365 * 24 * 3600
BACK = re.compile(r"/(runs/[A-Za-z0-9._/-]*)?")


def router() -> APIRouter:
    made = APIRouter()
    made.get("/")(start)
    made.post("/name")(name)
    made.get("/runs/{run}")(first_draft)
    made.post("/runs/{run}")(other_draft)
    made.get("/runs/{run}/schema")(schema)
    made.get("/runs/{run}/opening")(opening)
    return made


def start(request: Request) -> Response:
    """The runs."""
    console: Console = request.app.state.console
    wanted = console.settings.console.run
    runs = list_runs(console.runs)
    drafts = {
        run.name: sorted(path.parent.name for path in (console.runs / CONSOLE / run.name / "drafts").glob(f"*/{DRAFT}"))
        for run in runs
    }
    told = {"title": "Runs", "runs": runs, "drafts": drafts, "folder": console.runs, "wanted": wanted}
    return page(request, "start.html.j2", told)


def name(form: Form) -> Response:
    """Keeps the visitor's name in a cookie."""
    given, back = " ".join(form.get("name", "").split())[:60], form.get("back", "/")
    if not given:
        raise InputError(["your name: is missing"])
    response = RedirectResponse(back if BACK.fullmatch(back) else "/", 303)
    response.set_cookie("offermix_name", quote(given), max_age=YEAR_SECONDS, httponly=True, samesite="strict")
    return response


def first_draft(run: str) -> Response:
    return RedirectResponse(f"/runs/{quote(run, safe='')}/drafts/draft", 303)


def other_draft(request: Request, run: str, form: Form) -> Response:
    """A new draft, or one that is there, by its name."""
    console: Console = request.app.state.console
    opened = console.run(run)
    draft = opened.drafts.get(form.get("draft", "").strip(), lambda: opened.text)
    return RedirectResponse(f"/runs/{opened.name}/drafts/{draft.name}", 303)


def opening(request: Request, run: str) -> Response:
    """Shows the page again once the run is open."""
    console: Console = request.app.state.console
    try:
        console.run(run)
    except StillOpening as error:
        return page(request, "part_opening.html.j2", {"run": run, "job": error.job})
    return Response(status_code=204, headers={"HX-Refresh": "true"})


def schema(request: Request, run: str) -> Response:
    """The JSON schema of policies for the run's scores: what the editor completes and explains."""
    console: Console = request.app.state.console
    return JSONResponse(policy_schema(Meant(scores=console.run(run).scores).world))
