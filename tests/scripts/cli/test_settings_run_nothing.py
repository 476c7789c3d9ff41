"""Words of a call name no code, no folders of Hydra's and no secrets: each is refused before anything is composed."""

import os
from pathlib import Path

import pytest

from scripts.cli import entry
from scripts.cli.keys import translate
from scripts.cli.settings import TrainSettings
from tests.conftest import ROOT

CONF = ROOT / "conf"
OF_HYDRA = (
    "+hydra.callbacks.x={_target_:pathlib.Path.touch,self:MARK}",
    "hydra.job_logging={version:1,handlers:{x:{'()':os.mkdir,path:MARK}},root:{handlers:[x]}}",
    "+hydra.hydra_logging.handlers.x.class=os.mkdir",
    "hydra/job_logging=default",
    "hydra/launcher=joblib",
    "hydra.launcher._target_=os.system",
    "hydra/sweeper=optuna",
    "hydra.sweeper._target_=os.system",
    "hydra.searchpath=[file://MARK]",
    "hydra.run.dir=MARK",
    "hydra.sweep.dir=MARK",
    "hydra.output_subdir=x",
    "hydra.job.chdir=true",
    "+hydra.job.env_set.LD_PRELOAD=x.so",
    "++hydra.job.env_copy=[TOKEN]",
    "hydra.mode=MULTIRUN",
    "hydra={}",
    "~hydra.job_logging",
    "hydra@_global_=x",
)
OF_FOLDERS = (
    "+experiment=../../x/evil",
    "+experiment=[../../x/evil]",
    "+experiment=[large,../../x/evil]",
    "+experiment=choice(../../x/evil)",
    "+experiment='../../x/evil'",
    "fit=[/x/evil]",
    "fit=glob(../../x/*)",
    "data=..",
)
OF_CODE = ("+_target_=os.system", "+model._target_=os.system", "fit._target_=os.system", "+model@hydra=valuenet")
FLAGS = (
    "--experimental-rerun=x.pickle",
    "--config-di=x",
    "-cd/x",
    "-cp=x",
    "--config-name=x",
    "--hydra-help",
    "--no-such-flag",
    "--cfg=code",
    "--info=secrets",
)
SECRETS = ("${oc.env:TOKEN,none}", "${file:/etc/hostname}")


@pytest.mark.parametrize("word", [*OF_HYDRA, *OF_FOLDERS, *OF_CODE, *FLAGS])
def test_a_word_that_names_code_or_folders_is_refused_before_hydra_reads_it(word: str) -> None:
    call = translate("train", [word], CONF)
    assert len(call.problems) == 1
    assert call.problems[0].startswith(word.split("=")[0])
    assert (word in OF_HYDRA) == ("Hydra's own settings" in call.problems[0])


def test_nothing_is_run_or_made_by_any_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = tmp_path / "evil.yaml"
    evil.write_text(
        f"# @package _global_\nhydra: {{callbacks: {{x: {{_target_: pathlib.Path.touch, self: {tmp_path}/m}}}}}}"
    )
    around = f"+experiment=[{os.path.relpath(evil.with_suffix(''), CONF / 'experiment')}]"
    words = [word.replace("MARK", str(tmp_path / "m")) for word in (*OF_HYDRA, *OF_CODE)]
    monkeypatch.chdir(tmp_path)
    before, ran = dict(os.environ), list[TrainSettings]()
    assert entry.execute("train", TrainSettings, ran.append, ["logs=l", "model=m", around, *words]) == 2
    assert f"{len(words) + 1} problems" in capsys.readouterr().err
    assert dict(os.environ) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["evil.yaml"]
    assert ran == []


@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_is_read(secret: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TOKEN", "hush")
    words = ["logs=l", "model=m", f"tracking.experiment={secret}"]
    assert entry.execute("train", TrainSettings, lambda settings: None, words) == 2
    told = capsys.readouterr().err
    assert "configuration: " in told and "hush" not in told and "Traceback" not in told


def test_groups_and_flags_that_are_known_are_taken() -> None:
    words = ["fit=fast", "+experiment=[large,no_effects]", "--cfg", "job", "--resolve", "-p", "fit"]
    call = translate("train", words, CONF)
    assert call.problems == ()
    assert call.flags == ("--cfg", "job", "--resolve", "-p", "fit")
    assert translate("train", ["-m", "fit=fast,default", "model=glob(*)"], CONF).problems == ()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["seed=1", "seed=2"], "seed: is given 2 values; give it one"),
        (["--multirun", "--cfg", "job"], "--cfg job --multirun: only one of them at a time"),
        (["--resolve"], "--resolve: goes with --cfg job"),
        (["seed=" + "[" * 600 + "]" * 600], "seed: nests too deep to be read"),
    ],
)
def test_words_that_contradict_each_other_are_told(words: list[str], told: str) -> None:
    assert translate("train", words, CONF).problems == (told,)


def test_a_sweep_over_nothing_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["logs=l", "model=m", "seed=range(3,1)", "--multirun"]
    assert entry.execute("train", TrainSettings, lambda settings: None, words) == 2
    assert "there is nothing to sweep over" in capsys.readouterr().err
