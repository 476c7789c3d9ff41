"""How large the program is and who imports whom: `python -m tests.architecture.measure` prints it as a table.

A room is a folder of a package with all that lies in it; a module that stands at the top of its package is a room by itself.
An arrow is one module importing another; an arrow between rooms is counted once however many modules draw it.
"""

import ast
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ranker", "allocator", "scripts")
Graph = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Figures:
    """Of one package, or of all: sizes in lines; a body is that of a function, without its signature and docstring."""

    files: int
    arrows: int
    room_arrows: int
    layers: int
    largest_file: tuple[int, str]
    median_body: float
    p90_body: float
    largest_body: tuple[int, str]


def files_of(packages: tuple[str, ...] = PACKAGES) -> dict[str, Path]:
    """Every module by its dotted name."""
    found = (file for package in packages for file in sorted((ROOT / package).rglob("*.py")))
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in found}


def imports(modules: Mapping[str, Path]) -> Graph:
    """Module -> the modules of the program that it imports, at any depth of the code."""
    return {module: frozenset(_imported(file, modules)) - {module} for module, file in modules.items()}


def _imported(file: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                longer = f"{node.module}.{alias.name}"
                yield from [longer] if longer in modules else [str(node.module)] if node.module in modules else []


def room_of(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[:2])


def rooms(graph: Graph) -> Graph:
    """The same arrows between rooms."""
    found: dict[str, set[str]] = {room_of(module): set() for module in graph}
    for module, others in graph.items():
        found[room_of(module)] |= {room_of(other) for other in others} - {room_of(module)}
    return {room: frozenset(others) for room, others in found.items()}


def circles(graph: Graph) -> list[tuple[str, ...]]:
    """Groups of nodes that reach each other, by Tarjan's algorithm."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[tuple[str, ...]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            found.extend([tuple(sorted(group))] if len(group) > 1 else [])

    for node in graph:
        if node not in index:
            visit(node)
    return found


def layers(graph: Graph) -> int:
    """The longest way along arrows, in nodes; 0 where there is a circle."""
    if circles(graph):
        return 0
    depth: dict[str, int] = {}

    def reach(node: str) -> int:
        if node not in depth:
            depth[node] = 1 + max(map(reach, graph[node]), default=0)
        return depth[node]

    return max(map(reach, graph), default=0)


def bodies(file: Path) -> Iterator[tuple[int, str]]:
    """(lines of the body, name) of every function."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            documented = ast.get_docstring(node) is not None
            first = node.body[1 if documented else 0] if len(node.body) > documented else None
            yield (0 if first is None else node.body[-1].end_lineno - first.lineno + 1), node.name


def measure(packages: tuple[str, ...] = PACKAGES) -> Figures:
    """Arrows within these packages alone."""
    modules = files_of(packages)
    graph = imports(modules)
    sizes = [(len(file.read_text().splitlines()), module) for module, file in modules.items()]
    lengths = [(lines, f"{module}.{name}") for module, file in modules.items() for lines, name in bodies(file)]
    lines = [length for length, _ in lengths]
    return Figures(
        files=len(modules),
        arrows=sum(map(len, graph.values())),
        room_arrows=sum(map(len, rooms(graph).values())),
        layers=layers(graph),
        largest_file=max(sizes),
        median_body=statistics.median(lines),
        p90_body=statistics.quantiles(lines, n=10)[-1],
        largest_body=max(lengths),
    )


def table() -> str:
    columns = {**{package: measure((package,)) for package in PACKAGES}, "all": measure()}
    rows = [("", *columns)]
    for name in Figures.__dataclass_fields__:
        held = [getattr(figures, name) for figures in columns.values()]
        rows.append(
            (
                name.replace("_", " "),
                *(f"{each[0]} {each[1]}" if isinstance(each, tuple) else f"{each:g}" for each in held),
            )
        )
    widths = [max(len(row[position]) for row in rows) for position in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


if __name__ == "__main__":
    graph = imports(files_of())
    print(table())
    for kind, drawn in (("modules", graph), ("rooms", rooms(graph))):
        print(f"circles of {kind}: {'; '.join(map(', '.join, circles(drawn))) or 'none'}")
