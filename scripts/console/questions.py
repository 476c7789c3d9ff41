"""The questions that the page asks of a run, as jobs: what a draft does, which value reaches a goal, what a trade-off costs."""

from collections.abc import Callable
from dataclasses import dataclass

from allocator.policy.grammar import Policy
from allocator.workbench.answers import Frontier, Seek, WhatIf
from allocator.workbench.frontier import frontier
from allocator.workbench.goals import goal_of, seek_goal
from allocator.workbench.priced import Tell
from allocator.workbench.session import Session
from allocator.workbench.what_if import what_if
from scripts.console.jobs import Job, Jobs
from scripts.console.opened import OpenedRun

MOST_POINTS = 40


@dataclass(frozen=True)
class Questions:
    """Of one run. A question that was asked before has its answer at once."""

    jobs: Jobs
    run: OpenedRun

    def what_if(self, policy: Policy, full: bool, instead: str | None = None) -> Job:
        """The draft against the run's policy, on the sample or for all listeners."""

        def answered(session: Session) -> WhatIf:
            return what_if(session, self.run.base, self._active(policy), full)

        title = "Comparing allocations of all listeners" if full else "Comparing on the sample"
        return self._asked(f"what_if {policy.digest} {full}", title, answered, instead)

    def seek(self, policy: Policy, want: str, by: str, instead: str | None = None) -> Job:
        """Which value of a field reaches a goal. Raises InputError where the goal is not understood."""
        goal = goal_of(want, by)

        def answered(session: Session) -> Seek:
            return seek_goal(session, policy.to_json(), {}, goal)

        return self._asked(f"seek {policy.digest} {want} {by}", "Seeking", answered, instead)

    def frontier(self, policy: Policy, x: str, y: str, points: int, instead: str | None = None) -> Job:
        """The trade-off of two measures."""
        points = min(max(points, 2), MOST_POINTS)

        def answered(session: Session) -> Frontier:
            return frontier(session, self._active(policy), x, y, points)

        return self._asked(f"frontier {policy.digest} {x} {y} {points}", "Tracing the trade-off", answered, instead)

    def _active(self, policy: Policy) -> Policy:
        return policy.active(self.run.scores.catalogue.as_of)

    def _asked(self, key: str, title: str, answered: Callable[[Session], object], instead: str | None) -> Job:
        def work(tell: Tell) -> object:
            return answered(self.run.asked(tell))

        return self.jobs.ask(f"{self.run.name} {key}", title, self.run.turn, work, instead)
