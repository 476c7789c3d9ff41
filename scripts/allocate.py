"""Solves, audits and writes an allocation: `python -m scripts.allocate scores=DIR policy=FILE out=DIR [previous=DIR]`."""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from allocator.allocation import assemble, metric_totals, price_book, read_price_book, write_rows
from allocator.assign.preassigned import Given, fall_back, give
from allocator.assign.propensity import forego
from allocator.audit.checks import Audit, write_audit
from allocator.audit.judge import audit
from allocator.certify.certificate import Certificate, certify
from allocator.certify.price_ranges import price_ranges
from allocator.infeasible.counting import left_together, preflight
from allocator.infeasible.diagnosis import Infeasible, contradiction, diagnose
from allocator.lexicographic import settle
from allocator.policy.grammar import Policy
from allocator.policy.reader import read_policy
from allocator.problem import Data, Problem, build_problem, load_data
from allocator.solve.solution import Solution, TooLarge, Unsolvable
from allocator.solve.solver import compare_with_greedy, free_users, solve
from ranker.scores import InputError, Scores, open_scores
from scripts.cli import entry
from scripts.cli.progress import Pace
from scripts.cli.settings import AllocateSettings
from scripts.runs import stage

log = logging.getLogger("offermix")


@dataclass(frozen=True)
class Allocated:
    """What came of it: where the allocation is, its certificate, the audit, and the seconds of every stage."""

    out: Path
    certificate: Certificate
    audit: Audit
    seconds: Mapping[str, float]


def run(settings: AllocateSettings) -> Allocated:
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
            stage.write(paths.out, "allocate", inputs, config, leftover="diagnosis.json") as made,
        ):
            certificate, judged = _allocate(settings, pace, made)
    except Infeasible as error:
        text = json.dumps(error.diagnosis.to_json(), indent=1) + "\n"
        stage.write_alone(paths.out, "diagnosis.json", text, replaces=["allocate"])
        raise
    return Allocated(paths.out, certificate, judged, {**certificate.seconds, **pace.seconds})


def _allocate(settings: AllocateSettings, pace: Pace, made: Path) -> tuple[Certificate, Audit]:
    log.info("Reading %s", settings.paths.scores)
    scores = open_scores(settings.paths.scores)
    policy = _policy(settings, scores)
    pace.expect(scores.users, max(len(policy.tiers), 1))
    certificate = _solve_and_write(settings, scores, policy, pace, made)
    pace.begin("audit")  # by now the arrays of solving are gone; the judge has its own
    judged = _judge(settings, scores, policy, pace, made)
    pace.begin("digest")
    return certificate, judged


def _policy(settings: AllocateSettings, scores: Scores) -> Policy:
    """The rules that are valid on the day of the scores."""
    segments = {name: frozenset(values) for name, values in scores.vocabulary.items()}
    earlier = settings.paths.previous is not None
    read = read_policy(settings.paths.policy, settings.set, scores.catalogue, segments, previous=earlier)
    return read.active(scores.catalogue.as_of)


def _solve_and_write(settings: AllocateSettings, scores: Scores, policy: Policy, pace: Pace, made: Path) -> Certificate:
    pace.begin("read")
    start = None if settings.paths.previous is None else read_price_book(settings.paths.previous)
    problem = build_problem(scores, policy, settings.paths.previous)
    data, given = give(problem, load_data(problem, scores, settings.solve.memory_gib, made.parent, pace.handled))
    pace.begin("preflight")
    _count_first(settings, scores, problem, data, given, pace)
    log.info("Read %s users and %s rules in %.1f s", f"{problem.users:,}", len(policy.constraints), pace.spent)
    pace.begin("solve")

    def solve_stage(stage: Problem) -> Solution:
        return _solve(settings, scores, stage, data, given, start, pace)

    problem, tiers = settle(problem, data, given, solve_stage)
    solution = solve_stage(problem)
    log.info("Solved (%s) after %.1f s", solution.status.value, pace.spent)
    pace.begin("write")
    users = free_users(problem, data, given.fixed)
    fallen = fall_back(problem, data, given, solution.slate_UK, forego(users, solution.price_R))
    allocation = assemble(users, solution.price_R, given, fallen)
    greedy = compare_with_greedy(users, allocation.contacts.value_of("exploration", "pinned"))
    totals = metric_totals(scores, problem, data, allocation.contacts)
    write_rows(made, problem, data, allocation)
    pace.begin("certify")
    seconds = {**pace.seconds, **solution.seconds}
    certificate = certify(
        problem,
        data,
        allocation.contacts,
        solution,
        greedy,
        totals,
        seconds,
        settings.solve.gap,
        fallen.left_without,
        tiers,
    )
    pace.begin("ranges")
    denominators = [each.denominator for each in certificate.constraints]
    ranges = price_ranges(users, given.fixed, solution.price_R, denominators, solution.steps, settings.solve)
    certificate = certificate.with_ranges(ranges, {**seconds, **pace.seconds})
    _write_json(made / "certificate.json", certificate.to_json())
    _write_json(made / "prices.json", price_book(problem, solution.price_R))
    _write_json(made / "policy.json", policy.to_json())
    return certificate


