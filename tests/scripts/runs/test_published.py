"""The chain of publications of a folder of runs: whatever is changed, taken out or moved in it is told, with its place."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import publications
from scripts.cli.settings import Paths, PublicationsOptions, PublicationsSettings, PublishOptions
from scripts.cli.statuses import DONE, REFUSED, guarded
from scripts.formats.pointer import HISTORY, POINTER
from scripts.runs.pointer import publish, rollback
from scripts.runs.published import chain_of, published_before
from tests.scripts.runs.test_pointer import NOW, write_run

ADA = PublishOptions(by="Ada", reason="the street test was won")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four entries: W45 and W46 published, W45 again, W47."""
    folder = tmp_path_factory.mktemp("published")
    for name in ("W45", "W46"):
        publish(write_run(folder, name), ADA, NOW)
    rollback(folder, "W45", NOW, ADA)
    publish(write_run(folder, "W47"), PublishOptions(), NOW)
    return folder


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "runs"))


def change(runs: Path, edit: Callable[[list[str]], object]) -> None:
    lines = (runs / HISTORY).read_text().splitlines()
    edit(lines)
    (runs / HISTORY).write_text("".join(f"{line}\n" for line in lines))


def test_every_entry_tells_who_when_why_and_names_the_one_before(runs: Path) -> None:
    chain = chain_of(runs)
    assert chain.broken == () and chain.unchained == 0
    told = [(each.pointer.run, each.pointer.by, each.pointer.number, each.pointer.before) for each in chain.entries]
    digests = [each.digest for each in chain.entries]
    assert told == [
        ("W45", "Ada", 1, None),
        ("W46", "Ada", 2, digests[0]),
        ("W45", "Ada", 3, digests[1]),
        ("W47", None, 4, digests[2]),
    ]
    assert chain.entries[2].pointer.reason == "the street test was won"
    assert json.loads((runs / POINTER).read_text()) == json.loads((runs / HISTORY).read_text().splitlines()[-1])


def swapped(lines: list[str]) -> None:
    lines[1], lines[2] = lines[2], lines[1]


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda lines: lines.__setitem__(1, lines[1].replace("Ada", "Kim")), "line 2: is entry 2, and was changed after entry 3"),
        (lambda lines: lines.pop(1), "line 2: is entry 3, and entry 2 is missing before it"),
        (lambda lines: lines.__delitem__(slice(1, 3)), "line 2: is entry 4, and entries 2 to 3 are missing before it"),
        (lambda lines: lines.pop(0), "line 1: is entry 2, and nothing stands before it"),
        (swapped, "line 3: is entry 2, and stands after entry 3: it was moved or put there"),
        (lambda lines: lines.insert(2, lines[0]), "line 3: is entry 1, and stands after entry 2"),
        (lambda lines: lines.__delitem__(slice(2, 4)), r"published\.json: names W47, .*, and the last entry names W46"),
        (lambda lines: lines.__setitem__(3, lines[3].replace("W46", "W44").replace("W45", "W44")), r"published\.json: names W47"),
        (lambda lines: lines.__setitem__(2, "gone"), "line 4: is entry 4, and entry 3 is missing before it"),
    ],
)  # fmt: skip
def test_whatever_is_done_to_the_history_is_told(runs: Path, edit: Callable, told: str) -> None:
    change(runs, edit)
    broken = chain_of(runs).broken
    assert any(re.match(told, each) for each in broken), broken


def test_a_pointer_that_was_put_back_or_written_by_hand_is_told(runs: Path) -> None:
    lines = (runs / HISTORY).read_text().splitlines()
    (runs / POINTER).write_text(lines[1])
    assert chain_of(runs).broken == (
        "published.json: names W46, published 2026-11-23T06:00:00+00:00, and the last entry names W47, "
        "published 2026-11-23T06:00:00+00:00",
    )
    by_hand = {name: held for name, held in json.loads(lines[1]).items() if name not in ("number", "before")}
    (runs / POINTER).write_text(json.dumps(by_hand))
    assert "published.json: names W46" in chain_of(runs).broken[0]
    (runs / POINTER).unlink()
    assert chain_of(runs).broken == ("published.json: is not there, and line 4 names W47",)


def test_a_break_stays_told_after_more_was_published(runs: Path) -> None:
    change(runs, lambda lines: lines.__delitem__(slice(2, 4)))
    publish(write_run(runs, "W48"), ADA, NOW)
    assert chain_of(runs).broken == ("line 3: is entry 4, and entry 3 is missing before it",)


def test_a_line_that_a_crash_took_is_no_break(runs: Path) -> None:
    lines = (runs / HISTORY).read_text().splitlines()
    (runs / HISTORY).write_text("\n".join([*lines[:3], lines[3][:50]]))
    assert chain_of(runs).broken == ()
    publish(write_run(runs, "W48"), ADA, NOW)
    chain = chain_of(runs)
    assert chain.broken == () and [each.pointer.number for each in chain.entries] == [1, 2, 3, 4, 5]


def test_what_was_written_before_there_was_a_chain_stays_readable_and_its_last_line_is_held(tmp_path: Path) -> None:
    old = [
        {
            "run": f"W{week}",
            "at": "then",
            "previous": None,
            "allocation": f"W{week}/allocation",
            "allocation_digest": "d",
        }
        for week in (44, 45)
    ]
    (tmp_path / HISTORY).write_text("".join(json.dumps(each) + "\n" for each in old))
    (tmp_path / POINTER).write_text(json.dumps(old[-1]))
    assert chain_of(tmp_path).broken == () and chain_of(tmp_path).unchained == 2
    publish(write_run(tmp_path, "W46"), ADA, NOW)
    assert [each.run for each in published_before(tmp_path)] == ["W44", "W45", "W46"]
    assert published_before(tmp_path)[-1].number == 3 and chain_of(tmp_path).broken == ()
    change(tmp_path, lambda lines: lines.__setitem__(1, lines[1].replace("then", "now")))
    assert chain_of(tmp_path).broken == ("line 2: is entry 2, and was changed after entry 3 was written (line 3)",)


def test_the_command_lists_all_and_ends_in_exit_4_where_the_chain_is_broken(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def called(**asked: str) -> int:
        settings = PublicationsSettings.model_construct(
            paths=Paths(runs=runs), publish=PublishOptions(), publications=PublicationsOptions(**asked)
        )
        return guarded("publications", lambda: publications.main(settings) or DONE)

    head = chain_of(runs).entries[-1].digest
    assert called(head=head) == DONE
    printed = capsys.readouterr().out
    assert f"The chain holds. Digest of entry 4: {head}" in printed
    assert "the street test was won" in printed and "rollback" in printed
    assert called(head="0" * 64) == REFUSED
    assert "publications were written anew since it was noted" in capsys.readouterr().err
    change(runs, lambda lines: lines.pop(1))
    assert called() == REFUSED
    assert "published_history.jsonl: line 2: is entry 3, and entry 2 is missing" in capsys.readouterr().err
