"""Policies judged on a market's truth: against a recount by hand, with the scores being the truth itself or noise around it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig

from allocator.assign.preassigned import preassign
from allocator.problem import build_problem
from allocator.users import EXPLORATION, FREE, HOLDOUT, load_data
from ranker.catalogue import Interference, Kept, Pair
from ranker.market import world
from ranker.market.truth import left_beside, logging_chances, read_users, read_world
from ranker.scores import InputError, open_scores
from scripts import regret as command
from scripts.cli.entry import validated
from scripts.cli.settings import RegretSettings
from scripts.formats.regret import Regret
from scripts.judging import reference_policies, regret
from scripts.judging.judged import judge_one
from scripts.judging.truth import read_truth
from scripts.pages.printed import show_regret
from tests.scripts.markets import policy_of, write_truth_as_scores

POLICY = policy_of(
    {"revenue": 1.0, "subs": 6.0}, 0.1, 0.1,
    "id: push, kind: volume, where: {surface: push}, max: 10%",
    "id: budget, kind: total, metric: subs, times: discount_eur, max: 4",
    "id: goal, kind: volume, where: {product: fan_club}, min: 2%",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A market of 900 listeners whose two products take from each other, scores of its users, and what came of judging them."""

    settings: RegretSettings
    table: dict
    printed: str

    @property
    def by_name(self) -> dict[str, dict]:
        return {each["policy"]: each for each in self.table["policies"]}


