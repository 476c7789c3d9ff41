"""Who may import whom, and what may not stand in the code at all."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ranker", "allocator", "scripts")
FILES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(file: Path) -> Iterator[str]:
    """Every imported module of a file, at any depth of the code, with the imported name where that is a module of ours."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            for alias in node.names:
                longer = f"{node.module}.{alias.name}"
                yield longer if longer in MODULES else str(node.module)


MODULES = {module_of(file): file for file in FILES}
IMPORTS = {module: set(imports_of(file)) for module, file in MODULES.items()}


def offenders(package: str, forbidden: str, *, allowed: str = "(?!)") -> list[str]:
    """`module imports other` for every module in `package` that imports what matches `forbidden` but not `allowed`."""
    return [
        f"{module} imports {other}"
        for module, others in IMPORTS.items()
        if module == package or module.startswith(f"{package}.")
        for other in sorted(others)
        if re.match(rf"({forbidden})(\.|$)", other) and not re.match(rf"({allowed})$", other)
    ]


def test_the_ranker_knows_nothing_of_the_allocator_or_of_commands() -> None:
    assert offenders("ranker", "allocator|ortools|scripts") == []


def test_the_allocator_knows_only_the_scores_of_the_ranker_how_files_are_read_and_the_normal_quantiles() -> None:
    assert (
        offenders("allocator", "ranker|scripts", allowed=r"ranker\.(scores|catalogue|files|disk|columns|normal)") == []
    )


def test_the_allocator_decides_without_torch() -> None:
    """A GPU may price; what is allowed is never up to torch, and nothing but a chosen device brings it in."""
    assert offenders("allocator", "torch|lightning") == ["allocator.solve.device imports torch"]


def test_tracking_and_configuration_frameworks_stay_in_scripts() -> None:
    assert offenders("ranker", "mlflow|hydra|omegaconf") == []
    assert offenders("allocator", "mlflow|hydra|omegaconf") == []


def test_the_web_stays_in_the_console() -> None:
    assert offenders("ranker", "fastapi|starlette|uvicorn") == []
    assert offenders("allocator", "fastapi|starlette|uvicorn") == []
    found = {line.split()[0] for line in offenders("scripts", "fastapi|starlette|uvicorn")}
    assert found and all(module.startswith("scripts.console.") for module in found)


def test_mlflow_is_imported_where_weeks_are_recorded_alone() -> None:
    found = {line.split()[0] for line in offenders("scripts", "mlflow")}
    assert {module for module in found if not module.startswith("scripts.served.")} == {
        "scripts.crashes.untracked",  # takes it away
        "scripts.runs.champion",
        "scripts.runs.history",
        "scripts.runs.mlflow_entries",
        "scripts.runs.mlflow_models",
        "scripts.runs.mlflow_moved",
        "scripts.runs.mlflow_store",
        "scripts.runs.tracking",
    }


def test_airflow_is_imported_by_its_dag_alone_which_needs_nothing_of_the_program() -> None:
    assert {line.split()[0] for line in offenders("scripts", "airflow")} == {"scripts.schedulers.airflow_dag"}
    assert offenders("scripts.schedulers", "scripts|ranker|allocator") == []


def test_the_judge_shares_nothing_with_the_solver() -> None:
    reached, todo = set(), [module for module in MODULES if module.startswith("allocator.audit.")]
    assert "allocator.audit.judge" in todo
    while todo:
        module = todo.pop()
        if module not in reached and module in IMPORTS:
            reached.add(module)
            todo += [other for other in IMPORTS[module] if other.startswith("allocator")]
    forbidden = (
        "allocator.problem",
        "allocator.users",
        "allocator.constraints",
        "allocator.contact_rules",
        "allocator.user_classes",
        "allocator.scopes",
        "allocator.previous_contacts",
        "allocator.assign",
        "allocator.solve",
        "allocator.certify.certificate",
        "allocator.allocation",
        "allocator.infeasible.diagnosis",
    )
    assert [module for module in sorted(reached) if module.startswith(forbidden)] == []
    assert not any(other.startswith("ortools") for module in reached for other in IMPORTS[module])


