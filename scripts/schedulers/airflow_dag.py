"""The weekly run as a DAG of Airflow 3: one file that calls the commands of a checkout, whose packages Airflow does not need.

Exit statuses 2, 3 and 4 are for people, and are not tried again; 1 and signals are, ever later. The week is that of the DAG run's logical
date, so that a run that is late, or cleared, is about the week that it was due in. Whoever is to be told gets what summary.json says.

Settings are environment variables of the scheduler and the workers; scripts/README.md lists them.
"""

import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

from airflow.sdk import DAG, Param, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

FOR_PEOPLE = {2: "input or configuration is wrong", 3: "the rules contradict each other", 4: "a gate refused"}
ENDS_IN = 120
"""Seconds that a command has to end after SIGTERM: it removes what is half-written."""
MOST_TOLD = 10


def setting(name: str, default: str) -> str:
    return os.environ.get(f"OFFERMIX_{name}", "") or default


def command(name: str, *words: str) -> list[str]:
    home = Path(setting("HOME", "/opt/offermix"))
    return [*shlex.split(setting("CALL", f"{home}/.venv/bin/python -m")), f"scripts.{name}", *words]


def runs_folder() -> Path:
    return Path(setting("HOME", "/opt/offermix")) / setting("RUNS", "runs")


def day_of(context: Mapping[str, Any]) -> datetime:
    """The day that a DAG run is about; of one that was triggered without a logical date, that on which it was due."""
    run = context["dag_run"]
    return run.logical_date or run.run_after


def week_name(day: datetime, weeks_before: int = 0) -> str:
    """2026-W48, as `weekly` names runs."""
    year, week, _ = (day - timedelta(weeks=weeks_before)).isocalendar()
    return f"{year}-W{week:02d}"


def call(words: list[str]) -> None:
    """Runs a command with its output in the task's log; however the task ends, so does the command."""
    print(shlex.join(words), flush=True)
    with subprocess.Popen(words, cwd=setting("HOME", "/opt/offermix")) as process:
        try:
            status = process.wait()
        except BaseException:
            process.terminate()
            try:
                process.wait(ENDS_IN)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
    if status:
        fail(words, status)


def fail(words: list[str], status: int) -> NoReturn:
    name = next(word for word in words if word.startswith("scripts."))
    if status in FOR_PEOPLE:
        raise AirflowFailException(f"{name}: exit status {status}: {FOR_PEOPLE[status]}; trying again would not help")
    raise RuntimeError(f"{name}: {f'exit status {status}' if status > 0 else f'ended by signal {-status}'}")


def weekly(**context: Any) -> None:
    """Makes and publishes the week. A retry goes on where the try before stopped, since it has the same name."""
    week = context["params"]["week"] or week_name(day_of(context))
    tables = setting("TABLES", "").format(week=week)
    given = [f"tables={tables}"] if tables else []
    words = [*shlex.split(setting("WORDS", "")), *shlex.split(context["params"]["words"] or "")]
    call(command("weekly", f"run={week}", f"runs={runs_folder()}", *given, *words))


def readout(**context: Any) -> None:
    """What a week of some time ago really brought, by the tables of this one."""
    day, lag = day_of(context), int(setting("READOUT_WEEKS", "8"))
    run = runs_folder() / week_name(day, lag)
    tables = setting("TABLES", "").format(week=context["params"]["week"] or week_name(day))
    if not tables or not (run / "allocation").is_dir():
        raise AirflowSkipException(f"{run / 'allocation'} is not there, or OFFERMIX_TABLES names no tables")
    call(command("readout", f"allocation={run / 'allocation'}", f"tables={tables}/tables", f"out={run / 'readout'}"))


def alert(context: Mapping[str, Any]) -> None:
    """Tells once, when no try is left: into the log, and to the command OFFERMIX_ALERT on its standard input."""
    text = told(context)
    print(text, flush=True)
    if setting("ALERT", ""):
        subprocess.run(shlex.split(setting("ALERT", "")), input=text, text=True, timeout=60, check=False)


def told(context: Mapping[str, Any]) -> str:
    """What happened and what to do, by the summary of this try's call, where it came so far."""
    week = context["params"]["week"] or week_name(day_of(context))
    task_id, error = context["task_instance"].task_id, context.get("exception")
    said = summary(runs_folder() / week / "summary.json", context["task_instance"].start_date)
    if task_id != "weekly" or said is None:
        return f"offermix {week}: {task_id} failed: {error}; its log says why"
    errors = "".join(f"\n- {each}" for each in said["errors"][:MOST_TOLD])
    published = f"Published is {said['published_now'] or 'nothing'}."
    return f"offermix {week}: {said['status']}, exit status {said['exit_status']}.{errors}\n{said['next']} {published}"


def summary(path: Path, since: datetime | None) -> Mapping[str, Any] | None:
    """None where there is none, or only that of an earlier call: what is wrong with words or policy is found before a folder is made."""
    try:
        said: Mapping[str, Any] = json.loads(path.read_text())
        began = datetime.fromisoformat(said["started_at"])
    except (OSError, ValueError, KeyError):
        return None
    return said if since is None or began >= since.replace(microsecond=0) else None


def made() -> DAG:
    """What Airflow looks for: it takes the DAGs that a file has made."""
    with DAG(
        dag_id="offermix_weekly",
        schedule=setting("SCHEDULE", "0 5 * * 1"),
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,  # offers of a week that is over help nobody
        max_active_runs=1,
        max_active_tasks=1,  # each may need the whole machine
        default_args={
            "retries": int(setting("RETRIES", "3")),
            "retry_delay": timedelta(seconds=float(setting("RETRY_SECONDS", "300"))),
            "retry_exponential_backoff": 2.0,
            "max_retry_delay": timedelta(hours=1),
            "execution_timeout": timedelta(hours=float(setting("HOURS", "24"))),
            "on_failure_callback": alert,
        },
        params={
            "week": Param(
                None, type=["null", "string"], pattern="^[0-9]{4}-W[0-9]{2}$", description="instead of the date's"
            ),
            "words": Param("", type=["null", "string"], description="further words of weekly, such as publish=false"),
        },
        doc_md=__doc__,
        tags=["offermix"],
    ) as dag:
        task(task_id="weekly", priority_weight=10)(weekly)()
        task(task_id="readout")(readout)()
    return dag


dag = made()
