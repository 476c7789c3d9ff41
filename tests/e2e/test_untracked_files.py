"""What lies about in a checkout and is not the program's does not concern the test command."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.documents import ROOT, documents, tracked_files


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one document and one module, and beside them what people leave lying about."""
    for name in ("README.md", "allocator/README.md", "allocator/module.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "n\u00f6tes.md").write_text("```console\n$ false\n```\n" + "x" * 200)
    (tmp_path / "todo.md").write_text("[nowhere](nowhere.md)")
    (tmp_path / "scratch.py").write_text("import os,sys\n")
    (tmp_path / "allocator" / "new.py").write_text("")
    return tmp_path


def test_documents_are_those_of_the_repository(checkout: Path) -> None:
    assert documents(checkout) == ["README.md", "allocator/README.md"]


def test_new_files_of_the_program_belong_to_it_and_others_do_not(checkout: Path) -> None:
    assert set(tracked_files(checkout)) == {
        "README.md",
        "allocator/README.md",
        "allocator/module.py",
        "allocator/new.py",
    }


def test_style_is_checked_where_the_program_lies(checkout: Path) -> None:
    """The lines of the test command that check style, run where a scratch file would fail them."""
    shutil.copy(ROOT / "pyproject.toml", checkout)
    for folder in ("ranker", "scripts", "tests"):
        (checkout / folder).mkdir()
    (checkout / ".venv").symlink_to(ROOT / ".venv")
    lines = [
        line
        for line in (ROOT / "scripts" / "test").read_text().splitlines()
        if re.match(r"OURS=|\.venv/bin/ruff", line)
    ]
    called = subprocess.run(
        ["bash", "-ec", "\n".join(lines)], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert len(lines) == 3 and called.returncode == 0, called.stdout + called.stderr
