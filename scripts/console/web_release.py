"""From a draft to what is published: saved as a new file, proposed, approved, published; each step says what it will do."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from ranker.files import InputError
from scripts.console.asked import AtDesk, Desk, Form
from scripts.console.drafts import DraftConflict
from scripts.console.render import page
from scripts.console.run_list import published
from scripts.console.web_questions import shown_job


def router() -> APIRouter:
    made = APIRouter(prefix="/runs/{run}/drafts/{draft}/release")
    made.get("")(release)
    made.post("/propose")(propose)
    made.post("/approve")(approve)
    made.post("/publish")(publish)
    return made


def release(request: Request, desk: AtDesk) -> Response:
    proposals = desk.console.proposals
    pointer = published(desk.console.runs)
    told = {
        "desk": desk,
        "checked": desk.checked(),
        "pointer": pointer,
        "proposals": proposals.all(),
        "required": proposals.approver_required,
        "policies": proposals.policies,
    }
    return page(request, "release.html.j2", {**told, "title": f"{desk.run.name}: release"})


def propose(request: Request, desk: AtDesk, form: Form) -> Response:
    """Saves the draft as a new policy file, and proposes it."""
    if form.get("version") != str(desk.draft.version):
        raise DraftConflict(desk.draft, "")
    if desk.checked().policy is None:
        raise InputError(["The draft has mistakes; only a policy that can be read is proposed."])
    desk.console.proposals.propose(
        form.get("file", ""), desk.draft.text, desk.run.name, form.get("reason", ""), desk.who
    )
    return _back(request, desk)


def approve(request: Request, desk: AtDesk, form: Form) -> Response:
    desk.console.proposals.approve(form.get("name", ""), desk.who)
    return _back(request, desk)


def publish(request: Request, desk: AtDesk, form: Form) -> Response:
    """Allocates, audits and publishes a proposal; shows how far that is."""
    if not desk.who:
        raise InputError(["your name: is missing; give it at the top of the page"])
    return shown_job(request, desk, desk.console.publish(form.get("name", "")))


def _back(request: Request, desk: Desk) -> Response:
    address = f"{desk.address}/release"
    if request.headers.get("hx-request"):
        return Response(status_code=204, headers={"HX-Redirect": address})
    return RedirectResponse(address, 303)
