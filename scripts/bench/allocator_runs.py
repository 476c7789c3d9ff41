"""One run of the allocator's benchmark at a time, each in a process of its own, so that its peak memory is its own.

What is timed: for the allocator its command, from scores on disk to an audited allocation on disk; for a peer reading the scores and
building its programme, then solving. Importing modules and compiling kernels is not.
"""

import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from allocator.formats import read_price_book
from allocator.infeasible.diagnosis import Infeasible
from allocator.policy.reader import policy_for
from allocator.problem import Problem, build_problem
from allocator.solve.dual import evaluate_dual
from allocator.solve.solver import free_users
from allocator.users import load_data
from ranker.scores import Scores, open_scores
from scripts import allocate
from scripts.bench import peers
from scripts.bench.instances import Instance, write_instance
from scripts.cli.entry import stderr
from scripts.cli.logs import set_up_logging
from scripts.cli.settings import AllocatePaths, AllocateSettings, Settings

GIB = 2.0**30
OFFERMIX = "offermix"
PASSES_TIMED = 3
MOST_MEMORY = 0.9
COPY_BYTES = 2**30


@dataclass(frozen=True)
class Run:
    """One solver on one instance. seconds: by stage (`read`, `solve`, `write`). gap: from the value to the certified bound, relative.

    outcome: `done`, or why there is nothing else; note says more. over_user, over_row, fractional: as in peers.JudgedPeer. profile: of the
    allocator, seconds of every stage of its command. limit: seconds of solving after which a peer was to stop.
    """

    shape: str
    users: int
    solver: str
    outcome: str = "done"
    note: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_gib: float | None = None
    grown_gib: float | None = None
    value: float | None = None
    bound: float | None = None
    gap: float | None = None
    over_user: float | None = None
    over_row: float | None = None
    fractional: int | None = None
    full_passes: int | None = None
    size: Mapping[str, int] = field(default_factory=dict)
    profile: Mapping[str, float] = field(default_factory=dict)
    limit: float | None = None

    @property
    def key(self) -> tuple[str, int, str]:
        return self.shape, self.users, self.solver

    @property
    def total(self) -> float | None:
        return sum(self.seconds.values()) if self.seconds else None


@dataclass(frozen=True)
class PassRate:
    """What one full pass takes and the bytes it reads, next to copying the same number of bytes.

    device: where both happen, `cpu` (two threads copy) or a GPU as torch names it.
    """

    shape: str
    users: int
    seconds: float
    bytes: int
    copy_seconds: float
    device: str = "cpu"

    @property
    def key(self) -> tuple[str, int, str]:
        return self.shape, self.users, self.device


@dataclass(frozen=True)
class Gap:
    """The certified gap of one random instance. outcome: `done`, `infeasible`, `violation` where the audit failed, or what went wrong."""

    shape: str
    users: int
    seed: int
    outcome: str
    gap: float | None = None
    seconds: float | None = None

    @property
    def key(self) -> tuple[str, int, int]:
        return self.shape, self.users, self.seed


class Stopped(Exception):
    """A run that gave no result: over its time, out of memory, or failed; the text says which."""


def apart(work: Callable[..., object], *arguments: object, seconds: float) -> tuple[object, float, float]:
    """(result, peak GiB, GiB above what importing took) of work(*arguments) in a fresh process; raises Stopped."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(theirs, work, arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(seconds):
            raise Stopped("over the limit")
        outcome, result, peak, before = ours.recv()
    except EOFError:
        raise Stopped("failed: the process died") from None
    finally:
        process.kill()
        process.join()
        ours.close()
    if outcome != "done":
        raise Stopped(outcome)
    return result, peak, peak - before


def _serve(connection: Connection, work: Callable[..., object], arguments: tuple) -> None:
    set_up_logging(stderr())
    resource.setrlimit(resource.RLIMIT_DATA, (int(MOST_MEMORY * machine_memory()), resource.RLIM_INFINITY))
    before = _peak_gib()
    try:
        outcome, result = "done", work(*arguments)
    except MemoryError:
        outcome, result = "out of memory", None
    except Exception as error:
        outcome, result = f"failed: {type(error).__name__}: {str(error)[:300]}", None
    connection.send((outcome, result, _peak_gib(), before))


def _peak_gib() -> float:
    """On Linux the kernel counts KiB, on macOS bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1.0 if sys.platform == "darwin" else 1024.0) / GIB


def machine_memory() -> int:
    """Bytes of memory that are free for use, or half of all where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except OSError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def make(folder: Path, shape: str, users: int, seed: int) -> tuple[Instance, dict[str, int]]:
    """Writes the instance; also its actions, metrics and constraints, counted."""
    instance = write_instance(folder, shape, users, seed)
    scores, problem = _compiled(instance)
    head = scores.catalogue
    size = {"actions": len(head.actions), "metrics": len(head.metrics), "constraints": len(problem.measured)}
    return instance, size


def run_ours(instance: Instance, settings: Settings, out: Path) -> Run:
    """The allocate command's own work, from files to files, audited; `solver` says where it sweeps if that is not the CPU."""
    solver = OFFERMIX if settings.solve.device == "cpu" else f"{OFFERMIX} on {settings.solve.device}"
    started = time.perf_counter()
    try:
        result = allocate.run(_allocate_settings(instance, settings, out))
    except Infeasible as error:
        return Run(instance.shape, instance.users, solver, "infeasible", str(error))
    total = time.perf_counter() - started
    made = result.certificate
    read, solve = made.seconds["read"], made.seconds["solve"]
    return Run(
        instance.shape,
        instance.users,
        solver,
        seconds={"read": read, "solve": solve, "write": total - read - solve},
        value=made.value,
        bound=made.bound,
        gap=made.gap,
        over_user=0.0,
        over_row=0.0,
        fractional=0,
        full_passes=made.passes_over("all_users"),
        profile=dict(result.seconds),
    )


