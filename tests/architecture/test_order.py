"""Nothing is done in the order of a set of texts, which differs from process to process: same inputs give the same bytes."""

import ast
from collections.abc import Iterator

from tests.documents import ROOT

PACKAGES = ("allocator", "ranker", "scripts")
WITHOUT_ORDER = frozenset({"sorted", "set", "frozenset", "any", "all", "sum", "min", "max", "len", "Counter"})
"""What comes out alike whatever the order of what goes in."""


def is_set(node: ast.expr) -> bool:
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr | ast.Sub | ast.BitXor):
        return any(is_set(side) or _is_keys(side) for side in (node.left, node.right))
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("set", "frozenset")


def _is_keys(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "keys"


def in_order_of_a_set(tree: ast.AST) -> Iterator[int]:
    """Lines that go through a set, but for what is handed to one of WITHOUT_ORDER or becomes a set itself."""
    harmless = {
        id(argument)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in WITHOUT_ORDER
        for argument in call.args
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.For) and is_set(node.iter):
            yield node.lineno
        if isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp) and id(node) not in harmless:
            yield from (node.lineno for each in node.generators if is_set(each.iter))


def test_nothing_is_done_in_the_order_of_a_set() -> None:
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    assert len(files) > 300
    found = [
        f"{file.relative_to(ROOT)}:{line}" for file in files for line in in_order_of_a_set(ast.parse(file.read_text()))
    ]
    assert found == []


def test_what_goes_through_a_set_is_seen() -> None:
    wrong = ("for x in {1, 2}: f(x)", "[f(x) for x in a.keys() & b.keys()]", "for x in set(a) - b: f(x)")
    right = ("for x in sorted({1, 2}): f(x)", "any(f(x) for x in {1, 2})", "{x for x in set(a)}", "for x in a: f(x)")
    assert [len(list(in_order_of_a_set(ast.parse(text)))) for text in wrong] == [1, 1, 1]
    assert [len(list(in_order_of_a_set(ast.parse(text)))) for text in right] == [0, 0, 0, 0]
