"""A trade-off as a drawing: all points inside, marks where they belong, and one point is drawn too."""

import pytest

from allocator.workbench.answers import Frontier, Point
from scripts.console.curve import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, curve


def answer(places: list[tuple[float, float]], knee: int | None, current: int | None) -> Frontier:
    points = tuple(Point(x=x, y=y, x_se=0, y_se=0, value=y, value_se=0, gap=0, change={}) for x, y in places)
    return Frontier(
        x="push", y="value", x_unit="contacts", y_unit="EUR", points=points, knee=knee, current=current,
        sentence="", users=1, sample=1, full=False, seconds=0.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    "places", [[(0, 0), (10, 5), (20, 6)], [(5, 5)], [(1e-9, -3e7), (2e-9, 4e7)], [(0, 7), (4, 7)], [(-3, 1), (-1, 2)]]
)
def test_all_points_and_ticks_are_inside(places: list[tuple[float, float]]) -> None:
    drawn = curve(answer(places, None, 0))
    assert all(LEFT <= dot.x <= WIDTH - RIGHT and TOP <= dot.y <= HEIGHT - BOTTOM for dot in drawn.dots)
    assert all(LEFT <= tick.at <= WIDTH - RIGHT for tick in drawn.across)
    assert all(TOP <= tick.at <= HEIGHT - BOTTOM for tick in drawn.up)
    assert drawn.path.count("M") == 1 and drawn.path.count("L") == len(places) - 1


def test_more_is_to_the_right_and_higher_and_the_marks_are_words() -> None:
    low, middle, high = curve(answer([(0, 0), (10, 5), (20, 6)], 1, 2)).dots
    assert low.x < middle.x < high.x and low.y > middle.y > high.y
    assert [dot.mark for dot in (low, middle, high)] == ["", "bend", "draft"]
    assert curve(answer([(0, 0), (1, 1)], 0, 0)).dots[0].mark == "bend and draft"
