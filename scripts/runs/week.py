"""The stages of a week in the order in which data flows, each with the settings that its own command would get.

Rules that compare with an earlier allocation get the one that was published when the run began, as `run.json` keeps it.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from allocator.formats import AUDIT, CERTIFICATE, AuditRecord, Certificate
from allocator.policy.grammar import Policy
from ranker.files import InputError
from scripts.cli.settings import (
    AllocatePaths,
    AllocateSettings,
    DriftSettings,
    MakeMarketPaths,
    MakeMarketSettings,
    PreparePaths,
    PrepareSettings,
    PublishSettings,
    RegretPaths,
    RegretSettings,
    RehearsePaths,
    RehearseSettings,
    ReportSettings,
    RunPaths,
    ScorePaths,
    ScoreSettings,
    Settings,
    TrainPaths,
    TrainSettings,
    WeeklySettings,
)
from scripts.cli.statuses import heed_stop
from scripts.formats.pointer import POINTER
from scripts.formats.regret import REGRET, Regret
from scripts.formats.rehearsal import REHEARSAL, Rehearsal
from scripts.formats.run_record import RUN, RunRecord
from scripts.runs import policy_check, stage
from scripts.runs.champion import model_in_charge
from scripts.runs.published import current

log = logging.getLogger("offermix.weekly")


@dataclass(frozen=True)
class WeekStep:
    """A stage of the week: its name in the table, the command that does it, that command's settings and what it makes."""

    name: str
    module: str
    settings: Settings
    does: str


@dataclass(frozen=True)
class Ran:
    """What a step came to. seconds: wall time; skipped: its output was still current."""

    step: WeekStep
    seconds: float
    skipped: bool


@dataclass(frozen=True)
class WeeklyRun:
    """A finished weekly run.

    published: whether the pointer names it; unpublished: why this call did not publish it, in one sentence, or None.
    recorded: the id of its MLflow run, if it was recorded; regret: where the truth is known.
    """

    name: str
    folder: Path
    certificate: Certificate
    audit: AuditRecord
    ran: tuple[Ran, ...]
    published: bool
    unpublished: str | None
    recorded: str | None
    rehearsal: Rehearsal | None = None
    regret: Regret | None = None


def finished_run(folder: Path, ran: Sequence[Ran], *, unpublished: str | None, recorded: str | None) -> WeeklyRun:
    """What stands in the folder of a run of which every stage has ended."""
    regret, rehearsal = folder / "regret" / REGRET, folder / "rehearsal" / REHEARSAL
    pointer = current(folder.parent)
    return WeeklyRun(
        name=folder.name,
        folder=folder,
        certificate=Certificate.from_file(folder / "allocation" / CERTIFICATE),
        audit=AuditRecord.from_file(folder / "allocation" / AUDIT),
        ran=tuple(ran),
        published=pointer is not None and pointer.run == folder.name,
        unpublished=unpublished,
        recorded=recorded,
        rehearsal=Rehearsal.from_file(rehearsal) if rehearsal.exists() else None,
        regret=Regret.from_file(regret) if regret.exists() else None,
    )


