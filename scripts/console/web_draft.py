"""The draft's page: rules as numbers and sliders, the whole policy as text, and every save, step back and repair."""

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response

from ranker.files import InputError
from scripts.console import shown
from scripts.console.asked import AtDesk, Desk, Form, version_of
from scripts.console.drafts import TYPING, Draft
from scripts.console.edit_text import Amount, CannotEdit, with_fields
from scripts.console.opened import OpenedRun
from scripts.console.render import page
from scripts.console.rows import path_value, row_groups
from scripts.console.state import Console
from scripts.judging.track_record import track_record

SAVED = {"HX-Trigger": "draft-saved"}


def router() -> APIRouter:
    made = APIRouter(prefix="/runs/{run}/drafts/{draft}")
    made.get("")(draft_page)
    made.post("/text")(text)
    made.post("/field")(field)
    made.post("/take")(take)
    made.post("/step")(step)
    made.post("/start-again")(start_again)
    return made


def draft_page(request: Request, desk: AtDesk) -> Response:
    record = track_record(desk.console.runs)
    told = {"desk": desk, "title": f"{desk.run.name}: {desk.draft.name}", "record": record}
    return page(request, "draft.html.j2", {**_words(desk.console, desk.run, desk.draft), **told})


def text(request: Request, desk: AtDesk, form: Form) -> Response:
    """Saves the whole text, as it was typed."""
    given = form.get("text")
    if given is None:
        raise InputError(["text: is missing"])
    what = TYPING if form.get("what") is None else "kept mine"
    saved = desk.run.drafts.save(desk.draft.name, version_of(form), given, desk.by, what)
    return _saved(request, desk, saved, "rows" if what == TYPING else "all")


def field(request: Request, desk: AtDesk, form: Form) -> Response:
    """Changes one number."""
    path = form.get("path", "")
    try:
        value = path_value(form.get("suffix", ""), form.get("value", ""))
    except ValueError:
        raise InputError([f"{path}: '{form.get('value', '')[:40]}' is not a number"]) from None
    return _changed(request, desk, form, {path: value}, f"{path} = {value}", "text")


def take(request: Request, desk: AtDesk, form: Form) -> Response:
    """Takes a repair, or the answer of a search: one field or several, each as PATH=VALUE."""
    changes: dict[str, Amount] = {}
    for change in form.get("changes", "").split(";"):
        path, equals, value = change.strip().rpartition("=")
        if not equals or not path:
            raise InputError(["changes: are missing"])
        changes[path.strip()] = path_value("%" if value.strip().endswith("%") else "", value)
    told = ", ".join(f"{path} = {value}" for path, value in changes.items())
    return _changed(request, desk, form, changes, told, "all")


def step(request: Request, desk: AtDesk, form: Form) -> Response:
    """Undoes, or does again."""
    forth = form.get("steps") == "1"
    saved = desk.run.drafts.step(desk.draft.name, version_of(form), 1 if forth else -1)
    return _saved(request, desk, saved, "all")


def start_again(request: Request, desk: AtDesk, form: Form) -> Response:
    """The run's policy again, or the text of a scenario; what was there can be undone to."""
    name = form.get("scenario")
    given = desk.run.text if name is None else desk.console.scenarios(desk.run).get(name).policy_text
    what = "the run's policy again" if name is None else f"scenario {name}"
    saved = desk.run.drafts.save(desk.draft.name, version_of(form), given, desk.by, what)
    if not request.headers.get("hx-request") or form.get("go"):
        return Response(status_code=204, headers={"HX-Redirect": desk.address})
    return _saved(request, desk, saved, "all")


def _changed(
    request: Request, desk: Desk, form: Mapping[str, str], changes: Mapping[str, Amount], what: str, parts: str
) -> Response:
    version = version_of(form)
    base = desk.draft.text
    try:
        changed = with_fields(base, changes)
    except CannotEdit as error:
        raise InputError([str(error)]) from None
    saved = desk.run.drafts.save(desk.draft.name, version, changed, desk.by, what)
    if form.get("go"):
        return Response(status_code=204, headers={"HX-Redirect": desk.address})
    return _saved(request, desk, saved, parts)


def _saved(request: Request, desk: Desk, saved: Draft, parts: str) -> Response:
    """What of the page is new. parts: `text`, `rows` or `all`: the view that was not edited follows the one that was."""
    words = _words(desk.console, desk.run, saved)
    return page(request, "part_saved.html.j2", {**words, "parts": parts, "address": desk.address}, headers=SAVED)


def _words(console: Console, run: OpenedRun, draft: Draft) -> dict[str, object]:
    now = {
        each.id: (shown.achieved(each), shown.price(each, run.unit)) for each in console.certificate(run).constraints
    }
    return {
        "run": run,
        "draft": draft,
        "groups": row_groups(draft.text),
        "checked": console.checked(run, draft.text),
        "now": now,
    }
