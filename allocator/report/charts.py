"""The figures of the page. One hue for amounts, one accent for what is ours; colours are told apart with any colour vision.

Names from catalogues and policies reach a figure through `label`, since plotly reads a little HTML in texts.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from allocator.amounts import exact, number, percent, told_apart, with_unit
from allocator.formats import ConstraintRecord, FunnelStage
from allocator.report.collect import Grid, Placements, Report, SegmentGrid
from allocator.report.records import (
    DecileEffects,
    Evaluation,
    KnownEstimate,
    KnownInterval,
    PolicyValue,
    ShownCalibration,
    ShownQini,
    TruthTable,
)
from allocator.report.sentences import worth_of_one_percent

OURS, OTHER, ACCENT, INK, FAINT = "#0b5c9e", "#9aa7b5", "#d55e00", "#1d2733", "#e4e9ef"
BLUES = [[0.0, "#f6f9fc"], [0.5, "#c2dbef"], [1.0, "#7fb2dc"]]  # light enough for dark numbers everywhere
FONT = {
    "family": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
    "size": 13,
    "color": INK,
}
ESTIMATORS = {"DR": "doubly robust", "SNIPS": "self-normalised", "IPS": "inverse propensity"}
MOST_ACTIONS = 20
MOST_BARS = 40
VALUENET, LEARNED = "valuenet", "learned"
"""The model in its evaluation, and the policy by its scores where the truth is known."""


@dataclass(frozen=True)
class Chart:
    """A place on the page that shows one of several figures; the reader picks by label where there are two or more."""

    id: str
    title: str
    variants: tuple[tuple[str, go.Figure], ...]


def label(name: str) -> str:
    """A name as plotly text, its HTML characters shown and not read; long names keep head and tail."""
    shortened = name if len(name) <= 44 else f"{name[:28]}…{name[-15:]}"
    return html.escape(shortened, quote=False)


def allocation_charts(report: Report) -> tuple[Chart, ...]:
    """Heatmaps of rows by surface and by segment, and bars."""
    placements, unit = report.placements, report.value_unit
    charts = []
    if placements.by_column is not None:
        by_surface = (
            ("contacts", heatmap(placements.by_column, placements.by_column.contacts, "contacts")),
            (f"value ({unit})", heatmap(placements.by_column, placements.by_column.value, unit)),
        )
        charts.append(
            Chart("by-surface", f"{placements.row_word.capitalize()} by {placements.column_word}", by_surface)
        )
    if placements.by_segment:
        first = next(iter(placements.by_segment))
        variants = tuple(
            pair for name, grid in placements.by_segment.items() for pair in _segment_figures(name, grid, unit)
        )
        title = f"{placements.row_word.capitalize()} by {first if len(placements.by_segment) == 1 else 'segment'}"
        charts.append(Chart("by-segment", title, variants))
    charts.append(Chart("by-message", f"Contacts by {placements.bar_word}", (("", bars(placements)),)))
    return tuple(charts)


def _segment_figures(name: str, grid: SegmentGrid, unit: str) -> list[tuple[str, go.Figure]]:
    per_hundred = 100 * grid.contacts / np.maximum(grid.column_users, 1)
    return [
        (f"{name}: contacts", heatmap(grid, grid.contacts, "contacts")),
        (f"{name}: contacts per 100 users", heatmap(grid, per_hundred, "contacts per 100 users")),
        (f"{name}: value ({unit})", heatmap(grid, grid.value, unit)),
    ]


def heatmap(grid: Grid, amounts: np.ndarray, unit: str) -> go.Figure:
    """Every cell carries its number; an empty cell is blank rather than a zero to read."""
    rows, amounts = _most_contacted(grid, amounts)
    texts = [[_cell(value) for value in row] for row in amounts.tolist()]
    figure = go.Figure(
        go.Heatmap(
            z=amounts.tolist(),
            x=[label(name) for name in grid.columns],
            y=[label(name) for name in rows],
            text=texts,
            texttemplate="%{text}",
            textfont={"size": 12, "color": INK},
            hovertemplate="%{y} · %{x}<br>%{text} " + label(unit) + "<extra></extra>",
            colorscale=BLUES,
            zmin=min(0.0, float(amounts.min(initial=0.0))),
            zmax=max(float(amounts.max(initial=0.0)), 1e-12),
            showscale=False,
            xgap=2,
            ygap=2,
        )
    )
    figure.update_xaxes(side="top", type="category", showgrid=False, automargin="height")
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False)
    return finish(figure, height=38 + 32 * len(rows), left=margin_for(rows), top=34, bottom=4)


def _most_contacted(grid: Grid, amounts: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """The rows with most contacts in their order, and all others in one."""
    if len(grid.rows) <= MOST_BARS:
        return grid.rows, amounts
    ranked = np.argsort(-grid.contacts.sum(axis=1), kind="stable")
    kept, others = np.sort(ranked[: MOST_BARS - 1]), ranked[MOST_BARS - 1 :]
    names = (*(grid.rows[place] for place in kept), f"{len(others)} others")
    return names, np.vstack([amounts[kept], amounts[others].sum(axis=0)])


def _cell(value: float) -> str:
    if value == 0:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else exact(float(f"{value:.2g}"))


def bars(placements: Placements) -> go.Figure:
    """Contacts by message, largest first."""
    ranked = sorted(placements.bars.items(), key=lambda pair: -pair[1])
    total = max(sum(placements.bars.values()), 1)
    return _bars(
        [name for name, _ in ranked],
        [count for _, count in ranked],
        [f"{count:,} ({percent(count / total)})" for _, count in ranked],
        "contacts",
    )


def value_chart(report: Report) -> Chart:
    """Greedy, this allocation and the proven limit on one axis from zero."""
    certificate, unit = report.certificate, report.value_unit
    rows = []
    if certificate.greedy is not None:
        caution = "" if certificate.greedy.feasible else " (breaks constraints)"
        rows.append((f"Most valuable first{caution}", certificate.greedy.value, OTHER))
    rows.append(("This allocation", certificate.value, OURS))
    if certificate.bound is not None:
        rows.append(("Most possible, by the same estimates", certificate.bound, FAINT))
    names, values, colours = zip(*rows, strict=True)
    figure = _bars(names, values, [f"{text} {unit}" for text in told_apart(values)], unit, colours=colours)
    figure.update_traces(marker_line={"color": "#77859a", "width": [0, 0, 1][-len(rows) :]})
    return Chart("value", "Value next to the simple way and to the most possible", (("", figure),))


def room_chart(constraints: Sequence[ConstraintRecord], unit: str) -> Chart | None:
    """Binding constraints by what one percent of room is worth at its price."""
    costly = sorted((c for c in constraints if worth_of_one_percent(c) > 0), key=worth_of_one_percent, reverse=True)
    costly = costly[:MOST_BARS]
    if not costly:
        return None
    worths = [worth_of_one_percent(record) for record in costly]
    names = [record.name for record in costly]
    figure = _bars(names, worths, [with_unit(worth, unit) for worth in worths], unit, colours=[ACCENT] * len(costly))
    return Chart("room", "Where room would be worth most: 1 % of room at its price", (("", figure),))


def funnel_charts(stages: Sequence[FunnelStage], names: Sequence[str]) -> tuple[Chart, ...]:
    """Contacts, and users where every stage counts them. names: of the stages, for people."""
    if not stages:
        return ()
    contacts = Chart("funnel-contacts", "Possible contacts", (("", _funnel(names, [s.contacts for s in stages])),))
    counted = [stage.users for stage in stages if stage.users is not None]
    if len(counted) < len(stages):
        return (contacts,)
    return contacts, Chart("funnel-users", "Users with at least one", (("", _funnel(names, counted)),))


def _funnel(names: Sequence[str], counts: Sequence[int]) -> go.Figure:
    whole = max(counts[0], 1)
    texts = [f"{count:,} ({percent(count / whole)})" for count in counts]
    colours = [OTHER] * (len(counts) - 1) + [OURS]
    return _bars(names, counts, texts, "", colours=colours)


def policy_chart(evaluation: Evaluation) -> Chart | None:
    """Value per decision of each policy on held-out users, with 95 % intervals; one figure per outcome and estimator."""
    known = [(value, value.interval) for value in evaluation.policies if value.interval is not None]
    pairs = dict.fromkeys((value.outcome, value.estimator) for value, _ in known)
    order = {"DR": 0, "SNIPS": 1, "IPS": 2}
    outcomes = list(dict.fromkeys(["objective", *(outcome for outcome, _ in pairs)]))
    ranked = sorted(pairs, key=lambda pair: (outcomes.index(pair[0]), order.get(pair[1], 3)))
    variants = tuple(
        (
            f"{outcome}, {ESTIMATORS.get(estimator, estimator)}",
            _policies([(v, i) for v, i in known if (v.outcome, v.estimator) == (outcome, estimator)]),
        )
        for outcome, estimator in ranked
    )
    return Chart("policies", "Value per decision on held-out users, 95 % interval", variants) if variants else None


def _policies(values: Sequence[tuple[PolicyValue, KnownInterval]]) -> go.Figure:
    ranked = sorted(((value.name, interval) for value, interval in values), key=lambda named: named[1].value)
    names = [name for name, _ in ranked]
    figure = go.Figure()
    for ours in (False, True):
        rows = [(name, interval) for name, interval in ranked if (name == VALUENET) == ours]
        if rows:
            colour, size = (OURS, 11) if ours else (OTHER, 9)
            figure.add_trace(_dots([name for name, _ in rows], [interval for _, interval in rows], colour, size))
    figure.update_yaxes(categoryorder="array", categoryarray=[label(name) for name in names])
    figure.update_layout(showlegend=False)
    return finish(figure, height=50 + 34 * len(ranked), left=margin_for(names), top=8)


def _dots(names: Sequence[str], intervals: Sequence[KnownInterval], colour: str, size: int) -> go.Scatter:
    return go.Scatter(
        x=[i.value for i in intervals],
        y=[label(name) for name in names],
        mode="markers",
        marker={"color": colour, "size": size},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [i.high - i.value for i in intervals],
            "arrayminus": [i.value - i.low for i in intervals],
            "color": colour,
            "thickness": 2,
            "width": 5,
        },
        customdata=[[number(i.value), number(i.low), number(i.high)] for i in intervals],
        hovertemplate="%{y}: %{customdata[0]} (%{customdata[1]} to %{customdata[2]})<extra></extra>",
    )


def qini_chart(evaluation: Evaluation) -> Chart | None:
    """Qini per action, the model next to its baselines; the actions with most held-out rows are shown."""
    known = [(row, row.estimate) for row in evaluation.qini if row.estimate is not None]
    outcomes = list(dict.fromkeys(row.outcome for row, _ in known))
    variants = tuple((o, _qini([(row, found) for row, found in known if row.outcome == o])) for o in outcomes)
    return Chart("qini", "Qini per action, 95 % interval", variants) if variants else None


def _qini(rows: Sequence[tuple[ShownQini, KnownEstimate]]) -> go.Figure:
    weight: dict[str, int] = {}
    for row, _ in rows:
        weight[row.action] = max(weight.get(row.action, 0), row.rows)
    actions = sorted(weight, key=lambda action: -weight[action])[:MOST_ACTIONS]
    models = sorted(dict.fromkeys(row.model for row, _ in rows), key=lambda model: model != VALUENET)
    colours = [OURS, ACCENT, OTHER, "#009e73"]
    symbols = ["circle", "diamond", "square", "triangle-up"]
    figure = go.Figure()
    for position, model in enumerate(models):
        shown = {row.action: found for row, found in rows if row.model == model}
        present = [action for action in actions if action in shown]
        figure.add_trace(
            go.Scatter(
                x=[shown[action].value for action in present],
                y=[actions.index(action) + 0.22 * (position - (len(models) - 1) / 2) for action in present],
                mode="markers",
                name=label(model),
                marker={"color": colours[position % 4], "symbol": symbols[position % 4], "size": 8},
                error_x={
                    "type": "data",
                    "array": [1.96 * shown[a].stderr for a in present],
                    "thickness": 1.5,
                    "width": 3,
                },
                text=[label(action) for action in present],
                hovertemplate="%{text}: %{x:.4~g}<extra>" + label(model) + "</extra>",
            )
        )
    _action_axis(figure, actions)
    line_at(figure, 0.0)
    return finish(figure, height=82 + (16 + 6 * len(models)) * len(actions), left=margin_for(actions))


def slope_chart(evaluation: Evaluation) -> Chart | None:
    """Slope left on held-out users per action: 1 where the size of predicted differences can be taken at face value."""
    known = [(row, row.left) for row in evaluation.calibration if row.left is not None]
    outcomes = list(dict.fromkeys(row.outcome for row, _ in known))
    variants = tuple((o, _slopes([(row, found) for row, found in known if row.outcome == o])) for o in outcomes)
    title = "Calibration slope left on held-out users, per action, 95 % interval"
    return Chart("slopes", title, variants) if variants else None


def _slopes(rows: Sequence[tuple[ShownCalibration, KnownEstimate]]) -> go.Figure:
    shown = sorted(rows, key=lambda pair: pair[1].stderr)[:MOST_ACTIONS]
    actions = [row.action for row, _ in shown]
    figure = go.Figure(
        go.Scatter(
            x=[slope.value for _, slope in shown],
            y=list(range(len(shown))),
            mode="markers",
            marker={"color": OURS, "size": 8},
            error_x={
                "type": "data",
                "array": [1.96 * slope.stderr for _, slope in shown],
                "color": OURS,
                "thickness": 1.5,
                "width": 3,
            },
            text=[label(action) for action in actions],
            hovertemplate="%{text}: %{x:.3~g}<extra></extra>",
        )
    )
    _action_axis(figure, actions)
    line_at(figure, 1.0)
    return finish(figure, height=56 + 24 * len(actions), left=margin_for(actions), top=12)


def decile_chart(evaluation: Evaluation) -> Chart | None:
    """Predicted against realised effect: all pairs of a held-out user and an action, in groups of equal size by prediction."""
    variants = tuple((row.outcome, _deciles(row.effects)) for row in evaluation.calibration_pooled if row.effects)
    return Chart("deciles", "Predicted against realised effect, by tenth", variants) if variants else None


def _deciles(groups: Sequence[DecileEffects]) -> go.Figure:
    predicted, realised = [group.predicted for group in groups], [group.realised for group in groups]
    ends = [min(predicted + realised), max(predicted + realised)]
    figure = go.Figure()
    figure.add_trace(plain_line(ends, ends, "as predicted"))
    figure.add_trace(
        go.Scatter(
            x=predicted,
            y=realised,
            mode="markers+lines",
            name="all actions together, 95 % interval",
            line={"color": OURS, "width": 1},
            marker={"color": OURS, "size": 8},
            error_y={
                "type": "data",
                "array": [1.96 * group.stderr for group in groups],
                "color": OURS,
                "thickness": 1.5,
                "width": 3,
            },
            hovertemplate="predicted %{x:.4~g}, realised %{y:.4~g}<extra></extra>",
        )
    )
    figure.update_xaxes(title_text="predicted effect of one contact", zeroline=True, zerolinecolor=FAINT)
    figure.update_yaxes(
        title_text="realised effect", showgrid=True, gridcolor=FAINT, zeroline=True, zerolinecolor=FAINT
    )
    return finish(figure, height=360, left=90, bottom=56)


def truth_chart(truth: TruthTable) -> Chart:
    """Policies judged on the synthetic market's truth, as a share of the oracle."""
    ranked = sorted(truth.policies, key=lambda row: -row.share_of_oracle)
    figure = _bars(
        [row.policy for row in ranked],
        [100 * row.share_of_oracle for row in ranked],
        [f"{percent(row.share_of_oracle)} ({number(row.value)})" for row in ranked],
        "% of the oracle",
        colours=[OURS if row.policy in (VALUENET, LEARNED) else OTHER for row in ranked],
    )
    return Chart("truth", "Judged on the market's truth: share of the oracle's value", (("", figure),))


