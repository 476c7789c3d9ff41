"""The whole week in one command: market or tables, prepare, train, score, allocate and audit, judge, report, publish, record.

Everything of a run stands in one folder, runs/WEEK/. A stage whose manifest still matches its input, settings and program is not
run again, so a run that died goes on where it stopped. A folder that was once published never changes: a run that would change it
gets a folder of its own, WEEK-2, which starts from links to the stages that may still hold.

Rules that compare with an earlier allocation get the one that is published when the run begins. `run.json` keeps which one that was,
so that a run called again after its own publication does not compare with itself.
"""

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from pathlib import Path

from allocator.policy.grammar import Policy
from ranker.files import read_json_object
from ranker.scores import InputError
from scripts.cli import entry
from scripts.cli.settings import (
    AllocatePaths,
    AllocateSettings,
    MakeMarketPaths,
    MakeMarketSettings,
    PreparePaths,
    PrepareSettings,
    PublishSettings,
    RegretPaths,
    RegretSettings,
    ReportSettings,
    RunPaths,
    ScorePaths,
    ScoreSettings,
    Settings,
    TrainPaths,
    TrainSettings,
    WeeklySettings,
)
from scripts.runs import policy_check, stage, tracking
from scripts.runs.pointer import POINTER, current, published_before

log = logging.getLogger("offermix.weekly")

STAGES = ("market", "logs", "model", "scores", "allocation", "regret", "report")


@dataclass(frozen=True)
class Step:
    """A stage of the week: its name in the table, the command that does it, that command's settings and what it makes."""

    name: str
    module: str
    settings: Settings
    does: str


@dataclass(frozen=True)
class Ran:
    """What a step came to. seconds: wall time; skipped: its output was still current."""

    step: Step
    seconds: float
    skipped: bool


@dataclass(frozen=True)
class Week:
    """A finished weekly run. recorded: the id of its MLflow run, if it was recorded; regret: where the truth is known."""

    name: str
    folder: Path
    certificate: dict
    audit: dict
    ran: tuple[Ran, ...]
    published: bool
    recorded: str | None
    regret: dict | None = None


def run(settings: WeeklySettings) -> Week:
    """Runs every stage that is not current, publishes the result and records it; raises what the first failing stage raises."""
    started = time.perf_counter()
    _check_inputs(settings)
    given = stage.look_at(_given(settings))
    name = choose_name(settings, given)
    folder = settings.paths.runs / name
    log.info("Run %s in %s", name, folder)
    ran: list[Ran] = []
    stage.make_folder(settings.paths.runs)
    stage.sweep(settings.paths.runs)
    with stage.locked(folder):
        _prepare_folder(folder, settings, given)
        try:
            for step in steps(settings, folder):
                ran.append(_run_step(step))
                _check_unchanged(given)
            if settings.weekly.publish:
                ran.append(_run_step(_publish_step(settings, folder)))
        except Exception:
            if ran:
                _record(settings, name, folder, ran, finished=False)
            raise
    recorded = _record(settings, name, folder, ran, finished=True)
    week = Week(
        name=name,
        folder=folder,
        certificate=_read(folder / "allocation" / "certificate.json"),
        audit=_read(folder / "allocation" / "audit.json"),
        ran=tuple(ran),
        published=settings.weekly.publish,
        recorded=recorded,
        regret=_read(regret) if (regret := folder / "regret" / "regret.json").exists() else None,
    )
    show(week, time.perf_counter() - started)
    return week


def steps(settings: WeeklySettings, folder: Path) -> Iterator[Step]:
    """The stages in the order in which data flows, each with the settings that its own command would get."""
    source = settings.weekly.tables
    if source is None:
        source = folder / "market"
        market = _for(settings, MakeMarketSettings, MakeMarketPaths(out=source))
        yield Step("make market", "scripts.make_market", market, "a synthetic market")
    prepare = PreparePaths(tables=source / "tables", logs=folder / "logs")
    yield Step("prepare", "scripts.prepare", _for(settings, PrepareSettings, prepare), "logged decisions")
    policy = policy_check.early_policy(settings.weekly.policy, settings, folder / "logs", source / "users")
    settings, previous = _compared(_judged_by(settings, policy), policy, folder)
    train = TrainPaths(logs=folder / "logs", model=folder / "model")
    yield Step("train", "scripts.train", _for(settings, TrainSettings, train), "a calibrated model")
    exposures = source / "tables" / "exposures" if policy_check.are_dated(source / "users") else None
    score = ScorePaths(model=folder / "model", users=source / "users", scores=folder / "scores", exposures=exposures)
    yield Step("score", "scripts.score", _for(settings, ScoreSettings, score), "what each contact is worth")
    allocate = AllocatePaths(
        scores=folder / "scores", policy=settings.weekly.policy, out=folder / "allocation", previous=previous
    )
    yield Step("allocate, audit", "scripts.allocate", _for(settings, AllocateSettings, allocate), "who gets what")
    if _knows_truth(settings):
        regret = RegretPaths(
            market=source, scores=folder / "scores", policy=settings.weekly.policy, out=folder / "regret"
        )
        yield Step(
            "judge on the truth", "scripts.regret", _for(settings, RegretSettings, regret), "how far from the best"
        )
    yield Step("report", "scripts.report", _for(settings, ReportSettings, RunPaths(run=folder)), "a page for people")


