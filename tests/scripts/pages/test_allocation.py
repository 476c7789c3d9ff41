"""The tables of an allocation in the terminal: a share stands in per cent, and so does what a step of it is worth."""

import pytest

from allocator.formats import ConstraintRecord
from scripts.pages import allocation
from tests.allocator.reporting import constraint


@pytest.mark.parametrize(
    ("kind", "price", "bound", "held", "shown"),
    [
        ("share", 195.6, 0.75, (0.7493147, 0.7506853), ("75 %", "1.956 a point", "from 74.93 % to 75.07 %")),
        ("volume", 0.01006, 4_000.0, (3_977.0, 4_011.0), ("4,000", "0.01006", "from 3,977 to 4,011")),
    ],
)
def test_a_row_speaks_in_the_unit_of_its_bound(
    kind: str, price: float, bound: float, held: tuple[float, float], shown: tuple[str, str, str]
) -> None:
    told = constraint(kind=kind, min=None, max=bound, achieved=bound, binding="max", price=price, price_range=held)
    row = allocation._cells(ConstraintRecord.model_validate(told))
    assert (row[2], row[5], row[6]) == shown
