"""The allocator next to its peers, by size: `python -m scripts.bench allocator [sizes=10000,100000] [gaps=50] [update_readme=true]`.

Every run has a process of its own. What a peer could not do at one size is not tried at a larger one of the same shape. Results go to
allocator.json after every run, beside those of earlier calls by the same program on the same machine, so that a long table can be
measured in parts; the tables go to the terminal, and between the markers of README.md where that is asked for.
"""

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median

from ranker.scores import InputError
from scripts import bench_runs, command
from scripts.bench_runs import GIB, OURS, Gaps, PassRate, Run, Stopped, apart
from scripts.instances import SHAPES, Instance
from scripts.peers import PEERS
from scripts.settings import BenchSettings
from scripts.stage import sources_digest

README = Path(__file__).resolve().parent.parent / "README.md"
RESULTS = "allocator.json"
CONDITIONS = ("machine", "program", "asked_gap")
MARKERS = ("<!-- bench:allocator -->", "<!-- /bench:allocator -->")
BENCHES = ("allocator",)
LISTS = ("sizes", "shapes", "peers")
GRACE = 300.0
PATIENCE = 7_200.0
STAGES = ("read", "preflight", "price", "decide", "write", "ranges", "audit", "digest")
COLUMNS = ("instance", "solver", "read", "solve", "write", "all s", "GiB", "gap", "breaks", "fractional", "note")


@dataclass(frozen=True)
class Bench:
    """All figures by one version of the program on one machine, by shape and size; `days` on which they were measured."""

    machine: str
    program: str
    asked_gap: float
    days: tuple[str, ...] = ()
    runs: tuple[Run, ...] = ()
    passes: tuple[PassRate, ...] = ()
    gaps: tuple[Gaps, ...] = ()

    def having(self, *found: Run | PassRate | Gaps) -> "Bench":
        """With these figures in place of earlier ones of the same."""
        bench = self
        for name, kind in (("runs", Run), ("passes", PassRate), ("gaps", Gaps)):
            merged = {each.key: each for each in getattr(self, name)}
            merged |= {each.key: each for each in found if isinstance(each, kind)}
            bench = replace(bench, **{name: tuple(sorted(merged.values(), key=_order))})
        return bench


def _order(figure: Run | PassRate | Gaps) -> tuple[int, int, int]:
    """By shape and size, ours before the peers."""
    solvers = (OURS, *PEERS)
    solver = solvers.index(figure.solver) if isinstance(figure, Run) and figure.solver in solvers else len(solvers)
    return list(SHAPES).index(figure.shape), figure.users, solver


def _earlier(fresh: Bench, out: Path) -> Bench:
    """What earlier calls measured under the same conditions; nothing where the program, machine or settings were others."""
    try:
        held = json.loads((out / RESULTS).read_text())
        runs, passes = [Run(**each) for each in held["runs"]], [PassRate(**each) for each in held["passes"]]
        gaps = [
            Gaps(**{**each, "gaps": tuple(each["gaps"]), "seconds": tuple(each["seconds"])}) for each in held["gaps"]
        ]
        conditions = [held[name] for name in CONDITIONS]
        days = sorted({*held["days"], *fresh.days})
    except FileNotFoundError:
        return fresh
    except (ValueError, KeyError, TypeError):
        command.log.info("%s holds no figures of this bench; it starts anew", out / RESULTS)
        return fresh
    if conditions != [getattr(fresh, name) for name in CONDITIONS]:
        command.log.info("The figures in %s are of another program, machine or gap; it starts anew", out / RESULTS)
        return fresh
    return replace(fresh, days=tuple(days)).having(*runs, *passes, *gaps)


def run(settings: BenchSettings, readme: Path = README) -> Bench:
    """Measures everything asked for; writes allocator.json, and README's part where asked for. Raises InputError."""
    _check(settings, readme)
    out = settings.paths.out or Path("runs") / "bench"
    out.mkdir(parents=True, exist_ok=True)
    fresh = Bench(
        _machine(),
        sources_digest("allocate"),
        settings.solve.gap,
        (f"{datetime.now(UTC):%Y-%m-%d}",),
    )
    bench = _earlier(fresh, out)
    with tempfile.TemporaryDirectory(dir=out) as folder:
        if settings.bench.sizes or settings.bench.gaps:
            _warm_up(settings, Path(folder))
        for size in sorted(settings.bench.sizes):
            for shape in settings.bench.shapes:
                bench = _measure(settings, Path(folder), shape, size, bench, out)
        for shape in settings.bench.shapes if settings.bench.gaps else ():
            bench = _kept(bench.having(*_gaps(settings, shape, Path(folder))), out)
    if settings.bench.update_readme:
        readme.write_text(between_markers(readme.read_text(), markdown(bench)))
    return bench


