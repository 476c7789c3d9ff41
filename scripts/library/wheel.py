"""What the wheel ships: the packages of the checkout below one import package, and their imports of each other named after it.

`ranker`, `allocator`, `scripts` and `conf` are names that other people's packages have too. So the wheel installs `offermix` alone, and a
line like `from ranker.files import InputError` is `from offermix.ranker.files import InputError` there. Lines keep their numbers.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

NAME = "offermix"
PACKAGES = ("ranker", "allocator", "scripts")
CONF = "conf"
FACADE = "scripts/library/facade/offermix.py"
DATA = (".j2", ".css", ".js", ".LICENSE")
"""Endings of what lies beside the modules and is read by them, or is the licence of such a file."""
OF_CONF = (".yaml", ".md")
TYPED = "py.typed"


def contents(root: Path) -> dict[str, bytes]:
    """Name within the wheel -> content, of everything that is installed; root: the checkout."""
    modules = frozenset(_modules(root))
    found = {f"{NAME}/{file}": _installed(root / file, modules) for file in _shipped(root)}
    facade = dict.fromkeys((f"{NAME}/__init__.py", f"{NAME}/__main__.py"), found[f"{NAME}/{FACADE}"])
    return {**facade, f"{NAME}/{TYPED}": b"", **found}


def _shipped(root: Path) -> Iterator[str]:
    folders = [(package, (".py", *DATA)) for package in PACKAGES] + [(CONF, OF_CONF)]
    for folder, endings in folders:
        for file in sorted((root / folder).rglob("*")):
            inside = file.relative_to(root)
            hidden = any(part.startswith(".") for part in inside.parts)
            if file.is_file() and not hidden and (file.name.endswith(endings) or file.name == "LICENSE"):
                yield inside.as_posix()


def _modules(root: Path) -> Iterator[str]:
    for package in PACKAGES:
        for file in (root / package).rglob("*.py"):
            yield ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def _installed(file: Path, modules: frozenset[str]) -> bytes:
    content = file.read_bytes()
    return renamed(content.decode(), modules).encode() if file.suffix == ".py" else content


def renamed(text: str, modules: frozenset[str]) -> str:
    """The source of a module as it is installed: every module of ours that it imports, or names in full, below NAME."""
    lines = text.splitlines(keepends=True)
    for row, column in sorted(_places(ast.parse(text), modules), reverse=True):
        line = lines[row - 1].encode()
        lines[row - 1] = (line[:column] + f"{NAME}.".encode() + line[column:]).decode()
    return "".join(lines)


def _places(tree: ast.Module, modules: frozenset[str]) -> Iterator[tuple[int, int]]:
    """(line, byte of the line) before which the name of the package is put."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and _ours(node.module):
            yield node.lineno, node.col_offset + len("from ")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if _ours(alias.name) and alias.asname is None:
                    raise ValueError(f"line {node.lineno}: 'import {alias.name}' binds a name of ours; use 'from'")
                if _ours(alias.name):
                    yield alias.lineno, alias.col_offset
        elif isinstance(node, ast.Constant) and node.value in modules and "." in str(node.value):
            yield node.lineno, node.col_offset + 1  # behind the quote


def _ours(module: str | None) -> bool:
    return module is not None and module.split(".")[0] in PACKAGES
