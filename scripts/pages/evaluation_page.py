"""The page about a model and the policy it leads to, from evaluation.json: charts, tables and a caption in plain words for each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import plotly.graph_objects as go

from allocator.amounts import number
from allocator.report import charts
from allocator.report.charts import ACCENT, FAINT, OURS, Chart, finish, label, plain_line
from allocator.report.records import Evaluation
from ranker.catalogue import Unidentified, not_told
from ranker.evaluate.learners import AVERAGE, RANDOM, RIDGE, SINGLE, VALUENET, WITHOUT_COVARIATES
from ranker.evaluate.objective import OBJECTIVE
from ranker.evaluate.records import (
    BudgetFigure,
    GroupFigure,
    HeldOutEvaluation,
    IntervalFigure,
    PolicyFigure,
    ReliabilityFigure,
    SlopeFigure,
)
from ranker.normal import Z95
from scripts.pages import figures, html, reliability
from scripts.pages.figures import Spread
from scripts.pages.html import Page, Section, Table, Tile

GREEN, PLUM = "#009e73", "#8e4585"
CURVES = {
    VALUENET: (OURS, "solid", 3),
    WITHOUT_COVARIATES: (ACCENT, "solid", 2),
    AVERAGE: (ACCENT, "dot", 2),
    RIDGE: (GREEN, "dash", 1.5),
    SINGLE: (PLUM, "dash", 1.5),
    RANDOM: ("#77859a", "dot", 2),
}
HEADLINE = "DR"
FEW = 100  # effective decisions, below which intervals are not to be trusted
SEGMENT_COLUMNS = (
    "Outcome", "Segment", "Value", "Decisions", "Contacts per decision", "Promised", "Realised", "95 % interval",
)  # fmt: skip


def write_page(evaluation: HeldOutEvaluation, path: Path) -> None:
    html.write(page_of(evaluation), path)


def page_of(evaluation: HeldOutEvaluation) -> Page:
    policy, rows = evaluation.policy, evaluation.rows
    sections = [_policies(evaluation), _budgets(evaluation), _sizes(evaluation), _ranking(evaluation)]
    sections += [_segments(evaluation)] if evaluation.segments else []
    sections += [_free(evaluation)] if evaluation.allocated is not None else []
    return Page(
        title=f"Model {evaluation.model} on held-out users",
        eyebrow=f"Model {evaluation.model} · logs {evaluation.logs}" + (f" · policy {policy}" if policy else ""),
        headline=_headline(evaluation),
        tiles=(
            Tile("Judged on", f"{rows.judged:,}", "decisions", f"of {evaluation.users:,} users who did not train"),
            *_gain_tiles(evaluation),
        ),
        notices=tuple(_notices(evaluation)),
        sections=tuple(sections),
        words=WORDS,
    )


def _first(evaluation: HeldOutEvaluation) -> str:
    """What is maximised: the objective, or the first outcome where there is none."""
    return evaluation.promised[0].outcome


def _unit(evaluation: HeldOutEvaluation, outcome: str) -> str:
    units = {each.name: each.unit for each in evaluation.outcomes}
    return units.get(outcome, "of value")


def _headline(evaluation: HeldOutEvaluation) -> str:
    first = evaluation.promised[0]
    unit, gain = _unit(evaluation, first.outcome), first.realised
    who = f"Under {evaluation.policy} the model" if evaluation.policy else "The model"
    if gain.low is None:
        return f"{who} chooses what the logs cannot judge."
    if gain.low > 0:
        return f"{who} brings {number(gain.low)} to {number(gain.high)} {unit} per decision more than giving nothing."
    if gain.high < 0:
        return f"{who} loses {number(-gain.high)} to {number(-gain.low)} {unit} per decision against giving nothing."
    return (
        f"{who} cannot be told from giving nothing: {number(gain.value)} {unit} per decision, "
        f"but anything from {number(gain.low)} to {number(gain.high)} fits these logs."
    )


def _gain_tiles(evaluation: HeldOutEvaluation) -> Iterator[Tile]:
    first = evaluation.promised[0]
    unit = _unit(evaluation, first.outcome)
    yield Tile(
        "Realised gain",
        figures.amount(first.realised.value),
        unit,
        f"per decision, {figures.interval(first.realised)}",
    )
    yield Tile("Promised gain", number(first.predicted), unit, "what the model expected of its own choice")
    shown = [r for r in evaluation.shown if r.outcome == first.outcome and r.estimator == HEADLINE]
    ours = next(record for record in shown if record.name == VALUENET)
    sample = f"{ours.effective_sample_size:,.0f}"
    yield Tile("Effective decisions", sample, "", "so many count, since rare ones weigh more than others")
    if evaluation.allocated is not None:
        yield Tile("Contacts", f"{evaluation.allocated.contacts_per_row[VALUENET]:.2f}", "", "per decision")


def _notices(evaluation: HeldOutEvaluation) -> Iterator[str]:
    if evaluation.left_out:
        yield f"Only the choice is judged. Left out of the policy: {', '.join(evaluation.left_out)}."
    if sentence := not_told([Unidentified(each.action, each.why) for each in evaluation.unidentified]):
        yield sentence
    if slates := evaluation.slates:
        yield f"{slates.decisions:,} of the decisions showed several contacts. {slates.judged}"
    for name in evaluation.unsolved:
        yield f"{name.capitalize()}: found no allocation that keeps the rules, so it is not compared."
    first = _first(evaluation)
    few = [r for r in evaluation.shown if (r.outcome, r.estimator, r.name) == (first, HEADLINE, VALUENET)]
    if few[0].effective_sample_size < FEW:
        yield (
            f"Only {few[0].effective_sample_size:,.0f} effective decisions: too few for intervals to be right. Log more random "
            "decisions (exploration)."
        )
    rows = evaluation.rows
    if rows.judged < rows.held_out:
        yield f"{rows.judged:,} of {rows.held_out:,} held-out decisions were drawn (evaluate.rows)."


def _records(policies: Sequence[PolicyFigure]) -> Evaluation:
    """Policies with an interval, as the report's charts take them."""
    known = [record for record in policies if record.value is not None and record.low is not None]
    return Evaluation.model_validate({"policies": [{**r.content(), "difference_to_best_fixed": None} for r in known]})


