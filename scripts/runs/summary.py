"""summary.json of a run, gathered from what stands in its folder and from what the call knows of itself.

A folder may hold stages of an earlier call, or links to those of another week: what the call did not come to is left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from allocator.formats import CERTIFICATE, Certificate, SaidOfWeek
from ranker.files import InputError
from ranker.normal import Z90
from scripts.cli.statuses import (
    DONE,
    FAILED,
    INFEASIBLE,
    INTERRUPTED,
    REFUSED,
    TERMINATED,
    WRONG_INPUT,
)
from scripts.formats import gates
from scripts.formats.gates import GATES, GateFinding, GatesRecord
from scripts.formats.summary import (
    RUNNING,
    GateNotPassed,
    LimitKept,
    PolicyOfRun,
    PromisedValue,
    RunSummary,
    StageOfRun,
    Status,
    StoreOfRun,
    WarningCounted,
)
from scripts.runs import digests
from scripts.runs.published import current

LOG = "weekly.log"
WORDS: Mapping[int, Status] = MappingProxyType(
    {
        DONE: "done",
        WRONG_INPUT: "wrong input",
        INFEASIBLE: "infeasible",
        REFUSED: "refused",
        INTERRUPTED: "interrupted",
        TERMINATED: "interrupted",
        FAILED: "failed",
    }
)
AGAIN = "call the week again with the same words, and it goes on where it stopped"


@dataclass(frozen=True)
class Ended:
    """How a call ended. exit_status: None while it runs. errors: in sentences; unpublished: why it published nothing, or None."""

    exit_status: int | None = None
    finished_at: str | None = None
    seconds: float | None = None
    errors: tuple[str, ...] = ()
    stopped_at: str | None = None
    unpublished: str | None = None

    @property
    def status(self) -> Status:
        return RUNNING if self.exit_status is None else WORDS.get(self.exit_status, "failed")


@dataclass(frozen=True)
class WeekCalled:
    """What a call of `weekly` knows of itself when its folder is there. before: the run that was published then; store: the address of the
    configured object store."""

    folder: Path
    week: str
    policy: PolicyOfRun
    before: str | None
    started_at: str
    store: str | None = None
    stages: list[StageOfRun] = field(default_factory=list)

    def came_to(self, stage: str) -> bool:
        return any(each.stage == stage for each in self.stages)


def summary_of(call: WeekCalled, ended: Ended, warned: Mapping[str, int]) -> RunSummary:
    """warned: the warnings of the call, and how often each was given."""
    held = Certificate.from_file_if_sound(_there(call, "allocate", CERTIFICATE)) if call.came_to("allocate") else None
    asked = _gates(call, ended)
    now = _published_now(call.folder.parent)
    page = next(iter(sorted((call.folder / "report").glob("*.html"))), None) if call.came_to("report") else None
    return RunSummary(
        run=call.folder.name,
        week=call.week,
        as_of=None if held is None else held.as_of,
        status=ended.status,
        exit_status=ended.exit_status,
        started_at=call.started_at,
        finished_at=ended.finished_at,
        seconds=ended.seconds,
        policy=call.policy.model_copy(update={"digest": None if held is None else held.policy_digest}),
        code=digests.code_version(),
        data_digest=digests.told_digest(call.folder / "logs")[:16] if call.came_to("prepare") else None,
        stages=tuple(call.stages),
        stopped_at=ended.stopped_at,
        errors=ended.errors,
        listeners=None if held is None else held.users,
        contacts=None if held is None else held.contacts,
        reach=None if held is None else SaidOfWeek(funnel=held.funnel).reach,
        value=None if held is None else _promised(held),
        gap=None if held is None else held.gap,
        limits=() if held is None else tuple(_limits(held)),
        gates=tuple(map(_not_passed, asked)),
        warnings=tuple(WarningCounted(words=words, times=times) for words, times in warned.items()),
        published=now == call.folder.name,
        published_now=now,
        published_before=call.before,
        store=_store(call, ended),
        unpublished_because=ended.unpublished,
        next=_next(ended, asked, page is not None),
        report=None if page is None else page.relative_to(call.folder).as_posix(),
        log=LOG,
    )


def _there(call: WeekCalled, stage: str, name: str) -> Path:
    return call.folder / {"allocate": "allocation"}.get(stage, stage) / name


def _promised(held: Certificate) -> PromisedValue:
    wide = None if held.value_se is None else Z90 * held.value_se
    return PromisedValue(
        value=held.value,
        stderr=held.value_se,
        low=None if wide is None else held.value - wide,
        high=None if wide is None else held.value + wide,
    )


def _limits(held: Certificate) -> Iterator[LimitKept]:
    for each in held.constraints:
        yield LimitKept(
            id=each.id,
            kind=each.kind,
            unit=each.unit,
            min=each.min,
            max=each.max,
            achieved=each.achieved,
            at_limit=each.binding,
        )


def _gates(call: WeekCalled, ended: Ended) -> tuple[GateFinding, ...]:
    """Those that did not let the week pass, where this call asked them."""
    if not call.came_to("publish") and ended.exit_status != REFUSED:
        return ()
    record = GatesRecord.from_file_if_sound(call.folder / GATES)
    return () if record is None else (*record.of(gates.REFUSED), *record.of(gates.OVERRIDDEN))


def _not_passed(finding: GateFinding) -> GateNotPassed:
    return GateNotPassed(
        gate=finding.gate,
        about=finding.about,
        found=finding.found,
        compared=finding.compared,
        limit=finding.limit,
        overridden=finding.status == gates.OVERRIDDEN,
        sentence=finding.sentence,
    )


def _store(call: WeekCalled, ended: Ended) -> StoreOfRun | None:
    if call.store is None or ended.unpublished is not None:
        return None
    return StoreOfRun(address=call.store, published=call.came_to("publish"))


def _published_now(runs: Path) -> str | None:
    try:
        pointer = current(runs)
    except InputError:
        return None
    return None if pointer is None else pointer.run


def _next(ended: Ended, asked: tuple[GateFinding, ...], page: bool) -> str:
    """What to do, in one sentence."""
    if ended.status == RUNNING:
        return f"Wait; where no process is at it any more, it died: {AGAIN}."
    if ended.status == "done":
        read = "read report/report.html" if page else "nothing needs to be done"
        return f"Nothing was published by this call; {read}." if ended.unpublished else f"It is published; {read}."
    if ended.status == "refused":
        final = any(each.final for each in asked)
        override = (
            "nobody overrides what is wrong here" if final else "let somebody answer for it with publish.override"
        )
        return f"Find out why the gates refused and mend it, or {override}; what was published before stands."
    return {
        "wrong input": f"Mend what `errors` lists, then {AGAIN}.",
        "infeasible": "Loosen one of the rules that allocation/diagnosis.json names, then call the week again.",
        "failed": f"Read {LOG} and, where the cause is gone, {AGAIN}.",
        "interrupted": f"{AGAIN[0].upper()}{AGAIN[1:]}.",
    }[ended.status]
