"""The order, the folders and the resumption of a week, with stages that only write their names; the real ones run in e2e/."""

import json
import logging
import multiprocessing
import os
import signal
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import DictConfig

from allocator.policy.grammar import Policy
from allocator.policy.kinds.churn import Churn
from ranker.scores import InputError
from scripts import weekly
from scripts.cli.entry import validated
from scripts.cli.settings import Settings, WeeklySettings
from scripts.formats.drift import DriftRecord
from scripts.formats.gates import GateFinding, GatesRecord
from scripts.formats.rehearsal import Rehearsal
from scripts.formats.summary import RunSummary
from scripts.runs import digests, policy_check, run_folder, stage, trial
from scripts.runs.pointer import Refused
from scripts.runs.week import WeeklyRun
from scripts.stores.objects import StoreFailed
from tests.scripts.regrets import regret_of

ORDER = ["make_market", "prepare", "train", "score", "allocate", "rehearse", "regret", "drift", "report", "publish"]


@dataclass
class Stages:
    """Stand-ins for the stages. ran: their names in order; failing: the stage that raises.

    policy: what the early look at the policy finds; allocated: settings of `allocate`, whether it ran or was current.
    """

    ran: list[str] = field(default_factory=list)
    failing: str = ""
    policy: Policy = field(default_factory=lambda: Policy(objective=()))
    allocated: list[Settings] = field(default_factory=list)

    def module(self, name: str) -> types.ModuleType:
        module = types.ModuleType(f"scripts.{name}")
        module.run = getattr(self, name)
        return module

    def _write(self, name: str, out: Path, inputs: list[Path], config: dict, files: dict[str, str]) -> None:
        with stage.write(out, name, inputs, config) as made:
            self.ran.append(name)
            for path, text in files.items():
                (made / path).parent.mkdir(parents=True, exist_ok=True)
                (made / path).write_text(text)
            if name == self.failing:
                raise RuntimeError(f"{name} broke")

    def make_market(self, settings: Settings) -> None:
        files = {"tables/exposures/x": "x", "users/x": "x", "catalogue.json": "{}"}
        self._write("make_market", settings.paths.out, [], {"users": settings.data.users}, files)

    def prepare(self, settings: Settings) -> None:
        self._write("prepare", settings.paths.logs, [settings.paths.tables], {}, {"rows": "x"})

    def train(self, settings: Settings) -> None:
        config = {"fit": settings.fit, "seed": settings.seed}
        self._write("train", settings.paths.model, [settings.paths.logs], config, {"model.json": "{}"})

    def score(self, settings: Settings) -> None:
        paths = settings.paths
        inputs = [path for path in (paths.model, paths.users, paths.exposures) if path is not None]
        files = {"rows": "x"}
        if paths.exposures is not None:
            files["history/x"] = (paths.exposures / "x").read_text()
        self._write("score", paths.scores, inputs, {}, files)

    def allocate(self, settings: Settings) -> None:
        certificate = {
            "status": "optimal",
            "users": 10,
            "contacts": 7,
            "value": 3.0,
            "bound": 3.0,
            "gap": 0.0,
            "greedy": {"value": 2.5},
            "constraints": [],
            "seconds": {},
            "passes": None,
        }
        files = {"certificate.json": json.dumps(certificate), "audit.json": json.dumps({"checks": []})}
        files["rows"] = f"of seed {settings.seed}"
        self.allocated.append(settings)
        paths = settings.paths
        inputs = [path for path in (paths.scores, paths.policy, paths.previous) if path is not None]
        self._write("allocate", settings.paths.out, inputs, {"set": settings.set}, files)

    def rehearse(self, settings: Settings) -> None:
        paths = settings.paths
        untold = Rehearsal(
            users=0, rows=0, week_users=0, contacts=0, left_out=(), amounts=(), unavailable="nobody is held out"
        )
        inputs = [paths.model, paths.logs, paths.scores, paths.policy]
        self._write("rehearse", paths.out, inputs, {"set": settings.set}, {"rehearsal.json": untold.text()})

    def regret(self, settings: Settings) -> None:
        inputs = [settings.paths.market, settings.paths.scores, settings.paths.policy]
        text = regret_of({"oracle": 1.0, "learned": 0.7}).text()
        self._write("regret", settings.paths.out, inputs, {"set": settings.set}, {"regret.json": text})

    def drift(self, settings: Settings) -> None:
        run = settings.paths.run
        untold = DriftRecord(run=run.name, week=None, tables=(), left_out={})
        self._write("drift", run / "drift", [run / "scores"], {}, {"drift.json": untold.text()})

    def report(self, settings: Settings) -> None:
        run = settings.paths.run
        self._write("report", run / "report", [run / "allocation"], {}, {"report.html": "<html>"})

    def publish(self, settings: Settings) -> None:
        self.ran.append("publish")
        pointer = {
            "run": settings.paths.run.name,
            "at": "",
            "previous": None,
            "allocation": f"{settings.paths.run.name}/allocation",
            "allocation_digest": "",
        }
        (settings.paths.runs / "published.json").write_text(json.dumps(pointer))
        with (settings.paths.runs / "published_history.jsonl").open("a") as history:
            history.write(json.dumps(pointer) + "\n")


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    stand_ins = Stages()
    for name in ORDER:
        monkeypatch.setitem(sys.modules, f"scripts.{name}", stand_ins.module(name))
    monkeypatch.setattr(policy_check, "early_policy", lambda *_: stand_ins.policy)
    monkeypatch.setattr(run_folder, "wrong_without_data", lambda _: ())
    return stand_ins


