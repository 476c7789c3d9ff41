"""Averages among the scores, in words."""

from ranker.evaluate.records import ReliabilityFigure
from scripts.pages import reliability


def test_one_sentence_names_the_outcomes_whose_scores_are_averages() -> None:
    found = [
        ReliabilityFigure(outcome="subs", action=action, reliability=known, average=average)
        for action, known, average in (("apart", 0.5, False), ("alike", 0.01, True), ("rare", None, False))
    ]
    known = "A score is no more than its action's average (less than 10 % of what tells users apart is known):"
    assert reliability.sentence(found) == f"{known} subs for 1 of 3 actions."
    assert reliability.sentence(found[:1]) is None
    assert reliability.sentence(found[1:2]) == f"{known} subs for all 1 actions."
