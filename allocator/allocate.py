"""The whole way from scores and a policy to a certified, audited allocation: what notebooks, commands and benchmarks call.

Read, count what is possible, price and decide, write rows, certify, try other bounds, and let the independent judge recount it all.
"""

import logging
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from allocator.allocation import assemble, price_book, write_rows
from allocator.assign.fallback import assign_fallbacks
from allocator.assign.preassigned import Preassigned, preassign
from allocator.assign.propensity import counterfactual_slates
from allocator.audit.checks import Audit, write_audit
from allocator.audit.judge import audit
from allocator.certify.certificate import certify
from allocator.certify.metric_sums import metric_sums
from allocator.certify.price_ranges import price_ranges
from allocator.certify.remarks import in_doubt, without_repeats
from allocator.chance_constraints import Prices, Refuted, solve_with_margins
from allocator.formats import (
    AUDIT,
    CERTIFICATE,
    POLICY,
    PRICES,
    Certificate,
    GreedyTotal,
    Remark,
    TierTotal,
    read_price_book,
)
from allocator.infeasible.counting import left_together, preflight
from allocator.infeasible.diagnosis import Infeasible, contradiction, diagnose
from allocator.lexicographic import solve_earlier_tiers
from allocator.policy.check import World
from allocator.policy.doubts import Crowd
from allocator.policy.grammar import Policy
from allocator.policy.reader import policy_for
from allocator.problem import Problem, build_problem
from allocator.progress import Progress, Stopwatch
from allocator.saved import SavedAllocation
from allocator.solve.settings import SolveSettings
from allocator.solve.solution import Solution, TooLarge
from allocator.solve.solver import compare_with_greedy, free_users, solve
from allocator.users import Data, load_data
from ranker import disk
from ranker.files import InputError, json_text
from ranker.scores import Scores

log = logging.getLogger("offermix")


@dataclass(frozen=True)
class Allocation:
    """An allocation that was written and recounted.

    folder: the rows (`part-*.parquet`), `certificate.json`, `prices.json`, `policy.json` and `audit.json`. seconds: by stage. own: keeps
    a folder of its own until the allocation is forgotten.
    """

    folder: Path
    policy: Policy
    certificate: Certificate
    audit: Audit
    seconds: Mapping[str, float]
    own: "_OwnFolder | None" = field(default=None, repr=False)

    def contacts(self) -> pd.DataFrame:
        """A row per contact, as `SavedAllocation.contacts` reads them."""
        return SavedAllocation(self.folder).contacts()

    def constraints(self) -> pd.DataFrame:
        """A row per constraint as the certificate states it, as `SavedAllocation.constraints` reads them."""
        return SavedAllocation(self.folder).constraints()

    def prices(self) -> pd.DataFrame:
        """A row per side of every enforced constraint, as `SavedAllocation.prices` reads them."""
        return SavedAllocation(self.folder).prices()


def allocate(
    scores: Scores,
    policy: Policy | Path | str | Mapping[str, object],
    settings: SolveSettings | None = None,
    *,
    changes: Mapping[str, object] | None = None,
    previous: Path | str | None = None,
    folder: Path | str | None = None,
    progress: Progress | None = None,
) -> Allocation:
    """Gives every user of the scores the contacts that are worth most under the policy, with a proof of how near that is to the best.

    Args:
        scores: what each contact is worth to each user (`ranker.scores.open_scores`, or `write_frame` from a pandas frame).
        policy: the rules; a file, or its content as a mapping. Rules that do not hold on the day of the scores are left out.
        settings: how to solve; by default to a gap of 1e-5.
        changes: rule id -> field -> value, as `set.ID.FIELD=VALUE` changes a policy that is a file or a mapping.
        previous: the folder of an earlier allocation: it gives first prices, and `change` and `churn` compare with it.
        folder: an existing folder to write into; by default one of its own, which goes with the allocation.
        progress: is told how far it is.

    Returns:
        The allocation: its certificate, its audit, and rows and constraints as frames. Values are in the unit of the objective.

    Raises:
        InputError: scores, policy or previous allocation are not what they must be; lists everything that is wrong.
        Infeasible: the constraints contradict each other; carries the diagnosis.
        RuntimeError: the audit found the allocation wrong, which is a fault of this package.
    """
    own = _OwnFolder() if folder is None else None
    made = own.path if own is not None else Path(folder or "")
    earlier = None if previous is None else Path(previous)
    given, day = policy_for(policy, changes or {}, scores, previous=earlier is not None), scores.catalogue.as_of
    rules = given.active(day)
    run = _Run(scores, given, rules, settings or SolveSettings(), earlier, made, progress or Stopwatch())
    run.progress.expect(scores.users, max(len(rules.tiers), 1))
    certificate = run.certificate()
    run.progress.begin("audit")  # by now the arrays of solving are gone; the judge has its own
    judged = run.judged()
    run.progress.begin("digest")
    return Allocation(made, rules, certificate, judged, {**certificate.seconds, **run.progress.seconds}, own)


