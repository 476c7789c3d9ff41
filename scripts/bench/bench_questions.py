"""Questions of a policy: how long an edit takes to an answer on a sample, and how far the answer is from allocations of all users.

Random edits of one or two fields: bounds of constraints, weights of the objective, contact rules. An edit that contradicts the other rules
is drawn again. Answers are compared with allocations up to MOST_COMPARED users.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from allocator.allocate import allocate
from allocator.formats import Certificate
from allocator.infeasible.diagnosis import Infeasible
from allocator.policy.grammar import Policy
from allocator.solve.settings import SolveSettings
from allocator.workbench.answers import WhatIf
from allocator.workbench.frontier import frontier
from allocator.workbench.priced import price_on_sample
from allocator.workbench.session import Session
from allocator.workbench.what_if import what_if
from ranker.files import InputError
from ranker.scores import open_scores
from scripts.bench.instances import SHAPES, Instance, write_instance
from scripts.bench.results import Block, MeasuredTable, machine
from scripts.cli import entry
from scripts.cli.settings import BenchSettings

MOST_COMPARED = 200_000
POINTS = 20
Changes = dict[str, dict[str, object]]
LEGEND = (
    "*open*: from the scores to a sample of {sample:,} users; *first*: the first policy priced on it.",
    "*edit, median* and *p95*: seconds from an edit of a policy to the whole answer, with errors, edits and reasons.",
    "*value inside 95 %*: answers whose difference in value is within its stated 95 % error of that of two allocations of all users; "
    "*all totals*: the same of contacts and of every metric.",
    "*adds up*: answers whose edits add up to the difference.",
    "*20 points*: a frontier of contacts and value on the sample, in seconds, and how many solves of the sample from nothing take as long; "
    "*of all users*: the same by allocations of everybody, next to such allocations.",
)


@dataclass(frozen=True)
class _Asked:
    """One edit and its answer. seconds: until it was there."""

    changes: Changes
    answer: WhatIf
    seconds: float


def measure(settings: BenchSettings) -> Block:
    """Measures every shape at every size. Raises InputError."""
    asked = settings.bench
    if unknown := [name for name in asked.shapes if name not in SHAPES]:
        raise InputError([f"shapes: there is no shape '{name}'" for name in unknown])
    out = settings.paths.out or Path("runs") / "bench"
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for size in sorted(asked.sizes):
        for shape in asked.shapes:
            with tempfile.TemporaryDirectory(dir=out) as folder, entry.watched(lambda: f"{shape}, {size:,} users"):  # noqa: B023
                instance = write_instance(Path(folder), shape, size, settings.seed)
                rows.append(_measured(instance, settings))
    columns = (
        "shape",
        "users",
        "actions",
        "open s",
        "first s",
        "edits",
        "edit, median s",
        "p95 s",
        "value inside 95 %",
    )
    more = ("all totals", "adds up", f"{POINTS} points", "of all users")
    table = MeasuredTable("Questions", (*columns, *more), rows)
    return Block(f"Measured on {machine()}.", [table], [line.format(sample=settings.ask.sample) for line in LEGEND])


def _measured(instance: Instance, settings: BenchSettings) -> tuple[str, ...]:
    scores, generator = open_scores(instance.scores), np.random.default_rng([settings.seed, 7])
    started = time.perf_counter()
    with Session.open(scores, settings.ask.sample) as session:
        opened = time.perf_counter() - started
        base = session.read(instance.policy, {})
        session.price(base)
        first = time.perf_counter() - started - opened
        found = list(_asked(session, base, instance, settings.bench.edits, generator))
        seconds = [each.seconds for each in found]
        few = instance.users <= MOST_COMPARED
        compared = _compared(session, base, instance, found) if few else ("", "")
        traced = (_traced(session, base), _traced_in_full(session, base) if few else "")
    adds_up = sum(_adds_up(each.answer) for each in found)
    return (
        instance.shape, f"{instance.users:,}", str(len(scores.catalogue.actions)), f"{opened:.1f}", f"{first:.1f}",
        str(len(found)), f"{np.median(seconds):.2f}", f"{np.quantile(seconds, 0.95):.2f}", *compared,
        f"{adds_up} of {len(found)}", *traced,
    )  # fmt: skip


def _traced(session: Session, base: Policy) -> str:
    """A frontier's seconds, and in solves from nothing."""
    solve = _seconds(lambda: price_on_sample(session.sample, base, session.previous))
    return _next_to(_seconds(lambda: frontier(session, base, "contacts", "value", POINTS)), solve)


