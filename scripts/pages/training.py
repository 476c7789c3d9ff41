"""What training found out of the model and besides it, as tables for the terminal: surrogates, and what contacts take from each other."""

from collections.abc import Mapping, Sequence

from allocator.amounts import part_kept
from ranker.evaluate.records import (
    FatigueFigure,
    InterferenceFigures,
    ModelEvaluation,
    PairFigure,
    SurrogateFigure,
)
from scripts.cli import entry
from scripts.pages import reliability


def show(evaluation: ModelEvaluation) -> None:
    """Prints how reliable the model is, and of the others what there is to print."""
    reliability.show(evaluation.reliability)
    if findings := evaluation.surrogates:
        show_surrogates(findings)
    if found := evaluation.interference:
        show_interference(found)


def show_surrogates(findings: Sequence[SurrogateFigure]) -> None:
    """Prints what stands in for outcomes that are not complete, and how it did where they are."""
    rows = [
        (
            finding.part,
            ", ".join(finding.known),
            f"{finding.rows:,}",
            f"{finding.explained:.0%}",
            f"{finding.kappa:.2f} ± {finding.kappa_stderr:.2f}",
            f"{finding.actual:.5f}",
            f"{finding.stand_in:.5f} ± {finding.difference_stderr:.5f}",
            f"{finding.weight:.2f}" if finding.used else "left out",
        )
        for finding in findings
    ]
    columns = (
        "outcome",
        "told by",
        "young rows",
        "explained",
        "shows",
        "a contact adds",
        "by what stands in",
        "weight",
    )
    entry.show_table("Known early, judged on complete decisions of other users", columns, rows)


def show_interference(found: InterferenceFigures) -> None:
    """Prints what earlier contacts leave of an effect, the pairs that are believed to spoil each other, and what contacts add."""
    rows = []
    if fatigue := found.fatigue:
        rows.append((f"any contact in the last {found.days} days", "every", _left(fatigue), "", ""))
    rows += [
        (
            f"{_named(pair.beside)}, {'in the same week' if pair.basis == 'same week' else 'some weeks before'}",
            _named(pair.where),
            _left(pair),
            f"{pair.probability:.0%}",
            f"{pair.raw:.0%} ± {pair.raw_stderr:.0%}",
        )
        for pair in found.pairs[: found.handed_over]
    ]
    judged = f"{len(found.pairs)} pairs looked at, {found.handed_over or 'none'} believed"
    columns = ("after", "effect of", "is left", "probability", "before shrinking")
    entry.show_table(f"What contacts take from each other: {judged}", columns, rows)
    grown = [
        (
            growth.outcome,
            f"{growth.added:+.3f} ± {growth.stderr:.3f}",
            f"{growth.probability:.0%}",
            f"{growth.raw:+.3f} ± {growth.raw_stderr:.3f}",
        )
        for growth in found.growths
    ]
    if grown:
        heads = ("effects on", "log odds or log rate", "probability", "before shrinking")
        entry.show_table("What each earlier contact adds, outcome by outcome", heads, grown)


def _left(kept: FatigueFigure | PairFigure) -> str:
    return "not known" if kept.kept is None or kept.stderr is None else part_kept(kept.kept, kept.stderr)


def _named(words: Mapping[str, object]) -> str:
    return ", ".join(str(value) for value in words.values())
