"""The pace of an allocation: what is left is never negative, nothing where nothing is known, and right where stages are as usual."""

import pytest

from scripts.cli.progress import STAGES, Pace, duration


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def usual(pace: Pace, clock: Clock, seconds: float, parts: int = 2) -> list[tuple[float, float | None]]:
    """A run in which a turn of cost 1 takes so many seconds: (seconds really left, seconds told), part after part."""
    pace.expect(1_000_000)
    whole = sum(stage.turns * stage.cost for stage in STAGES.values()) * seconds
    began, told = clock.now, []
    for name, stage in STAGES.items():
        pace.begin(name)
        for _ in range(parts):
            clock.now += stage.turns * stage.cost * seconds / parts
            pace.advance(round(stage.turns * 1_000_000 / parts))
            told.append((whole - (clock.now - began), pace.left))
    return told


def test_a_run_as_usual_is_told_right_from_the_second_part_on() -> None:
    """To the second: rich rounds up. One part alone has no speed."""
    clock = Clock()
    first, *others = usual(Pace(clock), clock, 3.0)
    assert first[1] is None
    for left, told in others:
        assert left - 1e-6 <= told <= left + 1


def test_seconds_are_kept_by_stage() -> None:
    clock = Clock()
    pace = Pace(clock)
    usual(pace, clock, 2.0)
    assert pace.seconds == pytest.approx({name: 2.0 * stage.turns * stage.cost for name, stage in STAGES.items()})


def test_nothing_is_told_before_something_is_known() -> None:
    clock = Clock()
    pace = Pace(clock)
    clock.now += 50
    assert pace.line() == "0:50 fingerprinting what is read"
    pace.expect(1_000_000)
    pace.handled(1_000)
    assert pace.left is None
    clock.now += 450
    pace.begin("read")
    pace.handled(500_000)
    assert pace.line().startswith("8:20 reading the scores: 500,000 of 1,000,000 users, about ")


def test_what_is_said_alone_changes_nothing_about_the_time() -> None:
    clock = Clock()
    pace = Pace(clock)
    for name in ("open", "read", "preflight"):
        pace.begin(name)
        clock.now += 5
    pace.begin("solve")
    before = pace.left
    pace.advance(0, "core of 2,000 users")
    assert before is not None and pace.left == before
    assert "core of 2,000 users, about " in pace.line()


def test_a_stage_that_takes_longer_than_usual_has_nothing_left_and_those_after_it_have() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.expect(100)
    for name in ("open", "read", "preflight", "solve"):
        pace.begin(name)
        pace.handled(1)
        clock.now += 10 * STAGES[name].turns * STAGES[name].cost
    pace.advance(1_000, "pass")
    after = pace.left
    assert after is not None and after > 0
    for _ in range(20):
        clock.now += 1_000
        pace.advance(100, "pass")
        assert pace.left is not None and pace.left >= 0, "all that is usual of the stage has been done"
    pace.begin("audit")
    clock.now += 1e6
    pace.begin("digest")
    pace.handled(100)
    assert pace.left == 0
    assert pace.line().endswith("fingerprinting what was written: 100 of 100 users")


def test_several_objectives_are_solved_in_turn() -> None:
    clock = Clock()
    paces = {objectives: Pace(clock) for objectives in (1, 3)}
    for objectives, pace in paces.items():
        pace.expect(100, objectives)
    for name in ("open", "read"):
        clock.now += 20
        for pace in paces.values():
            pace.begin(name)
            pace.handled(100)
    cost = {name: stage.turns * stage.cost for name, stage in STAGES.items()}
    one, three = (pace.left for pace in paces.values())
    assert three - one == pytest.approx(2 * cost["solve"] * 20 / cost["read"], abs=1)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(4.4, "4 s"), (12.6, "15 s"), (92, "90 s"), (95, "2 min"), (1_000, "17 min"), (3_590, "1 h"), (6_000, "1 h 40 min")],
)  # fmt: skip
def test_durations_are_told_as_people_do(seconds: float, words: str) -> None:
    assert duration(seconds) == words