def _knows_truth(settings: Settings) -> bool:
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
    published = _read(folder / "run.json").get("previous")
    if published is None:
        log.info("Nothing was published before to compare with, so left out this time: %s", ", ".join(comparing))
        return settings.model_copy(update={"set": {**settings.set, **dict.fromkeys(comparing)}}), None
    previous = settings.paths.runs / published
    if not previous.is_dir():
        wanted = f"the policy compares with it ({', '.join(comparing)})"
        raise InputError([f"{settings.paths.runs / POINTER}: points to {previous}, which is not there; {wanted}"])
    log.info("Compared with what is published, %s: %s", published, ", ".join(comparing))
    return settings, previous


def _publish_step(settings: WeeklySettings, folder: Path) -> Step:
    paths = RunPaths(run=folder, runs=settings.paths.runs)
    return Step("publish", "scripts.publish", _for(settings, PublishSettings, paths), "the pointer to this run")


def _for(settings: WeeklySettings, kind: type[Settings], paths: object) -> Settings:
    """The settings of one command, taken from the week's; both were checked already."""
    held = {name: getattr(settings, name) for name in Settings.model_fields}
    return kind.model_construct(**(held | {"paths": paths}))


def _run_step(step: Step) -> Ran:
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


def _check_inputs(settings: WeeklySettings) -> None:
    """Everything named must be there before an hour is spent."""
    missing = [f"{path}: there is no such file or folder" for path in _given(settings) if not path.exists()]
    if missing:
        raise InputError(missing)


def _given(settings: WeeklySettings) -> list[Path]:
    """What a week is made from that lies outside its folder."""
    tables = settings.weekly.tables
    parts = () if tables is None else ("tables", "users", "catalogue.json")
    return [settings.weekly.policy, *(tables / part for part in parts)]


def _check_unchanged(given: stage.Seen) -> None:
    """A week whose stages read different inputs is no week; what has run is made again by the next call where it must be."""
    if changed := given.changed():
        raise InputError(
            [f"{path}: changed while the week ran, which began with another; call it again" for path in changed]
        )


def choose_name(settings: WeeklySettings, given: stage.Seen) -> str:
    """The run's folder: as named, or the week; with a number where the folder of that name was published as something else."""
    published = _published(settings.paths.runs)
    asked = settings.weekly.run
    if asked is not None and (settings.paths.runs / asked).is_symlink():
        raise InputError([f"run={asked}: {settings.paths.runs / asked} is a link; name the run's own folder"])
    name, number = asked or _week(settings), 1
    while name in published and not _same(settings, given, settings.paths.runs / name):
        if asked is not None:
            raise InputError(
                [
                    f"run={asked}: {settings.paths.runs / asked} was published and is not changed any more; choose another name"
                ]
            )
        number += 1
        name = f"{_week(settings)}-{number}"
    return name


def _week(settings: WeeklySettings) -> str:
    """2026-W48: the week of the market's snapshot, or of today for tables from outside."""
    snapshot = getattr(settings.data, "snapshot", None) if settings.weekly.tables is None else None
    day = date.today() if snapshot is None else date.fromisoformat(str(snapshot))
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02d}"


def _published(runs: Path) -> frozenset[str]:
    """The names of all runs that were ever published."""
    return frozenset(pointer.run for pointer in published_before(runs))


def _same(settings: WeeklySettings, given: stage.Seen, folder: Path) -> bool:
    """Whether this run would make what stands in the folder, from the same input, settings and program."""
    try:
        return _read(folder / "run.json").get("identity") == _identity(settings, given)
    except (OSError, ValueError):
        return False


def _identity(settings: WeeklySettings, given: stage.Seen) -> str:
    policy, *tables = given.digests.values()
    return stage.config_digest(
        {
            "settings": {
                name: getattr(settings, name)
                for name in Settings.model_fields
                if name not in ("paths", "weekly", "tracking")
            },
            "policy": policy,
            "tables": tables,
            "program": stage.sources_digest(),
        }
    )


