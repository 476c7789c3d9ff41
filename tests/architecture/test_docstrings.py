"""Every file says what it is for, and every package lists its modules in the order in which data flows."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("ranker", "allocator", "scripts", "tests")
FILES = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
PACKAGES = sorted(file for file in FILES if file.name == "__init__.py")


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("file", FILES, ids=name)
def test_the_first_line_says_what_the_file_is_for(file: Path) -> None:
    text = file.read_text()
    assert text.startswith('"""'), "the first line is a docstring"
    first = (ast.get_docstring(ast.parse(text)) or "").splitlines()[0]
    assert len(first.split()) >= 4, f"'{first}' says too little"


@pytest.mark.parametrize("file", PACKAGES, ids=name)
def test_a_package_is_a_docstring_that_lists_its_modules(file: Path) -> None:
    tree = ast.parse(file.read_text())
    assert len(tree.body) == 1, "a package re-exports nothing and does nothing"
    listed = re.findall(r"^- (\w+): \S", ast.get_docstring(tree) or "", re.MULTILINE)
    there = {path.stem for path in file.parent.glob("*.py")} - {"__init__"}
    there |= {path.name for path in file.parent.iterdir() if (path / "__init__.py").exists()}
    assert sorted(listed) == sorted(there)


def test_every_folder_of_code_is_a_package() -> None:
    folders = {file.parent for file in FILES if "tests" not in file.relative_to(ROOT).parts[:1]}
    assert [name(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []
