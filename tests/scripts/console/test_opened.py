"""A run is opened with its own policy as text, and its sample is drawn once."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
import yaml

from allocator.formats import POLICY as POLICY_FILE
from allocator.policy.checked import users_in
from allocator.policy.grammar import EligibilityRule
from allocator.policy.words import filter_from_words
from ranker.catalogue import CATALOGUE_FILE
from ranker.files import InputError, read_json, read_json_object
from scripts.console.opened import CONSOLE, open_run
from scripts.console.policy_text import as_text
from scripts.console.run_list import find_run, list_runs, run_before
from scripts.formats.manifest import MANIFEST
from scripts.formats.run_record import RUN, RunRecord
from tests.allocator.instances import write_scores
from tests.scripts.console.weeks import POLICY, USERS, console_settings, write_week


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, composed: Callable) -> Path:
    return write_week(console_settings(composed, tmp_path_factory.mktemp("opened")), "2026-W48")


def test_the_text_is_the_policy_file_with_its_comments_while_that_is_the_same(run: Path) -> None:
    assert open_run(run, USERS).text == POLICY
    file = run.parent.parent / "2026-W48.yaml"
    file.write_text(POLICY + "# changed\n")
    try:
        text = open_run(run, USERS).text
    finally:
        file.write_text(POLICY)
    assert "#" not in text and yaml.safe_load(text)["constraints"][0]["max"] == "20%"


def test_a_policy_written_from_its_records_reads_back_the_same(run: Path) -> None:
    opened = open_run(run, USERS)
    words = read_json(run / "allocation" / POLICY_FILE)
    assert opened.session.read(yaml.safe_load(as_text(words)), {}).digest == opened.base.digest


def test_the_sample_is_drawn_once_and_again_when_the_scores_are_others(run: Path) -> None:
    kept = run.parent / CONSOLE / run.name / "sample"
    first = open_run(run, 100)
    assert 100 <= len(first.session.sample) < USERS and first.session.sample.users == USERS
    (folder,) = kept.iterdir()
    drawn = folder.stat().st_mtime_ns
    assert len(open_run(run, 100).session.sample) == len(first.session.sample)
    assert [each.stat().st_mtime_ns for each in kept.iterdir()] == [drawn]
    open_run(run, 120)
    assert [each.name for each in kept.iterdir()] != [folder.name], "an old sample is not kept"


def test_a_sample_knows_how_many_users_a_filter_has(run: Path) -> None:
    """Strata are the cells of the segments, so the count is exact."""
    opened = open_run(run, 100)
    for words in ({}, {"market": "SE"}, {"market": ["SE", "NO"]}, {"not": {"market": "DE"}}, {"market": ["DE"]}):
        users = filter_from_words(words)
        policy = opened.base.model_copy(update={"eligibility": (EligibilityRule(id="x", forbid={}, users=users),)})
        assert opened.users(users) == users_in(opened.scores, policy)(users), words


def test_rules_that_compare_get_what_the_run_compared_with(run: Path, tmp_path: Path, composed: Callable) -> None:
    policy = POLICY + "  - {id: calm, kind: churn, max: 0.5}\n"
    previous = run / "allocation"
    next_week = write_week(console_settings(composed, tmp_path), "2026-W49", policy=policy, previous=previous)
    opened = open_run(next_week, USERS)
    assert opened.session.previous == previous
    found = opened.session.price(opened.base)
    assert found.sums.quotient(3)[0] <= 0.5 + 1e-3


def test_the_week_before_is_the_one_that_was_published_then_or_the_latest_of_an_earlier_day(tmp_path: Path) -> None:
    for name, day in (("W45", 2), ("W46", 9), ("W47", 16), ("W48", 23), ("W48-trial", 23), ("W49", 30)):
        write_scores(tmp_path / name / "scores", 10, 1)
        words = read_json_object(tmp_path / name / "scores" / CATALOGUE_FILE)
        text = json.dumps({**words, "as_of": f"2026-11-{day:02d}"})
        (tmp_path / name / "scores" / CATALOGUE_FILE).write_text(text)
        (tmp_path / name / "scores" / MANIFEST).write_text("{}")
    run, day = tmp_path / "W48", date(2026, 11, 23)

    def began_with(previous: str | None) -> str | None:
        (run / RUN).write_text(RunRecord(run="W48", identity="x", previous=previous).text())
        return run_before(run, day)

    assert run_before(run, day) == "W47", "where run.json is missing"
    assert began_with("W46/allocation") == "W46"
    assert began_with("W48-trial/allocation") == "W47", "the same day is the same week"
    assert began_with("W44/allocation") == "W47", "whose scores are gone"
    assert began_with("../elsewhere/allocation") == "W47"
    assert began_with(None) == "W47"
    assert run_before(tmp_path / "W45", date(2026, 11, 2)) is None
    assert run_before(tmp_path / "W45", None) is None


def test_runs_are_listed_without_what_is_no_run(run: Path) -> None:
    (run.parent / "half" / "scores").mkdir(parents=True, exist_ok=True)
    assert [each.name for each in list_runs(run.parent)] == ["2026-W48"]
    assert not list_runs(run.parent)[0].published
    with pytest.raises(InputError, match="no such run"):
        find_run(run.parent, "../2026-W48")
    assert list_runs(run.parent / "nowhere") == []