def _policies(evaluation: HeldOutEvaluation) -> Section:
    judged, first = evaluation.shown, _first(evaluation)
    unit = "" if first == OBJECTIVE else f" in {_unit(evaluation, first)}"
    ruled = evaluation.allocated is not None
    words = [
        (
            "The held-out decisions are taken as one week. The model and every baseline allocate it under the same rules, and each "
            "allocation is valued by what really happened where the logs chance to agree with it."
            if ruled
            else "The model and every baseline choose the best action, or none, for each held-out decision, without any limits."
        ),
        f"A dot is the estimate per decision{unit}, its line the 95 % interval. Compare by the second chart: it takes the "
        "difference decision by decision, so what both have in common, and its noise, cancels.",
    ]
    if ruled:
        words.append(
            "A user's contacts are taken to add up. Doubly robust and SWITCH are the ones to read; the other two use no model and "
            "are far noisier."
        )
    blocks = [charts.policy_chart(_records(judged)), _difference_chart(judged, first)]
    return Section(
        "policies",
        "What the policy would have brought" if ruled else "What choosing by the model would have brought",
        tuple(words),
        tuple(block for block in (*blocks, _policy_table(judged, "Every estimate, as a table")) if block is not None),
    )


def _difference_chart(policies: Sequence[PolicyFigure], first: str) -> Chart | None:
    outcomes = [first, *dict.fromkeys(r.outcome for r in policies if r.outcome != first)]
    variants = []
    for outcome in outcomes:
        for estimator in ("DR", "SWITCH-DR"):
            rows = [
                (r.name, _minus(r.difference_to_valuenet))
                for r in policies
                if (r.outcome, r.estimator) == (outcome, estimator) and r.name != VALUENET
            ]
            rows = [(name, entry) for name, entry in rows if entry is not None]
            if rows:
                words = {"DR": "doubly robust", "SWITCH-DR": "SWITCH"}[estimator]
                variants.append((f"{outcome}, {words}", figures.dots(rows)))
    return Chart("ahead", "How far the model is ahead of each, 95 % interval", tuple(variants)) if variants else None


def _minus(entry: IntervalFigure) -> Spread | None:
    """The difference seen from the other side."""
    if entry.value is None or entry.low is None:
        return None
    return Spread(-entry.value, -entry.high, -entry.low)


