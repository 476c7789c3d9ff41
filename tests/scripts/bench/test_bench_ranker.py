"""The ranker's benchmark: figures against closed forms, its tables, and every part on tiny made-up data."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ranker.evaluate.peers import PEERS, Peer, Task
from ranker.scores import InputError
from ranker.trials import promotion
from scripts.bench import __main__ as bench
from scripts.bench import bench_ranker, ranker_exploration, ranker_market, ranker_speed, ranker_tables, ranker_trials
from scripts.bench.ranker_figures import KINDS, OFFERMIX, Looped, Scored, Speed, Spending, Standing
from scripts.bench.results import Results
from scripts.cli.entry import validated
from scripts.cli.settings import BenchSettings

TRIAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "hillstrom_half.csv.gz"


@pytest.fixture(scope="module")
def settings(composed: Callable) -> BenchSettings:
    return validated(BenchSettings, composed("bench.what=ranker", "bench.seeds=2", "solve.gap=1e-3"))


def asking(settings: BenchSettings, out: Path, **asked: object) -> BenchSettings:
    paths = settings.paths.model_copy(update={"out": out})
    return settings.model_copy(update={"paths": paths, "bench": settings.bench.model_copy(update=asked)})


def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_ranker, "apart", lambda work, *given, seconds: (work(*given), 1.0, 0.5))


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "ranker.jsonl").read_text().splitlines()]


def test_scores_that_are_noise_around_the_truth_have_the_figures_of_the_textbook() -> None:
    """Truth t, score s = t + e: the slope of t on s is var(t) / (var(t) + var(e)), and so is the squared correlation."""
    generator = np.random.default_rng(0)
    users, actions = 20_000, 6
    own_UA = generator.normal(0, 2, (users, actions))
    true_UA = own_UA + np.arange(actions)
    mean_UA = true_UA + generator.normal(0, 1, (users, actions))
    may_UA = generator.random((users, actions)) < 0.7
    far_UA = np.where(may_UA, mean_UA, 1e6)
    found = ranker_market.score_figures(users, 0, "m", far_UA, np.ones((users, actions)), true_UA, may_UA)
    assert found.coverage == pytest.approx(0.9, abs=0.005)
    assert found.within == pytest.approx(4 / 5, abs=0.01)
    assert found.correlation == pytest.approx(np.sqrt(4 / 5), abs=0.01)
    everything = 4 + np.var(np.arange(actions))
    assert found.slope == pytest.approx(everything / (everything + 1), abs=0.01)
    narrow = ranker_market.score_figures(users, 0, "m", mean_UA, 0 * mean_UA, true_UA, may_UA)
    assert narrow.coverage == 0.0


def test_the_slope_over_all_seeds_is_the_regression_over_all_their_pairs() -> None:
    generator = np.random.default_rng(1)
    may_UA = np.ones((500, 4), bool)
    scores = [size * generator.normal(2.0, 1.0, may_UA.shape) for size in (0.5, 1.0, 3.0)]
    truths = [
        mean_UA / size + generator.normal(size=may_UA.shape) for mean_UA, size in zip(scores, (0.5, 1, 3), strict=True)
    ]
    found = [
        ranker_market.score_figures(500, seed, "m", mean_UA, np.ones(may_UA.shape), true_UA, may_UA)
        for seed, (mean_UA, true_UA) in enumerate(zip(scores, truths, strict=True))
    ]
    pooled = np.polyfit(*(np.concatenate([(x - x.mean()).ravel() for x in each]) for each in (scores, truths)), 1)[0]
    assert ranker_tables._slope_of_all(found).startswith(f"{pooled:.2f} ± ")
    assert ranker_tables._slope_of_all(found[:1]) == ""


def test_effects_whose_size_is_right_on_average_have_slopes_above_1_on_average_and_one_below_over_all() -> None:
    """One truth for all seeds, its size known to 20 %: E(1 / r) = 1 + 0.2^2 of a lognormal r, and E(r) / E(r^2) = 1 / (1 + 0.2^2)."""
    generator, spread = np.random.default_rng(2), 0.2
    may_UA = np.ones((20, 12), bool)
    true_UA = np.broadcast_to(generator.normal(size=12), may_UA.shape)
    log_sd = np.sqrt(np.log1p(spread**2))
    found = [
        ranker_market.score_figures(20, seed, "m", size * true_UA, np.ones(may_UA.shape), true_UA, may_UA)
        for seed, size in enumerate(generator.lognormal(-(log_sd**2) / 2, log_sd, 2_000))
    ]
    together, _ = (float(part) for part in ranker_tables._slope_of_all(found).split(" ± "))
    assert together == pytest.approx(1 / (1 + spread**2), abs=0.02)
    assert np.mean([figure.slope for figure in found]) == pytest.approx(1 + spread**2, abs=0.02)


def test_a_mean_has_the_larger_of_both_errors() -> None:
    assert ranker_tables.averaged([[1.0, 0.1], [3.0, 0.1]]) == pytest.approx((2.0, 1.0))
    assert ranker_tables.averaged([[1.0, 0.5], [1.2, 0.7]]) == pytest.approx((1.1, 0.6))
    assert ranker_tables.averaged([[1.0, 0.25]]) == (1.0, 0.25)
    assert ranker_tables.mean([[0.01234, 0.0011]], 100.0, "+") == "+1.23 ± 0.11"
    assert ranker_tables.mean([[1234.5, 140.2]]) == "1,234 ± 140"
    assert ranker_tables.mean([[1e-17, 1e-18]]) == "0"


def made_up() -> list[object]:
    def market(seed: int, learner: str, value: float, ahead: float, note: str = "") -> Standing:
        share = {"share": [value / 200, 0.0], "value": [value, 2.0]}
        return Standing("market", 1_000, seed, learner, estimates=share, ahead={"value": [ahead, 1.0]}, note=note)

    trials = [
        Standing("hillstrom", 0, seed, name, estimates=estimates, ahead=ahead, seconds=2.0)
        for seed in (0, 1)
        for name, estimates, ahead in (
            (
                OFFERMIX,
                {"qini mens": [0.002, 0.002], "qini womens": [0.007, 0.002], "value": [0.18, 0.005], "over fixed": [0.001, 0.002]},
                {},
            ),
            (
                "ridge T-learner",
                {"qini mens": [0.001, 0.002], "qini womens": [0.008, 0.002], "value": [0.17, 0.005], "over fixed": [-0.01, 0.002]},
                {"qini mens": [0.001, 0.0005], "qini womens": [-0.001, 0.0005], "value": [0.01, 0.003]},
            ),
        )
    ]  # fmt: skip
    return [
        *trials,
        Standing("hillstrom", 0, 0, "econml DRLearner", "econml is not installed"),
        Standing("promotion", 0, 0, OFFERMIX, estimates={"qini promotion": [0.00266, 0.0003], "net": [240.0, 140.0], "share": [0.28, 0.0]}),
        Standing("bandit", 0, 0, "IPS", estimates={"clicks": [0.005, 0.001]}, ahead={"clicks": [0.0008, 0.0014]}, note="2,639 rows"),
        *(market(seed, OFFERMIX, 150.0 + 20 * seed, 0.0) for seed in (0, 1)),
        *(market(seed, "oracle", 200.0, -50.0 + 20 * seed) for seed in (0, 1)),
        *(market(seed, "random", 160.0, -10.0 + 20 * seed, "winback") for seed in (0, 1)),
        *(Scored(1_000, seed, "subs", 0.9 + 0.02 * seed, 1.0 + seed, 0.8, 0.5, 2.0 - seed) for seed in (0, 1)),
        *(Spending("hillstrom", 0, seed, "random", [[0.5, 0.01, 0.005], [1.0, -0.02, 0.005]], 0.1) for seed in (0, 1)),
        Speed("train", 2_000_000, seconds={"all": 200.0}, cpu=350.0, peak_gib=3.21, floor=50.0, floor_of="X'X"),
        *(
            Looped("changes", 500, seed, who, value=[0.1 + gain, 0.2 + (1 + seed) * gain], exploiting=[0.12, 0.22 + gain],
                   best=[0.2, 0.4], error=[0.3, 0.05])
            for seed in (0, 1)
            for who, gain in (("exploit only", 0.0), ("3 % evenly", 0.04))
        ),
    ]  # fmt: skip


def store(path: Path, program: str = "new") -> Results:
    return Results(path / "ranker.jsonl", KINDS, lambda figure: program, "2 cores")


def shown(path: Path) -> str:
    return ranker_tables.block(store(path).newest()).markdown


def test_the_tables_say_what_was_measured(tmp_path: Path) -> None:
    for figure in made_up():
        store(tmp_path).add(figure)
    text = shown(tmp_path)
    assert text.startswith("Measured on 2 cores, 20")
    assert "| offermix | 0.20 ± 0.20 | 0.70 ± 0.20 | 18.00 ± 0.50 | +0.10 ± 0.20 |  |  |  | 2.00 |" in text
    ridge = "| ridge T-learner | 0.10 ± 0.20 | 0.80 ± 0.20 | 17.00 ± 0.50 | -1.00 ± 0.20 "
    assert ridge + "| +0.100 ± 0.050 | -0.100 ± 0.050 | +1.00 ± 0.30 | 2.00 |" in text
    assert "| econml DRLearner |  |  |  |  |  |  |  | econml is not installed |" in text
    assert "| offermix | 26.6 ± 3.0 | 240 ± 140 |  | 28 |  |  |  |" in text
    assert "| IPS | 0.50 ± 0.10 | +0.08 ± 0.14 | 2,639 rows |" in text
    assert "| offermix | 80.0 (75.0 to 85.0) |  |  |  |  |" in text
    assert "| oracle | 100.0 (100.0 to 100.0) | -20.0 ± 5.0 |  |  |  |" in text
    assert "| random | 80.0 (80.0 to 80.0) | +0.0 ± 5.0 | 1 of 2 | winback (2) |  |" in text
    assert "| 1,000 | subs | 91.0 (90.0 to 92.0) | 1.50 (1.00 to 2.00) | 1.20 ± 0.50 | 0.80 (0.80 to 0.80) |" in text
    assert "| hillstrom | random | +10.0 ± 5.0 | +10.0 ± 5.0 | +10.0 ± 5.0 |" in text
    assert "| -4.0 at 100 % |" in text
    assert "| train | 2,000,000 | 200 | 300 | 350 | 3.2 | 4.0 | 50 | 4.0 | X'X |" in text
    assert "Closed loop of 2 weeks, 500 listeners, a market that changes; seeds: 2" in text
    assert "| exploit only | 50.0 (50.0 to 50.0) | 150 |  |  |  | 20 | 50 |  |" in text
    exploring = "| 3 % evenly | 66.7 (63.3 to 70.0) | 200 ± 10 | +50 ± 10 | +60 ± 20 | +60 | -10 ± 10 | 50 |  |"
    assert exploring in text
    assert "| exploit only | 50 | 50 |" in text
    assert "| 3 % evenly | 70 | 65 |" in text
    assert "†" not in text


def test_rows_with_older_figures_are_marked(tmp_path: Path) -> None:
    ours = made_up()[0]
    store(tmp_path, "old").add(ours)
    store(tmp_path).add(replace(ours, seed=1))
    store(tmp_path).add(replace(ours, learner="ridge T-learner"))
    text = shown(tmp_path)
    assert "| offermix † |" in text
    assert "| ridge T-learner |" in text
    assert "†: measured by an earlier version" in text


def test_a_file_of_figures_may_hold_a_learner_that_is_no_longer_measured(tmp_path: Path) -> None:
    """The response model stood on the market as well."""
    for figure in made_up():
        store(tmp_path).add(figure)
        if isinstance(figure, Standing) and (figure.part, figure.learner) == ("market", "random"):
            store(tmp_path).add(replace(figure, learner="response model"))
    assert "response model" not in ranker_market.LEARNERS
    assert "| response model | 80.0 (80.0 to 80.0) |" in shown(tmp_path)


def trials(folder: Path) -> Path:
    """A promotion trial of 3,000 customers that works on half of them."""
    generator = np.random.default_rng(0)
    rows = 3_000
    frame = pd.DataFrame({name: generator.integers(1, 4, rows) for name in promotion.SCHEMA.categorical})
    for name in promotion.SCHEMA.numeric:
        frame[name] = generator.normal(size=rows)
    frame["ID"] = np.arange(rows)
    frame["Promotion"] = np.resize(["Yes", "No"], rows)
    chance_R = 0.05 + 0.3 * ((frame["Promotion"] == "Yes") & (frame["V2"] > 0))
    frame["purchase"] = (generator.random(rows) < chance_R).astype(int)
    folder.mkdir()
    frame.to_csv(folder / "promotion_training.csv.gz", index=False)
    return folder


def test_a_trial_in_parts(tmp_path: Path, settings: BenchSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    in_this_process(monkeypatch)
    asked = {"parts": ("promotion",), "trials": trials(tmp_path / "trials"), "peers": ()}
    out = tmp_path / "out"
    bench_ranker.measure(asking(settings, out, **asked, seeds=1))
    first = lines(out)
    standings = {line["figure"]["learner"]: line["figure"] for line in first if line["kind"] == "Standing"}
    assert list(standings)[:2] == [OFFERMIX, "ridge T-learner"]
    ours = standings[OFFERMIX]["estimates"]
    assert ours["qini promotion"][0] > 5 * ours["qini promotion"][1]
    assert 0.3 < ours["share"][0] < 1.0
    assert standings["promotion to all"]["estimates"]["share"][0] == 1.0
    assert standings["average effect"]["ahead"]["qini promotion"][0] == pytest.approx(ours["qini promotion"][0])
    spent = [line["figure"] for line in first if line["kind"] == "Spending"]
    assert {each["rival"] for each in spent} == {"valuenet, averaged", "average effect", "random"}
    bench_ranker.measure(asking(settings, out, **asked, seeds=1, resume=True))
    assert lines(out) == first
    bench_ranker.measure(asking(settings, out, **asked, seeds=2, resume=True))
    assert {line["figure"]["seed"] for line in lines(out)[len(first) :]} == {1}
    assert [path.name for path in out.iterdir() if path.is_dir()] == ["peers"], (
        "what was written for the peers is removed"
    )


def test_a_peer_that_is_not_there_says_so(
    tmp_path: Path, settings: BenchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_this_process(monkeypatch)
    gone = replace(PEERS["econml DRLearner"], package="no-such-package")
    for module in (bench_ranker, bench_ranker.ranker_trials):
        monkeypatch.setattr(module, "PEERS", {gone.name: gone})
    asked = {"parts": ("promotion",), "trials": trials(tmp_path / "trials"), "seeds": 1}
    block = bench_ranker.measure(asking(settings, tmp_path / "out", **asked))
    assert lines(tmp_path / "out")[-1]["figure"]["outcome"] == "no-such-package is not installed"
    assert "no-such-package is not installed" in block.markdown


def test_what_a_peer_believes_is_kept_and_judged_again(
    tmp_path: Path, settings: BenchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_this_process(monkeypatch)
    calls = []

    def believed(task: Task) -> np.ndarray:
        calls.append(len(task.test_RD))
        return task.test_RD[:, :1].astype(np.float64)

    peer = Peer("first column", "numpy", believed)
    for module in (bench_ranker, bench_ranker.ranker_trials):
        monkeypatch.setattr(module, "PEERS", {peer.name: peer})
    asked = {"parts": ("promotion",), "trials": trials(tmp_path / "trials"), "seeds": 1}
    out = tmp_path / "out"
    bench_ranker.measure(asking(settings, out, **asked))
    first = lines(out)[-1]["figure"]
    assert first["estimates"]["qini promotion"][0] > 5 * first["estimates"]["qini promotion"][1]
    changed = settings.model_copy(update={"fit": settings.fit.model_copy(update={"max_epochs": 1})})
    bench_ranker.measure(asking(changed, out, **asked, resume=True))
    again = lines(out)[-1]["figure"]
    assert (again["learner"], again["estimates"]) == ("first column", first["estimates"])
    assert calls == [1_500]
    bench_ranker.measure(asking(changed, out, **asked))
    assert calls == [1_500, 1_500]


@pytest.mark.slow
def test_speed_is_measured_from_files_to_files(
    tmp_path: Path, settings: BenchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_this_process(monkeypatch)
    monkeypatch.setattr(ranker_speed, "ACTIONS", ranker_speed.ACTIONS[:6])
    block = bench_ranker.measure(asking(settings, tmp_path, parts=("speed",), rows=3_000))
    train, score = (line["figure"] for line in lines(tmp_path))
    assert (train["what"], train["rows"], score["what"], score["rows"]) == ("train", 3_000, "score", 1_500)
    assert min(train["seconds"]["all"], train["floor"], score["seconds"]["all"], score["floor"]) > 0
    assert [table.title for table in block.tables] == ["Speed, from files to files"]


@pytest.mark.slow
def test_strategies_share_a_market_that_changes(settings: BenchSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranker_exploration, "SLOTS", ("push_1",))
    monkeypatch.setattr(ranker_exploration, "BY_HAND", 1)
    exploit, evenly, *_, random, oracle = ranker_exploration.STRATEGIES
    monkeypatch.setattr(ranker_exploration, "STRATEGIES", (exploit, evenly, random, oracle))
    found = ranker_exploration.run(settings, 400, 0, ranker_exploration.CHANGES, 2)
    assert [each.strategy for each in found] == ["exploit only", "3 % evenly", "random", "oracle"]
    assert all(len(figures) == 2 for each in found for figures in (each.value, each.exploiting, each.best, each.error))
    assert found[-1].value == found[-1].best
    first = {each.strategy: each.value[0] for each in found}
    assert first["3 % evenly"] == pytest.approx(0.97 * first["exploit only"] + 0.03 * first["random"], rel=1e-4)


def test_a_market_changes_where_it_should(settings: BenchSettings) -> None:
    played = {name: ranker_exploration.scenario(settings.data, 50, name, 10) for name in ("stays", "changes")}
    hand = ranker_exploration.BY_HAND
    assert [set(absent) for absent in played["changes"].absent] == [{"premium_family"}] * (hand + 2) + [set()] * 8
    assert not any(played["stays"].absent)
    individual = [
        [market.settings.effects.responses["subs"].products["premium_individual"] for market in each.weeks]
        for each in (played["stays"], played["changes"])
    ]
    assert individual == [[0.14] * (hand + 10), [0.14] * (hand + 4) + [-0.1] * 6]
    assert [market.settings.logging.holdout for market in played["stays"].weeks] == [0.08] * hand + [0.02] * 10
    actions = played["stays"].weeks[0].catalogue
    subs_A = ranker_exploration.worth(settings, actions)["subs"]
    np.testing.assert_allclose(subs_A, [6.0 - float(action["discount_eur"]) for action in actions.actions])


@pytest.mark.slow
def test_a_market_has_every_baseline_in_the_same_allocator(tmp_path: Path, settings: BenchSettings) -> None:
    found = ranker_market.run(settings, 1_500, 0, tmp_path)
    standings = {each.learner: each for each in found if isinstance(each, Standing)}
    wanted = {
        OFFERMIX,
        "oracle",
        "all-knowing",
        "best fixed action",
        "average effect",
        "average effect in the logs",
        "random",
    }
    assert wanted | {"logging policy", "ridge T-learner", "ridge S-learner"} <= set(standings)
    assert {"LightGBM S-learner", "LightGBM T-learner"} <= set(standings)
    assert standings["oracle"].estimates["share"][0] == 1.0
    gain = standings["random"].ahead["value"][0]
    assert gain == pytest.approx(standings[OFFERMIX].estimates["value"][0] - standings["random"].estimates["value"][0])
    assert {each.metric for each in found if isinstance(each, Scored)} == {
        "subs",
        "mau",
        "active_days",
        "revenue",
        "opt_out",
    }
    assert sum(isinstance(each, Spending) for each in found) == 3


def test_what_is_not_there_is_told_before_anything_runs(tmp_path: Path, settings: BenchSettings) -> None:
    asked = asking(settings, tmp_path / "out", trials=tmp_path / "nowhere", peers=("oracle",))
    with pytest.raises(InputError) as caught:
        bench.run(asked)
    assert len(caught.value.problems) == 4
    assert not (tmp_path / "out").exists()


@pytest.mark.real_data
@pytest.mark.skipif(not TRIAL.exists(), reason=f"../shared/data/{TRIAL.name} is not beside the checkout")
@pytest.mark.slow
def test_the_real_trial_is_ordered_as_well_as_by_ridge_and_nobody_loses_by_choosing(
    tmp_path: Path, settings: BenchSettings
) -> None:
    found = ranker_trials.run_half("hillstrom", TRIAL.parent, 0, settings, tmp_path / "half.npz")
    standings = {each.learner: each for each in found if isinstance(each, Standing)}
    ours, ridge = standings[OFFERMIX].estimates, standings["ridge T-learner"].estimates
    # One split: the two rankings differ by chance by some 0.1 x 100; the bench averages over splits.
    for arm in ("mens", "womens"):
        assert ours[f"qini {arm}"][0] > ridge[f"qini {arm}"][0] - 0.0025
    assert ours["qini womens"][0] > 2 * ours["qini womens"][1]
    assert ours["over fixed"][0] > -2 * max(ours["over fixed"][1], ridge["over fixed"][1])


def test_every_kind_of_figure_says_how_it_ended() -> None:
    """Whoever asks what is known already asks it of every kind."""
    for kind in KINDS:
        assert "outcome" in vars(kind)
