"""The check answers at once: everything that is wrong, with exit 2, as sentences and as JSON."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from ranker.files import InputError
from scripts import check_policy, policy_schema
from scripts.cli.at_once import given
from tests.allocator.instances import write_scores
from tests.allocator.policy.broken import FILES, Broken
from tests.conftest import ROOT

SLOW = {"torch", "lightning", "pandas", "numba", "ortools", "scipy", "mlflow", "hydra", "omegaconf", "numpy", "pyarrow"}
POLICY = """version: 1
objective: [{metric: revenue, weight: 1.0}]
constraints:
  - {id: push, kind: volume, where: {surface: push}, max: 4}
"""


def run(*words: str) -> int:
    return check_policy.run(given("check_policy", words, ["policy"]))


def command(*words: str, name: str = "check_policy") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", f"scripts.{name}", *words], cwd=ROOT, capture_output=True, text=True, env=environment
    )


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "scores"
    write_scores(path, 1_000, 1)
    return path


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def test_a_policy_that_is_right_is_done(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"policy={policy}") == 0
    assert capsys.readouterr().out == "Nothing is wrong with this policy of 1 rules.\n"


@pytest.mark.parametrize("file", sorted((ROOT / "conf" / "policy").glob("*.yaml")), ids=lambda file: file.stem)
def test_the_policies_of_the_project_are_right(file: Path) -> None:
    assert run(f"policy={file}") == 0


def test_every_mistake_is_told_for_programs(policy: Path, scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy.write_text(
        POLICY.replace("push, kind", "push, kid")
        .replace("revenue", "revenu")
        .replace("surface: push", "surface: pusch")
    )
    assert run(f"policy={policy}", f"scores={scores}", "json=true") == 2
    told = json.loads(capsys.readouterr().out)
    assert all(each.keys() == {"file", "line", "key", "problem", "suggestion", "severity"} for each in told)
    assert {each["file"] for each in told} == {str(policy)}
    assert told[0] | {"file": ""} == {
        "file": "",
        "line": 2,
        "key": "objective[0].metric",
        "problem": "the scores have no metric 'revenu'",
        "suggestion": "did you mean 'revenue'?",
        "severity": "error",
    }
    assert [(each["line"], each["key"]) for each in told[1:]] == [(4, "constraints.push.kind")]


def test_every_mistake_is_told_for_people(policy: Path) -> None:
    policy.write_text(POLICY.replace("max: 4", "max: many").replace("version: 1", "version: 2"))
    with pytest.raises(InputError) as refusal:
        run(f"policy={policy}", "set.push.where.surface=[push,home]", "set.nobody.max=1")
    assert [problem.removeprefix(str(policy)) for problem in refusal.value.problems] == [
        ": set.nobody.max: no rule has the id 'nobody'; there is exploration, fallback, holdout, push, risk",
        ":1: version: only version 1 can be read, not 2",
        ":4: constraints.push.max: 'many' is not a number or a percentage like 5%",
    ]


def test_doubts_are_warnings_and_done(policy: Path, scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"policy={policy}", f"scores={scores}", "json=true") == 0
    (warning,) = json.loads(capsys.readouterr().out)
    assert warning | {"file": ""} == {
        "file": "",
        "line": 4,
        "key": "constraints.push.max",
        "problem": "4 is a number of contacts, next to nothing for 1,000 users",
        "suggestion": "did you mean 4%, which is 40?",
        "severity": "warning",
    }
    assert run(f"policy={policy}", f"scores={scores}") == 0
    assert f"Mind: {policy}:4: constraints.push.max: 4 is a number of contacts" in capsys.readouterr().out


def test_users_of_a_filter_are_counted(policy: Path, scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy.write_text(POLICY.replace("max: 4", "max: 1, users: {market: SE, not: {market: NO}}"))
    run(f"policy={policy}", f"scores={scores}", "json=true")
    (warning,) = json.loads(capsys.readouterr().out)
    users = int(warning["problem"].split()[-2])
    assert 200 < users < 1_000
    assert warning["suggestion"] == f"did you mean 1%, which is {users // 100}?"


def test_a_catalogue_alone_checks_offers_and_metrics_but_no_users(policy: Path, scores: Path) -> None:
    catalogue = f"catalogue={scores / 'catalogue.json'}"
    policy.write_text(POLICY.replace("max: 4", "max: 4, users: {market: nowhere}"))
    assert run(f"policy={policy}", catalogue) == 0
    with pytest.raises(InputError, match="no user has market 'nowhere'"):
        run(f"policy={policy}", f"scores={scores}")
    policy.write_text(POLICY.replace("surface: push", "surface: pusch"))
    with pytest.raises(InputError, match="did you mean 'push'"):
        run(f"policy={policy}", catalogue)


def test_the_words_that_filters_know_are_listed(policy: Path, scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"policy={policy}", f"scores={scores}", "words=true", "json=true") == 0
    words = json.loads(capsys.readouterr().out)["words"]
    assert "push" in words["where"]["surface"]
    assert "SE" in words["users"]["market"]
    assert words["metric"].keys() >= {"revenue"}
    assert run(f"policy={policy}", f"scores={scores}", "words=true") == 0
    table = capsys.readouterr().out
    assert any(line.split()[:2] == ["where", "surface"] and "'push'" in line for line in table.splitlines())


def test_words_of_the_command_line_are_told_all_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refusal:
        given("check_policy", ["polici=a.yaml", "json=maybe", "set.x=3", "scores="], ["policy"])
    assert list(refusal.value.problems) == [
        "polici=a.yaml: there is no key 'polici'; did you mean 'policy'?",
        "json=maybe: is true or false, not maybe",
        "set.x=3: is not of the form set.ID.FIELD=VALUE",
        "scores=: names no path",
        "policy: is missing; give policy=...",
    ]


HANDFUL = [each for each in FILES if each.name in ("alias bomb", "10,000 levels", "10 MB", "binary", "kind misspelt")]


@pytest.mark.parametrize("broken", HANDFUL, ids=lambda broken: broken.name)
def test_the_command_ends_in_exit_2_soon_and_without_a_traceback(broken: Broken, tmp_path: Path) -> None:
    """About half a second of the processor; the limit is for what does not end, on any machine."""
    (tmp_path / "policy.yaml").write_bytes(broken.content)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = command(f"policy={tmp_path / 'policy.yaml'}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ended.returncode == 2
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10
    assert "Traceback" not in ended.stderr
    assert ended.stderr.startswith("check_policy: ")
    assert "policy.yaml" in ended.stderr


def test_paths_that_lead_elsewhere_are_told_as_any_other(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone", "/dev/zero", "../../etc/shadow/x", "a\0b", "x" * 5_000):
        assert run_quietly(f"policy={path}") == 2


def run_quietly(*words: str) -> int:
    try:
        return run(*words)
    except InputError:
        return 2


@pytest.mark.parametrize("name", ["check_policy", "diff_policy", "policy_schema"])
def test_nothing_slow_is_loaded(name: str) -> None:
    text = f"import sys, scripts.{name}; print(sorted({SLOW} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True)
    assert ended.stdout.strip() == "[]"


def test_help_names_every_key() -> None:
    ended = command("--help")
    assert ended.returncode == 0
    assert all(key in ended.stdout for key in ("policy", "scores", "catalogue", "json", "words"))


def test_the_schema_is_written_with_the_words_of_the_scores(tmp_path: Path, scores: Path) -> None:
    out = tmp_path / "deep" / "policy.schema.json"
    assert policy_schema.run(given("policy_schema", [f"out={out}", f"scores={scores}"], ["out"])) == 0
    schema = json.loads(out.read_text())
    assert "push" in schema["$defs"]["offers"]["properties"]["surface"]["anyOf"][0]["enum"]


def test_scores_are_counted_without_pandas(policy: Path, scores: Path) -> None:
    policy.write_text(POLICY.replace("max: 4", "max: 1, users: {market: SE}"))
    words = [f"policy={policy}", f"scores={scores}"]
    text = (
        "import sys; from scripts import check_policy; from scripts.cli.at_once import given\n"
        f"check_policy.run(given('check_policy', {words!r})); print(sorted({SLOW - {'numpy', 'pyarrow'}} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"
