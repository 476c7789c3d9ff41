"""What the documents show: the commands of their blocks, and which files are documents.

Commands are the lines that open with `$ ` in blocks fenced as ```console. An HTML comment right before a block says otherwise:
`<!-- test: skip -->` leaves the block out, `<!-- test: exit 3 -->` expects that status of its last command.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(?:<!-- test: (?P<note>[^>]*?) -->\s*\n)?```console\n(?P<body>.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """The commands of one block, the status that the last of them ends with, and the lines shown after it."""

    commands: tuple[str, ...]
    status: int
    shown: tuple[str, ...] = ()


def tracked_files() -> list[str]:
    """Every file of the repository, relative to its root, what is ignored left out."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in listed if (ROOT / name).is_file()]


def documents() -> list[str]:
    """The documents, the front page first."""
    return sorted((name for name in tracked_files() if name.endswith(".md")), key=lambda name: ("/" in name, name))


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
