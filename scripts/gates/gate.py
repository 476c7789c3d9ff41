"""What a gate is: a question to a week before it is published, with a limit from the settings and an answer that is kept."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from ranker.files import InputError
from scripts.cli.settings import PublishOptions
from scripts.formats.gates import OFF, PASSED, REFUSED, UNTOLD, GateFinding, Status
from scripts.gates.week_seen import WeekSeen


@dataclass(frozen=True)
class WeeksCompared:
    """The week that asks to be published, and the last published one. faults: of the allocation's files, found by whoever publishes."""

    now: WeekSeen
    last: WeekSeen | None
    faults: tuple[str, ...] = ()

    @property
    def last_name(self) -> str | None:
        return None if self.last is None else self.last.name


@dataclass(frozen=True)
class Gate(ABC):
    """name: in gates.json and tables. unit: of its figures. setting: of `publish.`, None where nothing switches it off.

    needs_last: it compares with the last published week. final: no override publishes in spite of it.
    """

    name: str
    unit: str
    setting: str | None
    needs_last: ClassVar[bool] = True
    final: ClassVar[bool] = False

    def judge(self, weeks: WeeksCompared, options: PublishOptions) -> tuple[GateFinding, ...]:
        """All that it found, at least one; what cannot be compared is said and not refused."""
        if self.setting is not None and getattr(options, self.setting) is None:
            return (self._finding(OFF),)
        if self.needs_last and weeks.last is None:
            return (self.untold("nothing was published before"),)
        try:
            found = tuple(self.findings(weeks, options))
        except InputError as error:
            found = (self.untold(_without_folders(error.problems[0], weeks), weeks),)
        return found or (self._finding(PASSED, week=weeks.last_name if self.needs_last else None),)

    @abstractmethod
    def findings(self, weeks: WeeksCompared, options: PublishOptions) -> Iterator[GateFinding]:
        """One for each thing that it looks at; none at all is a pass."""

    def passed(self, weeks: WeeksCompared, **told: object) -> GateFinding:
        return self._finding(PASSED, week=weeks.last_name if self.needs_last else None, **told)

    def refused(self, sentence: str, weeks: WeeksCompared, **told: object) -> GateFinding:
        week = weeks.last_name if self.needs_last else None
        return self._finding(REFUSED, sentence=sentence, week=week, final=self.final, **told)

    def untold(self, why: str, weeks: WeeksCompared | None = None, **told: object) -> GateFinding:
        """why: in words that fit after `not compared:`."""
        return self._finding(UNTOLD, sentence=why, week=None if weeks is None else weeks.last_name, **told)

    def decided(self, is_refused: bool, sentence: str, weeks: WeeksCompared, **told: object) -> GateFinding:
        """Refused with the sentence, or passed with the same figures."""
        return self.refused(sentence, weeks, **told) if is_refused else self.passed(weeks, **told)

    def _finding(self, status: Status, **told: object) -> GateFinding:
        return GateFinding(gate=self.name, unit=self.unit, status=status, **told)  # type: ignore[arg-type]


def _without_folders(problem: str, weeks: WeeksCompared) -> str:
    """A problem of a file without where the runs stand: what is kept is alike wherever that is."""
    for week in (weeks.now, weeks.last):
        if week is not None:
            problem = problem.replace(f"{week.folder.parent}/", "")
    return problem
