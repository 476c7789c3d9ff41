"""The report as one HTML file: no other file, no network, nothing that a name in the data could inject.

The page's content security policy allows the two scripts written here by their digests, and no connection at all.
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import jinja2
from markupsafe import Markup

from allocator import amounts
from allocator.formats import ConstraintRecord, FunnelStage
from allocator.policy.kinds.base import Constraint
from allocator.policy.kinds.known import kind_named
from allocator.progress import times_in_words
from allocator.report import charts, rules, sentences, weeks
from allocator.report.charts import Chart
from allocator.report.collect import Report, Sources, collect
from allocator.report.records import Evaluation, PolicyValue, ShownCalibration
from allocator.report.rule_table import RuleLine, matter_most, price_words, rule_lines
from ranker import disk
from ranker.catalogue import not_told

HERE = Path(__file__).parent
STAGE_WORDS = {
    "candidates": "Every user with every action",
    "eligible": "Eligible",
    "eligible in the scores": "Eligible",
    "allowed by the policy": "Allowed by the policy",
    "outside the holdout": "Outside the holdout",
    "worth showing": "Worth showing",
    "allocated": "Allocated",
}
LOST_WORDS = {
    "eligible": "No action is eligible for them.",
    "eligible in the scores": "No action is eligible for them.",
    "allowed by the policy": "The policy's rules forbid every action that they are eligible for.",
    "outside the holdout": "They are held out on purpose, to measure the effect.",
    "worth showing": "Nothing that they may see is worth showing: it would cost more than it brings.",
    "allocated": "Nothing that they may see is worth showing, or a constraint keeps it away.",
}
DREW_NOTHING = "They were drawn to explore, and the random draw gave them nothing; the next model learns from it."
SOURCE_WORDS = {
    "optimised": "chosen by the optimiser",
    "exploration": "random on purpose, to learn from",
    "fallback": "given as a fallback",
    "pinned": "pinned by a rule",
}
STATES = ("broken", "missed", "binding", "free", "measured", "empty")
FITS = 27
"""Percent of a scale that the words of a bound take at most."""
WARNINGS = (
    ("Is this what was meant?", ("percent_forgotten", "cannot_bind")),
    ("Contacts that are sent for a rule alone.", ("only_for_a_rule",)),
    ("Rules of the policy that end before the next run.", ("ends",)),
    ("Rules of the policy that are off this week.", ("off",)),
)
BEST_FIXED = "best fixed action"
MOST_SHOWN = 30
"""Constraints that are told in a paragraph each; those that matter least are in the table alone."""
MOST_RULES, MOST_ROWS, MOST_ACTIONS = 150, 80, 200
"""Rows of the longest tables: with more, a page would grow beyond 2 MB."""
KIND_WORDS = {"hard": "must hold", "soft": "wanted", "report_only": "measured only"}


@dataclass(frozen=True)
class Bullet:
    """Where marks stand on a constraint's scale, in percent of its width. low, high: the allowed range."""

    low: float
    high: float
    achieved: float
    low_text: str
    high_text: str
    achieved_text: str

    @property
    def low_style(self) -> str:
        """Where the words under the scale stand: beside their bound, or at the ends where two would meet."""
        if self.high_text and self.low >= FITS and self.high - self.low >= FITS:
            return f"right: {100 - self.low:.2f}%"
        return _beside(self.low) if self.low_text and not self.high_text else "left: 0"

    @property
    def high_style(self) -> str:
        return _beside(self.high) if self.high_text and not self.low_text else "right: 0"

    @property
    def achieved_style(self) -> str:
        return _beside(self.achieved)


def _beside(place: float) -> str:
    return f"right: {100 - place:.2f}%" if place > 50 else f"left: {place:.2f}%"


@dataclass(frozen=True)
class ConstraintRow:
    """A constraint as the page shows it. state: binding, free, broken, missed, measured or empty. holds: bounds between which its price was
    seen to hold."""

    record: ConstraintRecord
    sentence: str
    state: str
    bullet: Bullet | None
    minimum: str
    achieved: str
    maximum: str
    left: str
    worth: str
    price: str
    holds: str

    @property
    def costs(self) -> bool:
        """Whether a reader must see it before the others."""
        return self.state in ("broken", "missed", "binding")

    @property
    def rank(self) -> tuple[int, float]:
        """What needs a reader first comes first: broken, missed, then binding by what room is worth, then the rest."""
        return STATES.index(self.state), -sentences.worth_of_one_percent(self.record)