class _OwnFolder:
    """A temporary folder that goes with this object."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="allocation-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True)
class _Run:
    """One allocation under way: what it is made from, where it goes, and who watches. policy: the rules that hold now, of all `given`."""

    scores: Scores
    given: Policy
    policy: Policy
    settings: SolveSettings
    previous: Path | None
    made: Path
    progress: Progress

    def certificate(self) -> Certificate:
        """Reads, solves, writes the rows and certifies them."""
        scores, progress = self.scores, self.progress
        progress.begin("read")
        start = None if self.previous is None else read_price_book(self.previous).prices
        problem = build_problem(scores, self.policy, self.previous)
        loaded = load_data(problem, scores, self.settings.memory_gib, self.made.parent, progress.handled)
        data, preassigned = preassign(problem, loaded)
        progress.begin("preflight")
        doubted = self._doubted(problem, data)
        try:
            self._count_first(problem, data, preassigned)
            return self._certified(problem, data, preassigned, start, doubted)
        except Infeasible:
            for remark in doubted:
                log.warning("%s", remark.ended)
            raise

    def _doubted(self, problem: Problem, data: Data) -> tuple[Remark, ...]:
        """What is said of rules as they are written: for whom they are is known from here on."""
        users_S = np.bincount(data.class_U, minlength=len(problem.classes))
        crowd = Crowd(
            World(self.scores.catalogue, None), lambda users: int(users_S[problem.classes.members(users)].sum())
        )
        return tuple(in_doubt(self.given, self.scores.catalogue.as_of, crowd))

    def _certified(
        self,
        problem: Problem,
        data: Data,
        preassigned: Preassigned,
        start: Mapping[tuple[str, str], float] | None,
        doubted: tuple[Remark, ...],
    ) -> Certificate:
        progress = self.progress
        log.info(
            "Read %s users and %s rules in %.1f s", f"{problem.users:,}", len(self.policy.constraints), progress.spent
        )
        progress.begin("solve")
        problem, tiers = solve_earlier_tiers(
            problem, data, preassigned, lambda stage: self._solved(stage, data, preassigned, start)[1]
        )
        problem, solution = self._solved(problem, data, preassigned, start)
        log.info("Solved (%s) after %.1f s", solution.status.value, progress.spent)
        return self._written(problem, data, preassigned, solution, tiers, doubted)

    def _written(
        self,
        problem: Problem,
        data: Data,
        preassigned: Preassigned,
        solution: Solution,
        tiers: tuple[TierTotal, ...],
        doubted: tuple[Remark, ...],
    ) -> Certificate:
        progress, users = self.progress, free_users(problem, data, preassigned.fixed)
        progress.begin("write")
        fallbacks = assign_fallbacks(
            problem, data, preassigned, solution.slate_UK, counterfactual_slates(users, solution.price_R)
        )
        rows = assemble(users, solution.price_R, preassigned, fallbacks)
        greedy = GreedyTotal.model_validate(compare_with_greedy(users, rows.contacts.value_of("exploration", "pinned")))
        sums = metric_sums(self.scores, problem, data, rows.contacts)
        write_rows(self.made, problem, data, rows)
        progress.begin("certify")
        seconds = {**progress.seconds, **solution.seconds}
        certificate = certify(
            problem, data, rows.contacts, solution, greedy, sums, seconds, self.settings.gap, fallbacks.left_without, tiers
        )  # fmt: skip
        remarks = (*without_repeats(certificate.remarks, doubted), *doubted)
        certificate = certificate.model_copy(update={"remarks": remarks})
        progress.begin("ranges")
        denominators = [each.denominator for each in certificate.constraints]
        ranges = price_ranges(users, preassigned.fixed, solution.price_R, denominators, solution.steps, self.settings)
        certificate = certificate.with_ranges(ranges, {**seconds, **progress.seconds})
        disk.write_text(self.made / CERTIFICATE, certificate.text())
        disk.write_text(self.made / PRICES, price_book(problem, solution.price_R).text())
        disk.write_text(self.made / POLICY, json_text(self.policy.to_json()))
        return certificate

    def judged(self) -> Audit:
        """The independent audit; an allocation that fails it is no allocation."""
        judged = audit(self.scores.path, self.policy, self.made, self.previous, self.progress.handled)
        if not judged.clean:
            failures = "; ".join(f"{check.name}: {check.detail}" for check in judged.failures)
            raise RuntimeError(f"the audit found the allocation wrong, so it was not written: {failures}")
        write_audit(self.made / AUDIT, judged)
        return judged

    def _count_first(self, problem: Problem, data: Data, preassigned: Preassigned) -> None:
        """Raises Infeasible for what counting alone shows to be impossible; wishes out of reach are said."""
        findings = preflight(problem, data, preassigned.fixed)
        if any(finding.hard for finding in findings):
            self.progress.begin("diagnose")
            told = partial(self.progress.advance, 0)
            raise Infeasible(
                contradiction(problem, data, preassigned.fixed, self.settings, findings, self.scores, told)
            )
        for sentence in left_together(problem):
            log.warning("%s%s", sentence[0].upper(), sentence[1:])
        for finding in findings:
            log.info("Out of reach, and not required: %s", finding.sentence)

    def _solved(
        self, problem: Problem, data: Data, preassigned: Preassigned, start: Mapping[tuple[str, str], float] | None
    ) -> tuple[Problem, Solution]:
        """The solution, and the problem with the gradients at which it was found."""
        fixed = preassigned.fixed

        def tell(note: str, users: int = 0) -> None:
            self.progress.advance(users, note)

        def solved(stage: Problem, begin: Prices | None) -> Solution:
            return solve(stage, data, fixed, self.settings, begin, tell)

        try:
            return solve_with_margins(problem, data, fixed, start, solved)
        except TooLarge as error:
            raise InputError([f"{self.scores.path}: {error}"]) from None
        except Refuted as refuted:
            self.progress.begin("diagnose")
            told = partial(self.progress.advance, 0)
            found = diagnose(refuted.problem, data, fixed, self.settings, refuted.unsolvable, self.scores, tell=told)
            raise Infeasible(found) from None
