"""Scenarios side by side: keeping the draft under a name, sorting, notes, and going on from one of them."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from allocator.workbench.answers import WhatIf
from ranker.files import InputError
from scripts.console.asked import AtDesk, Desk, Form
from scripts.console.render import page
from scripts.console.scenarios import MOST, baseline, in_order
from scripts.judging.track_record import track_record


def router() -> APIRouter:
    made = APIRouter(prefix="/runs/{run}/drafts/{draft}/scenarios")
    made.get("")(scenarios)
    made.post("")(keep)
    made.post("/note")(note)
    made.post("/take-away")(take_away)
    return made


def scenarios(request: Request, desk: AtDesk, by: str = "name", down: bool = False) -> Response:
    """The table, the run's own policy first."""
    kept = desk.console.scenarios(desk.run).all()
    answer = _answer(desk)
    first = None if answer is None else baseline(answer, f"{desk.run.name}, as it is")
    columns = [figure.name for figure in (kept or ((first,) if first else ()))[0].figures] if kept or first else []
    told = {
        "kept": in_order(kept, by, down),
        "baseline": first,
        "columns": columns,
        "by": by,
        "down": down,
        "most": MOST,
        "record": track_record(desk.console.runs),
    }
    return page(request, "scenarios.html.j2", {"title": f"{desk.run.name}: scenarios", "desk": desk, **told})


def _answer(desk: Desk) -> WhatIf | None:
    """The comparison of the draft, where it has been made or is quickly made."""
    found = desk.checked()
    if found.policy is None:
        return None
    job = desk.console.questions(desk.run).what_if(found.policy, full=False)
    job.over.wait(30)
    return job.answer if isinstance(job.answer, WhatIf) else None


def keep(request: Request, desk: AtDesk, form: Form) -> Response:
    """Keeps the draft as it stands under a name."""
    answer = _answer(desk)
    if answer is None:
        raise InputError(
            ["The draft has mistakes or contradicts itself; only a policy that can be kept is a scenario."]
        )
    owner = form.get("owner", "").strip() or desk.by
    desk.console.scenarios(desk.run).keep(form.get("name", ""), owner, form.get("note", ""), desk.draft.text, answer)
    if request.headers.get("hx-request") and not form.get("go"):
        return page(request, "part_kept.html.j2", {"desk": desk, "name": form.get("name", "").strip()})
    return _back(request, desk)


def note(request: Request, desk: AtDesk, form: Form) -> Response:
    desk.console.scenarios(desk.run).annotate(form.get("name", ""), form.get("note", ""))
    return _back(request, desk)


def take_away(request: Request, desk: AtDesk, form: Form) -> Response:
    desk.console.scenarios(desk.run).take_away(form.get("name", ""))
    return _back(request, desk)


def _back(request: Request, desk: Desk) -> Response:
    address = f"{desk.address}/scenarios"
    if request.headers.get("hx-request"):
        return Response(status_code=204, headers={"HX-Redirect": address})
    return RedirectResponse(address, 303)
