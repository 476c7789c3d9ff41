"""Judgements as tables in the terminal: a readout, a regret, a rehearsal and an evaluation."""

import logging

from allocator.amounts import part_kept
from ranker.evaluate.learners import VALUENET
from ranker.evaluate.records import HeldOutEvaluation
from ranker.normal import Z95
from scripts.cli import entry
from scripts.formats.readout import Readout
from scripts.formats.regret import PolicyRegret, Regret, Told
from scripts.formats.rehearsal import Rehearsal
from scripts.judging.readout_groups import CHOSEN, HELD
from scripts.judging.reference_policies import LEARNED
from scripts.pages import reliability
from scripts.pages.figures import HasError

log = logging.getLogger("offermix.judging")


def show_readout(found: Readout) -> None:
    """Prints the lifts, then the verdict in words."""
    rows = [
        (
            each.name,
            f"{each.lift.holdout.value:.5g}",
            f"{each.lift.adjusted.value:+.5g} ± {1.96 * each.lift.adjusted.stderr:.2g}",
            f"{each.promised:+.5g}",
            f"{each.detectable:.2g}",
        )
        for each in found.metrics
        if each.lift is not None
    ]
    sizes = found.sample_ratio.observed
    title = f"Week of {found.day}: {sizes[CHOSEN]:,} chosen users against {sizes[HELD]:,} held out (adjusted lift per user, 95 %)"
    entry.show_table(title, ("outcome", "holdout", "lift", "promised", "detectable"), rows)
    for name, when in found.immature.items():
        print(f"{name}: not complete before {when}")
    print(found.verdict.sentence)


def show_regret(table: Regret) -> None:
    """Prints the policies, best first, and what contacts take from each other."""
    rows = [
        (
            each.policy,
            f"{each.value:,.1f} ± {each.stderr:,.1f}",
            f"{each.share_of_oracle:.1%}",
            f"{each.regret:,.1f} ± {each.regret_stderr:,.1f}",
            _learned_minus(each),
            f"{each.contacts:,.0f}",
            ", ".join(each.violations) or "none",
        )
        for each in table.policies
    ]
    columns = ("policy", "value", "of the oracle", "regret", "learned - this", "contacts", "rules broken in truth")
    title = f"True value of the week, {table.users:,} users (± standard error over users)"
    entry.show_table(title, columns, rows)
    said = [
        (
            each.where,
            each.beside,
            part_kept(each.kept, each.stderr) if isinstance(each, Told) else "nothing said",
            f"{each.true:.0%}",
        )
        for each in table.interference
    ]
    entry.show_table("What is left of an effect", ("effect of", "after or beside", "the scores say", "in truth"), said)
    for each in table.unsolved:
        log.warning("%s: %s", each.policy, each.reason)


def show_rehearsal(found: Rehearsal) -> None:
    """Prints every promise and what came of it."""
    if found.unavailable is not None:
        log.warning("Nothing can be told of held-out users: %s", found.unavailable)
        return
    title = f"{found.rows:,} decisions of {found.users:,} held-out users, scaled to {found.week_users:,.0f} users"
    rows = [
        (
            each.name,
            f"{each.promised:,.5g} ± {Z95 * each.promised_stderr:,.2g}",
            f"{each.realised.value:,.5g}",
            f"{each.realised.low:,.5g} to {each.realised.high:,.5g}",
            each.verdict,
        )
        for each in found.amounts
    ]
    entry.show_table(title, ("what", "promised", "came", "95 % interval", ""), rows)


def _learned_minus(each: PolicyRegret) -> str:
    gain = each.learned_minus_this
    if gain is None or each.policy == LEARNED:
        return ""
    return f"{gain.value:+,.1f} ± {gain.stderr:,.1f}"


def show_evaluation(evaluation: HeldOutEvaluation) -> None:
    """Prints the policies, and how the budgets and slopes came out."""
    first = evaluation.promised[0].outcome
    rows = [
        (
            record.name,
            _figure(record),
            "" if record.name == VALUENET else _figure(record.difference_to_valuenet, "+"),
            f"{record.effective_sample_size:,.0f}",
        )
        for record in evaluation.shown
        if record.outcome == first and record.estimator == "DR"
    ]
    rules = "each choosing freely" if evaluation.allocated is None else f"under the rules of {evaluation.policy}"
    title = (
        f"{first.capitalize()} per decision on {evaluation.rows.judged:,} held-out rows, {rules} (doubly robust ± 95 %)"
    )
    entry.show_table(title, ("policy", "value", "- valuenet", "effective rows"), rows)
    promised = evaluation.promised[0]
    print(f"Gain over nothing: promised {promised.predicted:.5g}, realised {_figure(promised.realised)}")
    if averages := reliability.sentence(evaluation.reliability):
        print(averages)
    for name in evaluation.unsolved:
        log.warning("%s: found no allocation that keeps the rules", name)


def _figure(entry: HasError | None, sign: str = "") -> str:
    if entry is None or entry.value is None or entry.stderr is None:
        return "not known"
    return f"{entry.value:{sign}.5f} ± {1.96 * entry.stderr:.5f}"
