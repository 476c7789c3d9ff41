"""A frontier as a drawing: places on a plane, the knee, the policy as it is and the draft marked by shape and by word."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from allocator.amounts import told_apart
from allocator.workbench.answers import Frontier

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 84, 24, 22, 52
TICKS = 4


@dataclass(frozen=True)
class Dot:
    """One point of the curve. mark: what is special about it, in words; x, y: where it is drawn."""

    x: float
    y: float
    mark: str


@dataclass(frozen=True)
class Tick:
    """A line of the grid and its number."""

    at: float
    words: str


@dataclass(frozen=True)
class Curve:
    """What is drawn. path: through all points, in the words of SVG."""

    dots: tuple[Dot, ...]
    path: str
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def curve(answer: Frontier) -> Curve:
    """The drawing of a frontier with at least one point."""
    xs, ys = [point.x for point in answer.points], [point.y for point in answer.points]
    across, up = _ticks(xs), _ticks(ys)
    x_ends, y_ends = _ends(xs, across), _ends(ys, up)
    places = [
        (_placed(x, x_ends, LEFT, WIDTH - RIGHT), _placed(y, y_ends, HEIGHT - BOTTOM, TOP))
        for x, y in zip(xs, ys, strict=True)
    ]
    dots = tuple(Dot(x, y, mark_of(answer, position)) for position, (x, y) in enumerate(places))
    path = " ".join(f"{'M' if position == 0 else 'L'}{x:.1f} {y:.1f}" for position, (x, y) in enumerate(places))
    return Curve(
        dots=dots,
        path=path,
        across=tuple(Tick(_placed(x, x_ends, LEFT, WIDTH - RIGHT), words) for x, words in _named(across)),
        up=tuple(Tick(_placed(y, y_ends, HEIGHT - BOTTOM, TOP), words) for y, words in _named(up)),
    )


def mark_of(answer: Frontier, position: int) -> str:
    """What is special about a point, in words."""
    marks = [word for word, place in (("bend", answer.knee), ("draft", answer.current)) if place == position]
    return " and ".join(marks)


def _named(ticks: Sequence[float]) -> list[tuple[float, str]]:
    return list(zip(ticks, told_apart(ticks), strict=True))


def _ticks(values: Sequence[float]) -> list[float]:
    """Round numbers over the range of the values."""
    low, high = min(values), max(values)
    if high <= low:
        return [low]
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 12) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _ends(values: Sequence[float], ticks: Sequence[float]) -> tuple[float, float]:
    low, high = min([*values, *ticks]), max([*values, *ticks])
    room = 0.04 * (high - low) or 1.0
    return low - room, high + room


def _placed(value: float, ends: tuple[float, float], first: float, last: float) -> float:
    return round(first + (value - ends[0]) / (ends[1] - ends[0]) * (last - first), 1)
