"""What the page knows between two requests: the runs that were opened, their work, and where everything is kept."""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path

from allocator.formats import CERTIFICATE, Certificate
from allocator.workbench.priced import Tell
from allocator.workbench.session import Session
from ranker.files import InputError
from scripts.cli.settings import Settings
from scripts.cli.shipped import own_policies
from scripts.console.jobs import Job, Jobs
from scripts.console.opened import CONSOLE, OpenedRun, open_run, open_session
from scripts.console.policy_text import CheckedDraft, checked
from scripts.console.proposals import Proposals
from scripts.console.publishing import publish_proposal
from scripts.console.questions import OtherScores, Questions
from scripts.console.run_list import find_run, list_runs
from scripts.console.scenarios import Scenarios

KEPT = 64
"""Texts whose mistakes are remembered."""

PATIENCE = 2.5
"""Seconds that a request waits for a run to be opened before it shows that work is under way."""


class StillOpening(Exception):
    """The run's sample is being drawn, which happens once."""

    def __init__(self, run: str, job: Job):
        super().__init__(f"{run}: is being opened")
        self.run, self.job = run, job


@dataclass
class Console:
    """One process of the page. opened: by name, with the time of the certificate that was there then. others: (run, the one before) -> a
    session over the scores of the one before."""

    settings: Settings
    jobs: Jobs = field(default_factory=Jobs)
    publishing: threading.Lock = field(default_factory=threading.Lock)
    opened: dict[str, tuple[float, OpenedRun]] = field(default_factory=dict)
    opening: threading.Lock = field(default_factory=threading.Lock)
    others: dict[tuple[str, str], Session] = field(default_factory=dict)
    texts: OrderedDict[tuple[str, str], CheckedDraft] = field(default_factory=OrderedDict)

    @property
    def runs(self) -> Path:
        return self.settings.paths.runs

    def run(self, name: str) -> OpenedRun:
        """The run of that name, opened now where it was not.

        Raises InputError where there is none, StillOpening where its sample is still being drawn.
        """
        listed = find_run(self.runs, name)
        written = (listed.folder / "allocation" / CERTIFICATE).stat().st_mtime
        known = self.opened.get(name)
        if known is not None and known[0] == written:
            return known[1]

        def work(tell: Tell) -> object:
            return open_run(listed.folder, self.settings.ask.sample, tell)

        job = self.jobs.ask(f"open {name} {written}", "Opening the run", self.opening, work)
        job.over.wait(PATIENCE)
        if isinstance(job.answer, OpenedRun):
            self.opened[name] = written, job.answer
            return job.answer
        if job.state == "running":
            raise StillOpening(name, job)
        raise InputError(job.problems or [f"{name}: was not opened; try again"])

    def certificate(self, run: OpenedRun) -> Certificate:
        return Certificate.from_file(run.folder / "allocation" / CERTIFICATE)

    def checked(self, run: OpenedRun, text: str) -> CheckedDraft:
        """What is wrong with a text; asked again of the same one, at once."""
        key = run.name, text
        if key not in self.texts:
            self.texts[key] = checked(text, run.scores, run.users)
            while len(self.texts) > KEPT:
                self.texts.popitem(last=False)
        return self.texts[key]

    def before(self, run: OpenedRun) -> OtherScores | None:
        """Last week's scores, as a view of a question; None where there are none."""
        name = run.before
        if name is None:
            return None

        def opened(tell: Tell) -> Session:
            key, previous = (run.name, name), run.session.previous
            with self.opening:
                if key not in self.others:
                    self.others[key] = open_session(self.runs / name, self.settings.ask.sample, previous, tell)
            return replace(self.others[key], tell=tell)

        return OtherScores(name, opened)

    def questions(self, run: OpenedRun) -> Questions:
        return Questions(self.jobs, run)

    def scenarios(self, run: OpenedRun) -> Scenarios:
        return Scenarios(self.runs / CONSOLE / run.name)

    @property
    def proposals(self) -> Proposals:
        console = self.settings.console
        return Proposals(
            self.runs / CONSOLE / "proposals", console.policies or own_policies(), console.approver_required
        )

    def publish(self, name: str) -> Job:
        """Allocates, audits and publishes a proposed policy in the background."""
        record = self.proposals.check_publishable(name)

        def work(tell: Tell) -> object:
            return publish_proposal(self.settings, self.proposals, name, tell)

        return self.jobs.ask(
            f"publish {record.name} {record.sha256}", "Allocating and publishing", self.publishing, work
        )

    def names(self) -> list[str]:
        return [run.name for run in list_runs(self.runs)]
