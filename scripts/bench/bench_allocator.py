"""The allocator next to its peers, by size, and its gaps over random instances.

Every run has a process of its own. What a peer could not do at one size is not tried at a larger one of the same shape. Every figure is
kept in allocator.jsonl as soon as it is measured.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ranker.files import InputError
from scripts.bench import allocator_runs, allocator_tables
from scripts.bench.allocator_runs import OFFERMIX, Gap, PassRate, Run, Stopped, apart
from scripts.bench.instances import SHAPES, Instance
from scripts.bench.peers import PEERS
from scripts.bench.results import GIB, Block, KeptRecord, Results, machine, sources_digest
from scripts.cli import entry
from scripts.cli.settings import BenchSettings

OF_PEERS = ("scripts/bench/instances.py", "scripts/bench/peers.py")
OF_OURS = (
    "allocator",
    "ranker/scores.py",
    "scripts/allocate.py",
    "scripts/bench/instances.py",
    "scripts/bench/allocator_runs.py",
)
GRACE = 300.0
PATIENCE = 7_200.0
SEEDS_PER_PROCESS = 10
USERS = 20_000
GPU = "cuda"


def measure(settings: BenchSettings) -> Block:
    """Measures everything asked for; the tables of all figures in the file. Raises InputError."""
    asked = settings.bench
    problems = [f"shapes: there is no shape '{name}'" for name in asked.shapes if name not in SHAPES]
    problems += [f"peers: there is no peer '{name}'" for name in asked.peers or () if name not in PEERS]
    if problems:
        raise InputError(problems)
    out = settings.paths.out or Path("runs") / "bench"
    out.mkdir(parents=True, exist_ok=True)
    results = Results(
        out / "allocator.jsonl", (Run, PassRate, Gap), lambda figure: program(figure, settings), machine()
    )
    results.newest()  # a file that holds something else is told before anything runs
    with tempfile.TemporaryDirectory(dir=out) as folder:
        bench = _AllocatorBench(settings, results, Path(folder))
        if asked.sizes or asked.gaps:
            bench.warm_up()
        for size in sorted(asked.sizes):
            for shape in asked.shapes:
                bench.measure(shape, size)
        for shape in asked.shapes if asked.gaps else ():
            bench.measure_gaps(shape)
    return allocator_tables.block(results.newest(), settings.solve.gap)


def program(figure: Run | PassRate | Gap, settings: BenchSettings) -> str:
    """What a figure depends on: the code, and for ours the gap that was asked for."""
    if isinstance(figure, Run) and figure.solver in PEERS:
        return sources_digest(OF_PEERS)
    return f"{sources_digest(OF_OURS)} gap {settings.solve.gap:g}"


class _AllocatorBench:
    """One call's measuring; with `resume`, of what is not in the results."""

    def __init__(self, settings: BenchSettings, results: Results, folder: Path):
        self.settings, self.asked, self.results, self.folder = settings, settings.bench, results, folder

    def warm_up(self) -> None:
        """Compiles every kernel on a tiny instance, so that no measured run has to."""
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            (instance, _), *_ = apart(allocator_runs.make, Path(place), "knapsack", 2_000, 0, seconds=PATIENCE)
            apart(allocator_runs.run_ours, instance, self.settings, Path(place) / "out", seconds=PATIENCE)
            apart(allocator_runs.run_peer, instance, "greedy by value", 60.0, seconds=PATIENCE)

    def measure(self, shape: str, users: int) -> None:
        """Ours, a pass, then every peer on one instance, which is removed afterwards."""
        devices = ["cpu", *([GPU] if self.has_gpu else [])]
        names = [_ours_on(device) for device in devices] + list(PEERS if self.asked.peers is None else self.asked.peers)
        wanted = [name for name in names if not self._is_known(Run(shape, users, name))]
        if not wanted:
            entry.log.info("%s of %s users: measured before", shape, f"{users:,}")
            return
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            entry.log.info("%s of %s users", shape, f"{users:,}")
            (instance, size), *_ = apart(
                allocator_runs.make, Path(place), shape, users, self.settings.seed, seconds=PATIENCE
            )
            for device in devices:
                if _ours_on(device) in wanted:
                    self._measure_ours(instance, size, device, Path(place) / "out")
            for peer in PEERS:
                if peer in wanted:
                    self.results.add(self._peer(instance, peer))

    def measure_gaps(self, shape: str) -> None:
        """Instances of seeds 0, 1, ..., some per process."""
        users = self.asked.users or USERS
        wanted = [seed for seed in range(self.asked.gaps) if not self._is_known(Gap(shape, users, seed, ""))]
        entry.log.info("%d instances of %s, %s users", len(wanted), shape, f"{users:,}")
        for seeds in _chunks(wanted, SEEDS_PER_PROCESS if users < 200_000 else 1):
            arguments = (shape, users, seeds, self.settings, self.folder)
            try:
                found = apart(allocator_runs.run_gaps, *arguments, seconds=PATIENCE)[0]
            except Stopped as stopped:
                entry.log.info("  %s", stopped)
                found = [Gap(shape, users, seed, str(stopped)) for seed in seeds]
            for gap in found:
                self.results.add(gap)

    def _measure_ours(self, instance: Instance, size: dict[str, int], device: str, allocation: Path) -> None:
        solve = self.settings.solve.model_copy(update={"device": device})
        settings = self.settings.model_copy(update={"solve": solve})
        empty = Run(instance.shape, instance.users, _ours_on(device), size=size)
        ours = _tried(empty, allocator_runs.run_ours, instance, settings, allocation)
        self.results.add(replace(ours, size=size))
        if ours.outcome == "done":
            try:
                self.results.add(
                    apart(allocator_runs.measure_pass, instance, settings, allocation, device, seconds=PATIENCE)[0]
                )
            except Stopped as stopped:
                entry.log.info("  the pass alone: %s", stopped)

    def _peer(self, instance: Instance, peer: str) -> Run:
        empty = Run(instance.shape, instance.users, peer)
        known, limit = self._here(), self.asked.limit
        reason = why_not(known, empty, limit)
        if reason:
            return replace(empty, outcome="not tried", note=reason)
        found = _tried(empty, allocator_runs.run_peer, instance, peer, limit, seconds=limit + GRACE)
        ours = [run for run in known if run.key == (instance.shape, instance.users, OFFERMIX)]
        return against(ours, replace(found, limit=limit))

    def _here(self) -> list[Run]:
        """The runs on this machine."""
        kept = [each for each in self.results.newest() if each.machine == self.results.machine]
        return [each.figure for each in kept if isinstance(each.figure, Run)]

    def _is_known(self, wanted: Run | Gap) -> bool:
        """With `resume`: measured by this program on this machine, a peer for as long as it may take now."""
        return self.asked.resume and any(
            each.fresh and type(each.figure) is type(wanted) and each.figure.key == wanted.key and self._suffices(each)
            for each in self.results.newest()
        )

    def _suffices(self, kept: KeptRecord) -> bool:
        figure = kept.figure
        return not (isinstance(figure, Run) and figure.outcome == "over the limit" and figure.limit < self.asked.limit)

    @property
    def has_gpu(self) -> bool:
        return apart(allocator_runs.has_gpu, seconds=PATIENCE)[0]


