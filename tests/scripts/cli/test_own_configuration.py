"""A company's folder stands before what is shipped, and whatever is wrong in it is told with file and key."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ranker.files import InputError
from scripts.cli.entry import checked, composed, validated
from scripts.cli.new_configuration import begin
from scripts.cli.own_configuration import configured_here, search
from scripts.cli.settings import Settings, WeeklySettings
from scripts.cli.shipped import before_it, named_in
from scripts.runs import stage
from scripts.runs.trial import configured, decided
from tests.conftest import Called


@pytest.fixture
def company(tmp_path: Path) -> Callable[..., Path]:
    """company(**files): a folder with these files; `__` in a name is a slash."""

    def made(**files: str) -> Path:
        folder = tmp_path / "company"
        for name, text in files.items():
            file = folder / f"{name.replace('__', '/')}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return folder

    return made


def settings(folder: Path, *overrides: str) -> Settings:
    with before_it(folder):
        return validated(WeeklySettings, composed(search(folder), overrides))


def wrong(folder: Path) -> list[str]:
    with before_it(folder), pytest.raises(InputError) as raised:
        search(folder)
    return [problem.replace(f"{folder}/", "") for problem in raised.value.problems]


def test_values_are_put_over_what_is_shipped_and_the_command_line_over_both(company: Callable[..., Path]) -> None:
    folder = company(config="publish: {max_churn: 0.5}\nsolve: {gap: 1.0e-3}\n")
    found = settings(folder, "fit.max_epochs=3")
    assert (found.publish.max_churn, found.publish.max_swing) == (0.5, 0.8)
    assert (found.solve.gap, found.solve.seconds, found.fit.max_epochs) == (1e-3, 600, 3)
    assert settings(folder, "publish.max_churn=0.25").publish.max_churn == 0.25


def test_options_take_the_place_of_shipped_ones_and_are_chosen_by_name(company: Callable[..., Path]) -> None:
    folder = company(
        config="defaults:\n  - solve: nightly\n  - experiment: no_effects\n",
        solve__nightly="defaults: [default, _self_]\ngap: 1.0e-2\n",
        solve__fast="gap: 0.5\n",
    )
    found = settings(folder)
    assert (found.solve.gap, found.solve.nodes) == (1e-2, 1000)
    assert found.data.effects.strength == 0.0
    assert settings(folder, "solve=fast").solve.gap == 0.5, "the company's, not the shipped one"
    assert settings(folder, "solve=exact").solve.method == "exact", "a shipped one that the company does not have"


def test_a_folder_without_settings_changes_nothing(company: Callable[..., Path]) -> None:
    plain = validated(WeeklySettings, composed(search(None), []))
    assert settings(company(policy__ours="version: 1\n")) == plain


def test_everything_wrong_is_told_with_file_and_key(company: Callable[..., Path]) -> None:
    folder = company(
        config="publish: {max_chrun: 0.5, max_churn: 7}\nnonsense: 1\ndefaults: [{solve: nigthly}, {solver: x}, fast]\n",
        solve__nightly="gap: -1\n",
        solve__default="defaults: [default]\n",
        solver__mine="gap: 1\n",
        experiment__x="solve: {gapp: 1}\n",
        setings="seed: 1\n",
        fit__broken="max_epochs: [1\n",
        model__listed="- 1\n",
        data__code="effects: {_target_: os.system}\nusers: ${oc.env:HOME}\n",
    )
    told = wrong(folder)
    for start in (
        "setings.yaml: is not read; settings stand in config.yaml",
        "solver: there is no group 'solver'; did you mean 'solve'?",
        "config.yaml: defaults: solve/ has no nigthly.yaml; did you mean 'nightly'?",
        "config.yaml: defaults: there is no group 'solver'; did you mean 'solve'?",
        "config.yaml: defaults: fast is not of the form GROUP: OPTION",
        "config.yaml: publish.max_chrun: there is no such setting; did you mean 'max_churn'?",
        "config.yaml: publish.max_churn: is 7: input should be less than or equal to 1",
        "config.yaml: nonsense: there is no such setting",
        "solve/nightly.yaml: solve.gap: is -1: input should be greater than",
        "solve/default.yaml: defaults: default names this file itself",
        "experiment/x.yaml: needs the line '# @package _global_'",
        "experiment/x.yaml: solve.gapp: there is no such setting; did you mean 'gap'?",
        "fit/broken.yaml:2: ",
        "model/listed.yaml: holds a list",
        "data/code.yaml: effects._target_: is not for a configuration of settings",
        "data/code.yaml: users: ${oc.env:HOME} calls a resolver",
    ):
        assert any(problem.startswith(start) for problem in told), f"{start} in\n" + "\n".join(told)
    assert not any("is missing" in problem for problem in told), "an option may say a part"


@pytest.mark.parametrize(
    "text", ["hydra: {callbacks: {}}", "hydra:\n  searchpath: [x]", "defaults: [{hydra/launcher: x}]"]
)
def test_nothing_of_hydra_is_set_there(company: Callable[..., Path], text: str) -> None:
    assert len(wrong(company(config=text))) == 1


def test_policies_are_known_by_their_names_the_companys_first(company: Callable[..., Path]) -> None:
    folder = company(policy__default="version: 1\n", policy__ours="version: 1\n", config="weekly: {policy: ours}\n")
    with before_it(folder):
        assert configured().policy == folder / "policy" / "ours.yaml"
        assert configured_here(folder)["weekly"]["policy"] == "ours"
    assert settings(folder).weekly.policy == folder / "policy" / "ours.yaml"
    assert settings(folder, "weekly.policy=default").weekly.policy == folder / "policy" / "default.yaml"
    assert settings(folder, "weekly.policy=minimal").weekly.policy == Path("conf/policy/minimal.yaml")
    with before_it(folder):
        assert decided(settings(folder))[1] is None, "what the company configured is published"
        assert "another policy" in str(decided(settings(folder, "weekly.policy=minimal"))[1])


def test_a_path_is_a_file_of_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = {
        **validated(WeeklySettings, composed(search(None), [])).model_dump(),
        "weekly": {"policy": "conf/policy/default.yaml"},
    }
    assert checked(WeeklySettings, content).weekly.policy == Path("conf/policy/default.yaml")
    (tmp_path / "default").mkdir()
    found = validated(WeeklySettings, composed(search(None), [])).weekly.policy
    assert found.name == "default.yaml" and found.is_file(), "a configured name is a name, whatever lies here"


def test_a_manifest_says_by_which_configuration(company: Callable[..., Path], tmp_path: Path) -> None:
    folder = company(config="seed: 3\n", solve__x="gap: 1.0e-3\n")
    with before_it(folder), stage.write(tmp_path / "made", "train"):
        pass
    said = json.loads((tmp_path / "made" / "manifest.json").read_text())["configuration"]
    assert sorted(said) == ["config.yaml", "solve/x.yaml"] and all(len(each) == 64 for each in said.values())
    with stage.write(tmp_path / "plain", "train"):
        pass
    assert json.loads((tmp_path / "plain" / "manifest.json").read_text())["configuration"] is None


def test_the_flag_names_one_folder_that_is_there(tmp_path: Path) -> None:
    assert named_in(["a=1", f"--config-dir={tmp_path}"]) == (["a=1"], tmp_path)
    assert named_in(["-cd", str(tmp_path), "a=1"]) == (["a=1"], tmp_path)
    for words in (["--config-dir"], ["--config-dir="], ["--config-dir", "nowhere"], ["-cd", str(tmp_path)] * 2):
        with pytest.raises(InputError, match="--config-dir"):
            named_in(words)


def test_what_init_writes_changes_nothing_until_it_is_edited(tmp_path: Path) -> None:
    written = begin(tmp_path / "own")
    assert [file.is_file() for file in written] == [True, True]
    with before_it(tmp_path / "own"):
        found = validated(WeeklySettings, composed(search(tmp_path / "own"), []))
    plain = validated(WeeklySettings, composed(search(None), []))
    assert found.weekly.policy.read_bytes() == plain.weekly.policy.read_bytes()
    assert found.model_copy(update={"weekly": plain.weekly}) == plain
    with pytest.raises(InputError, match="is there already"):
        begin(tmp_path / "own")


@pytest.mark.slow
def test_commands_take_the_flag(call: Callable[..., Called], company: Callable[..., Path]) -> None:
    folder = company(config="publish: {max_chrun: 1}\n", policy__ours="version: 1\nobjectiv: []\n")
    called = call("-m", "scripts.train", "--config-dir", folder, "logs=x", "model=y", "fiit=3")
    assert called.returncode == 2
    assert "config.yaml: publish.max_chrun: there is no such setting" in called.stderr
    assert "there is no setting 'fiit'" in called.stderr, "what is wrong elsewhere is told with it"
    at_once = call("-m", "scripts.check_policy", "policy=ours", f"--config-dir={folder}")
    assert at_once.returncode == 2 and "policy/ours.yaml" in at_once.stderr and "Traceback" not in at_once.stderr