def _check(settings: BenchSettings, readme: Path) -> None:
    asked = settings.bench
    problems = [f"shapes: there is no shape '{name}'" for name in asked.shapes if name not in SHAPES]
    problems += [f"peers: there is no peer '{name}'" for name in asked.peers or () if name not in PEERS]
    if asked.update_readme and not all(readme.read_text().count(marker) == 1 for marker in MARKERS):
        problems.append(f"{readme.name}: the markers {' and '.join(MARKERS)} must stand in it, once each")
    if problems:
        raise InputError(problems)


def _kept(bench: Bench, out: Path) -> Bench:
    whole = out / f"{RESULTS}.part"
    whole.write_text(json.dumps(asdict(bench), indent=1) + "\n")
    whole.replace(out / RESULTS)
    return bench


def _warm_up(settings: BenchSettings, folder: Path) -> None:
    """Compiles every kernel on a tiny instance, so that no measured run has to."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        (instance, _), *_ = apart(bench_runs.make, Path(place), "knapsack", 2_000, 0, seconds=PATIENCE)
        apart(bench_runs.run_ours, instance, settings, Path(place) / "out", seconds=PATIENCE)
        apart(bench_runs.run_peer, instance, "greedy by value", 60.0, seconds=PATIENCE)


def _measure(settings: BenchSettings, folder: Path, shape: str, users: int, bench: Bench, out: Path) -> Bench:
    """Ours, a pass, then every peer on one instance, which is removed afterwards."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        command.log.info("%s of %s users", shape, f"{users:,}")
        (instance, size), *_ = apart(bench_runs.make, Path(place), shape, users, settings.seed, seconds=PATIENCE)
        allocation = Path(place) / "out"
        ours = _tried(Run(shape, users, OURS, size=size), bench_runs.run_ours, instance, settings, allocation)
        bench = _kept(bench.having(replace(ours, size=size)), out)
        if ours.outcome == "done":
            rate = _pass(instance, settings, allocation)
            bench = bench if rate is None else _kept(bench.having(rate), out)
        for peer in PEERS if settings.bench.peers is None else settings.bench.peers:
            found = _peer(bench.runs, instance, peer, settings.bench.limit)
            bench = _kept(bench.having(_against(ours, found)), out)
    return bench


def _gaps(settings: BenchSettings, shape: str, folder: Path) -> list[Gaps]:
    """The distribution for one shape, or nothing where it could not be measured."""
    command.log.info("%d instances of %s", settings.bench.gaps, shape)
    asked = (shape, settings.bench.users, settings.bench.gaps, settings, folder)
    try:
        return [apart(bench_runs.run_gaps, *asked, seconds=PATIENCE * 4)[0]]
    except Stopped as stopped:
        command.log.info("  %s", stopped)
        return []


def _tried(empty: Run, work, *arguments: object, seconds: float = PATIENCE) -> Run:
    """The run with its memory, or why there is none."""
    try:
        made, peak, grown = apart(work, *arguments, seconds=seconds)
    except Stopped as stopped:
        made, peak, grown = replace(empty, outcome=str(stopped)), None, None
    said = made.outcome if made.total is None else f"{made.outcome} in {made.total:.1f} s"
    command.log.info("  %s: %s", made.solver, said)
    return replace(made, peak_gib=peak, grown_gib=grown)


def _pass(instance: Instance, settings: BenchSettings, allocation: Path) -> PassRate | None:
    try:
        return apart(bench_runs.measure_pass, instance, settings, allocation, seconds=PATIENCE)[0]
    except Stopped as stopped:
        command.log.info("  the pass alone: %s", stopped)
        return None