def test_no_module_is_called_after_nothing() -> None:
    empty_names = {"utils", "util", "common", "types", "helpers", "misc", "core_utils"}
    assert [module for module in MODULES if set(module.split(".")) & empty_names] == []


CODE_ON_LOAD = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}


RUNNING = {
    "eval", "exec", "compile", "__import__", "torch.load", "torch.save", "torch.jit.load", "torch.package.PackageImporter",
    "torch.hub.load", "instantiate", "hydra.utils.instantiate", "hydra.utils.call", "pd.read_pickle", "pd.to_pickle", "yaml.load",
    "yaml.unsafe_load", "yaml.full_load", "logging.config.dictConfig", "logging.config.fileConfig", "runpy.run_path",
    "os.system", "os.popen", "importlib.reload", "joblib.load", "mlflow.pytorch.load_model", "mlflow.sklearn.load_model",
}  # fmt: skip
"""Calls that run code which a file, or a text, names."""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_nothing_that_is_loaded_can_run_code(file: Path) -> None:
    """No pickles, no torch.load, no eval or exec, no instantiation of classes that a configuration names."""
    assert not {other.split(".")[0] for other in IMPORTS[module_of(file)]} & CODE_ON_LOAD
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in RUNNING, f"line {node.lineno}"
            assert not any(word.arg == "shell" for word in node.keywords), f"line {node.lineno}: a shell would read it"
            if called == "YAML":
                assert {word.arg: ast.unparse(word.value) for word in node.keywords}["typ"] == "'safe'"
            allow_pickle = [word for word in node.keywords if word.arg == "allow_pickle"]
            assert not any(getattr(word.value, "value", True) for word in allow_pickle), f"line {node.lineno}"


STARTED = {
    "scripts.audit_dependencies": "pip-audit",
    "scripts.runs.digests": "git, for the version of the code",
    "scripts.crashes.killed": "the week that is killed",
    "scripts.crashes.full_disk": "the week in a namespace with a small file system",
    "scripts.schedulers.airflow_dag": "the commands that the tasks of Airflow call",
}
"""Modules that start another program, and which."""


def test_other_programs_are_started_where_it_is_said_for_what() -> None:
    started = {
        module
        for module, others in IMPORTS.items()
        if "subprocess" in others and not module.startswith("scripts.bench")
    }
    assert started == STARTED.keys()


def test_no_configuration_names_a_class() -> None:
    assert [file.name for file in (ROOT / "conf").rglob("*.yaml") if "_target_" in file.read_text()] == []


def test_modules_define_and_scripts_run() -> None:
    """Importing a module does no work: at the top level stand definitions, constants and the main guard only."""
    allowed = (
        ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign
    )
    for file in FILES:
        for node in ast.parse(file.read_text()).body:
            if file.name == "model_code.py" and ast.unparse(node) == "set_model(OffermixRanker())":
                continue  # MLflow runs that file, and asks for this
            is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            assert isinstance(node, allowed) or is_text or _is_guard(node), f"{file.name}:{node.lineno}"


def _is_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("__name__ == '__main__'", "TYPE_CHECKING")


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a checkout")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|Users|root|work|mnt|opt/\w+)/\w")
REGISTRY = re.compile(r"https?://[^\s\"')]*(?:artifactory|nexus|pypi\.[^o]|mirror)", re.IGNORECASE)
SECRET = re.compile(r"(?i)(?:password|passwd|secret|api_?key|token)\s*[:=]\s*['\"][A-Za-z0-9+/_\-]{16,}['\"]")


def test_the_repository_is_about_no_machine_in_particular() -> None:
    found = []
    for file in tracked_files():
        try:
            text = file.read_text()
        except UnicodeDecodeError:
            continue
        for pattern in (MACHINE_PATH, REGISTRY, SECRET):
            found += [f"{file.relative_to(ROOT)}: {match.group()}" for match in pattern.finditer(text)]
    assert found == []


@pytest.mark.parametrize(
    "module", ["ranker.scores", "allocator.policy.reader", "allocator.audit.judge", "scripts.cli.settings"]
)
def test_light_modules_stay_light(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'torch', 'ortools', 'mlflow', 'lightning'}} & set(sys.modules)))"
    called = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert called.stdout.strip() == "[]"
