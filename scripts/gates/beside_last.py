"""Gates that set a week's certificate beside that of the last published one: what it brings, what its rules achieve, what it may harm."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import hypot

from allocator.formats import SaidOfConstraint, SaidOfTotal, SaidOfWeek
from scripts.cli.settings import PublishOptions
from scripts.formats.gates import GateFinding
from scripts.gates.gate import Gate, WeeksCompared

COUNTED = ("volume", "reach")
"""Kinds of constraints whose amount is a number of contacts or listeners."""
COMPARED = (*COUNTED, "total", "share", "average", "ratio")
ERRORS = 2.0
"""Standard errors within which two estimates are not told apart."""
SAME_BOUND = 0.1
LARGE = 0.1
"""Of the contacts of a week: by so many a count must have moved."""


class BesideLast(Gate):
    """Asks both certificates; where one cannot be read, that is said."""

    def findings(self, weeks: WeeksCompared, options: PublishOptions) -> Iterator[GateFinding]:
        now, last = weeks.now.said, None if weeks.last is None else weeks.last.said
        if now is None or last is None:
            whose = "its own" if now is None else "its"
            yield self.untold(f"{whose} certificate cannot be read", weeks)
            return
        yield from self.compared(weeks, now, last, options)

    def compared(
        self, weeks: WeeksCompared, now: SaidOfWeek, last: SaidOfWeek, options: PublishOptions
    ) -> Iterator[GateFinding]:
        raise NotImplementedError


@dataclass(frozen=True)
class WorthGate(BesideLast):
    """A figure of the week comes to a part of last week's. words: what people call it; form: how it is written."""

    words: str
    form: str

    def compared(
        self, weeks: WeeksCompared, now: SaidOfWeek, last: SaidOfWeek, options: PublishOptions
    ) -> Iterator[GateFinding]:
        part, here, there = getattr(options, str(self.setting)), getattr(now, self.name), getattr(last, self.name)
        if here is None or there is None:
            yield self.untold("a certificate does not state it", weeks)
        elif self.name == "value" and now.objective != last.objective:
            yield self.untold("the objectives differ", weeks)
        elif there > 0:
            share = f"{100 * here / there:.1f} % of the {there:{self.form}} of {weeks.last_name}"
            sentence = (
                f"{self.words}: {here:{self.form}} is {share}, the last published week; "
                f"the guardrail publish.{self.setting}={part:g} asks for {100 * part:g} %"
            )
            told = {"found": here, "compared": there, "limit": part * there}
            yield self.decided(here < part * there, sentence, weeks, **told)


class Swing(BesideLast):
    """What each constraint achieves has not swung: the change as a part of the larger of both weeks' amounts.

    A constraint whose bound was changed is not compared: that swing was asked for. One that is only measured is no gate.
    """

    def compared(
        self, weeks: WeeksCompared, now: SaidOfWeek, last: SaidOfWeek, options: PublishOptions
    ) -> Iterator[GateFinding]:
        least = max(options.floor, LARGE * max(now.contacts or 0, last.contacts or 0))
        for name, here in now.named.items():
            if here.kind in COMPARED and here.is_enforced and name in last.named:
                yield self._of(name, here, last.named[name], weeks, options, least)

    def _of(
        self,
        name: str,
        here: SaidOfConstraint,
        there: SaidOfConstraint,
        weeks: WeeksCompared,
        options: PublishOptions,
        least: float,
    ) -> GateFinding:
        """least: contacts by which an amount must have moved."""
        limit = options.max_swing or 0.0
        if here.achieved is None or there.achieved is None:
            return self.untold("nothing is in its scope in one of the weeks", weeks, about=name)
        if any(_moved(getattr(here, side), getattr(there, side)) for side in ("min", "max")):
            return self.untold("its bounds were changed", weeks, about=name)
        told = {"about": name, "found": here.achieved, "compared": there.achieved, "limit": limit}
        if not _is_large(here, there, options.floor, least):
            return self.passed(weeks, **told)
        apart = abs(here.achieved - there.achieved)
        swing = apart / max(abs(here.achieved), abs(there.achieved), 1e-300)
        beyond_chance = apart > ERRORS * hypot(here.se or 0.0, there.se or 0.0)
        sentence = (
            f"{here.label or name}: {here.achieved:,.6g} after {there.achieved:,.6g} in {weeks.last_name}, "
            f"a swing of {100 * swing:.0f} %; the guardrail publish.max_swing={limit:g} lets through {100 * limit:g} %"
        )
        return self.decided(swing > limit and beyond_chance, sentence, weeks, **told)