def _peer(earlier: Sequence[Run], instance: Instance, peer: str, limit: float) -> Run:
    empty = Run(instance.shape, instance.users, peer)
    reason = _why_not(earlier, empty)
    if reason:
        return replace(empty, outcome="not tried", note=reason)
    return replace(_tried(empty, bench_runs.run_peer, instance, peer, limit, seconds=limit + GRACE), limit=limit)


def _why_not(earlier: Sequence[Run], wanted: Run) -> str:
    """Why a peer is not tried at this size, from the largest smaller size of the shape; empty where it is."""
    same = [run for run in earlier if (run.shape, run.solver) == (wanted.shape, wanted.solver)]
    before = [run for run in same if run.users < wanted.users]
    if not before:
        return ""
    last = max(before, key=lambda run: run.users)
    if last.outcome == "not tried":
        return last.note
    if last.outcome != "done":
        return f"{last.outcome} at {last.users:,} users"
    needed = (last.grown_gib or 0.0) * wanted.users / last.users
    there = bench_runs.MOST_MEMORY * bench_runs.machine_memory() / GIB
    return f"would need some {needed:,.0f} GiB" if needed > there else ""


def _against(ours: Run, found: Run) -> Run:
    """A peer's value relative to the certified bound; negative where it is too good to keep the constraints."""
    if found.value is None or ours.bound is None:
        return found
    return replace(found, gap=(ours.bound - found.value) / abs(ours.bound))


def rows(bench: Bench) -> list[tuple[str, ...]]:
    return [_row(run) for run in bench.runs]


def _row(run: Run) -> tuple[str, ...]:
    done = run.value is not None
    breaks = None if not done else max(run.over_user, run.over_row)
    return (
        f"{run.shape} {run.users:,}",
        run.solver,
        *(_seconds(run.seconds.get(stage)) for stage in ("read", "solve", "write")),
        _seconds(run.total) if done else "",
        "" if run.peak_gib is None else f"{run.peak_gib:.1f}",
        "" if run.gap is None else f"{run.gap:.1e}",
        "" if breaks is None else "nothing" if breaks <= 1e-9 else f"{breaks:.1e}",
        "" if not done else f"{run.fractional:,}",
        run.note if run.outcome == "not tried" else f"{run.full_passes} passes" if run.full_passes else _outcome(run),
    )


def _outcome(run: Run) -> str:
    if run.outcome == "over the limit" and run.limit:
        return f"stopped after {run.limit:,.0f} s"
    return run.note if run.outcome == "done" else run.outcome


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}" if value < 10 else f"{value:,.0f}"


def speedups(bench: Bench) -> list[tuple[str, ...]]:
    """Per instance, ours: how many times faster than each LP solver to solve, and the whole command against its solve alone."""
    table = []
    for ours in (run for run in bench.runs if run.solver == OURS and run.outcome == "done"):
        others = {
            run.solver: run.seconds["solve"]
            for run in bench.runs
            if (run.shape, run.users) == (ours.shape, ours.users) and run.outcome == "done" and run.bound is not None
        }
        del others[OURS]
        stopped = {
            run.solver: run.limit
            for run in bench.runs
            if (run.shape, run.users) == (ours.shape, ours.users) and run.outcome == "over the limit" and run.limit
        }
        table += [_times(ours, solver, seconds, "") for solver, seconds in others.items()]
        table += [_times(ours, solver, seconds, "more than ") for solver, seconds in stopped.items()]
    return table


def _times(ours: Run, solver: str, seconds: float, more: str) -> tuple[str, ...]:
    solving, whole = seconds / ours.seconds["solve"], seconds / ours.total
    return f"{ours.shape} {ours.users:,}", solver, f"{more}{solving:.1f}", f"{more}{whole:.1f}"


def profile_rows(bench: Bench) -> list[tuple[str, ...]]:
    """Where the time of our command goes, by stage; solving is pricing and deciding."""
    return [
        (f"{run.shape} {run.users:,}", *(_seconds(run.profile.get(stage)) for stage in STAGES), _growth(bench, run))
        for run in bench.runs
        if run.profile
    ]


