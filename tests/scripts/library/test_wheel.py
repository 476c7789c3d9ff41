"""The wheel holds one import package, in which no module is named as in a checkout, and nothing else."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.library.wheel import contents, renamed
from scripts.runs import digests

MODULES = frozenset({"ranker", "ranker.files", "scripts", "scripts.weekly", "scripts.served"})


@pytest.fixture(scope="module")
def installed(root: Path) -> dict[str, bytes]:
    return contents(root)


@pytest.mark.parametrize(
    ("line", "there"),
    [
        ("from ranker.files import InputError", "from offermix.ranker.files import InputError"),
        ("from scripts import served", "from offermix.scripts import served"),
        ("import ranker.files as files", "import offermix.ranker.files as files"),
        ("run('scripts.weekly')", "run('offermix.scripts.weekly')"),
        ("name = 'é'; run('scripts.weekly')", "name = 'é'; run('offermix.scripts.weekly')"),
        ("import pandas, rankers", "import pandas, rankers"),
        ("folders = ('ranker', 'scripts/weekly.py')", "folders = ('ranker', 'scripts/weekly.py')"),
        ("'''From scripts.weekly alone.'''", "'''From scripts.weekly alone.'''"),
    ],
)
def test_a_module_names_others_below_the_package(line: str, there: str) -> None:
    assert renamed(f"if True:\n    {line}\n", MODULES) == f"if True:\n    {there}\n"


def test_an_import_that_would_bind_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"line 2: 'import ranker.files'"):
        renamed("import os\nimport ranker.files\n", MODULES)


def test_everything_is_below_one_name_and_nothing_is_for_tests(installed: dict[str, bytes]) -> None:
    assert {name.split("/")[0] for name in installed} == {"offermix"}
    assert {name.split("/")[1] for name in installed if name.count("/") > 1} == {
        "allocator", "conf", "ranker", "scripts",
    }  # fmt: skip
    assert not [name for name in installed if "test_" in name or "/tests/" in name or name.endswith((".sh", ".lock"))]
    assert {"offermix/py.typed", "offermix/__init__.py", "offermix/__main__.py"} <= installed.keys()
    assert {"offermix/conf/config.yaml", "offermix/conf/policy/default.yaml"} <= installed.keys()


def test_no_module_imports_what_only_a_checkout_has(installed: dict[str, bytes]) -> None:
    checked = 0
    for name, content in installed.items():
        if not name.endswith(".py"):
            continue
        for node in ast.walk(ast.parse(content)):
            others = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            others += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            checked += len(others)
            assert not {other.split(".")[0] for other in others} & {"ranker", "allocator", "scripts", "tests"}, name
    assert checked > 1_000


def test_the_program_is_the_same_one_by_its_digest(installed: dict[str, bytes], tmp_path: Path) -> None:
    """Two releases differ by it, a checkout and its wheel do not; no git is asked, and no checkout above."""
    for name, content in installed.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    code = "from offermix.scripts.runs import digests as d; print(d.sources_digest(), d.sources_digest('score'))"
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    told = [
        *_said(tmp_path, code).split(),
        *_said(tmp_path, "import offermix.scripts.runs.digests as d; print(d._commit())").split(),
    ]
    assert told == [digests.sources_digest(), digests.sources_digest("score"), "None"]
    changed = tmp_path / "offermix" / "allocator" / "amounts.py"
    changed.write_bytes(changed.read_bytes() + b"# another release\n")
    others = _said(tmp_path, code).split()
    assert others[0] != told[0] and others[1] == told[1]


def _said(folder: Path, code: str) -> str:
    called = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return called.stdout
