"""What a request says: the fields of its form, and the run and draft that its address names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from ranker.files import InputError
from scripts.console.drafts import Draft
from scripts.console.guard import MOST_BYTES
from scripts.console.opened import OpenedRun
from scripts.console.policy_text import CheckedDraft
from scripts.console.render import who
from scripts.console.state import Console


async def form_of(request: Request) -> Mapping[str, str]:
    """The fields of a form; of several with one name the last."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise InputError(["form: is too long"])
    try:
        return dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=500))
    except (UnicodeDecodeError, ValueError):
        raise InputError(["form: cannot be read"]) from None


Form = Annotated[Mapping[str, str], Depends(form_of)]


@dataclass(frozen=True)
class Desk:
    """A draft of a run, and who sits before it."""

    console: Console
    run: OpenedRun
    draft: Draft
    who: str

    @property
    def address(self) -> str:
        return f"/runs/{self.run.name}/drafts/{self.draft.name}"

    @property
    def owner(self) -> str:
        """Whose work is replaced by newer work: one line of questions per draft."""
        return f"{self.run.name}/{self.draft.name}"

    @property
    def by(self) -> str:
        return self.who or "somebody"

    def checked(self) -> CheckedDraft:
        return self.console.checked(self.run, self.draft.text)


def desk_of(request: Request, run: str, draft: str) -> Desk:
    console: Console = request.app.state.console
    opened = console.run(run)
    return Desk(console, opened, opened.drafts.get(draft, lambda: opened.text), who(request))


AtDesk = Annotated[Desk, Depends(desk_of)]


def version_of(form: Mapping[str, str]) -> int:
    """The version that a change is made of."""
    try:
        return int(form.get("version", ""))
    except ValueError:
        raise InputError(["version: is missing; load the page again"]) from None
