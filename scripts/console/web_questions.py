"""Questions of the draft: its effect, a search for a bound, a trade-off; with progress while they are worked on, and a way to stop."""

from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from allocator.workbench.answers import Explanation, Frontier, ProductExplanation, Seek, WhatIf
from ranker.files import InputError
from scripts.console.asked import AtDesk, Desk
from scripts.console.jobs import Job
from scripts.console.policy_text import CheckedDraft
from scripts.console.publishing import PublishedPolicy
from scripts.console.questions import Doubted
from scripts.console.render import page
from scripts.console.rows import row_groups
from scripts.console.takes import full_takes
from scripts.judging.track_record import discounted, track_record

PARTS = {
    WhatIf: "part_effect.html.j2",
    Seek: "part_seek.html.j2",
    Frontier: "part_frontier.html.j2",
    PublishedPolicy: "part_published.html.j2",
    Doubted: "part_doubted.html.j2",
    Explanation: "part_listener.html.j2",
    ProductExplanation: "part_offers.html.j2",
}
"""Kind of answer -> what shows it."""
AT_ONCE = 0.25
"""Seconds that a request waits for an answer before it shows that work is under way."""


def router() -> APIRouter:
    made = APIRouter(prefix="/runs/{run}/drafts/{draft}")
    made.get("/effect")(effect)
    made.get("/seek")(seek)
    made.get("/frontier")(frontier)
    made.get("/jobs/{job}")(progress)
    made.post("/jobs/{job}/stop")(stop)
    return made


def effect(request: Request, desk: AtDesk, full: bool = False) -> Response:
    """The draft against the run's policy."""
    found = desk.checked()
    if found.policy is None:
        return unreadable(request, found)
    return shown_job(request, desk, desk.console.questions(desk.run).what_if(found.policy, full, desk.owner))


def unreadable(request: Request, found: CheckedDraft) -> Response:
    return page(request, "part_unreadable.html.j2", {"mistakes": found.mistakes})


def seek(
    request: Request, desk: AtDesk, want: str = "", amount: str = "", by: str = "", full: bool = False
) -> Response:
    """The form of a search, and its answer."""
    found = desk.checked()
    knobs = [knob.path for group in row_groups(desk.draft.text) for row in group.rows for knob in row.knobs]
    if want and amount and by and found.policy is not None:
        job = desk.console.questions(desk.run).seek(found.policy, f"{want}={amount}", by, full, desk.owner)
        if request.headers.get("hx-request"):
            return shown_job(request, desk, job)
    asked = {"want": want, "amount": amount, "by": by, "full": full}
    return _form(request, desk, found, "seek.html.j2", knobs=knobs, asked=asked)


def frontier(
    request: Request, desk: AtDesk, x: str = "", y: str = "value", points: int = 12, full: bool = False
) -> Response:
    """The form of a trade-off, and its answer."""
    found = desk.checked()
    if x and y and found.policy is not None:
        job = desk.console.questions(desk.run).frontier(found.policy, x, y, points, full, desk.owner)
        if request.headers.get("hx-request"):
            return shown_job(request, desk, job)
    return _form(request, desk, found, "frontier.html.j2", asked={"x": x, "y": y, "points": points, "full": full})


def _form(request: Request, desk: Desk, found: CheckedDraft, template: str, **words: object) -> Response:
    """A page of a question; asked by its address alone, it asks at once."""
    metrics = desk.run.scores.catalogue.metrics
    totals = [
        ("contacts", "contacts in all"),
        *((each.name, f"{each.name.replace('_', ' ')} in all") for each in metrics),
    ]
    rules = [] if found.policy is None else [(rule.id, rule.name) for rule in found.policy.constraints]
    query = urlencode(dict(request.query_params)) if request.query_params else ""
    told = {
        "desk": desk,
        "checked": found,
        "totals": totals,
        "rules": rules,
        "query": query,
        "takes": full_takes(desk.run.folder / "allocation"),
    }
    return page(request, template, {**told, **words, "title": f"{desk.run.name}: {desk.draft.name}"})


def _promised(desk: Desk, answer: WhatIf) -> dict[str, object]:
    """What a promise is to be seen beside, and what it comes to by that; how long it takes to count it; last week's scores."""
    record = track_record(desk.console.runs)
    worth = None if record is None else discounted(answer.difference.value, record)
    takes = full_takes(desk.run.folder / "allocation").compared
    return {"record": record, "worth": worth, "takes": takes, "before": desk.run.before}


def progress(request: Request, desk: AtDesk, job: str) -> Response:
    """How far a job is, or its answer."""
    return shown_job(request, desk, _found(desk, job))


def stop(request: Request, desk: AtDesk, job: str) -> Response:
    found = _found(desk, job)
    desk.console.jobs.stop(found.id)
    found.over.wait(AT_ONCE)
    return shown_job(request, desk, found)


def _found(desk: Desk, job: str) -> Job:
    found = desk.console.jobs.get(job)
    if found is None:
        raise InputError(["This work is not known any more; ask again."])
    return found


def shown_job(request: Request, desk: Desk, job: Job) -> Response:
    """Progress, what went wrong, the contradiction with its repairs, or the answer."""
    job.over.wait(AT_ONCE)
    told: dict[str, object] = {"desk": desk, "job": job, "discount": request.query_params.get("discount") == "true"}
    if job.state == "contradiction" and job.infeasible is not None:
        diagnosis = job.infeasible.diagnosis
        return page(request, "part_contradiction.html.j2", {**told, "diagnosis": diagnosis})
    if job.state == "done":
        if isinstance(job.answer, WhatIf):
            told |= _promised(desk, job.answer)
        row_ids = {row.id for group in row_groups(desk.draft.text) for row in group.rows if row.kind}
        return page(request, PARTS[type(job.answer)], {**told, "answer": job.answer, "row_ids": row_ids})
    return page(request, "part_job.html.j2", told)