@pytest.fixture(scope="module")
def folder(composed: Callable[..., DictConfig], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """market/, and scores/ in which the truth is blurred by noise as large as half of it, in another order of users."""
    folder = tmp_path_factory.mktemp("regret")
    settings = validated(RegretSettings, composed(*_paths(folder), "data.users=900", "data.effects.strength=3"))
    (folder / "market").mkdir()
    world.write(settings.data, 3, folder / "market")
    (folder / "policy.yaml").write_text(POLICY)
    rng = np.random.default_rng(5)

    def blur(known_UA: np.ndarray) -> np.ndarray:
        return (known_UA + rng.normal(0, known_UA.std() / 2, known_UA.shape)).astype(np.float32)

    write_truth_as_scores(folder / "market" / "truth" / "given_observed", folder / "scores", blur, rows=300)
    return folder


def _paths(folder: Path) -> list[str]:
    named = {"market": "market", "scores": "scores", "policy": "policy.yaml", "out": "regret"}
    return [f"paths.{key}='{folder / name}'" for key, name in named.items()]


@pytest.fixture(scope="module")
def case(composed: Callable[..., DictConfig], folder: Path) -> Case:
    settings = validated(RegretSettings, composed(*_paths(folder)))
    table = command.run(settings).content()
    assert json.loads((folder / "regret" / "regret.json").read_text()) == table
    return Case(settings, table, (folder / "regret" / "regret.json").read_text())


@pytest.fixture(scope="module")
def parts(case: Case) -> tuple:
    """Problem, data and truth as the judge sees them."""
    scores = open_scores(case.settings.paths.scores)
    problem = build_problem(scores, regret._policy(case.settings, scores))
    data = load_data(problem, scores)
    return problem, data, read_truth(case.settings.paths.market, problem, data)


def test_the_oracle_has_no_regret_and_nobody_beats_it_but_who_knows_more(case: Case) -> None:
    oracle = case.by_name["oracle"]
    assert (oracle["regret"], oracle["regret_stderr"], oracle["share_of_oracle"]) == (0.0, 0.0, 1.0)
    for name, each in case.by_name.items():
        if name != "all-knowing":
            assert each["regret"] >= -2 * each["regret_stderr"] - 2 * regret.GAP * oracle["value"], name
    assert case.by_name["all-knowing"]["value"] >= oracle["value"] * (1 - 2 * regret.GAP)
    assert {"learned", "random", "average effect", "best fixed action", "logging policy"} < set(case.by_name)
    assert case.table["unsolved"] == []


def test_scores_close_to_the_truth_beat_what_knows_no_users(case: Case) -> None:
    for name in ("average effect", "best fixed action", "random", "logging policy"):
        gain = case.by_name[name]["learned_minus_this"]
        assert gain["low"] > 0, name
        assert gain["value"] == pytest.approx(case.by_name["learned"]["value"] - case.by_name[name]["value"])
        assert gain["high"] - gain["value"] == pytest.approx(1.96 * gain["stderr"], rel=1e-3)


def test_the_value_is_the_one_counted_by_hand(case: Case, parts: tuple) -> None:
    """Contact by contact in plain Python from the market's own files."""
    problem, data, truth = parts
    fixed = preassign(problem, data)[1].fixed
    settings = case.settings.solve.model_copy(update={"gap": regret.GAP})
    learned = next(iter(reference_policies.references(problem, data, truth.given, 0)))
    chosen = reference_policies.choose(learned, fixed, settings)
    true = open_scores(case.settings.paths.market / "truth" / "given_all")
    effect = {}
    for shard in true.shards():
        for position, user in enumerate(shard.user_id.to_pylist()):
            effect[user] = {name: values_UA[position] for name, values_UA in shard.mean.items()}
    since = read_users(truth.world).set_index("user_id")
    slates: dict[int, list[int]] = {}
    for user, action in zip(chosen.user_N, chosen.action_N, strict=True):
        slates.setdefault(int(data.user_id[user]), []).append(int(action))
    value, alone, both = 0.0, 0.0, 0
    other = dict(zip(truth.world.pair, reversed(truth.world.pair), strict=True))
    for user, slate in slates.items():
        products = [truth.world.catalogue.actions[action]["product"] for action in slate]
        together = set(other) <= set(products)
        both += together
        for action, product in zip(slate, products, strict=True):
            worth = float(effect[user]["revenue"][action]) + 6 * float(effect[user]["subs"][action])
            before = product in other and since.loc[user, f"weeks_since_{other[product]}"] <= 4
            alone += worth
            value += worth * (truth.world.factor if together and product in other and not before else 1.0)
    judged = case.by_name["learned"]
    assert judged["value"] == pytest.approx(value, rel=1e-9)
    assert judged["value_without_cannibalisation"] == pytest.approx(alone, rel=1e-9)
    assert (judged["value"] < alone) == (both > 0)


def test_two_products_that_take_from_each_other_are_worth_less_in_one_slate(parts: tuple) -> None:
    truth = parts[2]
    books, duo = (int(np.flatnonzero(offers_A)[0]) for offers_A in truth.world.offers_2A)
    neither = int(np.flatnonzero(~truth.world.offers_2A.any(axis=0))[0])
    fresh = np.flatnonzero(~truth.spoiled_UA[:, [books, duo]].any(axis=1))[0]
    spoiled = np.flatnonzero(truth.spoiled_UA[:, books] & ~truth.spoiled_UA[:, duo])[0]
    user_N = np.array([fresh, fresh, fresh, spoiled, spoiled, fresh + 1])
    action_N = np.array([books, duo, neither, books, duo, books])
    factor = truth.world.factor
    assert left_beside(truth.world, truth.spoiled_UA, user_N, action_N).tolist() == [factor, factor, 1, 1, factor, 1]


def test_both_in_every_slate_lower_the_judged_value(parts: tuple) -> None:
    problem, data, truth = parts
    books, duo = (int(np.flatnonzero(offers_A)[0]) for offers_A in truth.world.offers_2A)
    free = np.flatnonzero(data.group_U == FREE)
    chosen = reference_policies.Chosen(np.repeat(free, 2), np.tile([books, duo], len(free)), np.ones(2 * len(free)))
    nothing = (np.empty(0, np.int64), np.empty(0, np.int64))
    reference = reference_policies.ReferencePolicy("learned", "", problem, data)
    judged = judge_one(problem, data, truth, chosen, nothing, reference)
    clean = ~truth.spoiled_UA[free][:, [books, duo]].any(axis=1)
    worth_U = reference_policies.worth(problem, replace(data, planes_UPA=truth.given["given_all"]))[
        :, [books, duo]
    ].sum(axis=1)
    np.testing.assert_allclose(judged.worth_U[free][clean], truth.world.factor * worth_U[free][clean], rtol=1e-6)
    assert judged.with_both == len(free) - int(truth.spoiled_UA[free][:, [books, duo]].all(axis=1).sum())


def test_constraints_are_told_as_believed_and_as_true(case: Case, parts: tuple) -> None:
    learned = {kept["id"]: kept for kept in case.by_name["learned"]["constraints"]}
    assert learned["budget"]["believed"] <= 4 * (1 + 1e-9)
    assert learned["budget"]["true"] != learned["budget"]["believed"]
    assert learned["push"]["true"] == learned["push"]["believed"] <= 90
    assert learned["goal"]["true"] >= 18
    for each in case.table["policies"]:
        kept = {entry["id"]: entry for entry in each["constraints"]}
        assert ("budget" in each["violations"]) == (kept["budget"]["true"] > 4 * (1 + 1e-9))
        assert kept["budget"]["broken"] in (None, "max")


def test_the_logging_policy_is_the_one_that_wrote_the_logs(case: Case, parts: tuple) -> None:
    """Its expected value is that of its chances, which are those of the market at the same features."""
    problem, data, truth = parts
    free_U = data.group_U == FREE
    worth_UA = reference_policies.worth(problem, replace(data, planes_UPA=truth.given["given_all"]))
    expected = float((worth_UA * truth.chance_UA)[free_U].sum())
    judged = case.by_name["logging policy"]
    assert judged["value"] == pytest.approx(expected, rel=1e-6)
    assert judged["contacts"] == pytest.approx(truth.chance_UA[free_U].sum())
    assert (truth.chance_UA.sum(axis=1) <= 1 + 1e-9).all()
    held = read_world(case.settings.paths.market)
    users = read_users(held)
    assert not logging_chances(held, users)[~np.stack(users["eligible"].to_numpy())].any()


def test_only_the_free_are_judged(case: Case, parts: tuple) -> None:
    _, data, _ = parts
    assert case.table["users"] == int((data.group_U == FREE).sum()) < len(data)
    assert {HOLDOUT, EXPLORATION} <= set(data.group_U.tolist())


def test_the_best_fixed_action_is_given_and_others_only_where_they_must_be(case: Case, parts: tuple) -> None:
    problem, data, truth = parts
    fixed = preassign(problem, data)[1].fixed
    reference = next(
        each
        for each in reference_policies.references(problem, data, truth.given, 0)
        if each.name == reference_policies.FIXED
    )
    chosen = reference_policies.choose(reference, fixed, case.settings.solve)
    best = reference.about.split(" for ")[0]
    given = np.bincount(chosen.action_N, minlength=len(problem.catalogue.ids))
    others = [count for name, count in zip(problem.catalogue.ids, given, strict=True) if name != best and count]
    assert given[problem.catalogue.ids.index(best)] > 0
    assert sum(others) <= 18  # the minimum of fan clubs


def test_the_standard_error_is_the_deviation_of_a_sum() -> None:
    value, stderr = regret.total(np.array([1.0, 2.0, 3.0, 4.0]))
    assert value == 10.0
    assert stderr == pytest.approx(2 * np.std([1, 2, 3, 4], ddof=1))
    assert regret.difference(np.ones(9), np.ones(9)).content() == {"value": 0.0, "stderr": 0.0, "low": 0.0, "high": 0.0}


def test_what_cannot_be_solved_is_said(case: Case, composed: Callable[..., DictConfig], folder: Path) -> None:
    overrides = ["++set.goal.min=99.5%", f"paths.out='{folder / 'hopeless'}'"]
    table = command.run(validated(RegretSettings, composed(*_paths(folder)[:3], *overrides))).content()
    assert table["policies"] == []
    assert {each["policy"] for each in table["unsolved"]} >= {"learned", "oracle", "random"}


def test_no_user_is_named_in_what_is_written_or_printed(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    show_regret(Regret.from_file(case.settings.paths.out / "regret.json"))
    out = capsys.readouterr()
    ids = [str(user) for user in read_users(read_world(case.settings.paths.market))["user_id"]]
    assert not any(user in case.printed + out.out + out.err for user in ids)
    for part in ("learned - this", "oracle", "logging policy"):
        assert part in out.out


def test_a_market_without_its_truth_cannot_judge(composed: Callable[..., DictConfig], folder: Path) -> None:
    (folder / "bare").mkdir()
    settings = validated(RegretSettings, composed(*_paths(folder)[1:], f"paths.market='{folder / 'bare'}'"))
    with pytest.raises(InputError, match="only a market that was written with its truth"):
        command.run(settings).content()


def test_the_truth_about_other_users_is_refused(case: Case, composed: Callable[..., DictConfig], folder: Path) -> None:
    (folder / "other").mkdir()
    world.write(case.settings.data.model_copy(update={"users": 500}), 3, folder / "other")
    settings = validated(RegretSettings, composed(*_paths(folder)[1:], f"paths.market='{folder / 'other'}'"))
    with pytest.raises(InputError, match="lacks 400 of the 900 users of the scores"):
        command.run(settings).content()


def test_what_the_scores_say_of_contacts_stands_next_to_the_truth(case: Case, parts: tuple) -> None:
    world = parts[2].world
    (first, second), settings = world.pair, world.settings
    said = Interference(
        28,
        Kept(0.9, 0.1),
        (
            Pair({"product": first}, {"product": second}, Kept(0.5, 0.2), "history"),
            Pair({"product": "merch"}, {"product": first}, Kept(0.7, 0.2), "history"),  # which is none
        ),
    )
    told = [each.content() for each in regret.interference(replace(world.catalogue, interference=said), world)]
    assert [(each["where"], each.get("kept"), each["true"]) for each in told] == [
        ("any", 0.9, 1 - settings.fatigue),
        (first, 0.5, settings.cannibalisation.factor),
        (second, None, settings.cannibalisation.factor),
        ("merch", 0.7, 1.0),
    ]
    assert all("kept" not in each for each in case.table["interference"])  # the scores of this case say nothing