def _traced_in_full(session: Session, base: Policy) -> str:
    solve = _seconds(lambda: allocate(session.scores, base, SolveSettings(price_ranges=False, gap=session.gap)))
    return _next_to(_seconds(lambda: frontier(session, base, "contacts", "value", POINTS, full=True)), solve)


def _next_to(seconds: float, solve: float) -> str:
    return f"{seconds:.1f} s, {seconds / solve:.1f} solves"


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _asked(
    session: Session, base: Policy, instance: Instance, count: int, generator: np.random.Generator
) -> Iterator[_Asked]:
    given = 0
    while given < count:
        changes = _edit(base, generator)
        if generator.random() < 0.4:
            changes = {**changes, **_edit(base, generator)}
        try:
            started = time.perf_counter()
            new = session.read(instance.policy, changes)
            answer = what_if(session, base, new)
        except (Infeasible, InputError):
            continue
        if answer.full:
            continue
        given += 1
        yield _Asked(changes, answer, time.perf_counter() - started)


def _edit(base: Policy, generator: np.random.Generator) -> Changes:
    """A field of the policy, and another value of it."""
    factor = float(generator.uniform(0.6, 1.6))
    if generator.random() < 0.2:
        term = base.objective[int(generator.integers(len(base.objective)))]
        return {"objective": {str(term.metric): {"weight": round(term.weight * factor, 4)}}}
    rule = base.constraints[int(generator.integers(len(base.constraints)))]
    sides = [side for side in ("min", "max") if getattr(rule, side) is not None]
    side = sides[int(generator.integers(len(sides)))]
    bound = getattr(rule, side)
    amount = round(bound.amount * factor, 6)
    return {rule.id: {side: f"{amount:g}%" if bound.percent else amount}}


def _compared(session: Session, base: Policy, instance: Instance, found: list[_Asked]) -> tuple[str, str]:
    """How many answers are within their errors of allocations of all users: of the value, and of all totals."""
    settings = SolveSettings(price_ranges=False)
    before = allocate(session.scores, base, settings).certificate
    value, totals = [], []
    for each in found:
        after = allocate(session.scores, session.read(instance.policy, each.changes), settings).certificate
        inside = list(_inside(each.answer, before, after))
        value.append(inside[0])
        totals += inside
    return f"{sum(value)} of {len(value)}", f"{sum(totals)} of {len(totals)}"


def _inside(answer: WhatIf, before: Certificate, after: Certificate) -> Iterator[bool]:
    pairs = [(answer.difference.value, after.value - before.value)]
    pairs += [(answer.difference.contacts, after.contacts - before.contacts)]
    pairs += [
        (each, after.metrics[name].total - before.metrics[name].total)
        for name, each in answer.difference.metrics.items()
    ]
    for estimate, true in pairs:
        yield abs(estimate.mean - true) <= 1.959964 * estimate.se + 1e-9 * abs(true)


def _adds_up(answer: WhatIf) -> bool:
    value = sum(edit.value for edit in answer.edits) - answer.difference.value.mean
    users = sum(edit.users_moved for edit in answer.edits) - answer.difference.users_moved.mean
    return abs(value) <= 1e-9 * max(abs(answer.base.value), 1.0) and abs(users) <= 1e-6 * answer.users