def _allocate_settings(instance: Instance, settings: Settings, out: Path) -> AllocateSettings:
    held = {name: getattr(settings, name) for name in Settings.model_fields}
    paths = AllocatePaths(scores=instance.scores, policy=instance.policy, out=out)
    return AllocateSettings.model_construct(**(held | {"paths": paths, "set": {}}))


def run_peer(instance: Instance, peer: str, seconds: float) -> Run:
    """The whole linear programme built and solved; the result judged."""
    started = time.perf_counter()
    whole = peers.build_whole(*_compiled(instance))
    built = time.perf_counter() - started
    found, taken = peers.timed(whole, peer, seconds)
    stages = {"read": built, "solve": taken}
    if found.x_N is None:
        return Run(instance.shape, instance.users, peer, "over the limit", found.note, stages)
    judged = peers.judge(whole, found.x_N)
    return Run(
        instance.shape,
        instance.users,
        peer,
        note=found.note,
        seconds=stages,
        value=judged.value,
        bound=found.bound,
        over_user=judged.over_user,
        over_row=judged.over_row,
        fractional=judged.fractional,
        size={"pairs": whole.matrix_HN.shape[1], "rows": whole.matrix_HN.shape[0], "entries": whole.matrix_HN.nnz},
    )


def _compiled(instance: Instance) -> tuple[Scores, Problem]:
    scores = open_scores(instance.scores)
    policy = policy_for(instance.policy, {}, scores)
    return scores, build_problem(scores, policy)


def measure_pass(instance: Instance, settings: Settings, allocation: Path, device: str) -> PassRate:
    """The fastest of a few passes over all users at the final prices."""
    scores, problem = _compiled(instance)
    data = load_data(problem, scores, settings.solve.memory_gib, allocation.parent)
    users = replace(free_users(problem, data, (np.zeros(0, np.int64), np.zeros(0, np.int64))), device=device)
    book, rows = read_price_book(allocation).prices, problem.rows
    sides = zip(rows.constraint_R, np.where(rows.sign_R > 0, "max", "min"), strict=True)
    price_R = np.array([book.get((problem.measured[constraint].rule.id, str(side)), 0.0) for constraint, side in sides])
    evaluate_dual(users, price_R)
    arrays = (data.planes_UPA, data.eligible_UA, data.class_U, data.group_U)
    amount = sum(array.nbytes for array in arrays)
    seconds = min(_seconds(lambda: evaluate_dual(users, price_R)) for _ in range(PASSES_TIMED))
    copying = _copy_seconds(amount) if device == "cpu" else _device_copy_seconds(amount, device)
    return PassRate(instance.shape, instance.users, seconds, amount, copying, device)


def has_gpu() -> bool:
    """Whether torch, as it is installed, can use one."""
    import torch  # slow to import, and needed here alone

    return torch.cuda.is_available()


def _copy_seconds(amount: int) -> float:
    """Copying so many bytes by two threads; at most COPY_BYTES are copied, the rest is in proportion."""
    copied = min(amount, COPY_BYTES) // 2
    halves = [(np.ones(copied, np.uint8), np.ones(copied, np.uint8)) for _ in range(2)]

    def copy() -> None:
        list(pool.map(lambda half: np.copyto(*half), halves))

    with ThreadPoolExecutor(2) as pool:
        copy()
        return min(_seconds(copy) for _ in range(PASSES_TIMED)) * amount / (2 * copied)


def _device_copy_seconds(amount: int, device: str) -> float:
    """The same on a device of torch: the floor of a pass whose data is there."""
    import torch

    copied = min(amount, COPY_BYTES)
    one, other = (torch.ones(copied, dtype=torch.uint8, device=device) for _ in range(2))

    def copy() -> None:
        other.copy_(one)
        if one.is_cuda:
            torch.cuda.synchronize()

    copy()
    return min(_seconds(copy) for _ in range(PASSES_TIMED)) * amount / copied


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def run_gaps(shape: str, users: int, seeds: Sequence[int], settings: Settings, folder: Path) -> list[Gap]:
    """Allocates instances of these seeds; each is removed before the next is made."""
    return [_gap(shape, users, seed, settings, folder) for seed in seeds]


def _gap(shape: str, users: int, seed: int, settings: Settings, folder: Path) -> Gap:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        instance = write_instance(Path(place), shape, users, seed)
        try:
            run = run_ours(instance, settings, Path(place) / "out")
        except RuntimeError as error:  # what the command raises where the audit finds its allocation wrong
            if "audit" not in str(error):
                raise
            return Gap(shape, users, seed, "violation")
    return Gap(shape, users, seed, run.outcome, run.gap, run.total)