def _prepare_folder(folder: Path, settings: WeeklySettings, given: stage.Seen) -> None:
    """The run's folder; a new one begins with hard links to the stages of the latest run, each of which may still hold.

    It appears with all of them or not at all: half a stage would be taken for somebody else's files.
    """
    runs = settings.paths.runs
    if folder.exists():
        stage.sweep(folder)
    else:
        with stage.first_made(folder) as made:
            if (latest := _latest(runs)) is not None:
                _link_stages(latest, made)
    if folder.name not in _published(runs):
        if not _knows_truth(settings):
            shutil.rmtree(folder / "regret", ignore_errors=True)  # linked from a week that knew it
        pointer = current(runs)
        run = {"run": folder.name, "identity": _identity(settings, given), "previous": pointer and pointer.allocation}
        _write(folder / "run.json", json.dumps(run, indent=1))


def _latest(runs: Path) -> Path | None:
    """The run that was begun last."""
    begun = [path for path in runs.glob("*/run.json") if not path.parent.name.startswith(".")]
    return max(begun, key=lambda path: path.stat().st_mtime).parent if begun else None


def _link_stages(latest: Path, folder: Path) -> None:
    """Stages are replaced whole and never changed in place, so both folders may share their files."""
    for name in STAGES:
        if (latest / name / stage.MANIFEST).exists():
            shutil.copytree(latest / name, folder / name, copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _write(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text + "\n")
    beside.replace(path)


def _read(path: Path) -> dict:
    return read_json_object(path)


def _record(settings: WeeklySettings, name: str, folder: Path, ran: Sequence[Ran], *, finished: bool) -> str | None:
    """Hands what is in the run's folder to MLflow; never raises."""
    if not settings.tracking.enabled:
        return None
    log.info("Recording in MLflow (%s) ...", tracking.where())
    return tracking.record_week(name, folder, settings, _seconds(ran), finished=finished)


def _seconds(ran: Sequence[Ran]) -> dict[str, tuple[float, bool]]:
    return {each.step.module.removeprefix("scripts."): (each.seconds, each.skipped) for each in ran}


def show(week: Week, seconds: float) -> None:
    """Prints what the week came to, for people who will act on it."""
    entry.show_table(
        "Stages",
        ("stage", "makes", "seconds", ""),
        [
            (each.step.name, each.step.does, f"{each.seconds:.1f}", "was still current" if each.skipped else "")
            for each in week.ran
        ],
    )
    entry.show_table(f"Week {week.name}", ("", ""), [*_result_rows(week), ("Took", f"{seconds:.0f} seconds")])


def _result_rows(week: Week) -> Iterator[tuple[str, str]]:
    held = week.certificate
    for remark in held.get("remarks", []):
        yield "Mind", f"{remark['sentence']}."
    yield "Listeners", f"{held['users']:,}"
    yield "Contacts", f"{held['contacts']:,}"
    yield "Value of the week", f"{held['value']:,.2f}"
    yield "Against best-first", _against_greedy(held)
    yield "Room left", f"at most {max(held['gap'], 0.0) * 100:.5f} % better is possible at all"
    if week.regret is not None:
        yield "Truth", _against_truth(week.regret)
    yield "Rules", _rules(held)
    yield "Audit", _verdict(week.audit)
    yield "Published", f"yes, {week.folder.parent / 'published.json'} points here" if week.published else "no"
    yield "Report", str(next(iter(sorted((week.folder / "report").glob("*.html"))), "none"))
    yield "MLflow", f"run {week.recorded} ({tracking.where()})" if week.recorded else "not recorded"


def _against_greedy(certificate: dict) -> str:
    greedy = certificate.get("greedy") or {}
    if not greedy.get("value"):
        return "nothing to compare with"
    if not greedy.get("feasible", True):
        return f"best offers first would give {greedy['value']:,.2f} but break rules"
    return f"{certificate['value'] / greedy['value'] - 1:+.2%} (best offers first give {greedy['value']:,.2f})"


def _against_truth(regret: dict) -> str:
    """The learned policy next to the others on the market's truth, best first."""
    shares = [f"{each['policy']} {each['share_of_oracle']:.0%}" for each in regret["policies"]]
    return f"of the oracle's value: {', '.join(shares)}" if shares else "no allocation keeps the rules in truth"


def _rules(certificate: dict) -> str:
    constraints = tracking.constraints_of(certificate)
    binding = [str(each["id"]) for each in constraints if each.get("binding")]
    return f"{len(constraints)} business constraints; at their limit: {', '.join(binding) or 'none'}"


def _verdict(audit: dict) -> str:
    checks = audit.get("checks") or []
    failed = [str(each.get("name")) for each in checks if each.get("status") != "PASS"]
    return f"clean, {len(checks)} checks passed" if not failed else f"failed: {', '.join(failed)}"


if __name__ == "__main__":
    entry.main("weekly", WeeklySettings, run)