def write_report(sources: Sources, path: Path) -> None:
    """Writes the report to `path`, one HTML file; InputError where a source is missing or wrong."""
    disk.write_text(path, render(collect(sources)))


def render(report: Report) -> str:
    """The page. The same report gives the same bytes."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": amounts.number,
        "interval": lambda estimate: "" if estimate[1] is None else amounts.interval(*estimate),
        "percent": amounts.percent,
        "count": lambda value: f"{value:,}",
        "held": hold_units_together,
    }
    groups, lines = chart_groups(report), rule_lines_of(report)
    plotly_js, page_js = plotly_script(), (HERE / "page.js").read_text(encoding="utf-8")
    return environment.get_template("template.html.j2").render(
        report=report,
        certificate=report.certificate,
        headline=sentences.headline(report.certificate, report.value_unit),
        optimality=sentences.optimality(report.certificate),
        what_value_is=sentences.what_value_is(report.certificate),
        nearness=sentences.nearness(report.certificate),
        against_greedy=sentences.against_greedy(report.certificate, report.value_unit),
        value_text=amounts.with_unit(report.certificate.value, report.value_unit),
        binding_summary=sentences.binding_summary(report.certificate.constraints),
        constraints=constraint_rows(report),
        most_shown=MOST_SHOWN,
        kind_words=KIND_WORDS,
        source_words=SOURCE_WORDS,
        funnel=funnel_rows(report.funnel),
        model_sentence=model_sentence(report),
        times=times_in_words(report.certificate.seconds),
        not_told=not_told(report.catalogue.unidentified),
        without=without_rows(report),
        objective=sentences.formula(report.certificate.objective),
        pinned=rules.pinned_rows(report),
        fallback=rules.fallback(report),
        tiers=rules.tier_rows(report),
        weeks=weeks_of(report),
        rules=matter_most(lines, MOST_RULES),
        more_rules=max(len(lines) - MOST_RULES, 0),
        most_rows=MOST_ROWS,
        most_actions=MOST_ACTIONS,
        warnings=warnings_of(report),
        interference=rules.interference_rows(report.catalogue.interference),
        experiment="" if report.policy is None else rules.experiment(report.policy),
        rehearsal_rows=rehearsal_rows(report),
        policy_rows=policy_rows(report.evaluation),
        calibration_rows=calibration_rows(report.evaluation),
        glossary=glossary(report),
        groups=groups,
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        plotly_js=Markup(plotly_js),
        page_js=Markup(page_js),
        script_digests=[script_digest(plotly_js), script_digest(page_js)],
        chart_data=Markup(chart_data([chart for group in groups.values() for chart in group])),
    )


def plotly_script() -> str:
    """Plotly's own build of what charts here are made of, a third of the whole; as plotly writes its figures."""
    return (HERE / "plotly" / "plotly-cartesian.min.js").read_text(encoding="utf-8")


def hold_units_together(text: str) -> str:
    """A percent sign never starts a line, and 'at most' stays with its amount."""
    return text.replace(" %", "\u00a0%").replace("at most ", "at\u00a0most\u00a0")


def chart_groups(report: Report) -> dict[str, tuple[Chart, ...]]:
    """The charts of each section; a section without data has none, and its text says so."""
    evaluation = report.evaluation
    quality = (
        (
            charts.policy_chart(evaluation),
            charts.qini_chart(evaluation),
            charts.slope_chart(evaluation),
            charts.decile_chart(evaluation),
        )
        if evaluation
        else ()
    )
    room = charts.room_chart(report.certificate.constraints, report.value_unit)
    return {
        "allocation": charts.allocation_charts(report) if report.certificate.contacts else (),
        "value": (charts.value_chart(report),),
        "room": () if room is None else (room,),
        "funnel": charts.funnel_charts(report.funnel, [stage_name(stage) for stage in report.funnel]),
        "quality": tuple(chart for chart in quality if chart is not None),
        "truth": () if report.truth is None else (charts.truth_chart(report.truth),),
    }


