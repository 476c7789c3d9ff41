"""The commands that ask questions of a policy: what they write, what they print, and what becomes of `out` where rules contradict."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from allocator.formats import DIAGNOSIS
from allocator.infeasible.diagnosis import Infeasible
from allocator.workbench.answers import EXPLAIN, FRONTIER, SEEK, WHAT_IF, Explanation, Frontier, Seek, WhatIf
from ranker.files import InputError, read_json_object
from scripts import allocate, explain, frontier, seek, what_if
from scripts.cli.entry import validated
from scripts.cli.settings import AllocateSettings, ExplainSettings, FrontierSettings, SeekSettings, WhatIfSettings
from tests.allocator.instances import CONTACT, OBJECTIVE, write_scores

RULES = (
    OBJECTIVE
    + CONTACT
    + """constraints:
  - {id: push_cap, kind: volume, where: {surface: push}, max: 20%}
  - {id: books, kind: volume, where: {product: books}, min: 30%}
"""
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("questions")
    write_scores(path / "scores", 400, 3, stderr=True)
    (path / "policy.yaml").write_text(RULES)
    return path


@pytest.fixture
def asked(composed: Callable[..., DictConfig], folder: Path) -> Callable:
    """asked(settings type, words, ...): the command's settings."""

    def make(kind: type, *words: str) -> object:
        paths = [f"paths.scores='{folder}/scores'", f"paths.policy='{folder}/policy.yaml'"]
        return validated(kind, composed(*paths, *words))

    return make


def test_a_what_if_writes_what_it_returns_and_prints_words(
    asked: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = asked(WhatIfSettings, "++set.push_cap.max=10%", "ask.robust=true", f"paths.out='{tmp_path}/out'")
    answer = what_if.run(settings)
    assert WhatIf.from_file(tmp_path / "out" / WHAT_IF) == answer
    assert [path.name for path in (tmp_path / "out").iterdir()] == [WHAT_IF]
    content = read_json_object(tmp_path / "out" / WHAT_IF)
    assert content.keys() >= {"users", "sample", "seconds", "base", "new", "difference", "edits", "why"}
    assert content["edits"][0]["path"] == "push_cap.max"
    assert (content["edits"][0]["from"], content["edits"][0]["to"]) == ("20%", "10%")
    assert content["difference"]["value"]["mean"] < 0
    assert content["rules"]["push_cap"]["mean"] > 0
    assert not content["robust"]["winner_changes"]
    what_if.main(settings)
    printed = capsys.readouterr().out
    assert "By the scores' estimates it is worth" in printed
    assert "Nothing was published." in printed
    assert "By every view of the scores the base policy is worth more." in printed


def test_two_files_are_compared_too(asked: Callable, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(RULES.replace("max: 20%", "max: 5%"))
    answer = what_if.run(asked(WhatIfSettings, f"paths.base='{other}'"))
    assert [(edit.path, edit.before, edit.after) for edit in answer.edits] == [("push_cap.max", "5%", "20%")]
    assert answer.difference.value.mean > 0


def test_a_contradiction_leaves_its_diagnosis_alone_and_the_next_answer_takes_its_place(
    asked: Callable, tmp_path: Path
) -> None:
    out = f"paths.out='{tmp_path}/out'"
    with pytest.raises(Infeasible):
        what_if.run(asked(WhatIfSettings, "++set.books.min=100%", "++set.total.max=0", out))
    assert [path.name for path in (tmp_path / "out").iterdir()] == [DIAGNOSIS]
    what_if.run(asked(WhatIfSettings, out))
    assert [path.name for path in (tmp_path / "out").iterdir()] == [WHAT_IF]


def test_a_seek_and_a_frontier_write_what_they_return(
    asked: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    goal = ("ask.want='push_cap.achieved=60'", "ask.by=push_cap.max", f"paths.out='{tmp_path}/seek'")
    seek.main(asked(SeekSettings, *goal))
    sought = Seek.from_file(tmp_path / "seek" / SEEK)
    assert sought.achieved == pytest.approx(60, abs=1)
    assert sought.sentence in capsys.readouterr().out
    frontier.main(asked(FrontierSettings, "ask.x=push_cap", "ask.y=value", "ask.points=3", f"paths.out='{tmp_path}/f'"))
    traced = Frontier.from_file(tmp_path / "f" / FRONTIER)
    assert len(traced.points) >= 3
    assert "the policy as it is" in capsys.readouterr().out
    with pytest.raises(InputError) as raised:
        frontier.run(asked(FrontierSettings))
    assert raised.value.problems == ("x: is missing; give x=...", "y: is missing; give y=...")


def test_an_allocation_is_explained_from_the_scores_that_its_manifest_leads_to(
    asked: Callable, composed: Callable[..., DictConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "allocation"
    allocate.run(asked(AllocateSettings, f"paths.out='{made}'"))

    def explained(*words: str) -> ExplainSettings:
        return validated(ExplainSettings, composed(f"paths.allocation='{made}'", *words))

    explain.main(explained("ask.user=3", f"paths.out='{tmp_path}/out'"))
    answer = Explanation.from_file(tmp_path / "out" / EXPLAIN)
    assert answer.user == 3
    printed = capsys.readouterr().out
    assert answer.sentence in printed
    explain.main(explained("ask.product=family"))
    assert "product family" in capsys.readouterr().out
    with pytest.raises(InputError, match="one of them"):
        explain.run(explained())
