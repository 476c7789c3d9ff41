"""Benchmarks by one command: `python -m scripts.bench allocator [sizes=10000,100000] [gaps=50] [resume=true] [update_readme=true]`
and `python -m scripts.bench ranker [parts=hillstrom,market] [seeds=5] [users=200000] [resume=true] [update_readme=true]`
and `python -m scripts.bench questions [sizes=200000,1000000] [shapes=market,grid] [edits=20] [update_readme=true]`.

A benchmark measures what is asked for. It shows all figures, of this call and of earlier ones, on the terminal; with `update_readme=true`
they also replace the part between its markers in the README.md beside this file.
"""

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from ranker.files import InputError
from scripts.bench.results import Block
from scripts.cli import entry
from scripts.cli.settings import BenchSettings

README = Path(__file__).resolve().with_name("README.md")
BENCHES: Mapping[str, str] = MappingProxyType(
    {
        "allocator": "scripts.bench.bench_allocator",
        "ranker": "scripts.bench.bench_ranker",
        "questions": "scripts.bench.bench_questions",
    }
)
"""By name the module that measures it, imported where it is asked for: every process of a benchmark imports this one again."""
LISTS = ("sizes", "shapes", "peers", "parts")


def run(settings: BenchSettings, readme: Path = README) -> Block:
    """Measures, and rewrites the benchmark's part of `readme` where asked for. Raises InputError."""
    what = settings.bench.what
    opening, closing = markers(what)
    if settings.bench.update_readme and not all(readme.read_text().count(mark) == 1 for mark in (opening, closing)):
        raise InputError(
            [f"{readme.parent.name}/{readme.name}: the markers {opening} and {closing} must stand in it, once each"]
        )
    block: Block = import_module(BENCHES[what]).measure(settings)
    if settings.bench.update_readme:
        readme.write_text(between_markers(readme.read_text(), what, block.markdown))
    return block


def markers(what: str) -> tuple[str, str]:
    return f"<!-- bench:{what} -->", f"<!-- /bench:{what} -->"


def between_markers(text: str, what: str, part: str) -> str:
    """The README's text, with the part between the markers replaced."""
    opening, closing = markers(what)
    head, rest = text.split(opening, 1)
    tail = rest.split(closing, 1)[1]
    return f"{head}{opening}\n\n{part}\n\n{closing}{tail}"


def main(settings: BenchSettings) -> None:
    block = run(settings)
    entry.show_table(f"Bench: {settings.bench.what}", ("",), [(block.opening,)])
    for table in block.tables:
        entry.show_table(table.title, table.columns, table.rows)


def words(argv: Sequence[str]) -> list[str]:
    """The words of the command line as key=value: `allocator` is what=allocator, and a list needs no brackets."""
    return [_word(word) for word in argv]


def _word(word: str) -> str:
    key, _, value = word.partition("=")
    if word in BENCHES:
        return f"what={word}"
    return f"{key}=[{value}]" if key in LISTS and "=" in word and not value.startswith("[") else word


if __name__ == "__main__":
    sys.argv[1:] = words(sys.argv[1:])
    entry.main("bench", BenchSettings, main)