def steps(settings: WeeklySettings, folder: Path) -> Iterator[WeekStep]:
    """The stages in the order in which data flows, each with the settings that its own command would get."""
    source = settings.weekly.tables
    if source is None:
        source = folder / "market"
        market = _for(settings, MakeMarketSettings, MakeMarketPaths(out=source))
        yield WeekStep("make market", "scripts.make_market", market, "a synthetic market")
    prepare = PreparePaths(tables=source / "tables", logs=folder / "logs")
    yield WeekStep("prepare", "scripts.prepare", _for(settings, PrepareSettings, prepare), "logged decisions")
    policy = policy_check.early_policy(settings.weekly.policy, settings, folder / "logs", source / "users")
    settings, previous = _compared(_judged_by(settings, policy), policy, folder)
    train = TrainPaths(logs=folder / "logs", model=folder / "model")
    yield WeekStep("train", "scripts.train", _for(settings, TrainSettings, train), "a calibrated model")
    exposures = source / "tables" / "exposures" if policy_check.are_dated(source / "users") else None
    score = ScorePaths(
        model=model_in_charge(settings, folder), users=source / "users", scores=folder / "scores", exposures=exposures
    )
    yield WeekStep("score", "scripts.score", _for(settings, ScoreSettings, score), "what each contact is worth")
    allocate = AllocatePaths(
        scores=folder / "scores", policy=settings.weekly.policy, out=folder / "allocation", previous=previous
    )
    yield WeekStep("allocate, audit", "scripts.allocate", _for(settings, AllocateSettings, allocate), "who gets what")
    rehearse = RehearsePaths(
        model=folder / "model",
        logs=folder / "logs",
        scores=folder / "scores",
        policy=settings.weekly.policy,
        out=folder / "rehearsal",
    )
    yield WeekStep(
        "rehearse", "scripts.rehearse", _for(settings, RehearseSettings, rehearse), "promises on held-out users"
    )
    if knows_truth(settings):
        regret = RegretPaths(
            market=source, scores=folder / "scores", policy=settings.weekly.policy, out=folder / "regret"
        )
        yield WeekStep(
            "judge on the truth", "scripts.regret", _for(settings, RegretSettings, regret), "how far from the best"
        )
    yield WeekStep(
        "drift", "scripts.drift", _for(settings, DriftSettings, RunPaths(run=folder)), "this week's data beside last's"
    )
    report = RunPaths(run=folder, policy=settings.weekly.policy)
    yield WeekStep("report", "scripts.report", _for(settings, ReportSettings, report), "a page for people")


def knows_truth(settings: Settings) -> bool:
    return settings.weekly.tables is None and settings.data.truth


def _judged_by(settings: WeeklySettings, policy: Policy) -> WeeklySettings:
    """The model is judged on the policy's objective unless another is set."""
    if settings.fit.evaluate.objective:
        return settings
    evaluate = settings.fit.evaluate.model_copy(update={"objective": policy_check.objective_of(policy)})
    return settings.model_copy(update={"fit": settings.fit.model_copy(update={"evaluate": evaluate})})


def _compared(settings: WeeklySettings, policy: Policy, folder: Path) -> tuple[WeeklySettings, Path | None]:
    """The allocation that the policy's rules compare with, or settings that leave those rules out where nothing was published."""
    comparing = [rule.id for rule in policy.constraints if rule.compares]
    if not comparing:
        return settings, None
    published = RunRecord.from_file(folder / RUN).previous
    if published is None:
        log.info("Nothing was published before to compare with, so left out this time: %s", ", ".join(comparing))
        return settings.model_copy(update={"set": {**settings.set, **dict.fromkeys(comparing)}}), None
    previous = settings.paths.runs / published
    if not previous.is_dir():
        wanted = f"the policy compares with it ({', '.join(comparing)})"
        raise InputError([f"{settings.paths.runs / POINTER}: points to {previous}, which is not there; {wanted}"])
    log.info("Compared with what is published, %s: %s", published, ", ".join(comparing))
    return settings, previous


def publish_step(settings: WeeklySettings, folder: Path) -> WeekStep:
    paths = RunPaths(run=folder, runs=settings.paths.runs)
    return WeekStep("publish", "scripts.publish", _for(settings, PublishSettings, paths), "the pointer to this run")


def _for(settings: WeeklySettings, kind: type[Settings], paths: object) -> Settings:
    """The settings of one command, taken from the week's; both were checked already."""
    held = {name: getattr(settings, name) for name in Settings.model_fields}
    return kind.model_construct(**(held | {"paths": paths}))


def run_step(step: WeekStep) -> Ran:
    """Runs one stage, or finds that its output is still current."""
    heed_stop()
    started = time.perf_counter()
    log.info("%s ...", step.name)
    job: Callable[[Settings], object] = import_module(step.module).run
    skipped = False
    with stage.resuming():
        try:
            job(step.settings)
        except stage.StillCurrent:
            skipped = True
    seconds = time.perf_counter() - started
    log.info("%s: %s", step.name, "still current, not run again" if skipped else f"done in {seconds:.1f} s")
    return Ran(step, seconds, skipped)


def seconds_of(ran: Sequence[Ran]) -> dict[str, tuple[float, bool]]:
    """By command its wall time, and whether it was skipped."""
    return {each.step.module.rpartition(".")[2]: (each.seconds, each.skipped) for each in ran}