@pytest.fixture
def week(
    composed: Callable[..., DictConfig], tmp_path: Path, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., WeeklyRun]:
    """week(*overrides): runs the week in tmp_path/runs; returns it, with what ran in `stages.ran`."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\n")
    monkeypatch.setattr(trial, "configured", lambda: trial.Configured(policy, {}))

    def run(*overrides: str) -> WeeklyRun:
        stages.ran.clear()
        fixed = [f"paths.runs='{tmp_path}/runs'", f"weekly.policy='{policy}'", "tracking.enabled=false"]
        return weekly.run(validated(WeeklySettings, composed(*fixed, *overrides)))

    return run


def test_a_week_runs_every_stage_in_order_and_ends_published(
    week: Callable[..., WeeklyRun], stages: Stages, capsys: pytest.CaptureFixture[str]
) -> None:
    done = week()
    assert stages.ran == ORDER
    assert done.name == "2026-W48"
    printed = capsys.readouterr().out
    for part in ("Value of the week", "+20.00%", "Audit", "report.html", "published.json points here", "learned 70%"):
        assert part in printed


def test_the_same_week_again_runs_nothing_and_stays_published(week: Callable[..., WeeklyRun], stages: Stages) -> None:
    first = week()
    again = week()
    assert stages.ran == ["publish"]
    assert again.folder == first.folder
    assert [ran.skipped for ran in again.ran] == [True] * 9 + [False]


def test_a_week_that_died_goes_on_where_it_stopped(week: Callable[..., WeeklyRun], stages: Stages) -> None:
    stages.failing = "score"
    with pytest.raises(RuntimeError, match="score broke"):
        week()
    assert stages.ran == ORDER[:4]
    stages.failing = ""
    assert week().name == "2026-W48"
    assert stages.ran == ORDER[3:]


def _linked(latest: Path, folder: Path, links: int, end: Callable[[], None]) -> None:
    """Begins a run's folder from the latest one; at so many files `end` is called."""
    left, link = iter(range(links)), os.link

    def counted(*names: str) -> None:
        if next(left, None) is None:
            end()
        link(*names)

    os.link = counted
    try:
        with stage.locked(folder), stage.first_made(folder) as made:
            run_folder.link_stages(latest, made)
    finally:
        os.link = link


