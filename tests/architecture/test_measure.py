"""The program stays as small and as flat as it is: no circles, no arrow that points up, no long bodies."""

import pytest

from tests.architecture.measure import Graph, bodies, circles, files_of, imports, layers, room_of, rooms, table

LONGEST_BODY = 65
LONGEST_COMMAND = 60
ORDER = (
    ("ranker",),
    ("allocator",),
    ("scripts.formats",),
    ("scripts.cli",),
    ("scripts.served",),
    ("scripts.gates",),
    ("scripts.runs",),
    ("scripts.stores",),
    ("scripts.judging",),
    ("scripts.pages",),
    ("scripts",),
    ("scripts.console",),
    ("scripts.bench",),
    ("scripts.library",),
)
"""From the bottom up; a room of scripts may import those before it. Commands stand in scripts itself; the console calls them, bench
measures them, and the library has them for notebooks."""


@pytest.fixture(scope="module")
def graph() -> Graph:
    return imports(files_of())


def level(module: str) -> int:
    room = room_of(module)
    place = room if any(room == name for names in ORDER for name in names) else room.split(".")[0]
    return next(position for position, names in enumerate(ORDER) if place in names)


def test_no_module_and_no_room_imports_itself_by_a_detour(graph: Graph) -> None:
    assert circles(graph) == []
    assert circles(rooms(graph)) == []


def test_no_arrow_points_up(graph: Graph) -> None:
    up = [
        f"{module} imports {other}"
        for module, others in graph.items()
        for other in others
        if level(other) > level(module)
    ]
    assert sorted(up) == []


def test_a_body_fits_on_a_page() -> None:
    found = [(lines, f"{module}.{name}") for module, file in files_of().items() for lines, name in bodies(file)]
    assert [each for each in found if each[0] > LONGEST_BODY] == []


def test_a_command_is_read_at_a_glance() -> None:
    """What it does stands in `runs`, `judging` or a package's entry function, what it prints in `pages`."""
    commands = {module: file for module, file in files_of(("scripts",)).items() if module.count(".") == 1}
    lines = {module: len(file.read_text().splitlines()) for module, file in commands.items() if file.is_file()}
    assert {module: count for module, count in lines.items() if count > LONGEST_COMMAND} == {}


def test_circles_and_layers_are_counted() -> None:
    def drawn(**arrows: str) -> Graph:
        return {node: frozenset(others) for node, others in arrows.items()}

    assert circles(drawn(a="b", b="c", c="")) == [] and layers(drawn(a="b", b="c", c="")) == 3
    assert circles(drawn(a="b", b="ca", c="d", d="c")) == [("c", "d"), ("a", "b")]
    assert layers(drawn(a="b", b="a")) == 0


@pytest.mark.slow
def test_the_table_has_a_row_for_every_figure() -> None:
    assert [line.split("  ")[0] for line in table().splitlines()[1:]] == [
        "files", "arrows", "room arrows", "layers", "largest file", "median body", "p90 body", "largest body",
    ]  # fmt: skip
