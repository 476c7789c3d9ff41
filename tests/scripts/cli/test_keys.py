"""The words after a command: keys, groups, rules of the policy, and values with every kind of character."""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from scripts.cli.keys import apart, help_text, quoted, readable, translate


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    for name in ("model/valuenet", "model/wide", "fit/quick", "policy/default", "experiment/small"):
        file = tmp_path / f"conf/{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}\n")
    return tmp_path / "conf"


def test_a_value_that_names_an_option_chooses_it_and_anything_else_is_the_path(conf: Path) -> None:
    translated = translate("train", ["model=wide", "model=./wide", "logs=runs/x"], conf).hydra
    assert translated == ("model=wide", "paths.model='./wide'", "paths.logs='runs/x'")


def test_a_policy_is_a_file_or_short_for_one_and_never_a_group(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(conf.parent)
    translated = translate("allocate", ["policy=some/file.yaml", "policy=default"], conf).hydra
    assert translated == ("paths.policy='some/file.yaml'", "paths.policy='conf/policy/default.yaml'")
    compared = translate("what_if", ["policy=some/file.yaml", "base=default"], conf).hydra
    assert compared == ("paths.policy='some/file.yaml'", "paths.base='conf/policy/default.yaml'")


def test_publish_of_the_week_is_a_choice_and_never_the_guardrails(conf: Path) -> None:
    assert translate("weekly", ["publish=true"], conf).hydra == ("weekly.publish=true",)
    assert translate("weekly", ["publish.max_gap=0.1"], conf).hydra == ("publish.max_gap=0.1",)


def test_the_same_word_means_a_count_or_a_folder_depending_on_the_command(conf: Path) -> None:
    assert translate("make_market", ["users=500"], conf).hydra == ("data.users=500",)
    assert translate("score", ["users=500"], conf).hydra == ("paths.users='500'",)


@pytest.mark.parametrize(
    "value", ["5%", "450000", "0.05", "{soft: 2.5}", "report_only", "a, b=c", "2026-01-01", "[SE, NO]"]
)
def test_a_rule_takes_any_value_without_quotes(conf: Path, value: str) -> None:
    call = translate("allocate", [f"set.push_capacity.max={value}"], conf)
    assert not call.problems
    parsed = OverridesParser.create().parse_override(call.hydra[0])
    assert parsed.key_or_group == "set.push_capacity.max"


def test_a_percentage_stays_text_and_a_count_a_number(conf: Path) -> None:
    def value(text: str) -> object:
        return OverridesParser.create().parse_override(translate("allocate", [text], conf).hydra[0]).value()

    assert value("set.x.max=5%") == "5%"
    assert value("set.x.max=5") == 5


def test_a_whole_rule_is_taken_away_and_never_replaced(conf: Path) -> None:
    assert translate("allocate", ["set.push_capacity=null"], conf).hydra == ("++set.push_capacity=null",)
    for word in ("set.push_capacity=3", "set=null"):
        (problem,) = translate("allocate", [word], conf).problems
        assert "is not of the form set.ID.FIELD=VALUE" in problem


@pytest.mark.parametrize(
    ("word", "row", "rule", "whole"),
    [
        ("set.books@SE.max=10%", "books@SE", "books", "set.books.max"),
        ("set.books@SE=null", "books@SE", "books", "set.books"),
        ("set.böcker@a.b.min=3", "böcker@a.b", "böcker", "set.böcker.min"),
    ],
)
def test_one_row_of_a_rule_is_not_a_rule(conf: Path, word: str, row: str, rule: str, whole: str) -> None:
    (problem,) = translate("allocate", [word], conf).problems
    assert problem.startswith(f"{word}: '{row}' is one row of the rule '{rule}'; {whole} changes all its rows")


@pytest.mark.parametrize("word", ["=", "+=", "=x", "++=3"])
def test_an_override_without_a_key_is_told_as_such(conf: Path, word: str) -> None:
    assert translate("allocate", [word], conf).problems == (f"{word}: is not of the form key=value",)


def test_a_sweep_over_paths_and_bounds_keeps_its_commas(conf: Path) -> None:
    call = translate("allocate", ["--multirun", "policy=a.yaml,b.yaml", "set.x.max=1,2"], conf)
    assert call.multirun
    assert call.hydra == ("paths.policy='a.yaml','b.yaml'", "++set.x.max=1,2")


def test_every_mistake_is_listed_with_what_was_probably_meant(conf: Path) -> None:
    words = ["log=x", "fit=quik", "+experiment=smal", "nonsense", "set.x=3", "-cn=other", "model="]
    problems = translate("train", words, conf).problems
    assert len(problems) == len(words)
    text = "\n".join(problems)
    for part in (
        "'logs'",
        "'quick'",
        "'small'",
        "key=value",
        "takes no policy",
        "always config.yaml",
        "names no path",
    ):
        assert part in text


def test_experiments_need_no_plus(conf: Path) -> None:
    assert translate("train", ["experiment=small"], conf).hydra == ("+experiment=small",)


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1))
def test_a_quoted_path_arrives_as_it_was_typed(path: str) -> None:
    parsed = OverridesParser.create().parse_override(f"paths.logs={quoted(path)}")
    config = OmegaConf.create({"logs": parsed.value()})
    assert OmegaConf.to_container(config, resolve=True) == {"logs": path}


def test_each_run_of_a_sweep_writes_into_its_own_folder(conf: Path) -> None:
    call = translate("allocate", ["-m", "out=o", "set.x.max=1,2"], conf)
    config = OmegaConf.create({"paths": {"out": "o", "scores": "s"}})
    assert apart(config, "allocate", 1, call).paths.out == "o/1"
    assert config.paths.out == "o"


def test_a_sweep_over_the_output_itself_is_left_alone(conf: Path) -> None:
    call = translate("allocate", ["-m", "out=a,b"], conf)
    config = OmegaConf.create({"paths": {"out": "b"}})
    assert apart(config, "allocate", 1, call).paths.out == "b"


def test_a_sweep_of_weeks_names_its_runs_and_publishes_none_unless_told_to(conf: Path) -> None:
    config = OmegaConf.create({"weekly": {"run": None, "publish": True}})
    swept = apart(config, "weekly", 2, translate("weekly", ["-m", "run=bounds"], conf)).weekly
    assert (swept.run, swept.publish) == ("sweep-2", False)
    assert apart(config, "weekly", 2, translate("weekly", ["-m", "weekly.publish=true"], conf)).weekly.publish


def test_help_names_keys_and_options(conf: Path) -> None:
    text = help_text("train", conf)
    for part in ("logs", "model", "seed", "valuenet, wide", "quick"):
        assert part in text


def test_messages_speak_the_words_of_the_command_line() -> None:
    assert readable("paths.scores='a' ++set.x.max=5%") == "scores='a' set.x.max=5%"