def _die(latest: Path, folder: Path) -> None:
    _linked(latest, folder, 7, lambda: os.kill(os.getpid(), signal.SIGKILL))


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
@pytest.mark.slow
def test_a_run_killed_while_its_folder_is_linked_starts_anew(
    week: Callable[..., WeeklyRun], stages: Stages, tmp_path: Path
) -> None:
    prior = week("weekly.run=prior", "weekly.publish=false")
    runs = tmp_path / "runs"
    process = multiprocessing.get_context("spawn").Process(target=_die, args=(prior.folder, runs / "wk"))
    process.start()
    process.join(60)
    assert process.exitcode == -9
    assert len(list(runs.glob(".wk.*.new"))) == 1
    (runs / ".other.0123abcd.new").mkdir()
    (prior.folder / ".scores.0123abcd.old").mkdir()
    week("weekly.run=wk", "weekly.publish=false")
    assert stages.ran == ["drift"], "every stage still holds; what is told beside last week names the run"
    week("weekly.run=prior", "weekly.publish=false")
    assert sorted(path.name for path in runs.iterdir()) == ["prior", "wk"]
    assert [path.name for path in runs.glob("*/.*")] == []


def test_a_run_stopped_while_its_folder_is_linked_leaves_nothing(
    week: Callable[..., WeeklyRun], tmp_path: Path
) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    prior = week("weekly.run=prior", "weekly.publish=false")
    with pytest.raises(KeyboardInterrupt):
        _linked(prior.folder, tmp_path / "runs" / "wk", 7, stop)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["prior"]


def test_only_what_a_change_reaches_runs_again(week: Callable[..., WeeklyRun], stages: Stages) -> None:
    week("weekly.publish=false")
    week("weekly.publish=false", "fit.max_epochs=7")
    assert stages.ran == ["train"]  # the stand-in's model is the same, so its scores still hold
    week("weekly.publish=false", "++set.push.max=3")
    assert stages.ran == ["train", "allocate", "rehearse", "regret"]


def test_a_published_folder_never_changes(week: Callable[..., WeeklyRun], stages: Stages) -> None:
    first = week()
    before = digests.digest(first.folder)
    second = week("++set.push.max=3", "weekly.publish=true")
    assert (second.name, stages.ran) == ("2026-W48-2", ["allocate", "rehearse", "regret", "drift", "publish"])
    assert digests.digest(first.folder) == before
    third = week("++set.push.max=4")
    assert third.name == "2026-W48-3"
    assert week().name == "2026-W48"


