"""The commands that the documents show are run as they stand, in a copy of the repository with a shrunk market.

`tests/documents.py` says which commands these are. The week of the front page has run before any other document's.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.documents import ROOT, Block, blocks, documents, tracked_files

SHRUNK = "# @package _global_\ndata: {users: 1000, weeks: 6}\nfit: {max_epochs: 2}\nmodel: {members: 2, hidden: [16]}\n"
REAL_DATA = "../shared"
SHOWING = [name for name in documents() if blocks((ROOT / name).read_text())]

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Copy:
    """A copy of the repository, and (command, status) of what has run there: a document that shows it again goes on from it.

    wrong: what the examples of wrong input printed.
    """

    folder: Path
    ran: set[tuple[str, int]] = field(default_factory=set)
    wrong: dict[Block, str] = field(default_factory=dict)


def runnable(command: str) -> bool:
    """The test command would run this test again; the real trial is there on some machines only."""
    return not command.startswith("./scripts/test") and (
        REAL_DATA not in command or (ROOT / REAL_DATA / "data").exists()
    )


def copied(beside: Path) -> Path:
    """The repository's files with the environment linked in; the market is shrunk, the rest is as it stands."""
    folder = beside / "offermix"
    for name in tracked_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    keep_kernels(folder)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    if (ROOT / REAL_DATA).exists():
        (beside / "shared").symlink_to((ROOT / REAL_DATA).resolve())
    (folder / "conf" / "shrunk").mkdir()
    (folder / "conf" / "shrunk" / "readme.yaml").write_text(SHRUNK)
    config = folder / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("  - solve: default\n", "  - solve: default\n  - shrunk: readme\n"))
    return folder


def keep_kernels(folder: Path) -> None:
    """Kernels that were compiled in the repository serve the copy: numba goes by the time and size of the source."""
    for kernel in ROOT.glob("*/**/__pycache__/*.nb[ci]"):
        place = folder / kernel.relative_to(ROOT)
        if place.parents[1].is_dir():
            place.parent.mkdir(exist_ok=True)
            shutil.copy2(kernel, place)


def run(block: Block, copy: Copy) -> str:
    """What the block's last command printed, after every command has ended, here or before, with the status that the document says."""
    printed = ""
    for position, command in enumerate(block.commands):
        expected = block.status if position == len(block.commands) - 1 else 0
        if not runnable(command) or (command, expected) in copy.ran:
            continue
        called = subprocess.run(
            ["bash", "-c", command], cwd=copy.folder, capture_output=True, text=True, timeout=300, check=False
        )
        assert called.returncode == expected, f"$ {command}\n{called.stdout}\n{called.stderr}"
        copy.ran.add((command, expected))
        printed = called.stdout + called.stderr
    return printed


def examples_of_wrong_input() -> list[Block]:
    return [block for block in blocks((ROOT / "README.md").read_text()) if block.status == 2]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """One in which the front page's examples of wrong input have run, before anything else was there, and then its week."""
    copy = Copy(copied(tmp_path_factory.mktemp("documents")))
    copy.wrong.update({block: run(block, copy) for block in examples_of_wrong_input()})
    run(blocks((ROOT / "README.md").read_text())[0], copy)
    return copy


LONG = ("ranker/README.md", "scripts/README.md", "conf/policy/README.md")
"""Documents whose commands take a minute each, most of which other tests call too."""


@pytest.mark.parametrize(
    "document", [pytest.param(each, marks=pytest.mark.slow if each in LONG else ()) for each in SHOWING]
)
def test_the_commands_of_a_document_run(copy: Copy, document: str) -> None:
    for block in blocks((ROOT / document).read_text()):
        run(block, copy)


def test_the_front_page_shows_commands() -> None:
    assert "README.md" in SHOWING


def test_the_week_of_the_front_page_ends_published_audited_and_within_its_gap(copy: Copy) -> None:
    runs = copy.folder / "runs"
    allocation = runs / json.loads((runs / "published.json").read_text())["allocation"]
    certificate = json.loads((allocation / "certificate.json").read_text())
    audit = json.loads((allocation / "audit.json").read_text())
    assert certificate["gap"] <= 1e-4 and certificate["contacts"] > 0
    assert {check["status"] for check in audit["checks"]} == {"PASS"}
    assert [path.name for path in allocation.parent.iterdir() if path.name.startswith(".")] == []


def test_the_example_of_wrong_input_works_alone_and_prints_what_is_shown(copy: Copy) -> None:
    assert copy.wrong, "the front page shows no command that ends with exit 2"
    for block, printed in copy.wrong.items():
        assert [line for line in block.shown if line not in printed.splitlines()] == []


def test_what_has_run_is_not_run_again(tmp_path: Path) -> None:
    copy, block = Copy(tmp_path), Block(("echo once >> said",), 0)
    for _ in range(2):
        run(block, copy)
    assert (tmp_path / "said").read_text() == "once\n"


def test_blocks_are_read_as_people_read_them() -> None:
    text = (
        "```console\n$ ./one key=1 \\\n    other=2\noutput\n$ two\n```\n"
        "<!-- test: skip -->\n```console\n$ never\n```\n"
        "<!-- test: exit 3 -->\n```console\n$ refused\nwhy\n```\n"
        "```bash\n$ not this\n```\n"
    )
    assert blocks(text) == [Block(("./one key=1 other=2", "two"), 0), Block(("refused",), 3, ("why",))]
