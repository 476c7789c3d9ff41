"""How a command asks a question of a policy: a session over the scores, progress, and the answer's file, or the diagnosis in its place."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from allocator.formats import DIAGNOSIS, AllocationPart
from allocator.infeasible.diagnosis import Infeasible
from allocator.workbench.session import Session
from ranker.scores import open_scores
from scripts.cli import entry
from scripts.cli.settings import QuestionPaths, Settings
from scripts.runs import stage

Answer = TypeVar("Answer", bound=AllocationPart)


def ask(settings: Settings, doing: str, file: str, answered: Callable[[Session], Answer]) -> Answer:
    """The answer, written as the only file of `out` where one is named.

    doing: what is said while one waits. file: the name of the answer's file. Raises Infeasible after writing `diagnosis.json` alone.
    """
    paths, steps = QuestionPaths.model_validate(settings.paths.model_dump()), ["opening the scores"]
    try:
        with (
            entry.watched(lambda: f"{doing}: {steps[-1]}"),
            Session.open(open_scores(paths.scores), settings.ask.sample, paths.previous, steps.append) as session,
        ):
            answer = answered(session)
    except Infeasible as error:
        _write(paths.out, DIAGNOSIS, error.diagnosis.text(), file)
        raise
    _write(paths.out, file, answer.text(), DIAGNOSIS)
    return answer


def _write(out: Path | None, name: str, text: str, instead_of: str) -> None:
    if out is not None:
        stage.write_alone(out, name, text, instead_of=instead_of)
