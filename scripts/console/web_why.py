"""Why: one listener's offers by stage, what keeps listeners from some offers, and whether an answer holds by other views of the scores."""

from fastapi import APIRouter, Request, Response

from allocator.policy.checked import Meant, known_words
from ranker.files import InputError
from scripts.console.asked import AtDesk, Form
from scripts.console.render import page
from scripts.console.web_questions import shown_job, unreadable

ASKED_FIRST = ("product", "offer", "message", "family", "surface")
"""Attributes of offers that people ask about first, where there are such."""


def router() -> APIRouter:
    made = APIRouter(prefix="/runs/{run}/drafts/{draft}")
    made.get("/why")(why)
    made.post("/why/listener")(listener)
    made.get("/why/offers")(offers)
    made.get("/doubt")(doubt)
    return made


def why(request: Request, desk: AtDesk) -> Response:
    """The forms of both questions."""
    where = known_words(Meant(scores=desk.run.scores))["where"]
    kinds = [name for name in ASKED_FIRST if name in where]
    choices = [(name, str(value)) for name in kinds for value in where[name] if isinstance(value, str)]
    told = {"desk": desk, "checked": desk.checked(), "choices": choices, "title": f"{desk.run.name}: why"}
    return page(request, "why.html.j2", told)


def listener(request: Request, desk: AtDesk, form: Form) -> Response:
    """One listener of the run. The id comes in a form, so that it stands in no address."""
    user = form.get("user", "").strip()
    if not user:
        raise InputError(["listener: give the id of a listener, as the scores have it"])
    return shown_job(request, desk, desk.console.questions(desk.run).listener(user, desk.owner))


def offers(request: Request, desk: AtDesk, which: str = "") -> Response:
    """Offers with one value of an attribute, under the draft."""
    key, equals, value = which.partition("=")
    found = desk.checked()
    if not equals or found.policy is None:
        raise InputError(["offers: choose some; the draft must be without mistakes"])
    return shown_job(request, desk, desk.console.questions(desk.run).product(found.policy, key, value, desk.owner))


def doubt(request: Request, desk: AtDesk, also: bool = False) -> Response:
    """Whether the draft's effect holds, also by last week's scores, and what each of its rules costs."""
    found = desk.checked()
    if found.policy is None:
        return unreadable(request, found)
    other = desk.console.before(desk.run) if also else None
    return shown_job(request, desk, desk.console.questions(desk.run).doubted(found.policy, other))