def _moved(here: float | None, there: float | None) -> bool:
    if here is None or there is None:
        return here is not there
    return abs(here - there) > SAME_BOUND * max(abs(here), abs(there))


def _is_large(here: SaidOfConstraint, there: SaidOfConstraint, floor: int, least: float) -> bool:
    """Whether enough contacts are behind it: what is small moves by chance, or as one offer takes the place of another."""
    if here.kind in COUNTED:
        return abs((here.achieved or 0) - (there.achieved or 0)) >= least
    if here.kind in ("share", "average"):
        return min(here.denominator or 0, there.denominator or 0) >= floor
    return True


class Guardrail(BesideLast):
    """What a week may harm, such as opt-outs, has not risen beyond a part of last week's: in all, and for each contact."""

    def compared(
        self, weeks: WeeksCompared, now: SaidOfWeek, last: SaidOfWeek, options: PublishOptions
    ) -> Iterator[GateFinding]:
        times = options.max_guardrail or 0.0
        for name in guardrails_of(now, options):
            here, there = _total(now, name), _total(last, name)
            if here is None or there is None or not now.contacts or not last.contacts:
                yield self.untold("a certificate does not state it", weeks, about=name)
                continue
            yield self._of(name, "in all", (here, 1), (there, 1), weeks, times)
            yield self._of(name, "per contact", (here, now.contacts), (there, last.contacts), weeks, times)

    def _of(
        self,
        name: str,
        by: str,
        here: tuple["_Total", int],
        there: tuple["_Total", int],
        weeks: WeeksCompared,
        times: float,
    ) -> GateFinding:
        """here, there: a total, and by how much it is divided."""
        found, compared = here[0].total / here[1], there[0].total / there[1]
        error = hypot((here[0].se or 0.0) / here[1], times * (there[0].se or 0.0) / there[1])
        sentence = (
            f"{name} {by}: {found:,.4g} is forecast after {compared:,.4g} in {weeks.last_name}; "
            f"the guardrail publish.max_guardrail={times:g} lets through {times:g} times as much"
        )
        told = {"about": f"{name} {by}", "found": found, "compared": compared, "limit": times}
        risen = found - times * max(compared, 0.0) > ERRORS * error
        return self.decided(risen, sentence, weeks, **told)


class GuardrailLimit(Gate):
    """What a week may harm stays below a limit for each contact."""

    needs_last = False

    def findings(self, weeks: WeeksCompared, options: PublishOptions) -> Iterator[GateFinding]:
        said = weeks.now.said
        for name, limit in (options.guardrail_limits or {}).items():
            total = None if said is None else _total(said, name)
            if said is None or total is None or not said.contacts:
                yield self.untold("its certificate does not state it", about=name)
                continue
            found = total.total / said.contacts
            sentence = (
                f"{name} per contact: {found:.4g} is forecast; "
                f"the guardrail publish.guardrail_limits.{name} lets through {limit:g}"
            )
            yield self.decided(found > limit, sentence, weeks, about=name, found=found, limit=limit)


@dataclass(frozen=True)
class _Total:
    total: float
    se: float | None


def _total(said: SaidOfWeek, name: str) -> _Total | None:
    metrics: Mapping[str, SaidOfTotal | None] = said.metrics or {}
    held = metrics.get(name)
    return None if held is None or held.total is None else _Total(held.total, held.se)


def guardrails_of(said: SaidOfWeek, options: PublishOptions) -> tuple[str, ...]:
    """As the settings name them, or else the metrics that the objective counts with negative weights alone."""
    if options.guardrails is not None:
        return options.guardrails
    alone = [term for term in said.objective or () if term.metric is not None]
    wanted = {term.metric for term in alone if term.weight >= 0}
    harmful = (term.metric for term in alone if term.weight < 0 and term.times is None and term.metric not in wanted)
    return tuple(dict.fromkeys(name for name in harmful if name is not None))
