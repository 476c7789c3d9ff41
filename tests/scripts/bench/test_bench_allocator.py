"""The benchmark: its instances are the same every time and can be solved, its peers are right, and its tables find their place."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from allocator.policy.reader import policy_for
from allocator.problem import build_problem
from allocator.solve.dual import value_of
from allocator.solve.exact import solve_exact
from allocator.solve.prices import measure_scale
from allocator.solve.settings import SolveSettings
from allocator.solve.solver import free_users
from allocator.users import load_data
from ranker.scores import InputError, open_scores
from scripts.bench import __main__ as bench
from scripts.bench import allocator_runs, allocator_tables, bench_allocator, peers
from scripts.bench.allocator_runs import OFFERMIX, Gap, PassRate, Run, Stopped
from scripts.bench.instances import BLOCK, SHAPES, Instance, write_instance
from scripts.bench.results import Results
from scripts.cli.entry import validated
from scripts.cli.settings import BenchSettings
from scripts.runs.digests import output_digests


@pytest.fixture(scope="module")
def settings(composed: Callable) -> BenchSettings:
    loose = validated(BenchSettings, composed("bench.sizes=[300]", "bench.shapes=[knapsack]", "bench.limit=20"))
    return loose.model_copy(update={"solve": loose.solve.model_copy(update={"gap": 1e-2, "nodes": 20})})


def whole_of(instance: Instance) -> peers.Whole:
    return peers.build_whole(*allocator_runs._compiled(instance))


@pytest.mark.parametrize("shape", SHAPES)
def test_an_instance_is_the_same_every_time_and_another_seed_is_another(tmp_path: Path, shape: str) -> None:
    digests = []
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        (tmp_path / name).mkdir()
        write_instance(tmp_path / name, shape, 300, seed)
        digests.append(output_digests(tmp_path / name))
    assert digests[0] == digests[1]
    assert all(digests[0][name] != digests[2][name] for name in digests[0] if not name.endswith("catalogue.json"))


def test_the_first_users_do_not_depend_on_how_many_follow(tmp_path: Path) -> None:
    means = []
    for name, users in (("few", 100), ("many", BLOCK + 100)):
        (tmp_path / name).mkdir()
        scores = open_scores(write_instance(tmp_path / name, "knapsack", users, 1).scores)
        assert scores.users == users
        means.append(next(scores.shards(100)).mean["gain"])
    np.testing.assert_array_equal(means[0], means[1])


@pytest.mark.parametrize(
    ("shape", "actions", "constraints"),
    [("market", 24, 50), ("knapsack", 24, 1), ("grid", 60, 83), ("averages", 24, 5), ("whole", 24, 5)],
)
@pytest.mark.slow
def test_every_shape_can_be_solved_and_passes_the_audit(
    tmp_path: Path, settings: BenchSettings, shape: str, actions: int, constraints: int
) -> None:
    instance, size = allocator_runs.make(tmp_path, shape, 2_000, 0)
    assert (size["actions"], size["constraints"]) == (actions, constraints)
    run = allocator_runs.run_ours(instance, settings, tmp_path / "out")
    assert run.outcome == "done", run.note
    assert 0 <= run.gap < 0.02
    assert run.total > 0
    assert json.loads((tmp_path / "out" / "audit.json").read_text())["clean"]
    rate = allocator_runs.measure_pass(instance, settings, tmp_path / "out", "cpu")
    assert rate.bytes >= 2_000 * actions * 5
    assert min(rate.seconds, rate.copy_seconds) > 0


def test_the_market_has_constraints_of_every_kind(tmp_path: Path) -> None:
    write_instance(tmp_path, "market", 100, 0)
    text = (tmp_path / "policy.yaml").read_text()
    assert all(f'"kind": "{kind}"' in text for kind in ("volume", "total", "share", "average", "ratio"))


@pytest.mark.parametrize("shape", ["market", "grid"])
@pytest.mark.slow
def test_the_linear_peers_agree_and_bound_the_best_whole_allocation(tmp_path: Path, shape: str) -> None:
    instance = write_instance(tmp_path, shape, 400, 5)
    whole = whole_of(instance)
    found = {name: peers.PEERS[name](whole, 60.0) for name in ("GLOP", "HiGHS", "PDLP 1e-6")}
    values = {name: peers.judge(whole, answer.x_N).value for name, answer in found.items()}
    assert values["GLOP"] == pytest.approx(values["HiGHS"], rel=1e-8)
    assert values["GLOP"] == pytest.approx(values["PDLP 1e-6"], rel=1e-4)
    for answer in found.values():
        assert values["HiGHS"] * (1 - 1e-9) <= answer.bound <= values["HiGHS"] * (1 + 1e-4)
    exact = peers.judge(whole, found["HiGHS"].x_N)
    assert max(exact.over_user, exact.over_row) < 1e-7


def test_the_programme_is_the_one_that_the_exact_path_solves(tmp_path: Path) -> None:
    instance = write_instance(tmp_path, "knapsack", 60, 2)
    scores, problem = allocator_runs._compiled(instance)
    users = free_users(problem, load_data(problem, scores), (np.zeros(0, np.int64), np.zeros(0, np.int64)))
    unit_R = measure_scale(users, np.random.default_rng(0)).usage_R
    slate_UK = solve_exact(users, SolveSettings(nodes=2_000), unit_R).slate_UK
    integral = value_of(users, slate_UK)
    whole = whole_of(instance)
    relaxed = peers.judge(whole, peers.by_highs(whole, 60.0).x_N)
    assert integral <= relaxed.value * (1 + 1e-9)
    assert integral >= relaxed.value * (1 - 0.01)
    assert relaxed.fractional <= 2, "a vertex has at most two fractional pairs for one budget"


@pytest.mark.slow
def test_the_rules_of_thumb_keep_maxima_and_contact_rules(tmp_path: Path) -> None:
    instance = write_instance(tmp_path, "knapsack", 500, 3)
    whole = whole_of(instance)
    best = peers.judge(whole, peers.by_highs(whole, 60.0).x_N).value
    thumbs = [peers.judge(whole, peer(whole, 1.0).x_N) for peer in (peers.by_value, peers.by_value_per_cost)]
    for judged in thumbs:
        assert (judged.over_user, judged.fractional) == (0.0, 0)
        assert judged.over_row < 1e-9
        assert judged.value <= best
    assert thumbs[1].value > thumbs[0].value


def test_what_breaks_the_rules_is_seen(tmp_path: Path) -> None:
    whole = whole_of(write_instance(tmp_path, "knapsack", 100, 1))
    everything = peers.judge(whole, np.full(len(whole.cost_N), 1.0))
    assert everything.over_user >= 1.0
    assert everything.over_row > 0.1
    assert peers.judge(whole, np.full(len(whole.cost_N), 0.01)).fractional == len(whole.cost_N)


def shorten(seconds: float) -> float:
    return 2 * seconds


def fail() -> None:
    raise ValueError("what went wrong")


@pytest.mark.slow
def test_a_run_apart_gives_its_result_and_memory_or_says_why_not() -> None:
    result, peak, grown = allocator_runs.apart(shorten, 0.5, seconds=60.0)
    assert result == 1.0
    assert 0 <= grown <= peak < 4
    with pytest.raises(Stopped, match="ValueError: what went wrong"):
        allocator_runs.apart(fail, seconds=60.0)
    with pytest.raises(Stopped, match="over the limit"):
        allocator_runs.apart(shorten, 0.5, seconds=0.0)


def made_up() -> list[Run | PassRate | Gap]:
    ours = Run(
        "grid", 1_000, OFFERMIX, seconds={"read": 1.0, "solve": 2.0, "write": 3.0}, value=9.0, bound=10.0, gap=0.1
    )
    ours = replace(ours, profile={"open": 0.5, "read": 1.0, "audit": 2.5, "digest": 0.25}, peak_gib=1.0)
    ours = replace(ours, over_user=0.0, over_row=0.0, fractional=0, full_passes=4)
    slow = Run("grid", 1_000, "GLOP", "over the limit", seconds={"read": 1.0, "solve": 60.0}, limit=60.0)
    quick = Run("grid", 1_000, "PDLP 1e-6", seconds={"read": 1.0, "solve": 12.0}, value=10.1, bound=10.2, limit=60.0)
    quick = replace(quick, over_user=0.01, over_row=0.0, fractional=7, grown_gib=1.0)
    gaps = [Gap("grid", 500, 0, "done", 0.1, 1.0), Gap("grid", 500, 1, "done", 0.2, 2.0)]
    gaps += [Gap("grid", 500, 2, "infeasible"), Gap("grid", 500, 3, "violation"), Gap("grid", 500, 4, "over the limit")]
    return [slow, ours, bench_allocator.against([ours], quick), PassRate("grid", 1_000, 0.5, 10**9, 0.2), *gaps]


def store(path: Path, machine: str = "2 cores", program: str = "new") -> Results:
    return Results(path / "figures.jsonl", (Run, PassRate, Gap), lambda figure: program, machine)


def shown(results: Results) -> str:
    return allocator_tables.block(results.newest(), 1e-5).markdown


def test_the_tables_say_what_was_measured(tmp_path: Path) -> None:
    results = store(tmp_path)
    for figure in made_up():
        results.add(figure)
    text = shown(results)
    assert text.startswith("Measured on 2 cores, 20")
    assert (
        "| grid 1,000 | offermix | 1.00 | 2.00 | 3.00 | 6.00 | 1.0 | 1.0e-01 | nothing | 0 | 4 dual evaluations |"
        in text
    )
    assert "| grid 1,000 | GLOP | 1.00 | 60 |  |  |  |  |  |  | stopped after 60 s |" in text
    assert "| grid 1,000 | PDLP 1e-6 | 1.00 | 12 |  | 13 |  | -1.0e-02 | 1.0e-02 | 7 |  |" in text
    assert "| grid 1,000 | PDLP 1e-6 | 6.0 | 2.0 |" in text
    assert "| grid 1,000 | GLOP | more than 30.0 | more than 10.0 |" in text
    assert "| grid 1,000 | 1.00 | 0.00 | 0.00 | 0.00 | 0.00 | 0.00 | 2.50 | 0.75 |" in text
    assert "| grid 1,000 | cpu | 4 | 500.0 | 2.0 | 5.0 |" in text
    assert "| grid 500 | 5 | 1.5e-01 | 2.0e-01 | 1 | 1 | 1 | 2.00 |" in text
    assert "Growth" not in text
    assert "No GPU was at hand" in text
    assert "†" not in text
    results.add(PassRate("grid", 1_000, 0.005, 10**9, 0.002, "cuda"))
    assert "| grid 1,000 | cuda | 4 | 5.0 | 200.0 | 500.0 |" in shown(results)
    assert "No GPU was at hand" not in shown(results)


def test_figures_of_several_calls_add_up_and_newer_ones_replace_older(tmp_path: Path) -> None:
    _, ours, *_ = made_up()
    faster = replace(ours, seconds={"read": 0.1, "solve": 0.2, "write": 0.3})
    larger = replace(ours, users=20_000, seconds={"solve": 12.0})
    for figure in (*made_up(), larger):
        store(tmp_path).add(figure)
    store(tmp_path).add(replace(ours, shape="market"))
    store(tmp_path).add(faster)
    kept = [each.figure for each in store(tmp_path).newest()]
    assert len(kept) == len(made_up()) + 2
    assert faster in kept
    assert ours not in kept
    instances = [line.split(" | ")[:2] for line in shown(store(tmp_path)).splitlines() if line.startswith("| ")]
    runs = [words for words in instances if words[1] in (OFFERMIX, *peers.PEERS)]
    assert runs[:5] == [
        ["| market 1,000", "offermix"],
        ["| grid 1,000", "offermix"],
        ["| grid 1,000", "PDLP 1e-6"],
        ["| grid 1,000", "GLOP"],
        ["| grid 20,000", "offermix"],
    ]
    assert "| grid 20,000 | 20 x 1,000 | 20.0 x | 1.0 |" in shown(store(tmp_path))


def test_growth_is_against_a_million_users_where_there_are_as_many(tmp_path: Path) -> None:
    for users, taken in ((10_000, 1.0), (1_000_000, 20.0), (20_000_000, 380.0)):
        store(tmp_path).add(replace(made_up()[1], users=users, seconds={"solve": taken}, peak_gib=5.25))
    assert "| grid 20,000,000 | 20 x 1,000,000 | 19.0 x | 5.2 |" in shown(store(tmp_path))


def test_what_another_program_or_machine_measured_is_marked(tmp_path: Path) -> None:
    _, ours, *_ = made_up()
    store(tmp_path, program="old").add(ours)
    store(tmp_path).add(replace(ours, users=2_000))
    store(tmp_path, "64 cores", "old").add(replace(ours, users=3_000))
    text = shown(store(tmp_path))
    assert "| grid 1,000 † | offermix |" in text
    assert "| grid 2,000 | offermix |" in text
    assert "| grid 3,000 (2) | offermix |" in text
    assert "(2) 64 cores, 20" in text
    assert "†: measured by an earlier version" in text


def test_a_line_that_was_cut_off_is_no_line_and_another_file_is_refused(tmp_path: Path) -> None:
    results = store(tmp_path)
    results.add(made_up()[1])
    with results.path.open("a") as file:
        file.write('{"kind": "Run", "day": "2026')
    assert [each.figure for each in results.newest()] == [made_up()[1]]
    results.path.write_text('{"kind": "Walk"}\n')
    with pytest.raises(InputError, match=r"figures.jsonl:1: is not a figure"):
        results.newest()


def test_what_was_too_much_is_not_tried_on_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator_runs, "machine_memory", lambda: 10 * 2**30)
    earlier = [*(figure for figure in made_up() if isinstance(figure, Run)), Run("grid", 1_500, "GLOP", "not tried")]

    def why(shape: str, users: int, solver: str, limit: float = 60.0) -> str:
        return bench_allocator.why_not(earlier, Run(shape, users, solver), limit)

    assert why("grid", 2_000, "GLOP") == "over the limit at 1,000 users"
    assert why("grid", 2_000, "GLOP", 600.0) == ""
    assert why("grid", 8_000, "PDLP 1e-6") == ""
    assert why("grid", 20_000, "PDLP 1e-6") == "would need some 20 GiB"
    assert why("market", 20_000, "PDLP 1e-6") == ""


def test_a_benchmark_in_parts(tmp_path: Path, settings: BenchSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real runs of a tiny instance, all in this process; then what a second call leaves out and adds."""
    monkeypatch.setattr(bench_allocator._AllocatorBench, "warm_up", lambda self: None)
    monkeypatch.setattr(bench_allocator, "apart", lambda work, *given, seconds: (work(*given), 1.0, 0.5))

    def call(**asked: object) -> list[tuple[object, ...]]:
        paths = settings.paths.model_copy(update={"out": tmp_path})
        options = settings.bench.model_copy(update={"peers": ("greedy by value",), **asked})
        bench_allocator.measure(settings.model_copy(update={"paths": paths, "bench": options}))
        return [(line["kind"], line["figure"].get("solver") or line["figure"].get("seed")) for line in lines()]

    def lines() -> list[dict]:
        return [json.loads(line) for line in (tmp_path / "allocator.jsonl").read_text().splitlines()]

    first = call()
    assert first == [("Run", OFFERMIX), ("PassRate", None), ("Run", "greedy by value")]
    assert all(line["figure"]["users"] == 300 for line in lines())
    assert call(resume=True) == first
    more = call(resume=True, peers=("greedy by value", "HiGHS"), sizes=(300,))
    assert more == [*first, ("Run", "HiGHS")]
    assert lines()[-1]["figure"]["gap"] == pytest.approx(0.005, abs=0.005), "against our bound of before"
    with_gaps = call(sizes=(), gaps=2, users=200)
    assert with_gaps == [*more, ("Gap", 0), ("Gap", 1)]
    assert call(sizes=(), gaps=3, users=200, resume=True) == [*with_gaps, ("Gap", 2)]
    assert not list(tmp_path.glob("tmp*")), "instances are removed"


