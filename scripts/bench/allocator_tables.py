"""The tables of the allocator's benchmark, from its figures.

Everything is shown as text: seconds, ratios and gaps to the digits that mean something, nothing where nothing was measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from scripts.bench.allocator_runs import OFFERMIX, Gap, PassRate, Run
from scripts.bench.instances import SHAPES
from scripts.bench.peers import PEERS
from scripts.bench.results import Block, KeptRecord, MeasuredTable, circumstances, kind_and_key

STAGES: Mapping[str, tuple[str, ...]] = {
    "read": ("read",),
    "count": ("preflight",),
    "price": ("price",),
    "decide": ("decide",),
    "write": ("write", "certify"),
    "ranges": ("ranges",),
    "audit": ("audit",),
    "digest": ("open", "digest"),
}
OLD = " †"
REFERENCE = 1_000_000


@dataclass(frozen=True)
class AllocatorFigures:
    """Figures by kind, by shape and size; `marks` what is told of each beside the name of its instance."""

    runs: Sequence[Run]
    passes: Sequence[PassRate]
    gaps: Sequence[Gap]
    marks: Mapping[tuple[object, ...], str]

    @property
    def ours(self) -> list[Run]:
        return [run for run in self.runs if run.solver == OFFERMIX and run.outcome == "done"]

    def name(self, figure: Run | PassRate | Gap) -> str:
        return f"{figure.shape} {figure.users:,}{self.marks[kind_and_key(figure)]}"


def block(kept: Sequence[KeptRecord], asked_gap: float) -> Block:
    """Everything measured so far."""
    told, machines = circumstances(kept)
    ordered = sorted(kept, key=lambda each: _order(each.figure))
    marks = {
        kind_and_key(each.figure): machines[each.machine] + ("" if each.fresh or machines[each.machine] else OLD)
        for each in kept
    }
    figures = AllocatorFigures(
        *([each.figure for each in ordered if isinstance(each.figure, kind)] for kind in (Run, PassRate, Gap)), marks
    )
    all_tables = [runs(figures), speedups(figures), profile(figures), growth(figures), passes(figures), gaps(figures)]
    shown = [table for table in all_tables if table.rows]
    return Block(f"Measured on {told}; asked for a gap of {asked_gap:.0e}.", shown, _legend(figures))


def _order(figure: Run | PassRate | Gap) -> tuple[int, int, int]:
    """By shape and size, ours before the peers."""
    solvers = (OFFERMIX, *PEERS)
    solver = solvers.index(figure.solver) if isinstance(figure, Run) and figure.solver in solvers else len(solvers)
    return list(SHAPES).index(figure.shape), figure.users, solver


def runs(figures: AllocatorFigures) -> MeasuredTable:
    columns = (
        "instance",
        "solver",
        "read",
        "solve",
        "write",
        "total s",
        "GiB",
        "gap",
        "largest violation",
        "fractional",
        "note",
    )
    return MeasuredTable(
        "Seconds by stage, memory and result", columns, [_run(run, figures.name(run)) for run in figures.runs]
    )


def _run(run: Run, name: str) -> tuple[str, ...]:
    done = run.value is not None
    breaks = None if not done else max(run.over_user, run.over_row)
    return (
        name,
        run.solver,
        *(seconds(run.seconds.get(stage)) for stage in ("read", "solve", "write")),
        seconds(run.total) if done else "",
        "" if run.peak_gib is None else f"{run.peak_gib:.1f}",
        "" if run.gap is None else f"{run.gap:.1e}",
        "" if breaks is None else "nothing" if breaks <= 1e-9 else f"{breaks:.1e}",
        "" if not done else f"{run.fractional:,}",
        _note(run),
    )


def _note(run: Run) -> str:
    if run.outcome == "not tried":
        return run.note
    if run.full_passes:
        return f"{run.full_passes} dual evaluations"
    if run.outcome == "over the limit" and run.limit:
        return f"stopped after {run.limit:,.0f} s"
    return run.note if run.outcome == "done" else run.outcome


def seconds(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}" if value < 10 else f"{value:,.0f}"


def speedups(figures: AllocatorFigures) -> MeasuredTable:
    """How many times as long each linear solver takes to solve as ours, and as our whole command; a peer that was stopped, at least."""
    rows = []
    for ours in figures.ours:
        for peer in (
            run for run in figures.runs if (run.shape, run.users) == (ours.shape, ours.users) and run is not ours
        ):
            if peer.outcome == "done" and peer.bound is not None:
                rows.append(_times(figures, ours, peer, peer.seconds["solve"], ""))
            elif peer.outcome == "over the limit" and peer.limit:
                rows.append(_times(figures, ours, peer, peer.limit, "more than "))
    columns = ("instance", "peer", "our solving", "our whole command")
    return MeasuredTable("Times faster than a peer's solving alone", columns, rows)


def _times(figures: AllocatorFigures, ours: Run, peer: Run, taken: float, more: str) -> tuple[str, ...]:
    solving, whole = taken / ours.seconds["solve"], taken / ours.total
    name = max(figures.name(ours), figures.name(peer), key=len)
    return name, peer.solver, f"{more}{solving:.1f}", f"{more}{whole:.1f}"


def profile(figures: AllocatorFigures) -> MeasuredTable:
    """Where the time of the command goes."""
    rows = [
        (figures.name(run), *(seconds(sum(run.profile.get(part, 0.0) for part in parts)) for parts in STAGES.values()))
        for run in figures.ours
        if run.profile
    ]
    return MeasuredTable("Our seconds by stage", ("instance", *STAGES), rows)


def growth(figures: AllocatorFigures) -> MeasuredTable:
    """Our command against the same shape at REFERENCE users, or at the fewest where that was not measured."""
    rows = []
    for shape in dict.fromkeys(run.shape for run in figures.ours):
        sizes = {run.users: run for run in figures.ours if run.shape == shape}
        base = sizes.get(REFERENCE, sizes[min(sizes)])
        rows += [
            (
                figures.name(run),
                f"{run.users / base.users:g} x {base.users:,}",
                f"{run.total / base.total:.1f} x",
                "" if run.peak_gib is None else f"{run.peak_gib:.1f}",
            )
            for users, run in sizes.items()
            if users > base.users
        ]
    return MeasuredTable("Growth with users", ("instance", "users", "time", "GiB"), rows)


def passes(figures: AllocatorFigures) -> MeasuredTable:
    counted = {(run.shape, run.users): run.full_passes for run in figures.ours}
    rows = [
        (
            figures.name(rate),
            rate.device,
            str(counted.get((rate.shape, rate.users), "")),
            f"{1e3 * rate.seconds:,.1f}",
            f"{rate.bytes / rate.seconds / 1e9:.1f}",
            f"{rate.bytes / rate.copy_seconds / 1e9:.1f}",
        )
        for rate in figures.passes
    ]
    columns = (
        "instance",
        "device",
        "dual evaluations",
        "milliseconds each",
        "GB/s read",
        "GB/s of a copy of the same bytes",
    )
    return MeasuredTable("One dual evaluation over all users", columns, rows)


def gaps(figures: AllocatorFigures) -> MeasuredTable:
    columns = ("instances", "count", "median gap", "worst gap", "violations", "infeasible", "failed", "slowest s")
    groups: dict[str, list[Gap]] = {}
    for gap in figures.gaps:
        groups.setdefault(figures.name(gap), []).append(gap)
    return MeasuredTable("Gaps over random instances", columns, [_gap(name, group) for name, group in groups.items()])


def _gap(name: str, group: Sequence[Gap]) -> tuple[str, ...]:
    done = [each for each in group if each.outcome == "done"]
    ends = [sum(each.outcome == outcome for each in group) for outcome in ("violation", "infeasible")]
    return (
        name,
        str(len(group)),
        f"{median(each.gap for each in done):.1e}" if done else "",
        f"{max(each.gap for each in done):.1e}" if done else "",
        *map(str, (*ends, len(group) - len(done) - sum(ends))),
        seconds(max((each.seconds for each in done), default=None)),
    )


def _legend(figures: AllocatorFigures) -> list[str]:
    said = [
        "`read`: for peers it includes building the linear programme. `write`: it includes the audit and all digests.",
        "`gap`: (certified bound - value) / |bound|. A negative gap means that the result breaks rules.",
        "`largest violation`: in contacts of one user's slot or cap, or relative to a constraint's bound.",
        "`fractional`: user-action pairs that are neither taken nor left.",
    ]
    if not any(rate.device != "cpu" for rate in figures.passes):
        said.append("No GPU was at hand, so `solve.device=cuda` has no figure.")
    if any(OLD in mark for mark in figures.marks.values()):
        said.append(f"{OLD.strip()}: measured by an earlier version of the program, or asked for another gap.")
    return said