def _ours_on(device: str) -> str:
    return OFFERMIX if device == "cpu" else f"{OFFERMIX} on {device}"


def _chunks(seeds: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for first in range(0, len(seeds), size):
        yield seeds[first : first + size]


def _tried(empty: Run, work, *arguments: object, seconds: float = PATIENCE) -> Run:
    """The run with its memory, or why there is none."""
    try:
        made, peak, grown = apart(work, *arguments, seconds=seconds)
    except Stopped as stopped:
        made, peak, grown = replace(empty, outcome=str(stopped)), None, None
    said = made.outcome if made.total is None else f"{made.outcome} in {made.total:.1f} s"
    entry.log.info("  %s: %s", made.solver, said)
    return replace(made, peak_gib=peak, grown_gib=grown)


def why_not(earlier: Sequence[Run], wanted: Run, limit: float) -> str:
    """Why a peer is not tried at this size for so many seconds, from the largest smaller size of the shape; empty where it is."""
    same = [run for run in earlier if (run.shape, run.solver) == (wanted.shape, wanted.solver)]
    tried = [run for run in same if run.users < wanted.users and run.outcome != "not tried"]
    if not tried:
        return ""
    last = max(tried, key=lambda run: run.users)
    if last.outcome == "over the limit" and (last.limit or 0.0) < limit:
        return ""
    if last.outcome != "done":
        return f"{last.outcome} at {last.users:,} users"
    needed = (last.grown_gib or 0.0) * wanted.users / last.users
    there = allocator_runs.MOST_MEMORY * allocator_runs.machine_memory() / GIB
    return f"would need some {needed:,.0f} GiB" if needed > there else ""


def against(ours: Sequence[Run], found: Run) -> Run:
    """A peer's value relative to our certified bound; negative where it is too good to keep the constraints."""
    bound = next((run.bound for run in ours), None)
    if found.value is None or bound is None:
        return found
    return replace(found, gap=(bound - found.value) / abs(bound))