def _policy_table(policies: Sequence[PolicyFigure], title: str) -> Table:
    return Table(
        title,
        (
            "Outcome",
            "Policy",
            "Estimator",
            "Per decision",
            "95 % interval",
            "Less than the model by",
            "Effective decisions",
        ),
        tuple(
            (
                record.outcome,
                record.name,
                record.estimator,
                figures.amount(record.value),
                figures.interval(record),
                "" if record.name == VALUENET else figures.with_interval(_minus(record.difference_to_valuenet)),
                f"{record.effective_sample_size:,.0f}",
            )
            for record in policies
        ),
        words=3,
    )


def _budgets(evaluation: HeldOutEvaluation) -> Section:
    records = evaluation.budgets
    outcomes = list(dict.fromkeys(record.outcome for record in records))
    by_outcome = {o: {r.name: r for r in records if r.outcome == o} for o in outcomes}
    paid = "contacts per decision" if evaluation.cost is None else f"{evaluation.cost} per decision"
    words = (
        f"How much a score is worth when only so many {paid.split(' per ')[0]} can be paid for: users and actions are taken in the order "
        "of what the score promises per unit of budget, until it is spent or nothing more is promised.",
        "The line of a score that knows users must lie above the one without covariates, which gives the best actions to users drawn at "
        "random. The band is the 95 % interval of the model's gain. The second chart shows the difference to others budget by budget, "
        "paired: where its interval is clear of zero, the model is better or worse beyond chance.",
    )
    if not records:
        return Section("budgets", "At every budget", ("No action promises anything, so no budget would be spent.",), ())
    gain = Chart(
        "budgets", "Gain over nothing at every budget", tuple((o, _curves(by_outcome[o], paid)) for o in outcomes)
    )
    ahead = Chart(
        "budgets-ahead",
        "The model's gain less another's at the same budget, 95 % interval",
        tuple(
            (f"{o}, less {name}", _ahead(by_outcome[o][name], paid))
            for o in outcomes
            for name in (WITHOUT_COVARIATES, AVERAGE, RANDOM)
        ),
    )
    table = Table(
        "Mean over all budgets, as a table",
        ("Outcome", "Score", "Mean gain", "95 % interval", "Less than the model by"),
        tuple(
            (
                r.outcome,
                r.name,
                figures.amount(r.mean_over_budgets.value),
                figures.interval(r.mean_over_budgets),
                "" if r.name == VALUENET else figures.with_interval(r.valuenet_minus_this),
            )
            for r in records
        ),
        words=2,
    )
    return Section("budgets", "At every budget", words, (gain, ahead, table))


