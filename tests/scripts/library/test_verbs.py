"""The five verbs: on frames what commands make of files, to the last bit; wrong input in the words of the commands."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import offermix
import pandas as pd
import pyarrow.parquet as pq
import pytest
from offermix import HowFar, InputError
from omegaconf import DictConfig

from scripts import allocate, evaluate, make_market, prepare, score, train
from scripts.cli.entry import validated
from scripts.cli.settings import (
    AllocateSettings,
    EvaluateSettings,
    MakeMarketSettings,
    PrepareSettings,
    ScoreSettings,
    TrainSettings,
)
from scripts.runs import digests

ACTIONS = [
    {"id": f"{slot}/{what}", "slot": slot, "product": what} for slot in ("home", "push") for what in ("duo", "books")
]
CATALOGUE = {
    "actions": ACTIONS,
    "metrics": [{"name": "value", "unit": "EUR"}],
    "segments": ["market"],
    "as_of": "2026-11-23",
}
POLICY = {
    "version": 1,
    "objective": [{"metric": "value", "weight": 1.0}],
    "contact": [{"id": "total", "max": 1}],
    "constraints": [{"id": "books", "kind": "volume", "where": {"product": "books"}, "max": 3}],
}
SMALL = {"data": {"users": 500, "weeks": 6}, "model": {"members": 2, "hidden": (4,)}, "fit": {"max_epochs": 1}}
WORDS = ("data.users=500", "data.weeks=6", "model.members=2", "model.hidden=[4]", "fit.max_epochs=1")


def users(count: int = 8) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user_id": range(count),
            "market": ["SE", "NO"] * (count // 2),
            "mean_value": [[0.1 * user, 0.2 * user, 0.3, 0.05 * user] for user in range(count)],
        }
    )


def test_frames_become_an_audited_allocation() -> None:
    told: list[HowFar] = []
    found = offermix.allocate({"users": users(), "catalogue": CATALOGUE}, POLICY, progress=told.append)
    assert (found.contacts["action"].str.endswith("books")).sum() == found.certificate.constraints[0].achieved == 3
    assert found.contacts["user_id"].is_unique and found.contacts["value"].sum() == pytest.approx(
        found.certificate.value
    )
    assert found.audit is not None and list(found.constraints["id"]) == ["books"] and len(found.prices) == 1
    assert {each.what for each in told} >= {"reading the scores", "pricing and deciding", "judging what was written"}
    looser = offermix.allocate(
        {"users": users(), "catalogue": CATALOGUE}, POLICY, changes={"books": {"max": 5}}, solve={"gap": 1e-3}, seed=4
    )
    assert looser.certificate.value > found.certificate.value
    assert looser.certificate.constraints[0].max == 5


def test_a_result_is_kept_until_it_is_forgotten_and_saved_elsewhere(tmp_path: Path) -> None:
    found = offermix.allocate({"users": users(), "catalogue": CATALOGUE}, POLICY)
    place, saved = found.folder, found.save(tmp_path / "weeks" / "first")
    with pytest.raises(InputError, match="is there already"):
        found.save(tmp_path / "weeks" / "first")
    contacts = found.contacts
    del found
    assert not place.exists()
    pd.testing.assert_frame_equal(saved.contacts, contacts)
    assert json.loads((saved.folder / "manifest.json").read_text())["stage"] == "allocate"
    again = offermix.allocate(
        {"users": users(), "catalogue": CATALOGUE}, POLICY, previous=saved, out=tmp_path / "second"
    )
    assert (again.folder, again.contacts.equals(contacts)) == (tmp_path / "second", True)


def wrong(verb: Callable[[], object]) -> tuple[str, ...]:
    with pytest.raises(InputError) as raised:
        verb()
    return raised.value.problems


def test_everything_wrong_is_told_at_once_and_by_the_names_of_what_was_given(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        logging.getLogger(), "handlers", []
    )  # commands that other tests called in this process set theirs
    good = {"users": users(), "catalogue": CATALOGUE}
    bad = {"users": users().assign(user_id=1), "catalogue": CATALOGUE}
    assert any(told.startswith("scores: column user_id: ") for told in wrong(lambda: offermix.allocate(bad, POLICY)))
    listed = wrong(lambda: offermix.allocate(good, {**POLICY, "contakt": [], "constraints": [{"id": "x"}]}))
    assert len(listed) >= 2 and all(told.startswith("policy.yaml:") for told in listed)
    assert wrong(lambda: offermix.allocate({"user": users()}, POLICY)) == (
        "scores: there is no part 'user'; did you mean 'users'?",
    )
    assert wrong(lambda: offermix.allocate(good, POLICY, **{"solve.gapp": 1, "fit.max_epochs": -1, "nonsense": 2})) == (
        "fit.max_epochs: is -1: input should be greater than or equal to 1",
        "solve.gapp: there is no such setting; did you mean 'gap'?",
        "nonsense: there is no such setting",
    )
    assert wrong(lambda: offermix.allocate(good, POLICY, solve="fsat")) == (
        "solve=fsat: conf/solve/ has no fsat.yaml; did you mean 'fast'?",
    )
    assert wrong(lambda: offermix.allocate(good, "nowhere.yaml"))[0].startswith("nowhere.yaml: there is no such file")
    mixed = users().assign(market=["SE", 1] * 4)
    assert wrong(lambda: offermix.score("model", mixed)) == ("users: column market: holds values of several types",)
    assert wrong(lambda: offermix.score("no_model", users()))[0].startswith("no_model")
    assert wrong(lambda: offermix.train(3)) == ("logs: is int; a path or a frame is needed",)  # type: ignore[arg-type]
    assert wrong(lambda: offermix.prepare({"users": users()}))[0].startswith("tables/schema.json: ")
    assert wrong(lambda: offermix.prepare("x", config_dir="nowhere")) == (
        "config_dir=nowhere: there is no such folder",
    )
    assert capfd.readouterr() == ("", ""), "nothing is printed into a notebook"


def test_rules_that_contradict_each_other_are_diagnosed() -> None:
    with pytest.raises(offermix.Infeasible) as raised:
        offermix.allocate({"users": users(), "catalogue": CATALOGUE}, POLICY, changes={"books": {"min": 9, "max": 10}})
    assert "books" in raised.value.diagnosis.conflict


@dataclass(frozen=True)
class Made:
    """The same week by commands, and by verbs on frames."""

    commands: Path
    verbs: Mapping[str, Path]
    told: list[HowFar]


def frame(folder: Path) -> pd.DataFrame:
    """As another program hands it over."""
    return pd.concat([pq.read_table(file).to_pandas() for file in sorted(folder.glob("*.parquet"))], ignore_index=True)


@pytest.fixture(scope="module")
def made(composed: Callable[..., DictConfig], tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("week")

    def settings(kind: type, **paths: str) -> object:
        named = (f"paths.{key}='{value if key == 'policy' else folder / value}'" for key, value in paths.items())
        return validated(
            kind, composed(*named, *WORDS, "tracking.enabled=false", "solve.gap=1e-3", "evaluate.rows=1000")
        )

    policy = "conf/policy/default.yaml"
    make_market.run(settings(MakeMarketSettings, out="market"))
    prepare.run(settings(PrepareSettings, tables="market/tables", logs="logs"))
    train.run(settings(TrainSettings, logs="logs", model="model"))
    score.run(settings(ScoreSettings, model="model", users="market/users", scores="scores"))
    allocate.run(settings(AllocateSettings, scores="scores", policy=policy, out="allocation"))
    evaluate.run(settings(EvaluateSettings, model="model", logs="logs", out="evaluation"))

    market, told = folder / "market", list[HowFar]()
    tables = {name: frame(market / "tables" / name) for name in ("users", "exposures", "outcomes")}
    tables |= {
        "schema": market / "tables" / "schema.json",
        "catalogue": json.loads((market / "catalogue.json").read_text()),
    }
    out, week = folder / "verbs", {"debug": "tiny", "progress": told.append, **SMALL}
    logs = offermix.prepare(tables, out=out / "logs", **week)
    model = offermix.train(logs, out=out / "model", **week)
    rest = {key: value for key, value in week.items() if key != "model"}  # which these two are given as an argument
    scores = offermix.score(model, frame(market / "users"), out=out / "scores", **rest)
    given = {"users": frame(scores.folder), "catalogue": json.loads((scores.folder / "catalogue.json").read_text())}
    contacts = offermix.allocate(given, "default", out=out / "allocation", **{**week, "solve.gap": 1e-3})
    judged = offermix.evaluate(model, logs, out=out / "evaluation", **{**rest, "evaluate.rows": 1000})
    assert len(logs.frame) == logs.counts.rows + logs.counts.known_in_part
    assert set(model.tables) == set(judged.tables) and judged.page.is_file()
    assert contacts.contacts.equals(frame(out / "allocation"))
    effects = scores.effects("subs", stderr=True)
    assert effects.shape == (500, len(scores.catalogue.ids)) and effects.to_numpy().min() >= 0
    return Made(folder, {result.folder.name: result.folder for result in (logs, model, scores, contacts, judged)}, told)


def timeless(content: object) -> object:
    if isinstance(content, dict):
        return {key: timeless(value) for key, value in content.items() if key != "seconds"}
    return [timeless(value) for value in content] if isinstance(content, list) else content


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["logs", "model", "scores", "allocation", "evaluation"])
def test_a_verb_on_frames_makes_what_the_command_makes_of_files(made: Made, stage: str) -> None:
    by_command, by_verb = (digests.output_digests(folder) for folder in (made.commands / stage, made.verbs[stage]))
    assert by_command.keys() == by_verb.keys()
    differ = {name for name in by_command if by_command[name] != by_verb[name]}
    assert differ <= {"evaluation.json", "evaluation.html", "certificate.json", "audit.json"}, (
        "these tell how long it took"
    )
    for name in differ - {"evaluation.html"}:
        one, other = (json.loads((folder / name).read_text()) for folder in (made.commands / stage, made.verbs[stage]))
        assert timeless(one) == timeless(other)


@pytest.mark.slow
def test_every_verb_says_how_far_it_is(made: Made) -> None:
    assert {"Decisions joined", "Training", "Scoring users", "reading the scores"} <= {each.what for each in made.told}
    trained = [each for each in made.told if each.what == "Training"]
    assert trained[-1].done == trained[-1].of == 2
