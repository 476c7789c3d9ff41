"""Axis letters mean one thing: those of a package's table in all its files, any other within its folder.

A legend is a sentence of a file's docstring: `Axes: U users, A actions (catalogue order), B = A + 1 arms.` Compared are
head nouns: `users`, `actions`, `arms`. N is whatever list the legend names. A lower case letter stands for some of the
upper case one.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.architecture.measure import PACKAGES, ROOT

LIST = "N"
LEGEND = re.compile(r"\bAxes: (.*?)(?:\n\n|\Z)", re.DOTALL)
ENTRY = re.compile(r"(?:^|[,;.] )([A-Za-z]) (?!\+)(.+?)(?=[,;.] [A-Za-z] (?!\+)|\Z)")
FORMULA = re.compile(r"^= (?:(?:[A-Z0-9+^]+|x) )+")
QUALIFIED = re.compile(r" of |[(=:;,.]| that | in | as ")
SUFFIXED = re.compile(r"_?[a-z][a-z0-9_]*_([A-Za-z0-9]*[A-Z][A-Za-z0-9]*)")


def legend(file: Path) -> dict[str, str]:
    """Letter -> head noun of what it stands for."""
    found = LEGEND.search(ast.get_docstring(ast.parse(file.read_text())) or "")
    return {} if found is None else letters(found[1])


def letters(text: str) -> dict[str, str]:
    entries = ENTRY.findall(" ".join(text.split()).rstrip("."))
    return {letter: QUALIFIED.split(FORMULA.sub("", meaning))[0].strip() for letter, meaning in entries}


def legends(package: str) -> dict[str, dict[str, str]]:
    """Of every module of a package, its folders' docstrings left out."""
    files = (file for file in sorted((ROOT / package).rglob("*.py")) if file.stem != "__init__")
    return {file.relative_to(ROOT).with_suffix("").as_posix(): legend(file) for file in files}


def disagreements(table: Mapping[str, str], told: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """`module letter` where a legend says another thing than the table, `folder letter` where legends of a folder differ."""
    nouns: dict[str, set[str]] = defaultdict(set)
    for module, meanings in told.items():
        for letter, noun in meanings.items():
            alone = letter.islower() and letter.upper() not in meanings
            if alone or noun != table.get(letter, noun):
                yield f"{module} {letter}"
            elif letter not in table and letter.upper() not in (LIST, *table):
                nouns[f"{module.rpartition('/')[0]} {letter}"].add(noun)
    yield from (place for place, several in nouns.items() if len(several) > 1)


def suffixes(file: Path) -> Iterator[str]:
    """Of all names that a file gives: variables, arguments, attributes and functions."""
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                pass
            case ast.arg(arg=name) | ast.FunctionDef(name=name):
                pass
            case _:
                continue
        if found := SUFFIXED.fullmatch(name):
            yield found[1]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_letter_means_one_thing(package: str) -> None:
    found = disagreements(legend(ROOT / package / "__init__.py"), legends(package))
    assert sorted(found) == [], "letters that mean two things"


def test_legends_of_the_ranker_name_the_letters_in_use() -> None:
    """But for those of which only the lower case stands there."""
    missing = {}
    for module, meanings in legends("ranker").items():
        used = {letter for suffix in suffixes(ROOT / f"{module}.py") for letter in suffix if letter.isalpha()}
        missing[module] = {letter for letter in used if letter.upper() not in meanings}
    assert {module: sorted(left) for module, left in missing.items() if left} == {}


def test_legends_are_read_as_they_are_meant() -> None:
    text = "R rows of logs (r: some), A actions (catalogue order), B = A + 1 arms, the last one `none`, N more,\nn some of them."
    assert letters(text) == {"R": "rows", "A": "actions", "B": "arms", "N": "more", "n": "some"}
    assert letters("Z = V x C weights of one channel. Action index A is `none`.") == {"Z": "weights"}


def test_disagreements_are_found() -> None:
    told = {
        "p/a": {"U": "users", "D": "days"},
        "p/b": {"U": "uses", "D": "draws", "N": "one"},
        "p/c/d": {"D": "x", "n": "few"},
    }
    assert list(disagreements({"U": "users"}, told)) == ["p/b U", "p/c/d n", "p D"]
