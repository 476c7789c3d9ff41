"""Solves, audits and writes an allocation: `python -m scripts.allocate scores=DIR policy=FILE out=DIR [previous=DIR]`."""

import logging
from collections.abc import Iterator
from dataclasses import replace

from allocator.allocate import Allocation, allocate
from allocator.formats import DIAGNOSIS, ConstraintRecord
from allocator.infeasible.diagnosis import Infeasible
from ranker.scores import open_scores
from scripts.cli import entry
from scripts.cli.progress import Pace
from scripts.cli.settings import AllocateSettings
from scripts.runs import stage

log = logging.getLogger("offermix")
COLUMNS = ("constraint", "at least", "at most", "achieved", "binding", "worth of one unit more", "which holds")


def run(settings: AllocateSettings) -> Allocation:
    """Writes the allocation, its certificate, price book and audit, all or nothing.

    Raises Infeasible where the constraints contradict each other, after writing `diagnosis.json` alone.
    """
    paths = settings.paths
    inputs = [path for path in (paths.scores, paths.policy, paths.previous) if path is not None]
    config = {"solve": settings.solve, "set": settings.set}
    pace = Pace()
    try:
        with (
            entry.watched(lambda: f"Allocating {pace.line()}"),
            stage.write(paths.out, "allocate", inputs, config, leftover=DIAGNOSIS) as made,
        ):
            log.info("Reading %s", paths.scores)
            scores = open_scores(paths.scores)
            options = {"changes": settings.set, "previous": paths.previous, "folder": made, "progress": pace}
            made_here = allocate(scores, paths.policy, settings.solve, **options)
    except Infeasible as error:
        stage.write_alone(paths.out, DIAGNOSIS, error.diagnosis.record().text(), replaces=["allocate"])
        raise
    return replace(made_here, folder=paths.out, seconds={**made_here.seconds, **pace.seconds})


def main(settings: AllocateSettings) -> None:
    result = run(settings)
    for remark in result.certificate.remarks:
        log.warning("%s.", remark.sentence)
    entry.show_table("Allocation", ("", ""), list(_summary(result)))
    entry.show_table("Constraints", COLUMNS, [_cells(record) for record in result.certificate.constraints])


def _cells(record: ConstraintRecord) -> tuple[str, ...]:
    held = record.price_range
    return (
        record.label or record.id,
        _number(record.min),
        _number(record.max),
        _number(record.achieved),
        record.binding or "",
        f"{record.price:,.4g}" if record.price else "",
        "" if held is None else f"from {_number(held[0])} to {_number(held[1])}",
    )


def _summary(result: Allocation) -> Iterator[tuple[str, str]]:
    held = result.certificate
    yield "Users", f"{held.users:,}"
    yield "Contacts", f"{held.contacts:,}"
    yield "Value", f"{held.value:,.4f}"
    yield "Best possible", f"at most {held.bound:,.4f}, a gap of {held.gap:.2e}"
    broken = "" if held.greedy.feasible else " (and breaks constraints)"
    yield "Best-first instead", f"{held.greedy.value:,.4f}{broken}"
    yield "Audit", f"clean, {len(result.audit.checks)} checks passed"
    yield "Passes", f"{held.passes_over('all_users')} over all users, {held.passes_over('samples')} over samples"
    yield "Seconds", ", ".join(f"{name} {seconds:.1f}" for name, seconds in result.seconds.items())
    yield "Written to", str(result.folder)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.6g}"


if __name__ == "__main__":
    entry.main("allocate", AllocateSettings, main)