def chart_data(all_charts: list[Chart]) -> str:
    """The figures as JSON that is safe inside a script element."""
    content = {
        chart.id: [{"label": label, "figure": json.loads(figure.to_json())} for label, figure in chart.variants]
        for chart in all_charts
    }
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def weeks_of(report: Report) -> weeks.Weeks:
    """Last week beside this week."""
    last, shown = report.last_week, report.placements
    both = (
        None
        if last is None
        else weeks.placed(last, report.contacts, report.catalogue.actions, shown.row_word, shown.column_word)
    )
    return weeks.beside(last, report.certificate, report.policy, both, report.reached, report.value_unit)


def rule_lines_of(report: Report) -> list[RuleLine]:
    """Every rule of the policy; none where no policy stands beside the allocation."""
    if report.used is None:
        return []
    catalogue = report.catalogue
    return rule_lines(report.used, report.certificate, report.value_unit, catalogue.as_of, catalogue.interference)


def warnings_of(report: Report) -> list[tuple[str, list[str]]]:
    """What is said of the policy before its numbers are believed, by what it is about; nothing where nothing is to be said."""
    remarks = report.certificate.remarks
    groups = [(title, [each.ended for each in remarks if each.kind in kinds]) for title, kinds in WARNINGS]
    return [(title, told) for title, told in groups if told]


def constraint_rows(report: Report) -> list[ConstraintRow]:
    """Every constraint, in the policy's words where these are known."""
    rules_by_id = {} if report.policy is None else {rule.id: rule for rule in report.policy.constraints}
    records, whole = report.certificate.constraints, sentences.WholeContacts.of(report.certificate)
    rules = [_rule_of(record, rules_by_id, report.catalogue.segments) for record in records]
    return [constraint_row(record, report.value_unit, whole, rule) for record, rule in zip(records, rules, strict=True)]


def _rule_of(
    record: ConstraintRecord, rules_by_id: Mapping[str, Constraint], segments: Sequence[str]
) -> Constraint | None:
    """The policy's rule; of one with a segment as `each`, the part that the record is about."""
    name, _, value = record.id.partition("@")
    rule = rules_by_id.get(name)
    return rule.of_segment(value) if rule is not None and value and rule.each in segments else rule


def constraint_row(
    record: ConstraintRecord, value_unit: str, whole: sentences.WholeContacts, rule: Constraint | None = None
) -> ConstraintRow:
    empty = sentences.is_empty(record)
    return ConstraintRow(
        record=record,
        sentence=sentences.constraint(record, value_unit, whole, rule),
        state=state_of(record),
        bullet=None if empty or sentences.is_turned(record) else bullet(record),
        minimum=sentences.amount(record, record.min, asked=True) if record.min is not None else "",
        achieved="nothing in scope" if empty else sentences.amount(record, record.achieved),
        maximum=sentences.amount(record, record.max, asked=True) if record.max is not None else "",
        left="" if empty or (record.min is None and record.max is None) else sentences.left(record),
        worth=amounts.with_unit(sentences.worth_of_one_percent(record), value_unit)
        if sentences.worth_of_one_percent(record)
        else "",
        price=price_words(record, value_unit),
        holds=""
        if record.price_range is None
        else " to ".join(sentences.amount(record, at) for at in record.price_range),
    )


def state_of(record: ConstraintRecord) -> str:
    if sentences.is_empty(record):
        return "empty"
    if record.strength.kind == "report_only":
        return "measured"
    if sentences.violation(record) > 0:
        return "missed" if record.strength.kind == "soft" else "broken"
    return "binding" if record.binding else "free"


def bullet(record: ConstraintRecord) -> Bullet:
    """Geometry of the achieved amount within min..max, on a scale of its own that starts at zero where it can."""
    shown = [value for value in (record.achieved, record.min, record.max) if value is not None]
    start, end = min(0.0, *shown), max(0.0, *shown)
    if record.max is None or end > record.max:
        end += 0.08 * (end - start)
    width = (end - start) or 1.0

    def place(value: float) -> float:
        return round(100 * min(max((value - start) / width, 0.0), 1.0), 2)

    return Bullet(
        low=0.0 if record.min is None else place(record.min),
        high=100.0 if record.max is None else place(record.max),
        achieved=place(sentences.level(record).achieved),
        low_text="" if record.min is None else f"at least {sentences.amount(record, record.min, asked=True)}",
        high_text="" if record.max is None else f"at most {sentences.amount(record, record.max, asked=True)}",
        achieved_text=sentences.amount(record, record.achieved),
    )


