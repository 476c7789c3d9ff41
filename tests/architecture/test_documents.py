"""The documents keep their form: short lines, a short front page, links that lead somewhere, commands that a test knows."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import BLOCK, ROOT, documents

MOST_LINES = 180
MOST_CHARACTERS = 120
DOCUMENTS = documents()
FENCE = re.compile(r"^\s*(```|~~~)(\w*)")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def fenced(text: str) -> Iterator[tuple[int, str, str | None]]:
    """(number, line, language) of every line; the language is None outside of blocks, the fences count as inside."""
    inside: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        fence = FENCE.match(line)
        if fence is None:
            yield number, line, inside
        elif inside is None:
            inside = fence[2]
            yield number, line, inside
        else:
            yield number, line, inside
            inside = None


def prose(text: str) -> Iterator[tuple[int, str]]:
    """(number, line) of everything outside of blocks, indented code included in the blocks."""
    return ((number, line) for number, line, block in fenced(text) if block is None and not line.startswith(" " * 8))


def anchors(text: str) -> set[str]:
    """What GitHub lets links point to: headings in small letters, without punctuation, hyphens for spaces."""
    seen: Counter[str] = Counter()
    found = set()
    for _, line in prose(text):
        if heading := re.match(r"#{1,6} (.+)", line):
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).strip().lower()
            slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return found


def broken_links(document: Path, text: str) -> Iterator[str]:
    for number, line in prose(text):
        for target in LINK.findall(re.sub(r"`[^`]*`", "code", line)):
            path, _, anchor = target.partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            file = document.parent / path if path else document
            if not file.exists():
                yield f"line {number}: {target}: there is no such file"
            elif anchor and anchor not in anchors(text if not path else file.read_text()):
                yield f"line {number}: {target}: there is no such heading"


def test_the_front_page_is_read_in_three_minutes() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("name", DOCUMENTS)
def test_lines_are_short(name: str) -> None:
    lines = prose((ROOT / name).read_text())
    long = [number for number, line in lines if len(line) > MOST_CHARACTERS and not line.lstrip().startswith("|")]
    assert long == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    assert list(broken_links(ROOT / name, (ROOT / name).read_text())) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_is_known_to_the_test_that_runs_them(name: str) -> None:
    text = (ROOT / name).read_text()
    openings = re.findall(r"^\s*```console", text, re.MULTILINE)
    notes = [match["note"] or "exit 0" for match in BLOCK.finditer(text)]
    assert len(notes) == len(openings), "a block of commands is indented, or not closed"
    assert [note for note in notes if not re.fullmatch(r"skip|exit \d+", note)] == []
    assert len(re.findall(r"<!-- test:", text)) == sum(match["note"] is not None for match in BLOCK.finditer(text))
    astray = [number for number, line, block in fenced(text) if block not in (None, "console") and line[:2] == "$ "]
    assert astray == [], "commands stand in blocks fenced as console"
    assert all(re.search(r"^\$ ", match["body"], re.MULTILINE) for match in BLOCK.finditer(text))


def test_links_are_followed_as_people_follow_them(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# Two words, and `code`\n\n## Again\n\n## Again\n")
    text = (
        "# Here\n[a](#here) [b](other.md#two-words-and-code) [c](other.md#again-1) [d](https://nowhere.example/x)\n"
        "`[e](no.md)`\n```\n[f](no.md)\n```\n[g](no.md)\n[h](other.md#no)\n"
    )
    page = tmp_path / "page.md"
    page.write_text(text)
    assert [fault.split(": there")[0] for fault in broken_links(page, text)] == [
        "line 7: no.md",
        "line 8: other.md#no",
    ]