def _growth(bench: Bench, run: Run) -> str:
    """How many times the next smaller size it took, and how many times as many users that is."""
    smaller = [r for r in bench.runs if (r.shape, r.solver) == (run.shape, OURS) and r.users < run.users and r.total]
    if not smaller:
        return ""
    before = max(smaller, key=lambda r: r.users)
    return f"{run.total / before.total:.1f} x for {run.users / before.users:g} x the users"


def pass_rows(passes: Sequence[PassRate]) -> list[tuple[str, ...]]:
    return [
        (
            f"{rate.shape} {rate.users:,}",
            f"{1e3 * rate.seconds:,.1f}",
            f"{rate.bytes / rate.seconds / 1e9:.1f}",
            f"{rate.bytes / rate.copy_seconds / 1e9:.1f}",
        )
        for rate in passes
    ]


def gap_rows(gaps: Sequence[Gaps]) -> list[tuple[str, ...]]:
    return [
        (
            f"{each.shape} {each.users:,}",
            str(len(each.gaps) + each.violations + each.infeasible),
            f"{median(each.gaps):.1e}" if each.gaps else "",
            f"{max(each.gaps):.1e}" if each.gaps else "",
            str(each.violations),
            str(each.infeasible),
            f"{max(each.seconds):.1f}" if each.seconds else "",
        )
        for each in gaps
    ]


def tables(bench: Bench) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """(title, columns, rows) of every table that has rows."""
    all_tables = [
        ("Seconds by stage, memory, and what comes out", COLUMNS, rows(bench)),
        (
            "Times faster than a peer's solving alone",
            ("instance", "peer", "our solving", "our whole command"),
            speedups(bench),
        ),
        ("Where our time goes, in seconds", ("instance", *STAGES, "growth"), profile_rows(bench)),
        (
            "One pass over all users",
            ("instance", "milliseconds", "GB/s read", "GB/s of a copy of the same bytes"),
            pass_rows(bench.passes),
        ),
        (
            "Gaps over random instances",
            ("instance", "count", "median gap", "worst gap", "violations", "infeasible", "slowest s"),
            gap_rows(bench.gaps),
        ),
    ]
    return [(title, columns, body) for title, columns, body in all_tables if body]


def markdown(bench: Bench) -> str:
    days = " and ".join(bench.days)
    parts = [f"Measured on {bench.machine}, {days}; asked for a gap of {bench.asked_gap:.0e}."]
    for title, columns, body in tables(bench):
        lines = ["| " + " | ".join(cells) + " |" for cells in (columns, ["---"] * len(columns), *body)]
        parts.append(f"**{title}**\n\n" + "\n".join(lines))
    return "\n\n".join([*parts, _legend()])


def _legend() -> str:
    return (
        "`read` includes building the linear programme, for peers; `write` the audit and all digests. `gap`: (certified bound - value) / "
        "|bound|, negative where a result is too good to keep the rules. `breaks`: the largest violation, in contacts of one user's slot "
        "or cap, or relative to a constraint's bound. `fractional`: pairs that are neither taken nor left."
    )


def between_markers(text: str, part: str) -> str:
    """README's text with what stands between the markers replaced."""
    opening, closing = MARKERS
    head, rest = text.split(opening, 1)
    tail = rest.split(closing, 1)[1]
    return f"{head}{opening}\n\n{part}\n\n{closing}{tail}"


def _machine() -> str:
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("ortools", "scipy", "numpy", "numba"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    python = platform.python_version()
    gpu = "no GPU" if shutil.which("nvidia-smi") is None else "a GPU, unused"
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {gpu}; Python {python}, {versions}"


def main(settings: BenchSettings) -> None:
    bench = run(settings)
    command.show_table("Measured on", ("",), [(bench.machine,)])
    for title, columns, body in tables(bench):
        command.show_table(title, columns, body)


def words(argv: Sequence[str]) -> list[str]:
    """The words of the command line as key=value: `allocator` is what=allocator, and a list needs no brackets."""
    return [_word(word) for word in argv]


def _word(word: str) -> str:
    key, _, value = word.partition("=")
    if word in BENCHES:
        return f"what={word}"
    return f"{key}=[{value}]" if key in LISTS and "=" in word and not value.startswith("[") else word


if __name__ == "__main__":
    sys.argv[1:] = words(sys.argv[1:])
    command.main("bench", BenchSettings, main)
