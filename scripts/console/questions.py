"""The questions that the page asks of a run, as jobs: what a draft does, which value reaches a goal, what a trade-off costs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from allocator.policy.grammar import Policy
from allocator.policy.words import filter_from_words
from allocator.reopened import policy_of
from allocator.saved import read_allocation
from allocator.workbench.answers import (
    Explanation,
    Frontier,
    MeanAndError,
    ProductExplanation,
    Robustness,
    Seek,
    WhatIf,
)
from allocator.workbench.explain import explain
from allocator.workbench.frontier import frontier
from allocator.workbench.goals import goal_of, seek_goal
from allocator.workbench.priced import Tell
from allocator.workbench.product import explain_offers
from allocator.workbench.robust import cost_of_rules, robustness
from allocator.workbench.session import Session
from allocator.workbench.what_if import what_if
from allocator.workbench.wider import Wider
from ranker.files import InputError
from scripts.console.jobs import Job, Jobs
from scripts.console.opened import OpenedRun

MOST_POINTS = 40


@dataclass(frozen=True)
class Doubted:
    """robust: the comparison by other views of the scores. costs: rule -> value lost to it in all, None where it cannot be told. names: of
    the rules. before: the run whose scores are one of the views. unfit: why its scores cannot be one."""

    robust: Robustness
    costs: Mapping[str, MeanAndError | None]
    names: Mapping[str, str]
    before: str | None = None
    unfit: tuple[str, ...] = ()


@dataclass(frozen=True)
class OtherScores:
    """Scores of another model: of which run, and how a session over them is opened."""

    run: str
    opened: Callable[[Tell], Session]


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

    def seek(self, policy: Policy, want: str, by: str, full: bool = False, instead: str | None = None) -> Job:
        """Which value of a field reaches a goal, on the sample; full: counted in allocations of all listeners.

        Raises InputError where the goal is not understood.
        """
        goal = goal_of(want, by)

        def answered(session: Session) -> Seek:
            return seek_goal(session, policy.to_json(), {}, goal, full)

        title = "Seeking, and allocating all listeners" if full else "Seeking"
        return self._asked(f"seek {policy.digest} {want} {by} {full}", title, answered, instead)

    def frontier(
        self, policy: Policy, x: str, y: str, points: int, full: bool = False, instead: str | None = None
    ) -> Job:
        """The trade-off of two measures, on the sample or from allocations of all listeners."""
        points = min(max(points, 2), MOST_POINTS)

        def answered(session: Session) -> Frontier:
            return frontier(session, self._active(policy), x, y, points, full)

        title = "Tracing the trade-off on all listeners" if full else "Tracing the trade-off"
        return self._asked(f"frontier {policy.digest} {x} {y} {points} {full}", title, answered, instead)

    def doubted(self, policy: Policy, other: OtherScores | None = None, instead: str | None = None) -> Job:
        """Whether the draft and the run's policy compare alike if the scores are less sure, and by other scores; and what each rule of the
        draft costs."""

        def answered(session: Session) -> Doubted:
            new = self._active(policy)
            session.priced_or_diagnosed(new)
            names = {rule.id: rule.name for rule in new.constraints}
            also, unfit = (None, ()) if other is None else self._other(other, new, session.tell)
            robust = robustness(session, self.run.base, new, also)
            before = None if also is None or other is None else other.run
            return Doubted(robust, cost_of_rules(session, new), names, before, unfit)

        key = f"doubted {policy.digest} {'' if other is None else other.run}"
        return self._asked(key, "Asking other views of the scores", answered, instead)

    def _other(self, other: OtherScores, new: Policy, tell: Tell) -> tuple[Session | None, tuple[str, ...]]:
        """A session over other scores, or why they do not fit the policies that are compared."""
        try:
            session = other.opened(tell)
            for policy in (self.run.base, new):
                session.read(policy.to_json(), {})
        except InputError as error:
            return None, error.problems
        return session, ()

    def listener(self, user: str, instead: str | None = None) -> Job:
        """Why one listener gets what the run gives."""

        def answered(session: Session) -> Explanation:
            allocation = read_allocation(self.run.folder / "allocation")
            policy = policy_of(allocation.folder).without_comparisons()
            wider = Wider(session, policy.active(self.run.scores.catalogue.as_of))
            return explain(self.run.scores, allocation, user, wider, session.tell)

        return self._asked(f"listener {user}", "Looking at one listener", answered, instead)

    def product(self, policy: Policy, key: str, value: str, instead: str | None = None) -> Job:
        """Why offers get so few contacts under the draft. key, value: of an attribute, like product and audiobooks."""

        def answered(session: Session) -> ProductExplanation:
            found = session.priced_or_diagnosed(self._active(policy))
            return explain_offers(found, filter_from_words({key: value}))

        return self._asked(
            f"product {policy.digest} {key} {value}", "Counting what keeps listeners away", answered, instead
        )

    def _active(self, policy: Policy) -> Policy:
        return policy.active(self.run.scores.catalogue.as_of)

    def _asked(self, key: str, title: str, answered: Callable[[Session], object], instead: str | None) -> Job:
        def work(tell: Tell) -> object:
            return answered(self.run.asked(tell))

        return self.jobs.ask(f"{self.run.name} {key}", title, self.run.turn, work, instead)
