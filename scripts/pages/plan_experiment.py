"""A planned experiment as a table in the terminal."""

from collections.abc import Iterator

from allocator.amounts import number
from scripts.cli import entry
from scripts.formats.plan import ExperimentPlan, PlannedOutcome


def show_plan(found: ExperimentPlan) -> None:
    """Prints what the design finds, and what the effects that were asked about need."""
    asked = any(each.effect is not None for each in found.outcomes)
    columns = ("outcome", "mean", "smallest effect found", "of the mean")
    more = ("effect asked about", "weeks it needs", "or a share of") if asked else ()
    entry.show_table(_title(found), (*columns, *more), [tuple(_cells(each, found, asked)) for each in found.outcomes])
    for sentence in _words(found):
        print(sentence)


def _title(found: ExperimentPlan) -> str:
    weeks = "1 week" if found.weeks == 1 else f"{found.weeks} weeks"
    who = f"{found.users:,} listeners" if found.groups is None else f"the values of {found.groups}"
    return f"{found.arms[0].upper()}{found.arms[1:]}: {found.share:.3g} of {who} in the smaller arm, {weeks}"


def _cells(each: PlannedOutcome, found: ExperimentPlan, asked: bool) -> Iterator[str]:
    yield each.name
    yield number(each.mean)
    yield "none" if each.smallest is None else number(each.smallest)
    yield "" if each.relative is None else f"{each.relative:.1%}"
    if asked:
        yield "" if each.effect is None else number(each.effect)
        yield "" if each.effect is None else f"{each.weeks:,}" if each.weeks else "more than 10 years"
        yield (
            "" if each.effect is None else f"{each.share:.1%} in {found.weeks}" if each.share else "no share is enough"
        )


def _words(found: ExperimentPlan) -> Iterator[str]:
    chance = f"{found.power:.0%} of such experiments find it, at a level of {found.level:.0%}"
    yield f"Effects are per listener and week; {chance}."
    if found.lasting:
        yield "The arms stay as they are: the same listeners differ again every week, so more weeks help less than more listeners."
    else:
        yield "The arms are drawn anew every week, so twice the weeks are as good as twice the listeners."
    if found.groups is not None and any(each.smallest is None for each in found.outcomes):
        yield f"Two values of {found.groups} at least must be in either arm; the share or the number of values is too small."
    if not any(each.explained for each in found.outcomes):
        yield "With readout=DIR of an earlier week, what covariates explain is taken off."
