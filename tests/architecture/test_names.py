"""One name, one thing: no two classes of the program are called the same, wherever they stand."""

import ast
from collections import defaultdict

from tests.architecture.test_imports import MODULES


def test_a_class_name_stands_once() -> None:
    found: dict[str, list[str]] = defaultdict(list)
    for module, file in MODULES.items():
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef):
                found[node.name].append(module)
    assert {name: modules for name, modules in found.items() if len(modules) > 1} == {}
