"""A trade-off in the terminal: the sentence, and a row per point with the change of the policy that leads there."""

from allocator.amounts import number, percent_at_most
from allocator.workbench.answers import Frontier, Point
from scripts.cli import entry


def show_frontier(answer: Frontier) -> None:
    """Prints the answer."""
    print(answer.sentence)
    basis = "allocations" if answer.full else f"{answer.sample:,}"
    print(f"From {basis} of {answer.users:,} listeners, {answer.seconds:.1f} s. Nothing was published.")
    error = "at most below the best" if answer.full else "value ± at 95 %"
    columns = (f"{answer.x}, {answer.x_unit}", f"{answer.y}, {answer.y_unit}", "value", error, "with", "")
    rows = [_row(answer, place, point) for place, point in enumerate(answer.points)]
    entry.show_table("Points, each the most valuable policy at its bound", columns, rows)


def _row(answer: Frontier, place: int, point: Point) -> tuple[str, ...]:
    marks = {answer.current: "the policy as it is", answer.knee: "the bend"}
    away = percent_at_most(point.gap) if answer.full else number(1.959964 * point.value_se)
    change = " ".join(
        f"set.{rule}.{field}={value}" for rule, each in point.change.items() for field, value in each.items()
    )
    return number(point.x), number(point.y), number(point.value), away, change, marks.get(place, "")
