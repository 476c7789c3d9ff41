"""Figures and cells that several pages have: estimates with their intervals, promised beside realised."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import plotly.graph_objects as go

from allocator.amounts import number
from allocator.report.charts import ACCENT, OTHER, OURS, finish, label, line_at, margin_for
from ranker.normal import Z95


class HasInterval(Protocol):
    """An estimate with a 95 % interval; None where it is not known."""

    @property
    def value(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


class HasError(Protocol):
    @property
    def value(self) -> float | None: ...
    @property
    def stderr(self) -> float | None: ...


@dataclass(frozen=True)
class Spread:
    """An estimate worked out for a page."""

    value: float
    low: float
    high: float
    stderr: float | None = None


def dots(rows: Sequence[tuple[str, Spread]], line: float = 0.0) -> go.Figure:
    """A dot and its interval per name; those whose interval is clear of the line stand out."""
    figure = go.Figure()
    for clear in (True, False):
        shown = [(name, e) for name, e in rows if (e.low > line or e.high < line) == clear]
        figure.add_trace(
            go.Scatter(
                x=[e.value for _, e in shown],
                y=[label(name) for name, _ in shown],
                mode="markers",
                marker={"color": OURS if clear else OTHER, "size": 10},
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [e.high - e.value for _, e in shown],
                    "arrayminus": [e.value - e.low for _, e in shown],
                    "thickness": 2,
                    "width": 5,
                },
                customdata=[[number(e.value), number(e.low), number(e.high)] for _, e in shown],
                hovertemplate="%{y}: %{customdata[0]} (%{customdata[1]} to %{customdata[2]})<extra></extra>",
            )
        )
    names = [name for name, _ in rows]
    figure.update_yaxes(categoryorder="array", categoryarray=[label(name) for name in reversed(names)])
    figure.update_layout(showlegend=False)
    line_at(figure, line)
    return finish(figure, height=50 + 34 * len(names), left=margin_for(names), top=8)


def promised_and_realised(rows: Sequence[tuple[str, float, HasError]]) -> go.Figure:
    """Per name what was expected, and what came of it with its interval."""
    names = [label(name) for name, _, _ in rows]
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=[realised.value for _, _, realised in rows],
            y=names,
            mode="markers",
            name="realised",
            marker={"color": OURS, "size": 10},
            error_x={
                "type": "data",
                "array": [Z95 * (realised.stderr or 0.0) for _, _, realised in rows],
                "color": OURS,
                "thickness": 2,
                "width": 5,
            },
            hovertemplate="%{y}: %{x:.4~g}<extra>realised</extra>",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[promised for _, promised, _ in rows],
            y=names,
            mode="markers",
            name="promised",
            marker={"color": ACCENT, "size": 10, "symbol": "diamond"},
            hovertemplate="%{y}: %{x:.4~g}<extra>promised</extra>",
        )
    )
    figure.update_yaxes(autorange="reversed", type="category")
    line_at(figure, 0.0)
    return finish(figure, height=84 + 34 * len(names), left=margin_for([name for name, _, _ in rows]), top=40)


def amount(value: float | None) -> str:
    return "not known" if value is None else number(value)


def interval(entry: HasInterval) -> str:
    return "not known" if entry.low is None else f"{number(entry.low)} to {number(entry.high)}"


def with_interval(entry: HasInterval | None) -> str:
    return "not known" if entry is None or entry.low is None else f"{number(entry.value)} ({interval(entry)})"
