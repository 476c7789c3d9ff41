"""The commands that the README shows are run as they stand, in a copy of the repository with a shrunk market.

Commands are the lines that open with `$ ` in blocks fenced as ```console. An HTML comment right before a block says otherwise:
`<!-- test: skip -->` leaves the block out, `<!-- test: exit 3 -->` expects that status of its last command.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"(?:<!-- test: (?P<note>[^>]*?) -->\s*\n)?```console\n(?P<body>.*?)```", re.DOTALL)
SHRUNK = "# @package _global_\ndata: {users: 1000, weeks: 6}\nfit: {max_epochs: 2}\nmodel: {members: 2, hidden: [16]}\n"
REAL_DATA = "../shared"


@dataclass(frozen=True)
class Block:
    """The commands of one block, and the status that the last of them ends with."""

    commands: tuple[str, ...]
    status: int


def blocks(text: str) -> list[Block]:
    found = []
    for match in BLOCK.finditer(text):
        note = match["note"] or ""
        lines = re.sub(r"\\\n\s*(?:> )?", "", match["body"]).splitlines()
        commands = tuple(line[2:].strip() for line in lines if line.startswith("$ "))
        if note != "skip" and commands:
            found.append(Block(commands, int(note.removeprefix("exit ")) if note.startswith("exit ") else 0))
    return found


def runnable(command: str) -> bool:
    """The test command would run this test again; the real trial is there on some machines only."""
    return not command.startswith("./scripts/test") and (
        REAL_DATA not in command or (ROOT / REAL_DATA / "data").exists()
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository's files with the environment linked in; the market is shrunk, the rest is as it stands."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    folder = tmp_path / "offermix"
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    if (ROOT / REAL_DATA).exists():
        (tmp_path / "shared").symlink_to((ROOT / REAL_DATA).resolve())
    (folder / "conf" / "shrunk").mkdir()
    (folder / "conf" / "shrunk" / "readme.yaml").write_text(SHRUNK)
    config = folder / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("  - solve: default\n", "  - solve: default\n  - shrunk: readme\n"))
    return folder


@pytest.mark.timeout(600)
def test_the_commands_of_the_readme_run(copy: Path) -> None:
    shown = blocks((ROOT / "README.md").read_text())
    assert shown, "the README shows no command in a ```console block"
    for block in shown:
        for position, command in enumerate(block.commands):
            if not runnable(command):
                continue
            expected = block.status if position == len(block.commands) - 1 else 0
            called = subprocess.run(
                ["bash", "-c", command], cwd=copy, capture_output=True, text=True, timeout=300, check=False
            )
            assert called.returncode == expected, f"$ {command}\n{called.stdout}\n{called.stderr}"


def test_blocks_are_read_as_people_read_them() -> None:
    text = (
        "```console\n$ ./one key=1 \\\n    other=2\noutput\n$ two\n```\n"
        "<!-- test: skip -->\n```console\n$ never\n```\n"
        "<!-- test: exit 3 -->\n```console\n$ refused\n```\n"
        "```bash\n$ not this\n```\n"
    )
    assert blocks(text) == [Block(("./one key=1 other=2", "two"), 0), Block(("refused",), 3)]
