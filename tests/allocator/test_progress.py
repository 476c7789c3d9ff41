"""Seconds of stages in words: what is part of another stage is not told as if it came on top."""

from allocator.progress import times_in_words


def test_parts_stand_behind_their_stage():
    seconds = {"read": 0.41, "solve": 12.8, "write": 1.0, "price": 7.2, "decide": 5.6}
    assert times_in_words(seconds) == "read 0.4, solve 12.8 (of which price 7.2, decide 5.6), write 1.0"


def test_a_part_without_its_stage_is_a_stage():
    assert times_in_words({"price": 2.2, "integers": 1.3}) == "price 2.2, integers 1.3"
    assert times_in_words({}) == ""