def _count_first(
    settings: AllocateSettings, scores: Scores, problem: Problem, data: Data, given: Given, pace: Pace
) -> None:
    """Raises Infeasible for what counting alone shows to be impossible; wishes out of reach are said."""
    findings = preflight(problem, data, given.fixed)
    if any(finding.hard for finding in findings):
        pace.begin("diagnose")
        told = partial(pace.advance, 0)
        raise Infeasible(contradiction(problem, data, given.fixed, settings.solve, findings, scores, told))
    for sentence in left_together(problem):
        log.warning("%s%s", sentence[0].upper(), sentence[1:])
    for finding in findings:
        log.info("Out of reach, and not required: %s", finding.sentence)


def _solve(
    settings: AllocateSettings,
    scores: Scores,
    problem: Problem,
    data: Data,
    given: Given,
    start: Mapping[tuple[str, str], float] | None,
    pace: Pace,
) -> Solution:
    try:
        return solve(problem, data, given.fixed, settings.solve, start, lambda note, swept=0: pace.advance(swept, note))
    except TooLarge as error:
        raise InputError([f"{settings.paths.scores}: {error}"]) from None
    except Unsolvable as error:
        pace.begin("diagnose")
        told = partial(pace.advance, 0)
        found = diagnose(problem, data, given.fixed, settings.solve, error, scores, tell=told)
        raise Infeasible(found) from None


def _judge(settings: AllocateSettings, scores: Scores, policy: Policy, pace: Pace, made: Path) -> Audit:
    """The independent audit; an allocation that fails it is never written."""
    judged = audit(scores.path, policy, made, settings.paths.previous, pace.handled)
    if not judged.clean:
        failures = "; ".join(f"{check.name}: {check.detail}" for check in judged.failures)
        raise RuntimeError(f"the audit found the allocation wrong, so it was not written: {failures}")
    write_audit(made / "audit.json", judged)
    return judged


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def main(settings: AllocateSettings) -> None:
    result = run(settings)
    held = result.certificate
    for remark in held.remarks:
        log.warning("%s.", remark.sentence)
    entry.show_table("Allocation", ("", ""), list(_summary(result)))
    entry.show_table(
        "Constraints",
        ("constraint", "at least", "at most", "achieved", "binding", "worth of one unit more", "which holds"),
        [
            (
                c.label or c.id,
                _number(c.min),
                _number(c.max),
                _number(c.achieved),
                c.binding or "",
                f"{c.price:,.4g}" if c.price else "",
                "" if c.price_range is None else f"from {_number(c.price_range[0])} to {_number(c.price_range[1])}",
            )
            for c in held.constraints
        ],
    )


def _summary(result: Allocated) -> Iterator[tuple[str, str]]:
    held = result.certificate
    yield "Users", f"{held.users:,}"
    yield "Contacts", f"{held.contacts:,}"
    yield "Value", f"{held.value:,.4f}"
    yield "Best possible", f"at most {held.bound:,.4f}, a gap of {held.gap:.2e}"
    broken = "" if held.greedy["feasible"] else " (and breaks constraints)"
    yield "Best-first instead", f"{held.greedy['value']:,.4f}{broken}"
    yield "Audit", f"clean, {len(result.audit.checks)} checks passed"
    yield "Passes", f"{held.passes['all_users']} over all users, {held.passes['samples']} over samples"
    yield "Seconds", ", ".join(f"{name} {seconds:.1f}" for name, seconds in result.seconds.items())
    yield "Written to", str(result.out)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.6g}"


if __name__ == "__main__":
    entry.main("allocate", AllocateSettings, main)
