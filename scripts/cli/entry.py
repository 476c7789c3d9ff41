"""The entry of every command: composes the settings, runs it, and turns what went wrong into an exit status and one message."""

import contextlib
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ranker import disk
from ranker.files import InputError
from scripts.cli import keys, shipped
from scripts.cli.logs import set_up_logging
from scripts.cli.loudness import asked, loudness_of, silent
from scripts.cli.own_configuration import Search, search
from scripts.cli.settings import Settings, problems_of
from scripts.cli.shipped import CONF
from scripts.cli.statuses import DONE, INTERRUPTED, TERMINATED, guarded, reader_left, terminated_like_interrupted

SECONDS_BETWEEN_LINES = 5.0
SECONDS_BETWEEN_TELLING = 10.0

log = logging.getLogger("offermix")
S = TypeVar("S", bound=Settings)


@dataclass
class _Outcome:
    """What the jobs of one call came to: an exit status per job, and whether Hydra ran any."""

    statuses: list[tuple[str, int]] = field(default_factory=list)

    @property
    def status(self) -> int:
        return next((status for _, status in self.statuses if status != DONE), DONE)


def main(name: str, settings_type: type[S], run: Callable[[S], object]) -> None:
    """Runs a command as `python -m scripts.NAME key=value ...` and exits with a status of contracts.md."""
    disk.keep_from_others()
    status = execute(name, settings_type, run, sys.argv[1:])
    reader_left()
    sys.exit(status)


def execute(name: str, settings_type: type[S], run: Callable[[S], object], argv: Sequence[str]) -> int:
    """The exit status of a command called with `argv`; everything a person needs to read is printed to stderr."""
    set_up_logging(stderr())
    with terminated_like_interrupted():
        return guarded(name, lambda: _with_configuration(name, settings_type, run, argv))


def _with_configuration(name: str, settings_type: type[S], run: Callable[[S], object], argv: Sequence[str]) -> int:
    words, own = shipped.named_in(argv)
    with shipped.before_it(own):
        if {"--help", "-h"} & set(words):
            print(keys.help_text(name, CONF))
            return DONE
        return _compose_and_run(name, settings_type, run, words)


def _compose_and_run(name: str, settings_type: type[S], run: Callable[[S], object], argv: Sequence[str]) -> int:
    loudness, words = loudness_of(argv)
    set_up_logging(stderr(), loudness)
    call = keys.translate(name, words, CONF)
    forbid_environment()
    where = _searched(call.problems)
    if call.problems:
        raise InputError([*call.problems, *_problems_of_the_rest(settings_type, where, call.hydra)])
    outcome = _Outcome()

    def task(composed: DictConfig) -> None:
        label = ""
        if call.multirun:
            label = " ".join(HydraConfig.get().overrides.task)
            composed = keys.apart(composed, name, HydraConfig.get().job.num, call)
            log.info("Run %d: %s", HydraConfig.get().job.num, keys.readable(label))
        with silent(loudness):
            status = guarded(name, lambda: _run_one(settings_type, run, composed))
        outcome.statuses.append((label, status))
        if status in (INTERRUPTED, TERMINATED):
            raise SystemExit(status)  # ends a sweep too

    with (
        tempfile.TemporaryDirectory() as folder
    ):  # what Hydra keeps of a sweep: each of its runs has a manifest of ours
        _call_hydra(name, task, call, folder, where)
    if call.multirun and not call.completion:
        if not outcome.statuses and not {"--cfg", "-c", "--info", "-i"} & set(call.flags):
            raise InputError([f"{' '.join(argv)}: there is nothing to sweep over"])
        with silent(loudness):
            _show_sweep(outcome)
    return outcome.status


def _searched(problems: Sequence[str]) -> Search:
    """Where Hydra looks; InputError with what is wrong there, and with these problems."""
    try:
        return search(shipped.own())
    except InputError as error:
        raise InputError([*error.problems, *problems]) from None


def _run_one(settings_type: type[S], run: Callable[[S], object], composed: DictConfig) -> int:
    run(validated(settings_type, composed))
    return DONE


def validated(settings_type: type[S], composed: DictConfig) -> S:
    """The composed configuration as settings; InputError lists everything that does not fit."""
    try:
        container = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True))
    except OmegaConfBaseException as error:
        raise _resolving(error) from None
    return checked(settings_type, container)


def checked(settings_type: type[S], container: dict[str, Any]) -> S:
    """The settings of plain values, a policy that is named alone as its file; InputError lists everything that does not fit."""
    weekly = container.get("weekly")
    if isinstance(weekly, dict) and isinstance(weekly.get("policy"), str):
        container = {**container, "weekly": {**weekly, "policy": shipped.by_name(CONF, weekly["policy"])}}
    try:
        return settings_type.model_validate(container)
    except ValidationError as error:
        raise InputError(problems_of(error, settings_type)) from None