def test_a_copy_on_a_device_of_torch_is_timed() -> None:
    assert 0 < allocator_runs._device_copy_seconds(10**7, "cpu") < 10
    assert allocator_runs.has_gpu() in (True, False)


def test_the_part_of_the_readme_is_replaced_and_nothing_else() -> None:
    opening, closing = bench.markers("allocator")
    text = f"before\n{opening}\nold\n{closing}\nafter\n"
    once = bench.between_markers(text, "allocator", "new")
    assert once == f"before\n{opening}\n\nnew\n\n{closing}\nafter\n"
    assert bench.between_markers(once, "allocator", "new") == once


def test_the_readme_is_written_from_what_is_there(tmp_path: Path, settings: BenchSettings) -> None:
    results = Results(tmp_path / "allocator.jsonl", (Run,), lambda figure: "some", "2 cores")
    results.add(made_up()[1])
    asked = settings.bench.model_copy(update={"sizes": (), "update_readme": True})
    paths = settings.paths.model_copy(update={"out": tmp_path})
    readme = tmp_path / "README.md"
    readme.write_text("\n".join(["above", *bench.markers("allocator"), "below"]))
    block = bench.run(settings.model_copy(update={"bench": asked, "paths": paths}), readme)
    assert block.markdown in readme.read_text()
    assert "| grid 1,000 † | offermix | 1.00 |" in readme.read_text()


