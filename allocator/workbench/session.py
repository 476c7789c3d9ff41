"""A session of questions: one sample of one week's users, and the policies that were priced on it, kept for the next question.

Axes: U users of the sample.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from allocator.allocate import allocate
from allocator.policy.grammar import Policy
from allocator.policy.reader import policy_for
from allocator.solve.settings import SolveSettings
from allocator.solve.solution import Unsolvable
from allocator.workbench.priced import SampledPolicy, Start, price_on_sample
from allocator.workbench.sample import Sample, draw_sample, everybody
from allocator.workbench.telling import TellingStopwatch
from ranker.files import InputError
from ranker.scores import Scores

SAMPLE_USERS = 20_000
KEPT = 64
"""Priced policies that a session keeps."""
GAP = 1e-5
"""That an allocation of all users is asked for."""


@dataclass
class Session:
    """scores: of all users. previous: the allocation that `change` and `churn` compare with. tell: is told what is being done, and may
    raise `Cancelled`. start: prices near those of the policies that are asked about, such as an allocation's of the same scores. Use as a
    context manager: the sample's files go with it."""

    scores: Scores
    sample: Sample
    previous: Path | None = None
    tell: Callable[[str], None] = lambda sentence: None
    gap: float = GAP
    start: Start | None = None
    own: TemporaryDirectory | None = None
    priced: OrderedDict[tuple[str, str], SampledPolicy] = field(default_factory=OrderedDict)

    @classmethod
    def open(
        cls,
        scores: Scores,
        users: int = SAMPLE_USERS,
        previous: Path | None = None,
        tell: Callable[[str], None] = lambda sentence: None,
        seed: int = 1,
    ) -> Self:
        """Draws the sample; all users where there are no more than asked for. Raises InputError."""
        if scores.users <= users:
            return cls(scores, everybody(scores), previous, tell)
        tell("drawing the sample")
        own = TemporaryDirectory(prefix="sample-")
        sample = draw_sample(scores, users, Path(own.name), seed, lambda users: tell("drawing the sample"))
        return cls(scores, sample, previous, tell, own=own)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.own is not None:
            self.own.cleanup()

    def read(self, policy: Policy | Path | str | Mapping[str, object], changes: Mapping[str, object]) -> Policy:
        """The policy with these changes, checked against the scores, without the rules that do not hold on their day.

        changes: rule id -> field -> value, as `set.ID.FIELD=VALUE`. Raises InputError with everything that is wrong.
        """
        given = policy_for(policy, changes, self.scores, previous=self.previous is not None)
        return given.active(self.scores.catalogue.as_of)

    def price(self, policy: Policy, near: Policy | None = None) -> SampledPolicy:
        """An active policy on the sample; near: a policy that it is a change of, whose prices it begins with.

        The answer depends on the two policies and on `start` alone, whatever was asked before. Raises Unsolvable, InputError.
        """
        is_near = near is not None and near.digest != policy.digest
        key = (policy.digest, near.digest if near is not None and is_near else "")
        if key not in self.priced:
            start = self.price(near).prices if near is not None and is_near else self.start
            self.priced[key] = price_on_sample(self.sample, policy, self.previous, start, self.tell)
            while len(self.priced) > KEPT:
                self.priced.popitem(last=False)
        self.priced.move_to_end(key)
        return self.priced[key]

    def priced_or_diagnosed(self, policy: Policy) -> SampledPolicy:
        """As `price`; where the rules contradict each other on the sample, all users are asked: raises Infeasible with the diagnosis, or
        InputError where all of them can be given what the rules ask for and the sample cannot.
        """
        try:
            return self.price(policy)
        except Unsolvable as error:
            self.tell("looking for the contradiction among all users")
            watch = TellingStopwatch(self.tell)
            allocate(self.scores, policy, SolveSettings(price_ranges=False), previous=self.previous, progress=watch)
            raise InputError(
                [f"sample: {len(self.sample):,} users are too few for these rules ({error}); ask for more"]
            ) from None
