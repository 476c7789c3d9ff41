"""The entry of every command: composes the settings, runs it, and turns what went wrong into an exit status and one message."""

import contextlib
import logging
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import TypeVar

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError
from rich.console import Console
from rich.live import Live
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ranker import disk
from ranker.files import InputError
from scripts.cli import keys
from scripts.cli.settings import Settings, problems_of
from scripts.cli.statuses import DONE, INTERRUPTED, TERMINATED, guarded, reader_left

CONF = Path(__file__).resolve().parents[2] / "conf"
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
    set_up_logging()
    if {"--help", "-h"} & set(argv):
        return guarded(name, lambda: print(keys.help_text(name, CONF)) or DONE)
    with _terminated_like_interrupted():
        return guarded(name, lambda: _compose_and_run(name, settings_type, run, argv))


def _compose_and_run(name: str, settings_type: type[S], run: Callable[[S], object], argv: Sequence[str]) -> int:
    call = keys.translate(name, argv, CONF)
    forbid_environment()
    if call.problems:
        raise InputError([*call.problems, *_problems_of_the_rest(settings_type, call.hydra)])
    outcome = _Outcome()

    def task(composed: DictConfig) -> None:
        label = ""
        if call.multirun:
            label = " ".join(HydraConfig.get().overrides.task)
            composed = keys.apart(composed, name, HydraConfig.get().job.num, call)
            log.info("Run %d: %s", HydraConfig.get().job.num, keys.readable(label))
        status = guarded(name, lambda: _run_one(settings_type, run, composed))
        outcome.statuses.append((label, status))
        if status in (INTERRUPTED, TERMINATED):
            raise SystemExit(status)  # ends a sweep too

    with (
        tempfile.TemporaryDirectory() as folder
    ):  # what Hydra keeps of a sweep: each of its runs has a manifest of ours
        _call_hydra(name, task, call, folder)
    if call.multirun and not call.completion:
        if not outcome.statuses and not {"--cfg", "-c", "--info", "-i"} & set(call.flags):
            raise InputError([f"{' '.join(argv)}: there is nothing to sweep over"])
        _show_sweep(outcome)
    return outcome.status


def _run_one(settings_type: type[S], run: Callable[[S], object], composed: DictConfig) -> int:
    run(validated(settings_type, composed))
    return DONE


def validated(settings_type: type[S], composed: DictConfig) -> S:
    """The composed configuration as settings; InputError lists everything that does not fit."""
    try:
        container = OmegaConf.to_container(composed, resolve=True)
    except OmegaConfBaseException as error:
        raise _resolving(error) from None
    try:
        return settings_type.model_validate(container)
    except ValidationError as error:
        raise InputError(problems_of(error, settings_type)) from None


def _call_hydra(name: str, task: Callable[[DictConfig], None], call: keys.Call, folder: str) -> None:
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra prints and exits by itself otherwise
    kept = sys.argv
    ours = [] if call.completion else [f"hydra.job.name={name}", f"hydra.sweep.dir={keys.quoted(folder)}"]
    sys.argv = [f"scripts.{name}", *call.flags, *ours, *call.hydra]
    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(task)()
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError([f"configuration: {keys.readable(str(error))}"]) from None
    finally:
        sys.argv = kept


def _problems_of_the_rest(settings_type: type[Settings], hydra_overrides: Sequence[str]) -> list[str]:
    """What else is wrong, apart from the overrides that were already found wrong, so that one message lists everything."""
    try:
        with hydra.initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
            validated(settings_type, hydra.compose("config", list(hydra_overrides)))
    except InputError as error:
        return list(error.problems)
    except (HydraException, OmegaConfBaseException) as error:
        return [f"configuration: {keys.readable(str(error))}"]
    return []


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


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM unwinds like Ctrl-C, so that what is half-written is removed."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(number)

    try:
        kept = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread, as in tests
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, kept)


def set_up_logging() -> None:
    """Log lines go to stderr: for people in a terminal, plain with the time of day elsewhere."""
    root = logging.getLogger()
    for handler in [h for h in root.handlers if getattr(h, "of_offermix", False)]:
        root.removeHandler(handler)
    handler = _handler(_stderr())
    handler.of_offermix = True  # type: ignore[attr-defined]
    handler.addFilter(_ours_or_serious)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    if not sys.warnoptions and "PYTEST_CURRENT_TEST" not in os.environ:
        warnings.simplefilter("ignore")  # other people's deprecations are for our tests, not for users


def _handler(console: Console) -> logging.Handler:
    if console.is_terminal:
        rich = RichHandler(console=console, show_path=False, show_level=False, markup=False)
        rich.setFormatter(logging.Formatter("%(message)s", datefmt="%H:%M:%S"))
        return rich
    plain = logging.StreamHandler(sys.stderr)
    plain.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    return plain


def _ours_or_serious(record: logging.LogRecord) -> bool:
    ours = record.name.split(".")[0] in {"offermix", "ranker", "allocator", "scripts", "__main__"}
    return ours or record.levelno >= logging.ERROR


@cache
def _stderr() -> Console:
    """One console for log lines and what changes in place, so that neither is written over the other."""
    return Console(stderr=True)


Advance = Callable[..., None]


@contextlib.contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Advance]:
    """Shows how far a long step is; yields `advance(steps=1, note="")`.

    In a terminal a bar, elsewhere a line every few seconds.
    """
    console = _stderr()
    if not console.is_terminal:
        yield _lines(description, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console, transient=True) as bar:
        task = bar.add_task(description, total=total, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            bar.update(task, advance=steps, note=note)

        yield advance


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
    console = _stderr()
    if console.is_terminal:
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
