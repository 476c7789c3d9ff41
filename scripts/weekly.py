"""The whole week in one command: market or tables, prepare, train, score, allocate and audit, judge, report, publish, record.

A run stands in one folder, runs/WEEK/. A stage that is still current is not run again, so a run that died goes on where it stopped. A
folder that was once published never changes: a run that would change it gets its own, WEEK-2, which starts from links to its stages.
Rules that compare with an earlier allocation get the one published when the run begins. A trial is published only with `publish=true`.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from scripts.cli import entry
from scripts.cli.settings import WeeklySettings
from scripts.pages.gates import show_refusal
from scripts.pages.week import show_week
from scripts.runs import digests, stage, tracking, trial
from scripts.runs.run_folder import check_inputs, check_unchanged, choose_name, inputs_of, prepare_folder
from scripts.runs.week import Ran, WeeklyRun, finished_run, publish_step, seconds_of, steps
from scripts.runs.week_told import told
from scripts.stores.publishing import check_store

log = logging.getLogger("offermix.weekly")


def run(settings: WeeklySettings) -> WeeklyRun:
    """Runs every stage that is not current, publishes the result and records it; raises what the first failing stage raises."""
    check_inputs(settings)
    given = digests.look_at(inputs_of(settings))
    settings, reason = trial.decided(settings)
    check_store(None if reason else settings.publish, settings.paths.runs)
    folder = settings.paths.runs / choose_name(settings, given)
    stage.make_folder(settings.paths.runs)
    stage.sweep(settings.paths.runs)
    with stage.locked(folder):
        prepare_folder(folder, settings, given)
        with told(settings, folder, reason) as week:
            log.info("Run %s in %s", folder.name, folder)
            try:
                for step in steps(settings, folder):
                    week.run(step)
                    check_unchanged(given)
                if reason is None:
                    week.run(publish_step(settings, folder))
            except Exception as error:
                show_refusal(error)
                _record(settings, folder, week.ran, finished=False)
                raise
            recorded = _record(settings, folder, week.ran, finished=True)
            done = finished_run(folder, week.ran, unpublished=reason, recorded=recorded)
            show_week(done, week.seconds, settings.publish.store)
    return done


def _record(settings: WeeklySettings, folder: Path, ran: Sequence[Ran], *, finished: bool) -> str | None:
    """Hands what is in the run's folder to MLflow, where a stage ran; never raises."""
    return tracking.record_week(folder.name, folder, settings, seconds_of(ran), finished=finished) if ran else None


if __name__ == "__main__":
    entry.main("weekly", WeeklySettings, run)