def test_words_of_the_command_line() -> None:
    given = ["allocator", "sizes=10,20", "sizes=", "shapes=grid", "peers=[GLOP]", "gaps=5", "solve.gap=1e-5"]
    wanted = [
        "what=allocator",
        "sizes=[10,20]",
        "sizes=[]",
        "shapes=[grid]",
        "peers=[GLOP]",
        "gaps=5",
        "solve.gap=1e-5",
    ]
    assert bench.words(given) == wanted


def test_wrong_names_are_told_before_anything_runs(settings: BenchSettings) -> None:
    asked = settings.bench.model_copy(update={"shapes": ("cube",), "peers": ("oracle",)})
    with pytest.raises(InputError) as caught:
        bench.run(settings.model_copy(update={"bench": asked}))
    assert len(caught.value.problems) == 2


def test_a_readme_without_markers_is_told_before_anything_runs(tmp_path: Path, settings: BenchSettings) -> None:
    (tmp_path / "README.md").write_text("no markers")
    asked = settings.bench.model_copy(update={"update_readme": True})
    with pytest.raises(InputError, match=r"/README\.md: the markers .* must stand in it, once each"):
        bench.run(settings.model_copy(update={"bench": asked}), tmp_path / "README.md")


def test_the_readme_has_the_markers(root: Path) -> None:
    text = (root / "scripts" / "bench" / "README.md").read_text()
    assert [text.count(marker) for what in bench.BENCHES for marker in bench.markers(what)] == [1] * (
        2 * len(bench.BENCHES)
    )


def test_policies_are_read_as_people_write_them(tmp_path: Path) -> None:
    instance = write_instance(tmp_path, "grid", 200, 1)
    scores = open_scores(instance.scores)
    problem = build_problem(scores, policy_for(instance.policy, {}, scores))
    assert all(each.low <= each.high for each in problem.measured if None not in (each.low, each.high))
