"""The page about a week that ran, from readout.json: the verdict, lifts, what was promised, and whether the groups are sound."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from allocator.amounts import number, percent
from allocator.report.charts import Chart
from scripts.formats.document import Interval
from scripts.formats.readout import OfferReading, Readout, SegmentReading
from scripts.pages import figures, html
from scripts.pages.figures import Spread
from scripts.pages.html import Page, Section, Table, Tile

GROUP_WORDS = {
    "holdout": "got nothing",
    "exploring": "got one random offer or nothing",
    "chosen": "got what was chosen",
}


def write_page(found: Readout, path: Path) -> None:
    html.write(page_of(found), path)


def page_of(found: Readout) -> Page:
    ratio, verdict = found.sample_ratio, found.verdict
    sizes = ratio.observed
    sections = [_decision(found), _lifts(found), _promises(found), _groups(found)]
    return Page(
        title=f"Readout of {found.day}",
        eyebrow=f"Week of {found.day} · outcomes recorded before {found.known_before}",
        headline=verdict.sentence,
        tiles=(
            Tile("Verdict", "ship" if verdict.ship else "don't ship", tone="good" if verdict.ship else "bad"),
            Tile("Chosen", f"{sizes['chosen']:,}", "users", "got what was chosen for them"),
            Tile("Held out", f"{sizes['holdout']:,}", "users", "got nothing, by chance alone"),
            Tile(
                "Groups",
                "as drawn" if ratio.holds else "not as drawn",
                note=f"p = {ratio.p_value:.2g}" if ratio.expected else "drawn by others: their shares are not known",
                tone="good" if ratio.holds else "bad",
            ),
        ),
        notices=tuple(_notices(found)),
        sections=tuple(sections),
        words=WORDS,
    )


def _notices(found: Readout) -> Iterator[str]:
    if not found.sample_ratio.holds:
        yield (
            "The sizes of the groups could hardly come about by chance. Users were lost or moved between the draw and the tables; "
            "find out why before believing anything below."
        )
    if found.exposed_in_holdout:
        yield f"{found.exposed_in_holdout:,} users of the holdout were shown something all the same, so lifts are too small."
    for name, when in found.immature.items():
        yield f"{name} is not complete before {when} and not read yet."
    users = found.users
    if users.read < users.allocated_for:
        yield f"{users.allocated_for - users.read:,} of {users.allocated_for:,} users are not in the tables."
    if found.as_priced is None:
        yield "Offers are not compared: with tiers, change or churn prices alone do not say who would have got what."


def _decision(found: Readout) -> Section:
    words = (
        "Ship: the groups are as they were drawn, at least one success metric is shown to be better than in the holdout, and every "
        "guardrail is shown to be no worse than by its margin. Anything not shown counts as not met.",
    )
    rows = tuple((c.metric, c.asked, "met" if c.met else "not shown") for c in found.verdict.conditions)
    table = Table("What was asked of the week", ("Metric", "Asked", ""), rows, words=3, folded=False)
    return Section("decision", "The decision", words, (table,))


def _lifts(found: Readout) -> Section:
    known = [each for each in found.metrics if each.lift is not None]
    words = (
        "The difference per user between those who got what was chosen and those held out, adjusted for what was known of them before "
        "the week. A line is the 95 % interval; clear of zero, the lift is not chance. The diamond is what the scores promised: "
        "outside the line, they promised too much or too little.",
        "The table has the smallest lift that such a week finds in four of five cases: below it, nothing shown does not mean "
        "nothing there.",
    )
    compared = [each for each in known if each.lift.relative is not None]
    relative = [(e.name, 100 * e.promised / e.lift.holdout.value, _percent(e.lift.relative)) for e in compared]
    chance = [
        (e.name, _percent(e.more_than_exploring, e.lift.holdout.value))
        for e in compared
        if e.more_than_exploring is not None
    ]
    charts = (
        ("relative", "Lift in % of the holdout, 95 % interval", figures.promised_and_realised(relative), relative),
        (
            "chance",
            "What choosing brought more than random offers, in % of the holdout, 95 % interval",
            figures.dots(chance),
            chance,
        ),
    )
    blocks = [Chart(id, title, (("", figure),)) for id, title, figure, rows in charts if rows]
    table = Table(
        "Every lift per user, 95 % interval",
        ("Metric", "Holdout", "Lift", "In % of the holdout", "Promised", "Smallest that is found"),
        tuple(
            (
                each.name,
                number(each.lift.holdout.value),
                figures.with_interval(each.lift.adjusted),
                "" if each.lift.relative is None else _spread_in_percent(each.lift.relative),
                number(each.promised),
                number(each.detectable),
            )
            for each in known
        ),
        folded=False,
    )
    plain = Table(
        "What the adjustment did, as a table",
        ("Metric", "Holdout", "Chosen", "Plain difference", "Adjusted", "Covariates", "Noise left"),
        tuple(
            (
                each.name,
                number(each.lift.holdout.value),
                number(each.lift.chosen.value),
                figures.with_interval(each.lift.plain),
                figures.with_interval(each.lift.adjusted),
                str(each.lift.covariates),
                percent((each.lift.adjusted.stderr / each.lift.plain.stderr) ** 2) if each.lift.plain.stderr else "",
            )
            for each in known
        ),
    )
    return Section("lifts", "What the week brought", words, (*blocks, table, plain))


def _percent(entry: Interval, of: float = 1.0) -> Spread:
    return Spread(*(100 * value / of for value in (entry.value, entry.low, entry.high, entry.stderr)))


def _spread_in_percent(entry: Interval) -> str:
    return f"{percent(entry.value)} ({percent(entry.low)} to {percent(entry.high)})"


def _promises(found: Readout) -> Section:
    words = (
        "By segment, and by offer: users to whom the prices would give such an offer, in both groups, so that like is compared with like. "
        "What they gain is due to all contacts that they got.",
        "Of many intervals some miss by chance, one in twenty; where too few users are held out, nothing is shown.",
    )
    blocks = []
    for id, title, records in (("segments", "By segment", found.segments), ("offers", "By offer", found.offers)):
        if records:
            title_of_chart = f"{title}: promised and realised per user, 95 % interval"
            blocks.append(Chart(id, title_of_chart, _variants(records)))
            blocks.append(_part_table(f"{title}, as a table", records))
    return Section("promises", "Promised and realised", words, tuple(blocks))


def _variants(records: Sequence[SegmentReading | OfferReading]) -> tuple[tuple[str, object], ...]:
    pairs = dict.fromkeys((r.outcome, r.by) for r in records)
    return tuple(
        (
            f"{outcome}, by {'action' if name == 'id' else name}",
            figures.promised_and_realised(
                [
                    (f"{r.value} ({r.users_holdout:,} held out)", r.promised, r.realised)
                    for r in records
                    if (r.outcome, r.by) == (outcome, name)
                ]
            ),
        )
        for outcome, name in pairs
    )


def _part_table(title: str, records: Sequence[SegmentReading | OfferReading]) -> Table:
    return Table(
        title,
        ("Metric", "By", "Value", "Chosen", "Held out", "Promised", "Realised", "95 % interval"),
        tuple(
            (
                r.outcome,
                r.by,
                r.value,
                f"{r.users_chosen:,}",
                f"{r.users_holdout:,}",
                number(r.promised),
                number(r.realised.value),
                figures.interval(r.realised),
            )
            for r in records
        ),
        words=3,
    )


def _groups(found: Readout) -> Section:
    ratio = found.sample_ratio
    words = (
        "Groups are drawn by chance, the policy's by a salted hash of the user's id, so their sizes are known beforehand. A deviation "
        "that chance makes once in a thousand draws means that users were lost, or moved, on the way.",
    )
    rows = tuple(
        (
            name,
            GROUP_WORDS[name],
            f"{ratio.observed[name]:,}",
            f"{ratio.expected[name]:,.1f}" if ratio.expected else "not known",
            f"{found.contacts_per_user.get(name, 0.0):.2f}",
        )
        for name in ratio.observed
        if ratio.observed[name] or ratio.expected.get(name)
    )
    table = Table(
        "Users by group", ("Group", "", "Users", "Expected", "Contacts per user"), rows, words=2, folded=False
    )
    return Section("groups", "Are the groups sound?", words, (table,))


WORDS = (
    ("Holdout", "users drawn by chance who got nothing this week; what they did is what would have happened anyway."),
    ("Lift", "outcome per user in the chosen group less that in the holdout."),
    (
        "Adjusted",
        "corrected for differences between the groups that were there before the week: the same outcome in the weeks before, and features. "
        "It changes little on average and removes noise.",
    ),
    (
        "Success metric",
        "one that the policy is meant to raise; the chance of a false alarm is shared among all of them.",
    ),
    ("Guardrail", "one that must not suffer: the interval has to stay within the margin."),
    ("Smallest that is found", "a true lift of this size would be shown in four of five weeks with so many users."),
    ("Sample ratio", "whether groups have the sizes that they were drawn with; the first thing to look at."),
)