def _bars(
    names: Sequence[str], values: Sequence[float], texts: Sequence[str], unit: str, colours: Sequence[str] | None = None
) -> go.Figure:
    figure = go.Figure(
        go.Bar(
            x=list(values),
            y=[label(name) for name in names],
            orientation="h",
            text=[f" {label(text)}" for text in texts],
            textposition="outside",
            cliponaxis=False,
            marker={"color": list(colours) if colours is not None else OURS},
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    longest = max((len(text) for text in texts), default=0)
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False)
    figure.update_xaxes(showticklabels=False, showgrid=False, zeroline=True, zerolinecolor="#77859a")
    low, high = min(0.0, *values), max(0.0, *values)
    if low == high:
        figure.update_xaxes(range=[0, 1])
    figure.update_layout(bargap=0.35)
    return finish(figure, height=24 + 36 * len(names), left=margin_for(names), right=24 + 7 * longest, top=8, bottom=8)


def _action_axis(figure: go.Figure, actions: Sequence[str]) -> None:
    figure.update_yaxes(
        tickmode="array",
        tickvals=list(range(len(actions))),
        ticktext=[label(action) for action in actions],
        range=[len(actions) - 0.4, -0.6],
        zeroline=False,
    )
    figure.update_xaxes(zeroline=False)


def line_at(figure: go.Figure, x: float) -> None:
    """A dotted line across the figure: what would be no effect, or a perfect slope."""
    figure.add_vline(x=x, line={"color": "#77859a", "width": 1, "dash": "dot"}, layer="below")


def plain_line(x: Sequence[float], y: Sequence[float], name: str) -> go.Scatter:
    """A dotted line that says nothing when pointed at."""
    return go.Scatter(
        x=list(x), y=list(y), mode="lines", name=name, line={"color": "#77859a", "dash": "dot"}, hoverinfo="skip"
    )


def margin_for(names: Sequence[str]) -> int:
    """Pixels that the longest name needs."""
    return min(30 + round(7.2 * max((len(name) for name in names), default=0)), 330)


def finish(figure: go.Figure, height: int, left: int, right: int = 24, top: int = 36, bottom: int = 40) -> go.Figure:
    """The house style: fonts, faint grids, no zoom, and the margins that the names need."""
    figure.update_layout(
        template=go.layout.Template(),
        font=FONT,
        height=height,
        margin={"l": left, "r": right, "t": top, "b": bottom},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        separators=".,",
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "xanchor": "left"},
        hoverlabel={"font": {"size": 13}},
    )
    titles = {"font": {"size": 13}, "standoff": 10}
    figure.update_xaxes(fixedrange=True, gridcolor=FAINT, ticks="", title=titles)
    figure.update_yaxes(fixedrange=True, gridcolor=FAINT, automargin=False, ticks="", ticklabelstandoff=7, title=titles)
    return figure
