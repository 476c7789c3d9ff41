"""The entry as a notebook uses it: scores from a frame, a policy from a mapping or a file, the result as frames."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from allocator.allocate import allocate
from allocator.infeasible.diagnosis import Infeasible
from allocator.policy.experiment import exploring
from allocator.saved import read_allocation
from allocator.solve.settings import SolveSettings
from ranker.scores import InputError, Scores, open_scores, write_frame
from scripts import allocate as command

CATALOGUE = {
    "actions": [
        {"id": "push/duo", "slot": "push_1", "surface": "push", "product": "duo", "price_eur": 14.99},
        {"id": "push/books", "slot": "push_1", "surface": "push", "product": "books", "price_eur": 9.99},
        {"id": "home/duo", "slot": "home_1", "surface": "home", "product": "duo", "price_eur": 14.99},
    ],
    "metrics": [{"name": "revenue", "unit": "EUR"}],
    "segments": ["market"],
    "model_id": "by hand",
    "as_of": "2026-11-23",
}
POLICY = {
    "version": 1,
    "objective": [{"metric": "revenue", "weight": 1.0}],
    "constraints": [{"id": "pushes", "kind": "volume", "where": {"surface": "push"}, "max": 5}],
}


@pytest.fixture
def scores(tmp_path: Path) -> Scores:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"user_id": np.arange(40), "market": ["SE", "NO"] * 20})
    frame["mean_revenue"] = list(generator.gamma(1.0, 1.0, (40, 3)).astype(np.float32))
    (tmp_path / "scores").mkdir()
    return write_frame(tmp_path / "scores", CATALOGUE, frame)


def best_by_hand(scores: Scores, pushes: int) -> float:
    """Home to everybody, and the dearest pushes."""
    (shard,) = scores.shards()
    value_UA = shard.mean["revenue"].astype(float)
    return float(value_UA[:, 2].sum() + np.sort(value_UA[:, :2].max(axis=1))[-pushes:].sum())


def test_a_notebook_needs_scores_a_policy_and_one_call(scores: Scores) -> None:
    allocation = allocate(scores, POLICY)
    contacts, constraints = allocation.contacts(), allocation.constraints()
    assert (contacts.slot == "push_1").sum() == 5 and (contacts.slot == "home_1").sum() == 40
    assert contacts.value.sum() == pytest.approx(best_by_hand(scores, 5), rel=1e-6)
    assert allocation.certificate.value == pytest.approx(contacts.value.sum())
    assert allocation.audit.clean and allocation.certificate.gap <= 1e-5
    (pushes,) = constraints.to_dict("records")
    assert (pushes["id"], pushes["achieved"], pushes["binding"]) == ("pushes", 5, "max") and pushes["price"] > 0


def test_a_folder_is_read_back_as_frames(scores: Scores, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    made = allocate(scores, POLICY, folder=tmp_path / "made")
    back = read_allocation(str(made.folder))
    assert back.contacts().equals(made.contacts()) and len(back.contacts()) == 45
    assert back.constraints().equals(made.constraints()) and back.certificate == made.certificate
    assert back.prices().to_dict("records") == [
        {"constraint": "pushes", "side": "max", "multiplier": back.constraints().multiplier[0]}
    ]
    assert back.audit is not None and back.audit.all_passed
    rows = pd.concat(map(pd.read_parquet, made.folder.glob("*.parquet")), ignore_index=True)  # as the page says
    assert rows.equals(back.contacts())


def test_what_is_no_allocation_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no such directory"):
        read_allocation(tmp_path / "none")
    with pytest.raises(InputError, match=r"holds no certificate\.json, so it is no allocation"):
        read_allocation(tmp_path)


def test_a_margin_is_net_value_over_the_runner_up(scores: Scores) -> None:
    """Net of the price of a push; a home contact has nothing to give way to."""
    made = allocate(scores, POLICY)
    (shard,) = scores.shards()
    value = dict(zip(("push/duo", "push/books", "home/duo"), shard.mean["revenue"].T.astype(float), strict=True))
    price = made.constraints().price[0]
    for row in made.contacts().itertuples():
        net = {name: value[name][row.user_id] - price * name.startswith("push") for name in value}
        others = {name: net[name] for name in net if name[:4] == row.action[:4] and name != row.action}
        best = max(others, key=others.__getitem__, default=None)
        assert (None if pd.isna(row.runner_up) else row.runner_up) == (best if best and others[best] > 0 else None)
        assert row.margin == pytest.approx(net[row.action] - max(0.0, *others.values(), 0.0), abs=1e-6)


def test_exploring_users_who_drew_nothing_are_counted(scores: Scores) -> None:
    """A random draw is one of the three actions or nothing; whoever explores and has no row drew nothing."""
    explores = {"exploration": {"share": 0.5, "salt": "w1"}}
    made = allocate(scores, POLICY | {"experiment": explores, "constraints": []})
    user_id = np.arange(40)
    exploring_U = exploring(made.policy, user_id)
    drew = exploring_U & ~np.isin(user_id, made.contacts().user_id)
    assert made.certificate.drew_nothing == drew.sum() > 0
    assert made.certificate.funnel[-2].users - made.certificate.funnel[-1].users == drew.sum()


def test_a_file_a_mapping_and_a_read_policy_are_one_policy(scores: Scores, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(json.dumps(POLICY))
    first = allocate(scores, tmp_path / "policy.yaml")
    for policy in (POLICY, first.policy):
        assert allocate(scores, policy).contacts().equals(first.contacts())
    again = allocate(open_scores(str(scores.path)), str(tmp_path / "policy.yaml"))
    assert again.contacts().equals(first.contacts())


def test_changes_a_folder_and_an_earlier_allocation(scores: Scores, tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    first = allocate(scores, POLICY, folder=tmp_path / "first")
    more = allocate(scores, POLICY, changes={"pushes": {"max": 7}}, previous=first.folder)
    assert more.certificate.value == pytest.approx(best_by_hand(scores, 7), rel=1e-6)
    assert {path.name for path in first.folder.iterdir()} >= {"certificate.json", "prices.json", "audit.json"}


def test_the_command_writes_what_the_entry_makes(scores: Scores, tmp_path: Path, settings_for) -> None:
    settings = settings_for(tmp_path, "")
    settings.paths.policy.write_text(json.dumps(POLICY))
    written = command.run(settings)
    made = allocate(open_scores(settings.paths.scores), POLICY, settings.solve)
    assert written.contacts().equals(made.contacts()) and written.folder == settings.paths.out
    assert written.certificate.constraints == made.certificate.constraints


def test_mistakes_and_conflicts_are_told(scores: Scores) -> None:
    with pytest.raises(InputError) as caught:
        allocate(scores, POLICY | {"objective": [{"metric": "subs", "weight": "x"}], "contract": []})
    assert len(caught.value.problems) >= 2 and all(each.startswith("policy:") for each in caught.value.problems)
    with pytest.raises(Infeasible) as conflict:
        allocate(scores, POLICY, SolveSettings(), changes={"pushes": {"min": 60, "max": 70}})
    assert conflict.value.diagnosis.conflict == ("pushes",)


def test_a_rule_that_is_off_is_told_and_stands_in_the_certificate(
    scores: Scores, tmp_path: Path, settings_for, caplog: pytest.LogCaptureFixture
) -> None:
    over = POLICY["constraints"][0] | {"id": "books", "where": {"product": "books"}, "valid_to": "2024-12-31"}
    settings = settings_for(tmp_path, "")
    settings.paths.policy.write_text(json.dumps(POLICY | {"constraints": [*POLICY["constraints"], over]}))
    command.main(settings)
    told = (
        "books (volume; where product books; max 5) is off on 2026-11-23: its valid_to is 2024-12-31, "
        "more than a year ago; wrong year?"
    )
    assert told in caplog.messages
    certificate = json.loads((settings.paths.out / "certificate.json").read_text())
    assert [(each["kind"], each["constraint"], each["sentence"]) for each in certificate["remarks"]] == [
        ("off", "books", told)
    ]
    assert [each["id"] for each in certificate["constraints"]] == ["pushes"]


@pytest.fixture
def many(tmp_path: Path) -> Scores:
    """A thousand users, of whom every second may get something at home."""
    frame = pd.DataFrame({"user_id": np.arange(1000), "market": ["SE", "NO"] * 500})
    frame["mean_revenue"] = list(np.random.default_rng(1).gamma(1.0, 1.0, (1000, 3)).astype(np.float32))
    (tmp_path / "many").mkdir()
    return write_frame(tmp_path / "many", CATALOGUE, frame)


def policy_of(*constraints: dict) -> dict:
    asleep = {"id": "half", "forbid": {"surface": "home"}, "users": {"market": "SE"}}
    return POLICY | {"eligibility": [asleep], "constraints": list(constraints)}


@pytest.mark.parametrize(("least", "told"), [(60, True), (40, False), ("40%", False), (100.5, False), (101, False)])
def test_a_minimum_that_a_forgotten_percent_would_make_bite_is_told_with_both_readings(
    many: Scores, least: object, told: bool
) -> None:
    """Everybody who may get something at home gets it, which are 500 users: above 60 contacts, and below 60 %."""
    policy = policy_of({"id": "home", "kind": "volume", "where": {"surface": "home"}, "min": least})
    remarks = [each for each in allocate(many, policy).certificate.remarks if each.kind == "percent_forgotten"]
    sentence = (
        "home.min: 60 is a number of contacts and asks for nothing: there are 500. "
        "Did you mean 60%, which is 600 of the 1,000 users in its scope?"
    )
    assert [each.ended for each in remarks] == [sentence] * told


def test_what_is_seldom_meant_stands_in_the_certificate(many: Scores) -> None:
    """Of 1,000 users, and slots enough for three contacts each at most."""
    pushes = {"id": "pushes", "kind": "volume", "where": {"surface": "push"}, "max": 4}
    ends = {"id": "ends", "kind": "volume", "max": "40%", "valid_to": str(many.catalogue.as_of)}
    idle = {"id": "idle", "kind": "volume", "where": {"surface": "push"}, "max": "100%"}
    remarks = allocate(many, policy_of(pushes, ends, idle)).certificate.remarks
    said = {(each.kind, each.constraint) for each in remarks}
    assert said >= {("percent_forgotten", "pushes"), ("ends", "ends"), ("cannot_bind", "idle")}
    assert len([each for each in remarks if each.constraint == "pushes" and each.kind == "percent_forgotten"]) == 1


def test_what_is_seldom_meant_is_said_before_a_conflict(many: Scores, caplog: pytest.LogCaptureFixture) -> None:
    none = {"id": "none", "kind": "volume", "max": 0.1}
    some = {"id": "some", "kind": "volume", "min": "10%"}
    with pytest.raises(Infeasible):
        allocate(many, policy_of(none, some))
    assert any(
        "none.max: 0.1 is a number of contacts, so none at all; did you mean 10%" in text for text in caplog.messages
    )


@pytest.mark.parametrize(("most", "told"), [(20, True), (5, False)])
def test_a_maximum_whose_conflict_ends_with_per_cent_is_told_with_both_readings(
    many: Scores, most: int, told: bool
) -> None:
    """A hundred pushes of books are asked for: 20 contacts are too few, 20 % are enough, 5 % are not."""
    pushes = {"id": "pushes", "kind": "volume", "where": {"surface": "push"}, "max": most}
    books = {"id": "books", "kind": "volume", "where": {"product": "books"}, "min": "10%"}
    with pytest.raises(Infeasible) as conflict:
        allocate(many, policy_of(pushes, books))
    sentences = [each.sentence for each in conflict.value.diagnosis.causes if each.kind == "percent_forgotten"]
    sentence = (
        "pushes.max: 20 is a number of contacts; did you mean 20%, which is 200 of the 1,000 users in its scope, "
        "and ends the conflict?"
    )
    assert sentences == [sentence] * told
