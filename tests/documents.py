"""What the documents show: the commands of their blocks, and which files are documents.

Commands are the lines that open with `$ ` in blocks fenced as ```console. An HTML comment right before a block says otherwise:
`<!-- test: skip -->` leaves the block out, `<!-- test: exit 3 -->` expects that status of its last command.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OURS = ("allocator", "ranker", "scripts", "tests", "conf")
BLOCK = re.compile(r"(?:<!-- test: (?P<note>[^>]*?) -->\s*\n)?```console\n(?P<body>.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """The commands of one block, the status that the last of them ends with, and the lines shown after it."""

    commands: tuple[str, ...]
    status: int
    shown: tuple[str, ...] = ()


def listed_files(*arguments: str, root: Path = ROOT) -> list[str]:
    """What git lists of the repository, relative to its root."""
    command = ["git", "ls-files", "-z", *arguments]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.split("\0")
    return [name for name in listed if (root / name).is_file()]


def tracked_files(root: Path = ROOT) -> list[str]:
    """Every file of the repository, and what is new in the folders of the program. Notes and data that lie about are none of ours."""
    new = listed_files("--others", "--exclude-standard", "--", *OURS, root=root)
    return [*listed_files("--cached", root=root), *new]


def documents(root: Path = ROOT) -> list[str]:
    """The documents, the front page first."""
    return sorted((name for name in tracked_files(root) if name.endswith(".md")), key=lambda name: ("/" in name, name))


def blocks(text: str) -> list[Block]:
    """The blocks whose commands a test runs."""
    found = []
    for match in BLOCK.finditer(text):
        note = match["note"] or ""
        lines = re.sub(r"\\\n\s*(?:> )?", "", match["body"]).splitlines()
        places = [place for place, line in enumerate(lines) if line.startswith("$ ")]
        if note != "skip" and places:
            status = int(note.removeprefix("exit ")) if note.startswith("exit ") else 0
            commands = tuple(lines[place][2:].strip() for place in places)
            found.append(Block(commands, status, tuple(lines[places[-1] + 1 :])))
    return found
