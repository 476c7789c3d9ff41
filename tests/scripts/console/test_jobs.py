"""Work in the background: asked twice it is done once, it tells how far it is, it stops when asked, and errors are words."""

import threading
import time

from allocator.workbench.priced import Tell
from ranker.files import InputError
from scripts.console.jobs import Jobs

WAIT = 20.0


def test_a_question_asked_twice_is_worked_on_once() -> None:
    jobs, turn, done = Jobs(), threading.Lock(), []
    for _ in range(2):
        job = jobs.ask("q", "Asking", turn, lambda tell: done.append(1) or 42)
        assert job.over.wait(WAIT)
    assert (job.state, job.answer, done) == ("done", 42, [1])


def test_work_tells_what_it_is_doing_and_stops_when_it_is_asked_to() -> None:
    jobs, turn, begun = Jobs(), threading.Lock(), threading.Event()

    def endless(tell: Tell) -> object:
        while True:
            tell("point 3 of 12")
            begun.set()
            time.sleep(0.01)

    job = jobs.ask("q", "Asking", turn, endless)
    assert begun.wait(WAIT) and job.doing == "point 3 of 12"
    jobs.stop(job.id)
    assert job.over.wait(WAIT) and job.state == "stopped"
    assert not turn.locked()
    again = jobs.ask("q", "Asking", turn, lambda tell: "now")
    assert again is not job and again.over.wait(WAIT) and again.answer == "now"


def test_newer_work_takes_the_place_of_older_work() -> None:
    jobs, turn, hold = Jobs(), threading.Lock(), threading.Event()

    def slow(tell: Tell) -> object:
        while not hold.wait(0.01):
            tell("still at it")
        return None

    old = jobs.ask("old", "Asking", turn, slow, instead="draft")
    new = jobs.ask("new", "Asking", turn, lambda tell: "new", instead="draft")
    assert new.over.wait(WAIT) and new.answer == "new"
    assert old.state == "stopped"


def test_what_goes_wrong_is_told_in_words() -> None:
    def wrong(tell: Tell) -> object:
        raise InputError(["by: there is no such rule"])

    def broken(tell: Tell) -> object:
        raise ZeroDivisionError("division by zero")

    jobs, turn = Jobs(), threading.Lock()
    told = [jobs.ask(name, "Asking", turn, work) for name, work in (("a", wrong), ("b", broken))]
    assert all(job.over.wait(WAIT) for job in told)
    assert [(job.state, job.problems) for job in told] == [
        ("wrong", ("by: there is no such rule",)),
        ("failed", ("ZeroDivisionError: division by zero",)),
    ]