def test_trying_a_policy_publishes_nothing_and_says_so(
    week: Callable[..., WeeklyRun], stages: Stages, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    week()
    pointer = (tmp_path / "runs" / "published.json").read_bytes()
    (tmp_path / "mine.yaml").write_text("version: 1 # mine\n")
    for words in ([f"weekly.policy='{tmp_path}/mine.yaml'"], ["++set.push.max=3"]):
        capsys.readouterr()
        tried = week(*words)
        assert not tried.published
        assert "publish" not in stages.ran
        assert (tmp_path / "runs" / "published.json").read_bytes() == pointer
        printed = capsys.readouterr().out.splitlines()
        assert printed[-1].startswith("not published: ")
        assert printed[-1].endswith("; with publish=true it is")
        assert week(*words, "weekly.publish=true").published
        (tmp_path / "runs" / "published.json").write_bytes(pointer)


def test_a_trial_that_is_published_already_stays_so_and_nothing_is_said(
    week: Callable[..., WeeklyRun], capsys: pytest.CaptureFixture[str]
) -> None:
    week("++set.push.max=3", "weekly.publish=true")
    capsys.readouterr()
    assert week("++set.push.max=3").published
    printed = capsys.readouterr().out
    assert "published.json points here" in printed
    assert "not published" not in printed


def test_the_same_policy_elsewhere_and_moved_runs_are_the_same_week(
    week: Callable[..., WeeklyRun], stages: Stages, tmp_path: Path
) -> None:
    week("weekly.run=spring")
    (tmp_path / "copy.yaml").write_bytes((tmp_path / "policy.yaml").read_bytes())
    week("weekly.run=spring", f"weekly.policy='{tmp_path}/copy.yaml'")
    assert stages.ran == ["publish"]
    (tmp_path / "x" / "y").mkdir(parents=True)
    (tmp_path / "runs").rename(tmp_path / "x" / "y" / "runs")
    week("weekly.run=spring", f"paths.runs='{tmp_path}/x/y/runs'")
    assert stages.ran == ["publish"]


def test_a_published_name_that_was_asked_for_is_refused(week: Callable[..., WeeklyRun], stages: Stages) -> None:
    week("weekly.run=spring")
    with pytest.raises(InputError, match="spring was published and is not changed"):
        week("weekly.run=spring", "seed=9")
    assert stages.ran == []


def test_what_is_missing_is_said_before_anything_runs(
    week: Callable[..., WeeklyRun], stages: Stages, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as raised:
        week("weekly.policy=nowhere.yaml", f"weekly.tables='{tmp_path}/none'")
    assert len(raised.value.problems) == 4
    assert stages.ran == []


def test_tables_from_outside_take_the_place_of_the_market(
    week: Callable[..., WeeklyRun], stages: Stages, tmp_path: Path
) -> None:
    for path in ("given/tables/exposures/x", "given/users/x", "given/catalogue.json"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("{}")
    week()
    done = week(f"weekly.tables='{tmp_path}/given'")
    assert "regret" not in stages.ran
    assert not (done.folder / "regret").exists(), "the truth of the market of the week before"


def test_tables_that_change_while_the_week_runs_publish_nothing(
    week: Callable[..., WeeklyRun], stages: Stages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "given"
    for path in ("tables/exposures/x", "users/x", "catalogue.json"):
        (given / path).parent.mkdir(parents=True, exist_ok=True)
        (given / path).write_text("{}")
    train = stages.train

    def halving(settings: Settings) -> None:
        train(settings)
        (given / "users" / "x").write_text("{")

    monkeypatch.setattr(sys.modules["scripts.train"], "run", halving)
    with pytest.raises(InputError, match="given/users: changed while the week ran"):
        week(f"weekly.tables='{given}'")
    assert stages.ran == ["prepare", "train"]
    monkeypatch.setattr(sys.modules["scripts.train"], "run", train)
    (given / "more").write_text("read by no stage")
    assert week(f"weekly.tables='{given}'").published
    assert stages.ran == ["score", "allocate", "rehearse", "drift", "report", "publish"]


def test_other_exposures_are_another_history_and_so_another_allocation(
    week: Callable[..., WeeklyRun], stages: Stages, tmp_path: Path
) -> None:
    given = tmp_path / "given"
    for path in ("tables/exposures/x", "users/x", "catalogue.json"):
        (given / path).parent.mkdir(parents=True, exist_ok=True)
        (given / path).write_text("{}")
    first = week(f"weekly.tables='{given}'", "weekly.publish=false")
    (given / "tables" / "exposures" / "x").write_text("one more")
    assert week(f"weekly.tables='{given}'", "weekly.publish=false").folder == first.folder
    assert (first.folder / "scores" / "history" / "x").read_text() == "one more"
    assert stages.ran == ["prepare", "score", "allocate", "rehearse", "drift"], (
        "the stand-in's logs are the same, so its model still holds"
    )


def test_users_without_a_day_are_scored_without_history(
    week: Callable[..., WeeklyRun], stages: Stages, tmp_path: Path
) -> None:
    for path in ("given/tables/exposures/x", "given/catalogue.json"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("{}")
    (tmp_path / "given" / "users").mkdir()
    pq.write_table(pa.table({"user_id": [1]}), tmp_path / "given" / "users" / "0.parquet")
    done = week(f"weekly.tables='{tmp_path}/given'")
    assert not (done.folder / "scores" / "history").exists()


def test_two_weeks_at_once_in_one_folder_do_not_fight(
    week: Callable[..., WeeklyRun], stages: Stages, tmp_path: Path
) -> None:
    (tmp_path / "runs").mkdir()
    with stage.locked(tmp_path / "runs" / "2026-W48"), pytest.raises(InputError, match="another run is writing it now"):
        week()
    assert stages.ran == []


STEADY = Policy(objective=(), constraints=(Churn(id="steady", max=0.3),))


def test_the_first_week_leaves_out_what_compares_with_the_week_before(
    week: Callable[..., WeeklyRun], stages: Stages, caplog: pytest.LogCaptureFixture
) -> None:
    stages.policy = STEADY
    with caplog.at_level("INFO", "offermix"):
        week("++set.steady.max=0.2", "++set.push.max=3", "weekly.publish=true")
    (allocated,) = stages.allocated
    assert allocated.paths.previous is None
    assert dict(allocated.set) == {"steady": None, "push": {"max": 3}}
    said = [record.message for record in caplog.records if "steady" in record.message]
    assert said == ["Nothing was published before to compare with, so left out this time: steady"]
    week("++set.steady.max=0.2", "++set.push.max=3", "weekly.publish=true")
    assert stages.ran == ["publish"], "published by itself, it does not compare with itself"


def test_a_later_week_compares_with_what_is_published_when_it_begins(
    week: Callable[..., WeeklyRun], stages: Stages, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    first = week()
    stages.policy = STEADY
    second = week("seed=1")
    assert second.name == "2026-W48-2"
    assert stages.allocated[-1].paths.previous == first.folder / "allocation"
    assert "steady" not in stages.allocated[-1].set
    again = week("seed=1")
    assert (again.name, stages.ran) == (second.name, ["publish"]), (
        "published by itself, it does not compare with itself"
    )
    assert stages.allocated[-1].paths.previous == first.folder / "allocation"
    third = week("seed=2", "weekly.publish=false")
    assert stages.allocated[-1].paths.previous == second.folder / "allocation"
    pointer = json.loads((runs / "published.json").read_text())
    (runs / "published.json").write_text(json.dumps(pointer | {"allocation": f"{first.name}/allocation"}))
    assert week("seed=2", "weekly.publish=false").name == third.name
    assert stages.ran == ["allocate"], "another allocation is published now"
    stages.policy = Policy(objective=())
    week("seed=3", "weekly.publish=false")
    assert stages.allocated[-1].paths.previous is None, "without such a rule, weeks do not depend on each other"


def test_what_is_published_but_gone_is_told_before_training(
    week: Callable[..., WeeklyRun], stages: Stages, tmp_path: Path
) -> None:
    first = week()
    stages.policy = STEADY
    (first.folder / "allocation").rename(tmp_path / "gone")
    with pytest.raises(
        InputError, match=r"published\.json: points to .*W48/allocation, which is not there.*\(steady\)"
    ):
        week("seed=1")
    assert "train" not in stages.ran


def summary(runs: Path, name: str = "2026-W48") -> RunSummary:
    return RunSummary.from_file(runs / name / "summary.json")


def test_a_finished_week_says_what_it_came_to(week: Callable[..., WeeklyRun], tmp_path: Path) -> None:
    week()
    said = summary(tmp_path / "runs")
    assert (said.status, said.exit_status, said.errors, said.stopped_at) == ("done", 0, (), None)
    assert [each.stage for each in said.stages] == ORDER
    assert (said.contacts, said.gap, said.value and said.value.value) == (7, 0.0, 3.0)
    assert (said.published, said.published_now, said.published_before) == (True, "2026-W48", None)
    assert said.report == "report/report.html" and said.next.startswith("It is published")
    assert "Value of the week" in (tmp_path / "runs" / "2026-W48" / said.log).read_text()
    week()
    again = summary(tmp_path / "runs")
    assert [each.skipped for each in again.stages] == [True] * 9 + [False]
    timeless = {"started_at", "finished_at", "seconds", "stages", "published_before"}
    assert again.model_dump(exclude=timeless) == said.model_dump(exclude=timeless)


def test_a_trial_says_that_nothing_was_published(week: Callable[..., WeeklyRun], tmp_path: Path) -> None:
    week("weekly.publish=false")
    said = summary(tmp_path / "runs")
    assert (said.status, said.published, said.unpublished_because) == ("done", False, "not published: publish=false")
    assert said.next.startswith("Nothing was published")


def test_a_week_says_whether_its_store_has_it(
    week: Callable[..., WeeklyRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weekly, "check_store", lambda options, runs: None)
    told = []
    for words in ((), ("weekly.publish=false",)):
        week("publish.store=s3://offers/se", *words)
        store = summary(tmp_path / "runs").store
        told.append(store and (store.address, store.published))
    assert told == [("s3://offers/se", True), None]

    def failing(settings: Settings) -> None:
        raise StoreFailed("no answer")

    monkeypatch.setattr(sys.modules["scripts.publish"], "run", failing)
    with pytest.raises(StoreFailed):
        week("publish.store=s3://offers/se")
    store = summary(tmp_path / "runs").store
    assert store is not None and not store.published


def refused() -> Refused:
    found = GateFinding(
        gate="value", unit="value", limit=0.6, found=1.0, compared=9.0, status="refused", sentence="low"
    )
    return Refused("2026-W48", ["low"], GatesRecord(run="2026-W48", week="2026-W47", findings=(found,)))


@pytest.mark.parametrize(
    ("error", "status", "exit_status", "told"),
    [
        (InputError(["a: is wrong", "b: too"]), "wrong input", 2, ("a: is wrong", "b: too")),
        (RuntimeError("of listener-77"), "failed", 1, None),
        (KeyboardInterrupt(15), "interrupted", 143, None),
        (refused(), "refused", 4, ("low",)),
    ],
)
def test_however_a_week_ends_it_says_so_and_tells_no_message_that_nobody_chose(
    error: BaseException,
    status: str,
    exit_status: int,
    told: tuple[str, ...] | None,
    week: Callable[..., WeeklyRun],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(settings: Settings) -> None:
        logging.getLogger("offermix.train").warning("few rows")
        logging.getLogger("offermix.train").warning("few rows")
        assert summary(tmp_path / "runs").status == "running"
        if isinstance(error, Refused) and error.gates is not None:
            (tmp_path / "runs" / "2026-W48" / "gates.json").write_text(error.gates.text())
        raise error

    monkeypatch.setattr(sys.modules["scripts.train"], "run", failing)
    with pytest.raises(type(error)):
        week()
    said = summary(tmp_path / "runs")
    assert (said.status, said.exit_status, said.stopped_at) == (status, exit_status, "train")
    assert [each.stage for each in said.stages] == ["make_market", "prepare"]
    assert told is None or said.errors == told
    assert [(each.words, each.times) for each in said.warnings] == [("few rows", 2)]
    assert (said.contacts, said.value, said.report, said.published) == (None, None, None, False)
    assert [each.gate for each in said.gates] == (["value"] if isinstance(error, Refused) else [])
    kept = (tmp_path / "runs" / "2026-W48" / "weekly.log").read_text()
    assert f"exit status {exit_status}" in kept and "few rows" in kept
    assert "listener-77" not in kept + said.text()


def test_what_is_wrong_with_the_policy_is_said_with_what_is_missing_before_a_folder_is_made(
    week: Callable[..., WeeklyRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    (tmp_path / "policy.yaml").write_text("version: 1\nobjective: [{metric: subz, weight: 1.0}]\n")
    with pytest.raises(InputError) as raised:
        week("+set.nobody.max=3")
    (rule, metric) = sorted(raised.value.problems)
    assert "policy.yaml: set.nobody.max: no rule has the id 'nobody'" in rule
    assert "policy.yaml:2: objective[0].metric: the scores have no metric 'subz'; did you mean 'subs'?" in metric
    with pytest.raises(InputError) as raised:
        week(f"weekly.tables='{tmp_path}/nothing'")
    assert len(raised.value.problems) == 3, "what is missing; words are not known then"
    assert not (tmp_path / "runs").exists()
