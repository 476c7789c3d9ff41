"""What differs between two policies is told in sentences, for people, for programs and for git."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ranker.files import InputError
from scripts import diff_policy
from scripts.cli.at_once import given
from tests.conftest import ROOT

OLD = """version: 1
objective: [{metric: revenue, weight: 1.0}]
constraints:
  - {id: push, kind: volume, where: {surface: push}, max: 400}
"""
NEW = OLD.replace("400", "450")
SENTENCE = "The maximum of push rises from 400 to 450 contacts."


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(OLD)
    new.write_text(NEW)
    return old, new


def run(*words: str) -> int:
    return diff_policy.run(given("diff_policy", words, ["base", "policy"]))


def test_every_difference_is_a_sentence(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"base={files[0]}", f"policy={files[1]}", "set.objective.revenue.weight=2") == 0
    assert capsys.readouterr().out.splitlines() == ["The weight of revenue rises from 1 to 2.", SENTENCE]
    assert run(f"base={files[0]}", f"policy={files[0]}") == 0
    assert capsys.readouterr().out == "The two policies mean the same.\n"


def test_programs_get_paths_and_values(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"base={files[0]}", f"policy={files[1]}", "json=true") == 0
    assert json.loads(capsys.readouterr().out) == [
        {"path": "push.max", "from": 400.0, "to": 450.0, "sentence": SENTENCE}
    ]


def test_what_is_no_policy_is_refused(files: tuple[Path, Path]) -> None:
    files[1].write_text(NEW.replace("kind", "kid"))
    with pytest.raises(InputError, match="kind: is missing"):
        run(f"base={files[0]}", f"policy={files[1]}")


def test_git_shows_sentences(files: tuple[Path, Path], tmp_path: Path) -> None:
    """As conf/policy/README.md sets it up."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    driver = f"{sys.executable} -m scripts.diff_policy"
    policy = tmp_path / "policy.yaml"
    (tmp_path / ".gitattributes").write_text("policy.yaml diff=policy\n")
    policy.write_text(OLD)
    for words in (["init", "-q"], ["add", "policy.yaml", ".gitattributes"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def diff(*words: str) -> str:
        called = [*git, "-c", f"diff.policy.command={driver}", "diff", *words]
        return subprocess.run(called, check=True, capture_output=True, text=True, env=environment).stdout

    policy.write_text(NEW)
    assert diff() == f"policy policy.yaml\n  {SENTENCE}\n"
    policy.write_text("version: 1\n")
    assert "objective: is missing" in diff()
    policy.unlink()
    assert "The file is gone." in diff()
    policy.write_text(NEW)
    subprocess.run([*git, "mv", "policy.yaml", "other.yaml"], check=True)
    (tmp_path / ".gitattributes").write_text("*.yaml diff=policy\n")
    assert SENTENCE in diff("-M", "HEAD")
