"""Answers in words for the page: errors beside amounts, and no effect where none is seen."""

import pytest

from allocator.workbench.answers import Cell, ConstraintAnswer, MeanAndError
from scripts.console import shown


@pytest.mark.parametrize(
    ("mean", "se", "words"),
    [
        (12.0, 1.0, "+12 EUR (±\u00a01.96)"),
        (-3.5, 0.0, "\u22123.50 EUR"),
        (0.5, 1.0, "no change seen (±\u00a01.96)"),
        (0.0, 0.0, "no change"),
    ],
)
def test_an_effect_that_the_error_hides_is_not_shown_as_one(mean: float, se: float, words: str) -> None:
    assert shown.in_words(MeanAndError(mean=mean, se=se), "EUR") == words


@pytest.mark.parametrize(
    ("bound", "tidy"),
    [("35.22286376%", "35.223%"), ("20 %", "20%"), (1497, 1497), (0.123456789, 0.12346), (80.0, 80.0)],
)
def test_bounds_that_were_found_have_no_more_digits_than_matter(bound: float | str, tidy: object) -> None:
    assert shown.tidy(bound) == tidy


def test_the_matrix_shows_what_is_seen_alone_all_listeners_first() -> None:
    def cell(product: str, surface: str, value: str, mean: float, se: float) -> Cell:
        contacts = MeanAndError(mean=mean, se=se)
        return Cell(
            product=product, surface=surface, segment="market" if value else "", segment_value=value, contacts=contacts
        )

    cells = [cell("books", "home", "SE", 4, 1), cell("duo", "push", "NO", 1, 5), cell("books", "push", "", -30, 2)]
    cells += [cell("duo", "home", "", 40, 0), cell("duo", "push", "", 1, 9)]
    everybody, sweden = shown.matrix(cells)
    assert (everybody.title, everybody.surfaces) == ("All listeners", ("push", "home"))
    assert everybody.rows == (("duo", ("", "+40")), ("books", ("\u221230 ± 4", "")))
    assert (sweden.title, sweden.rows) == ("market SE", (("books", ("+4 ± 2",)),))


def test_prices_of_shares_are_told_by_the_point() -> None:
    def known(kind: str, price: float) -> ConstraintAnswer:
        return ConstraintAnswer(
            kind=kind, label=None, unit="", min=0.35, max=None, achieved=0.35, se=0, binding="min", price=price
        )

    assert shown.price(known("share", 57.0), "EUR") == "0.57 EUR a point"
    assert shown.price(known("total", 0.5), "EUR") == "0.50 EUR"
    assert shown.price(known("total", 0.0), "EUR") == ""
    assert shown.achieved(known("share", 0.0)) == "35.00 %"
