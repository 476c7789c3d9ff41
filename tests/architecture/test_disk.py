"""Everything that lasts is written in one place: `ranker.disk`, whose acts a test can count and stop at."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.measure import PACKAGES, ROOT

METHODS = {
    "mkdir",
    "rmdir",
    "write_text",
    "write_bytes",
    "touch",
    "rename",
    "unlink",
    "symlink_to",
    "hardlink_to",
    "chmod",
}
FUNCTIONS = {
    "os.replace", "os.rename", "os.renames", "os.link", "os.symlink", "os.unlink", "os.remove", "os.rmdir", "os.mkdir", "os.makedirs",
    "os.fsync", "os.truncate", "shutil.rmtree", "shutil.copy", "shutil.copy2", "shutil.copytree", "shutil.move", "pq.ParquetWriter",
    "pq.write_table", "np.save", "np.savez", "torch.save", "json.dump",
}  # fmt: skip
WRITING = re.compile(r"[wax+]")
ELSEWHERE = {
    "ranker.files": "arrays in files that live as long as their process",
    "allocator.solve.kernel": "compiled kernels, which can be made again",
    "scripts.cli.logs": "a run's log, which is not asked to last",
    "scripts.runs.locks": "a lock, which is there as long as it is held",
}


def acts(file: Path) -> Iterator[str]:
    """`line: what` of every call in the file that changes files."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ClassDef):
            logs = [ast.unparse(base) for base in node.bases if ast.unparse(base).endswith("FileHandler")]
            yield from (f"{node.lineno}: {base}" for base in logs)
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
            continue
        name = ast.unparse(node.func)
        if name == "open" and ast.unparse(node.args[0]) == "os.devnull":
            continue
        last = name.rpartition(".")[2]
        modes = [word.value for word in node.args if isinstance(word, ast.Constant) and isinstance(word.value, str)]
        to_write = last == "open" and any(WRITING.search(mode) and len(mode) <= 3 for mode in modes)
        replaced = last == "replace" and len(node.args) == 1 and not node.keywords  # of a string it takes two
        if name.startswith("disk."):
            continue
        if (
            to_write
            or replaced
            or name in FUNCTIONS
            or (last in METHODS and "." in name)
            or last in ("to_parquet", "to_csv")
        ):
            yield f"{node.lineno}: {name}"


def test_only_one_module_changes_files_that_last() -> None:
    found = {}
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            if (
                module == "ranker.disk"
                or module.startswith(("scripts.bench", "scripts.crashes"))
                or module in ELSEWHERE
            ):
                continue
            if told := list(acts(file)):
                found[module] = told
    assert found == {}


def test_what_stands_elsewhere_still_does() -> None:
    for module in ELSEWHERE:
        assert list(acts(ROOT / f"{module.replace('.', '/')}.py")), f"{module} writes nothing any more"
