"""The whole week in one command: market or tables, prepare, train, score, allocate and audit, judge, report, publish, record.

A run stands in one folder, runs/WEEK/. A stage that is still current is not run again, so a run that died goes on where it stopped. A
folder that was once published never changes: a run that would change it gets its own, WEEK-2, which starts from links to its stages.
Rules that compare with an earlier allocation get the one published when the run begins. A trial is published only with `publish=true`.
"""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.cli import entry
from scripts.cli.settings import WeeklySettings
from scripts.pages.gates import show_refusal
from scripts.pages.week import show_week
from scripts.runs import digests, stage, tracking, trial
from scripts.runs.run_folder import check_inputs, check_unchanged, choose_name, inputs_of, prepare_folder
from scripts.runs.week import Ran, WeeklyRun, finished_run, publish_step, run_step, seconds_of, steps
from scripts.stores.publishing import check_store

log = logging.getLogger("offermix.weekly")


def run(settings: WeeklySettings) -> WeeklyRun:
    """Runs every stage that is not current, publishes the result and records it; raises what the first failing stage raises."""
    started = time.perf_counter()
    check_inputs(settings)
    given = digests.look_at(inputs_of(settings))
    settings, reason = trial.decided(settings)
    check_store(None if reason else settings.publish, settings.paths.runs)
    name, ran = choose_name(settings, given), list[Ran]()
    folder = settings.paths.runs / name
    log.info("Run %s in %s", name, folder)
    stage.make_folder(settings.paths.runs)
    stage.sweep(settings.paths.runs)
    with stage.locked(folder):
        prepare_folder(folder, settings, given)
        try:
            for step in steps(settings, folder):
                ran.append(run_step(step))
                check_unchanged(given)
            if reason is None:
                ran.append(run_step(publish_step(settings, folder)))
        except Exception as error:
            show_refusal(error)
            _record(settings, folder, ran, finished=False)
            raise
    week = finished_run(folder, ran, unpublished=reason, recorded=_record(settings, folder, ran, finished=True))
    show_week(week, time.perf_counter() - started, settings.publish.store)
    return week


def _record(settings: WeeklySettings, folder: Path, ran: Sequence[Ran], *, finished: bool) -> str | None:
    """Hands what is in the run's folder to MLflow, where a stage ran; never raises."""
    return tracking.record_week(folder.name, folder, settings, seconds_of(ran), finished=finished) if ran else None


if __name__ == "__main__":
    entry.main("weekly", WeeklySettings, run)