def _curves(by_name: Mapping[str, BudgetFigure], paid: str) -> go.Figure:
    figure = go.Figure()
    ours = by_name[VALUENET].points
    x = [0.0, *(point.budget for point in ours)]
    edge = [0.0, *(point.high for point in ours)], [0.0, *(point.low for point in ours)]
    figure.add_trace(
        go.Scatter(
            x=x + x[::-1],
            y=edge[0] + edge[1][::-1],
            fill="toself",
            fillcolor="rgba(11,92,158,0.12)",
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    for name, (colour, dash, width) in CURVES.items():
        if name in by_name:
            points = by_name[name].points
            figure.add_trace(
                go.Scatter(
                    x=x,
                    y=[0.0, *(point.value for point in points)],
                    mode="lines",
                    name=label(name),
                    line={"color": colour, "dash": dash, "width": width},
                    hovertemplate="%{x:.3~g}: %{y:.4~g}<extra>" + label(name) + "</extra>",
                )
            )
    figure.update_xaxes(title_text=paid, zeroline=False)
    figure.update_yaxes(title_text="gain per decision", showgrid=True, zeroline=True, zerolinecolor="#77859a")
    return finish(figure, height=400, left=90, bottom=56, top=56)


def _ahead(record: BudgetFigure, paid: str) -> go.Figure:
    points = record.points
    entries = [point.valuenet_minus_this for point in points]
    figure = go.Figure(
        go.Scatter(
            x=[point.budget for point in points],
            y=[entry.value for entry in entries],
            mode="markers",
            marker={"color": OURS, "size": 8},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [entry.high - entry.value for entry in entries],
                "arrayminus": [entry.value - entry.low for entry in entries],
                "color": OURS,
                "thickness": 1.5,
                "width": 3,
            },
            hovertemplate="%{x:.3~g}: %{y:.4~g}<extra></extra>",
        )
    )
    figure.update_xaxes(title_text=paid, zeroline=False)
    figure.update_yaxes(title_text="difference per decision", showgrid=True, zeroline=True, zerolinecolor="#77859a")
    return finish(figure, height=320, left=90, bottom=56, top=12)


def _sizes(evaluation: HeldOutEvaluation) -> Section:
    told = {(record.outcome, record.action): record for record in evaluation.reliability}
    averages = reliability.sentence(evaluation.reliability)
    words = (
        "Predictions must have the right size, not only the right order: the allocator adds them up and compares them with budgets. "
        "An optimiser picks what is over-estimated, so what it promises for its own choice is the hardest test.",
        "The first chart ranks every pair of a user and an action by predicted effect, cuts them into groups of equal size and "
        "shows what was realised in each; on the dotted line predictions are right. The second shows by how much the realised "
        "effect grows for each unit of predicted difference: between users within an action, and between actions. 1 is right; "
        "below 1 differences are exaggerated.",
        *([averages] if averages else []),
    )
    pooled = evaluation.calibration_pooled
    groups = Chart(
        "groups",
        "Realised against predicted effect, 95 % interval",
        tuple((p.outcome, _group_figure(p.deciles)) for p in pooled if p.deciles),
    )
    slopes = [
        (f"{p.outcome}, between {part}", _spread(slope))
        for p in pooled
        for part, slope in (("users", p.users), ("actions", p.actions))
        if slope.value is not None
    ]
    slope_chart = Chart(
        "slopes", "Calibration slope on held-out users, 95 % interval", (("", figures.dots(slopes, 1.0)),)
    )
    promised = Table(
        "Gain over nothing per decision: promised and realised",
        ("", "Promised", "Realised", "95 % interval"),
        tuple(
            (
                p.outcome,
                number(p.predicted),
                figures.amount(p.realised.value),
                figures.interval(p.realised),
            )
            for p in evaluation.promised
        ),
        folded=False,
    )
    by_action = Table(
        "Slope and reliability of every action, as a table",
        (
            "Outcome",
            "Action",
            "Slope applied to the scores",
            "Left on held-out users",
            "Standard error",
            "Known of what tells users apart",
        ),
        tuple(
            (
                c.outcome,
                c.action,
                number(c.slope),
                figures.amount(c.held_out.value),
                figures.amount(c.held_out.stderr),
                _known(told[c.outcome, c.action]),
            )
            for c in evaluation.calibration
        ),
        words=2,
    )
    blocks = [promised, *([groups] if groups.variants else []), *([slope_chart] if slopes else []), by_action]
    return Section("sizes", "Promised and realised", words, tuple(blocks))


def _known(record: ReliabilityFigure) -> str:
    if record.reliability is None:
        return ""
    return f"{record.reliability:.0%}{', an average' if record.average else ''}"


def _spread(slope: SlopeFigure) -> Spread:
    return Spread(slope.value, slope.value - Z95 * slope.stderr, slope.value + Z95 * slope.stderr)


def _group_figure(groups: Sequence[GroupFigure]) -> go.Figure:
    x, y = [g.predicted for g in groups], [g.realised for g in groups]
    ends = [min(x), max(x)]
    figure = go.Figure()
    figure.add_trace(plain_line(ends, ends, "as predicted"))
    figure.add_trace(
        go.Scatter(
            x=x,
            y=y,
            mode="markers",
            name="realised",
            marker={"color": OURS, "size": 9},
            error_y={
                "type": "data",
                "array": [Z95 * g.stderr for g in groups],
                "color": OURS,
                "thickness": 1.5,
                "width": 3,
            },
            hovertemplate="predicted %{x:.4~g}, realised %{y:.4~g}<extra></extra>",
        )
    )
    figure.update_xaxes(title_text="predicted effect of one contact", zeroline=True, zerolinecolor=FAINT)
    figure.update_yaxes(title_text="realised effect", showgrid=True, zeroline=True, zerolinecolor=FAINT)
    return finish(figure, height=360, left=90, bottom=56)


def _ranking(evaluation: HeldOutEvaluation) -> Section:
    words = (
        "For one action at a time: if users got it in the order of the score, how much more would it bring than the same number "
        "of users in random order? Users with equal scores count as one block, outcomes may be of any kind, and both areas are "
        "per user contacted.",
        "Qini is 0 for an order that tells nothing. AUUC has half of the action's average effect in it, so compare it only between "
        "models.",
    )
    found = evaluation.qini
    qini = charts.qini_chart(Evaluation.model_validate({"qini": [r.content() for r in found]}))
    as_area = [{**r.content(), "qini": r.auuc, "stderr": r.auuc_stderr} for r in found]
    area = charts.qini_chart(Evaluation.model_validate({"qini": as_area}))
    blocks = [
        chart for chart in (qini, area and replace(area, id="auuc", title="AUUC per action, 95 % interval")) if chart
    ]
    table = Table(
        "Every action, as a table",
        ("Outcome", "Action", "Model", "Qini", "AUUC", "Average effect", "Decisions"),
        tuple(
            (
                r.outcome,
                r.action,
                r.model,
                f"{number(r.qini)} ± {number(Z95 * r.stderr)}",
                f"{number(r.auuc)} ± {number(Z95 * r.auuc_stderr)}",
                number(r.average),
                f"{r.rows:,}",
            )
            for r in found
        ),
        words=3,
    )
    return Section("ranking", "Ranking users, action by action", words, (*blocks, table))


def _segments(evaluation: HeldOutEvaluation) -> Section:
    records, first = evaluation.segments, _first(evaluation)
    words = (
        "The same policy, looked at in each segment: what its contacts were expected to add per decision, and what they did. Many segments "
        "are many chances to err: of twenty intervals one misses by chance.",
    )
    outcomes = [first, *dict.fromkeys(r.outcome for r in records if r.outcome != first)]
    variants = tuple(
        (
            f"{o}, by {name}",
            figures.promised_and_realised(
                [
                    (f"{r.value} ({r.rows:,})", r.predicted, r.realised)
                    for r in records
                    if (r.outcome, r.segment) == (o, name)
                ]
            ),
        )
        for o in outcomes
        for name in dict.fromkeys(r.segment for r in records)
    )
    references = list(records[0].ahead_of)
    table = Table(
        "Every segment, as a table",
        (*SEGMENT_COLUMNS, *(f"More than {name}" for name in references)),
        tuple(
            (
                r.outcome,
                r.segment,
                r.value,
                f"{r.rows:,}",
                f"{r.contacts_per_row:.2f}",
                number(r.predicted),
                figures.amount(r.realised.value),
                figures.interval(r.realised),
                *(figures.with_interval(r.ahead_of[name]) for name in references),
            )
            for r in records
        ),
        words=3,
    )
    chart = Chart("segments", "Gain over nothing per decision: promised and realised, 95 % interval", variants)
    return Section("segments", "Segments", words, (chart, table))


def _free(evaluation: HeldOutEvaluation) -> Section:
    words = (
        "Without any rules: the best action for each decision, or none. This shows what the rules hold back, and is what the "
        "model's own evaluation beside its weights shows too.",
    )
    chart = charts.policy_chart(_records(evaluation.policies))
    table = _policy_table(evaluation.policies, "Every estimate, as a table")
    blocks = (table,) if chart is None else (replace(chart, id="free"), table)
    return Section("free", "Choosing freely", words, blocks)


WORDS = (
    ("Decision", "one user on one day of the logs, who got one action or nothing."),
    ("Held out", "users whose rows the model was not trained on. All rows of a user stay together."),
    (
        "Inverse propensity (IPS)",
        "logged outcomes of decisions that agree with the policy, each weighted by how unlikely it was. Right on average, noisy.",
    ),
    (
        "Self-normalised (SNIPS)",
        "the same, divided by the sum of the weights: less noise, a little bias in small samples.",
    ),
    (
        "Doubly robust (DR)",
        "what the model expects, corrected by weighted outcomes where it erred: right on average whatever the model is.",
    ),
    (
        "SWITCH",
        "doubly robust, but where weights are large the model is trusted, unless the data speak against it; the interval is widened "
        "by the bias as far as they show it.",
    ),
    ("Effective decisions", "as many equally weighted decisions would be as certain."),
    ("Best fixed action", "one action for everybody; which one was chosen on the training users."),
    ("Average effect", "actions by their average effect in the training logs, without looking at users."),
    ("valuenet, averaged", "the model's own effects averaged over users: what is left when users are not told apart."),
    (
        "Response model",
        "orders users by what happens after the action, whether or not the action is the reason. Among a user's actions it chooses as "
        "the ridge T-learner does, so no policy is named after it.",
    ),
    ("Ridge T- and S-learner", "regularised linear models: one per action, or one for all with interactions."),
)
