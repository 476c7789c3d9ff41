"""A finished week as tables in the terminal, for people who will act on it."""

from collections.abc import Iterator

from allocator.amounts import interval
from allocator.formats import AuditRecord, Certificate
from scripts.cli import entry
from scripts.formats.drift import DRIFT, DriftRecord
from scripts.formats.gates import GATES, GatesRecord
from scripts.formats.pointer import POINTER
from scripts.formats.regret import Regret
from scripts.formats.rehearsal import KEPT, Rehearsal
from scripts.pages.drift_page import headline
from scripts.pages.gates import show_gates
from scripts.runs.mlflow_store import where
from scripts.runs.week import WeeklyRun


def show_week(week: WeeklyRun, seconds: float, store: str | None = None) -> None:
    """Prints what the week came to, for people who will act on it. store: where it was published besides."""
    entry.show_table(
        "Stages",
        ("stage", "makes", "seconds", ""),
        [
            (each.step.name, each.step.does, f"{each.seconds:.1f}", "was still current" if each.skipped else "")
            for each in week.ran
        ],
    )
    if week.published and (gates := GatesRecord.from_file_if_sound(week.folder / GATES)) is not None:
        show_gates(gates)
    entry.show_table(f"Week {week.name}", ("", ""), [*_result_rows(week, store), ("Took", f"{seconds:.0f} seconds")])
    if week.unpublished is not None and not week.published:
        print(week.unpublished)


def _result_rows(week: WeeklyRun, store: str | None) -> Iterator[tuple[str, str]]:
    held = week.certificate
    for remark in held.remarks:
        yield "Mind", remark.ended
    yield "Listeners", f"{held.users:,}"
    yield "Contacts", f"{held.contacts:,}"
    yield "Value of the week", _value(held)
    yield "Against best-first", _against_greedy(held)
    yield "Optimiser's gap", f"at most {max(held.gap or 0.0, 0.0) * 100:.5f} % better is possible by the same estimates"
    if week.rehearsal is not None:
        yield "Held-out users", in_words(week.rehearsal)
    if week.regret is not None:
        yield "Truth", _against_truth(week.regret)
    if (data := DriftRecord.from_file_if_sound(week.folder / "drift" / DRIFT)) is not None:
        yield "Data", headline(data)
    yield "Rules", _rules(held)
    yield "Audit", _verdict(week.audit)
    yield "Published", _published(week, store)
    yield "Report", str(next(iter(sorted((week.folder / "report").glob("*.html"))), "none"))
    yield "MLflow", f"run {week.recorded} ({where()})" if week.recorded else "not recorded"


def _value(held: Certificate) -> str:
    """An estimate, in the words of which nobody reads more than it is."""
    surely = "" if held.value_se is None else f", {interval(held.value, held.value_se)}"
    return f"{held.value:,.2f}{surely}: an estimate of what all contacts bring beyond showing nothing"


def in_words(found: Rehearsal) -> str:
    """What the value promised of held-out users came to, and which constraints did not keep their promise."""
    if found.unavailable is not None:
        return f"nothing can be told: {found.unavailable}"
    value = found.amounts[0]
    came = f"{value.realised.value:,.0f} (95 % interval {value.realised.low:,.0f} to {value.realised.high:,.0f})"
    words = f"of a value of {value.promised:,.0f} promised, {came} came by their logs"
    missed = [each.name for each in found.amounts[1:] if each.verdict != KEPT]
    return f"{words}; beyond chance otherwise than promised: {', '.join(missed)}" if missed else words


def _published(week: WeeklyRun, store: str | None) -> str:
    besides = "" if store is None or week.unpublished is not None else f", and {store}/{POINTER} too"
    return f"yes, {week.folder.parent / POINTER} points here{besides}" if week.published else "no"


def _against_greedy(held: Certificate) -> str:
    greedy = held.greedy
    if greedy is None or not greedy.value:
        return "nothing to compare with"
    if not greedy.feasible:
        return f"best offers first would give {greedy.value:,.2f} but break rules"
    return f"{held.value / greedy.value - 1:+.2%} (best offers first give {greedy.value:,.2f})"


def _against_truth(regret: Regret) -> str:
    """The learned policy next to the others on the market's truth, best first."""
    shares = [f"{each.policy} {each.share_of_oracle:.0%}" for each in regret.policies]
    return f"of the oracle's value: {', '.join(shares)}" if shares else "no allocation keeps the rules in truth"


def _rules(held: Certificate) -> str:
    binding = [each.id for each in held.constraints if each.binding]
    enforced = [each for each in held.constraints if each.strength.kind != "report_only"]
    watched = len(held.constraints) - len(enforced)
    measured = f", {watched} more measured only" if watched else ""
    return f"{len(enforced)} enforced{measured}; at their limit: {', '.join(binding) or 'none'}"


def _verdict(audit: AuditRecord) -> str:
    failed = [check.name for check in audit.checks if not check.passed]
    return f"clean, {len(audit.checks)} checks passed" if not failed else f"failed: {', '.join(failed)}"
