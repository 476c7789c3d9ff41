"""An empty or absurd week does not take the place of a good one, and a good one does."""

import json
import logging
from pathlib import Path

import pytest

from scripts.cli.settings import PublishOptions
from scripts.runs.pointer import Refused, current, publish
from tests.scripts.runs.test_pointer import sign, write_run

OBJECTIVE = [{"metric": "revenue", "weight": 1.0, "times": None}]
GOOD = {"value": 1000.0, "contacts": 500, "reach": 300}


def write_week(runs: Path, name: str, objective: object = OBJECTIVE, **brings: float) -> Path:
    """A finished run that brings so much; what is not said is not in its certificate."""
    run = write_run(runs, name)
    certificate: dict[str, object] = {"status": "optimal", "gap": 0.0, "objective": objective}
    certificate |= {key: figure for key, figure in brings.items() if key != "reach"}
    if "reach" in brings:
        funnel = [("candidates", 9000), ("allocated", brings["reach"])]
        certificate["funnel"] = [{"stage": stage, "contacts": 1, "users": users} for stage, users in funnel]
    (run / "allocation" / "certificate.json").write_text(json.dumps(certificate))
    sign(run / "allocation")
    return run


def refused(runs: Path, guardrails: PublishOptions | None = None, **brings: float) -> tuple[str, ...]:
    """Why a week that brings so much is not published after W47."""
    with pytest.raises(Refused) as refusal:
        publish(write_week(runs, "W48", **{**GOOD, **brings}), guardrails or PublishOptions())
    pointer = current(runs)
    assert pointer is None or pointer.run == "W47"
    return refusal.value.reasons


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder in which W47, a good week, is published."""
    publish(write_week(tmp_path, "W47", **GOOD), PublishOptions())
    return tmp_path


def test_a_good_week_passes(runs: Path) -> None:
    assert publish(write_week(runs, "W48", value=950.0, contacts=520, reach=310), PublishOptions()).moved
    assert publish(write_week(runs, "W49", value=2000.0, contacts=900, reach=500), PublishOptions()).moved


def test_a_week_without_contacts_is_refused_even_if_it_is_the_first(tmp_path: Path) -> None:
    (reason,) = refused(tmp_path, contacts=0, value=0.0, reach=0)
    assert reason == "it has 0 contacts: an empty week is not published"
    off = PublishOptions(min_value=None, min_contacts=None, min_reach=None)
    with pytest.raises(Refused, match="it has 0 contacts"):
        publish(tmp_path / "W48", off)


def test_the_first_week_has_nothing_to_come_near_to(tmp_path: Path) -> None:
    assert publish(write_week(tmp_path, "W48", value=0.01, contacts=1, reach=1), PublishOptions()).moved


@pytest.mark.parametrize(
    ("figure", "low", "told"),
    [
        (
            "value",
            500.0,
            "value: 500.00 is 50.0 % of the 1,000.00 of W47, the last published week; "
            "the guardrail publish.min_value=0.6 asks for 60 %",
        ),
        (
            "contacts",
            250,
            "contacts: 250 is 50.0 % of the 500 of W47, the last published week; "
            "the guardrail publish.min_contacts=0.6 asks for 60 %",
        ),
        (
            "reach",
            150,
            "listeners who get a contact: 150 is 50.0 % of the 300 of W47, the last published week; "
            "the guardrail publish.min_reach=0.6 asks for 60 %",
        ),
    ],
)
def test_a_week_at_half_of_the_last_one_is_refused_with_both_numbers(
    runs: Path, figure: str, low: float, told: str
) -> None:
    assert refused(runs, **{figure: low}) == (told,)
    assert publish(runs / "W48", PublishOptions(**{f"min_{figure}": 0.5})).moved, "half is not below half"


def test_everything_that_is_too_little_is_told_at_once(runs: Path) -> None:
    assert len(refused(runs, value=-3.0, contacts=0, reach=0)) == 4


def test_a_guardrail_may_be_switched_off(runs: Path) -> None:
    off = PublishOptions(min_value=None, min_contacts=None, min_reach=None)
    assert publish(write_week(runs, "W48", value=1.0, contacts=1, reach=1), off).moved


def test_what_cannot_be_compared_is_said_and_not_refused(runs: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = [{"metric": "subs", "weight": 1.0, "times": None}]
    with caplog.at_level(logging.WARNING):
        assert publish(write_week(runs, "W48", objective=other, value=1.0, contacts=400), PublishOptions()).moved
    assert caplog.messages[:2] == [
        "Not compared with W47, the last published week: value (the objectives differ)",
        "Not compared with W47, the last published week: reach (a certificate does not state it)",
    ]
    caplog.clear()
    (runs / "W48" / "allocation" / "certificate.json").unlink()
    with caplog.at_level(logging.WARNING):
        assert publish(write_week(runs, "W49", value=1.0, contacts=1, reach=1), PublishOptions()).moved
    assert caplog.messages[0] == (
        "Not compared with W48, the last published week: "
        "value, contacts, reach, swing, guardrail (its certificate cannot be read)"
    )