def stage_name(stage: FunnelStage) -> str:
    return STAGE_WORDS.get(stage.stage, stage.stage.replace("_", " ").capitalize())


def funnel_rows(stages: tuple[FunnelStage, ...]) -> list[Mapping[str, str]]:
    """Each stage's counts, and how much of the stage before it kept."""
    rows: list[Mapping[str, str]] = []
    for position, stage in enumerate(stages):
        before = stages[position - 1] if position else None
        rows.append(
            {
                "stage": stage_name(stage),
                "contacts": f"{stage.contacts:,}",
                "kept": ""
                if before is None or before.contacts == 0
                else amounts.percent(stage.contacts / before.contacts),
                "users": "" if stage.users is None else f"{stage.users:,}",
                "users_lost": _users_lost(stage, before),
            }
        )
    return rows


def _users_lost(stage: FunnelStage, before: FunnelStage | None) -> str:
    if before is None or before.users is None or stage.users is None:
        return ""
    return f"{before.users - stage.users:,}"


def without_rows(report: Report) -> list[tuple[str, int]]:
    """Users without an offer by the first reason that applies: from the funnel where it counts users, else from the scores."""
    stages = report.funnel
    counted = [stage.users for stage in stages if stage.users is not None]
    if len(counted) < len(stages) or not stages or any(stage.stage not in LOST_WORDS for stage in stages[1:]):
        return [
            (LOST_WORDS["eligible"], report.unreached.nothing_eligible),
            (LOST_WORDS["worth showing"], report.unreached.nothing_worthwhile),
            (
                "Something is worth showing, but the holdout, a rule or a constraint keeps it away.",
                report.unreached.held_back,
            ),
        ]
    lost = [before - now for before, now in pairwise(counted)]
    drew = report.certificate.drew_nothing
    at_random = [(DREW_NOTHING, drew)] if drew else []
    lost[-1] -= drew
    reasons = [(LOST_WORDS[stage.stage], users) for stage, users in zip(stages[1:], lost, strict=True)]
    return [*reasons[:-1], *at_random, reasons[-1]]


def rehearsal_rows(report: Report) -> list[Mapping[str, str]]:
    """Every promise on held-out users, what came of it, and whether the two differ beyond chance."""
    named = {record.id: record.name for record in report.certificate.constraints}
    rows: list[Mapping[str, str]] = []
    for each in () if report.rehearsal is None else report.rehearsal.amounts:
        found = each.realised.interval
        if found is None:
            continue
        rows.append(
            {
                "name": named.get(each.name, each.name.replace("_", " ").capitalize()),
                "promised": f"{amounts.number(each.promised)} ± {amounts.number(1.96 * each.promised_stderr)}",
                "came": amounts.number(found.value),
                "interval": f"{amounts.number(found.low)} to {amounts.number(found.high)}",
                "verdict": each.verdict,
            }
        )
    return rows


def model_sentence(report: Report) -> str:
    """The learned policy against the best fixed action, on the objective where it was judged on it."""
    learned = [
        value for value in (report.evaluation.policies if report.evaluation else ()) if value.name == charts.VALUENET
    ]
    learned = [value for value in learned if value.difference_to_best_fixed is not None]
    if not learned:
        return ""
    best = min(learned, key=lambda value: (value.outcome != "objective", value.estimator != "DR"))
    units = {metric.name: metric.unit for metric in report.catalogue.metrics} | {"objective": report.value_unit}
    return sentences.model_against_best_fixed(best, units.get(best.outcome, ""))


def policy_rows(evaluation: Evaluation | None) -> list[Mapping[str, str]]:
    return [_policy_row(value) for value in (evaluation.policies if evaluation else ())]


def _policy_row(value: PolicyValue) -> Mapping[str, str]:
    found = value.interval
    return {
        "name": value.name,
        "outcome": value.outcome,
        "estimator": charts.ESTIMATORS.get(value.estimator, value.estimator),
        "value": "not enough data" if found is None else amounts.number(found.value),
        "interval": "" if found is None else f"{amounts.number(found.low)} to {amounts.number(found.high)}",
        "difference": _difference(value),
        "sample": "" if value.effective_sample_size is None else f"{value.effective_sample_size:,.0f}",
    }


def _difference(value: PolicyValue) -> str:
    difference = value.difference_to_best_fixed
    if difference is None or value.name == BEST_FIXED:
        return ""
    found = difference.interval
    if found is None:
        return "not enough data"
    return f"{amounts.number(found.value)} ({amounts.number(found.low)} to {amounts.number(found.high)})"