def _call_hydra(name: str, task: Callable[[DictConfig], None], call: keys.Call, folder: str, where: Search) -> None:
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra prints and exits by itself otherwise
    kept = sys.argv
    ours = [] if call.completion else [f"hydra.job.name={name}", f"hydra.sweep.dir={keys.quoted(folder)}"]
    sys.argv = [f"scripts.{name}", *call.flags, *ours, *where.overrides, *call.hydra]
    try:
        hydra.main(version_base="1.3", config_path=str(where.folder), config_name=where.name)(task)()
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError([f"configuration: {keys.readable(str(error))}"]) from None
    finally:
        sys.argv = kept


def _problems_of_the_rest(settings_type: type[Settings], where: Search, overrides: Sequence[str]) -> list[str]:
    """What else is wrong, apart from the overrides that were already found wrong, so that one message lists everything."""
    try:
        validated(settings_type, composed(where, overrides))
    except InputError as error:
        return list(error.problems)
    except (HydraException, OmegaConfBaseException) as error:
        return [f"configuration: {keys.readable(str(error))}"]
    return []


def composed(where: Search, overrides: Sequence[str]) -> DictConfig:
    """The configuration with these overrides, in Hydra's language."""
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(where.folder)):
        return hydra.compose(where.name, [*where.overrides, *overrides])


def forbid_environment() -> None:
    """Takes `${oc.env:NAME}` away: what is resolved ends in logs and manifests, and the environment holds secrets."""

    def refuse(name: str, default: object = None) -> object:
        raise InputError(
            [f"configuration: ${{oc.env:{name}}} is not available; settings are logged, the environment is not"]
        )

    OmegaConf.register_new_resolver("oc.env", refuse, replace=True)


class Printer(Console):
    """Prints results to stdout."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        reader_left()


@contextlib.contextmanager
def naming(**paths: Path | None) -> Iterator[None]:
    """Within it a problem that opens with one of these keys, as `logs:`, opens with the path that was given for the key."""
    try:
        yield
    except InputError as error:
        given = {f"{key}:": path for key, path in paths.items() if path is not None}
        parted = [(*problem.partition(" "), problem) for problem in error.problems]
        raise InputError(
            [f"{given[key]}: {rest}" if key in given else problem for key, _, rest, problem in parted]
        ) from None


def _resolving(error: OmegaConfBaseException) -> InputError:
    """What kept an interpolation from being resolved: the InputError of a resolver, or OmegaConf's own words."""
    under: BaseException | None = error
    while under is not None and not isinstance(under, InputError):
        under = under.__cause__ or under.__context__
    return InputError([f"configuration: {keys.readable(str(error))}"]) if under is None else under


@cache
def stderr() -> Console:
    """One console for log lines and what changes in place, so that neither is written over the other."""
    return Console(stderr=True)


Advance = Callable[..., None]
Listener = Callable[[str, int, int | None, str], object]
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Within it nothing is shown of how far a long step is: `listener(what, done, total, note)` is told instead."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextlib.contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Advance]:
    """Shows how far a long step is; yields `advance(steps=1, note="")`.

    In a terminal a bar, elsewhere a line every few seconds.
    """
    console, listener = stderr(), _listener.get()
    if listener is not None or not console.is_terminal or asked().quiet:
        yield _lines(description, total) if listener is None else _told(listener, description, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console, transient=True) as bar:
        task = bar.add_task(description, total=total, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            bar.update(task, advance=steps, note=note)

        yield advance


def _told(listener: Listener, description: str, total: int | None) -> Advance:
    done = 0

    def advance(steps: int = 1, note: str = "") -> None:
        nonlocal done
        done += steps
        listener(description, done, total, note)

    return advance


def _lines(description: str, total: int | None) -> Advance:
    state = {"done": 0, "said": time.monotonic()}

    def advance(steps: int = 1, note: str = "") -> None:
        state["done"] += steps
        if time.monotonic() - state["said"] >= SECONDS_BETWEEN_LINES:
            state["said"] = time.monotonic()
            of = "" if total is None else f" of {total:,}"
            log.info("%s: %s%s %s", description, f"{state['done']:,}", of, note)

    return advance


@contextlib.contextmanager
def watched(line: Callable[[], str]) -> Iterator[None]:
    """Shows a line that changes while a long step runs: in place in a terminal, elsewhere as a log line now and then."""
    console = stderr()
    if _listener.get() is not None:
        yield
        return
    if console.is_terminal and not asked().quiet:
        spinner = Spinner("dots")

        def shown() -> Spinner:
            spinner.update(text=Text(line(), no_wrap=True, overflow="ellipsis"))
            return spinner

        with Live(get_renderable=shown, console=console, refresh_per_second=4, transient=True):
            yield
        return
    over = threading.Event()
    teller = threading.Thread(target=_tell_until, args=(over, line), daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


def _tell_until(over: threading.Event, line: Callable[[], str]) -> None:
    while not over.wait(SECONDS_BETWEEN_TELLING):
        log.info("%s", line())


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a table to stdout; numbers are right-aligned."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for position, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[position], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console = Printer(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 160
    console.print(table)


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _show_sweep(outcome: _Outcome) -> None:
    rows = [
        (str(number), keys.readable(label), "done" if status == DONE else f"exit status {status}")
        for number, (label, status) in enumerate(outcome.statuses)
    ]
    show_table("Runs of this sweep", ("run", "overrides", "came to"), rows)