def calibration_rows(evaluation: Evaluation | None) -> list[Mapping[str, str | Mapping[str, str]]]:
    def cell(value: float | None, stderr: float | None) -> str:
        return "" if value is None or stderr is None else f"{amounts.number(value)} ± {amounts.number(1.96 * stderr)}"

    rows: tuple[ShownCalibration, ...] = evaluation.calibration if evaluation else ()
    qini = {(row.model, row.outcome, row.action): row for row in (evaluation.qini if evaluation else ())}
    models = list(dict.fromkeys(row.model for row in (evaluation.qini if evaluation else ())))
    return [
        {
            "outcome": row.outcome,
            "action": row.action,
            "slope": cell(row.slope, row.stderr),
            "left": cell(row.held_out.value, row.held_out.stderr),
            "average": cell(row.average_effect, row.average_effect_stderr),
            "qini": {
                model: cell(found.qini, found.stderr) if (found := qini.get((model, row.outcome, row.action))) else ""
                for model in models
            },
        }
        for row in rows
    ]


def glossary(report: Report) -> list[tuple[str, str]]:
    """The words of this page, shortly."""
    unit = report.value_unit
    return [
        ("Contact", "one offer shown to one user in one slot this week."),
        ("Value", f"what the objective adds up to over all contacts, in {unit}: expected effects, not realised ones."),
        (
            "Incremental",
            "more than would happen without the contact; users who would have subscribed anyway do not count.",
        ),
        (
            "90 % interval",
            "where the true amount lies with nine chances in ten, by the model's standard errors. Offers whose effects are learned from "
            "each other, such as those of one message, share their errors. What choosing the over-estimated adds is not in it; the table "
            "of held-out users is about that.",
        ),
        (
            "Counts and amounts",
            "numbers of contacts hold exactly. Amounts, such as discounts or opt-outs, hold by the model's estimates; with a certainty, "
            "there is room for their error.",
        ),
        (
            "Optimiser's gap",
            "how much better any other allocation under the same constraints could be by the same estimates. It is proven, and what a "
            "better optimiser could still gain at most. It says nothing about the estimates.",
        ),
        (
            "Most valuable first",
            "the simple way: take contacts by value, one after another, while the limits allow it.",
        ),
        ("Binding", "the constraint is at its limit and holds value back. Others can be loosened without any effect."),
        (
            "Worth",
            "what one step of room in a binding constraint would add in value, by its price. A price is of parts of contacts: "
            "a step that makes room for many contacts gains about that, a shorter one that much at most, or nothing. Longer steps "
            "of a sum gain less and less, because the best use of the room is taken first. "
            "Several constraints loosened together do not add up exactly.",
        ),
        (
            "Must hold, wanted, measured only",
            "a limit that is never broken; one that costs value when missed; one that is only watched.",
        ),
        *_more_words(report),
        ("Holdout", "users who get nothing on purpose, so that the real effect can be measured."),
        (
            "Value per user on held-out users",
            "what a policy would have brought on past decisions it has not seen, with the 95 % interval. "
            "Intervals that overlap widely mean: not distinguishable.",
        ),
        ("Qini", "how well a model ranks users by effect; 0 is no better than chance."),
        (
            "Calibration slope",
            "of realised on predicted effects, on held-out users and after correction. 1: predicted differences between users "
            "are of the right size; below 1: they are exaggerated; 0: they carry no information.",
        ),
    ]


def _more_words(report: Report) -> Iterator[tuple[str, str]]:
    """What only some policies speak of."""
    if report.certificate.pinned:
        yield (
            "Pinned",
            "promised by a rule and given before anything is chosen; it uses up its part of every constraint.",
        )
    if report.certificate.fallback:
        yield (
            "Fallback",
            "given at the end to users to whom nothing else was given, as long as every constraint that must hold still does.",
        )
    if report.certificate.tiers:
        yield (
            "Objectives in order",
            "each is maximised in its turn; those after it must leave of it what the policy says.",
        )
    kinds = dict.fromkeys(kind_named(record.kind) for record in report.certificate.constraints)
    yield from (kind.glossary for kind in kinds if kind.glossary is not None)


def script_digest(script: str) -> str:
    """As a content security policy names a script that may run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
